"""The commands that measure: `evaluate` and what explains and checks its numbers. cli.py registers them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from msgbench.cli_options import DeviceOption, LogOption, file_to_write, known_device, known_threads
from msgbench.errors import ConfigError

InceptionOption = Annotated[str | None, typer.Option(help="Path of the Inception weights.")]
Vgg16Option = Annotated[str | None, typer.Option(help="Path of the VGG16 weights.")]
CacheOption = Annotated[Path | None, typer.Option(help="Folder for statistics of real images.")]

RUN, REAL, IMAGES, SNAPSHOT = "a run directory", "--real", "--images", "--snapshot"
# Options of `evaluate` that not everything which is measured has: which of it has them.
_BELONGS = {
    "--store": (RUN, IMAGES, SNAPSHOT),
    "--live": (RUN,),
    "--protocols": (REAL, IMAGES, SNAPSHOT),
    "--out": (REAL, IMAGES, SNAPSHOT),
    "--mirror": (REAL, IMAGES, SNAPSHOT),
    "--tier": (REAL,),
    "--test-store": (REAL,),
    "--copies": (IMAGES,),
    "--again": (IMAGES, SNAPSHOT),
    "--batch-size": (REAL, IMAGES, SNAPSHOT),
}


def evaluate(
    context: typer.Context,
    run_dir: Annotated[Path | None, typer.Argument(help="A trained run directory.")] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="The store it was trained on, or of the real images to compare with."),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Measure what a run that still trains has taken so far."),
    ] = False,
    real: Annotated[
        Path | None, typer.Option(help="Instead of a run: measure the real images of this store.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Instead of a run: measure a folder or ZIP file of images.")
    ] = None,
    snapshot: Annotated[
        Path | None, typer.Option(help="Instead of a run: measure one snapshot, whatever made it.")
    ] = None,
    protocols: Annotated[
        str, typer.Option(help="Not of a run: protocols, separated by commas.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Not of a run: the file to write.")] = None,
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Not of a run: trainings on the store flip its images."),
    ] = False,
    tier: Annotated[str, typer.Option(help="With --real: the tier of the records.")] = "smoke",
    test_store: Annotated[
        Path | None, typer.Option(help="With --real: the store of the test images, for a floor.")
    ] = None,
    copies: Annotated[
        bool, typer.Option("--copies", help="With --images: allow images that equal one another.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="With --images or --snapshot: measure anew what --out states of the same images.",
        ),
    ] = False,
    batch_size: Annotated[
        int, typer.Option(help="Not of a run: images per pass through the networks.")
    ] = 100,
    cache: CacheOption = None,
    inception: InceptionOption = None,
    vgg16: Vgg16Option = None,
    device: DeviceOption = "auto",
    log: LogOption = None,
) -> None:
    """Measure all snapshots of a run, the real images and their floors, or images from anywhere."""
    from msgbench.console import log_to

    log_to(log)
    asked = {RUN: run_dir, REAL: real, IMAGES: images, SNAPSHOT: snapshot}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1 or (run_dir is not None and store is None):
        raise ConfigError(
            "evaluate: give exactly one of a run directory (with --store), --real, --images and --snapshot"
        )
    _require_fitting(context, given[0])
    if run_dir is None and (out is None or not protocols):
        raise ConfigError(f"{given[0]}: needs --protocols and --out, too")
    if mirror and real is None and store is None:
        raise ConfigError("--mirror: says how the images of a store are flipped; name it, --store")
    if tier not in ("smoke", "mini", "paper"):
        raise ConfigError(f"--tier: {tier!r} is not allowed; allowed: smoke, mini, paper")
    if batch_size < 1:
        raise ConfigError(f"--batch-size: {batch_size} is not allowed; allowed: a number from 1")
    names = _listed(protocols)
    if out is not None:
        file_to_write("--out", out)
    weights = {"inception": inception, "vgg16": vgg16}

    from msgbench.device import choose_device

    on = choose_device(known_device(device))
    if run_dir is not None and store is not None:
        from msgbench.metrics.evaluate_run import evaluate_live, evaluate_run

        (evaluate_live if live else evaluate_run)(run_dir, store, cache, weights, on)
        return
    assert out is not None
    rest: dict[str, Any] = {
        "mirror": mirror,
        "weights": weights,
        "device": on,
        "batch_size": batch_size,
        "cache": cache,
    }
    if real is not None:
        from msgbench.metrics.evaluate_real import evaluate_real

        evaluate_real(real, names, out, tier=tier, test_store=test_store, **rest)
        return
    from msgbench.metrics.evaluate_images import evaluate_images, evaluate_snapshot

    if images is not None:
        evaluate_images(images, names, out, store, copies=copies, again=again, **rest)
    elif snapshot is not None:
        evaluate_snapshot(snapshot, names, out, store, again=again, **rest)
    _tell(out)


def _require_fitting(context: typer.Context, measured: str) -> None:
    """Refuse what is given and says nothing about what is measured: it would look as if it had counted."""
    for option, fitting in _BELONGS.items():
        source = context.get_parameter_source(option.removeprefix("--").replace("-", "_"))
        if source is not None and source.name == "COMMANDLINE" and measured not in fitting:
            raise ConfigError(
                f"{option}: does not apply to {measured}; allowed with {', '.join(fitting)}"
            )


def _listed(protocols: str) -> tuple[str, ...]:
    """The names in a list with commas; ConfigError for one that is empty or stands there twice."""
    names = tuple(name.strip() for name in protocols.split(",")) if protocols else ()
    for name in names:
        if not name:
            raise ConfigError(
                f"--protocols: {protocols!r} has an empty name; allowed: names of protocols, separated by commas"
            )
        if names.count(name) > 1:
            raise ConfigError(f"--protocols: {name} is given twice; allowed: each protocol once")
    return names


def _tell(out: Path) -> None:
    """What was measured, one line a record."""
    from msgbench.console import say
    from msgbench.records import read_json

    for record in read_json(out)["records"]:
        deviation = "" if record["std"] is None else f" ± {record['std']:.4g}"
        parts = "".join(f", {name} {value:.4g}" for name, value in record.get("parts", {}).items())
        say(f"{record['protocol']['name']}: {record['value']:.6g}{deviation}{parts}")
    say(f"records: {out}")


def sample(
    places: Annotated[
        list[Path], typer.Argument(help="A run directory or snapshot; more only stand beside it.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="grid, scales, interpolation, mixing, noise, depths, time-lapse or beside. Repeatable; default: all "
            "that fit.",
        ),
    ] = None,
    each: Annotated[
        bool,
        typer.Option(
            "--each",
            help="Draw every run's own sets into its folder; --out then lists their manifests.",
        ),
    ] = False,
    at: Annotated[
        str,
        typer.Option(
            help="Of a run: its best snapshot, its final one, best-or-final (final where nothing is measured), or a "
            "length in kimg."
        ),
    ] = "best",
    out: Annotated[
        Path | None,
        typer.Option(help="The manifest (.json) to write; default: samples.json of the run."),
    ] = None,
    device: DeviceOption = "auto",
    log: LogOption = None,
) -> None:
    """Draw the picture sets that figures are made of: uncurated, with their seeds and checksums."""
    from msgbench.console import log_to, say
    from msgbench.layout import SAMPLES_JSON

    log_to(log)
    for place in places:
        if not place.exists():
            raise ConfigError(f"{place}: no such snapshot")
    if each:
        _sample_each(places, sets, at, out, known_device(device))
        return
    if out is None and not places[0].is_dir():
        raise ConfigError("--out: is required for a snapshot; name the manifest (.json) to write")
    manifest = out or places[0] / SAMPLES_JSON
    if manifest.suffix != ".json":
        raise ConfigError(
            f"--out: {str(manifest)!r} is not allowed; allowed: a file name with .json"
        )
    file_to_write("--out", manifest)
    from msgbench.device import choose_device, make_reproducible
    from msgbench.pictures.write import draw_pictures

    make_reproducible(1)
    on = choose_device(known_device(device))
    say(f"sample: {draw_pictures(places, manifest, sets, at, on)}")


def _sample_each(
    places: list[Path], sets: list[str] | None, at: str, out: Path | None, device: str
) -> None:
    """The picture sets of several runs by one process, each run's in its own folder."""
    from msgbench.console import say
    from msgbench.layout import SAMPLES_JSON

    if out is None:
        raise ConfigError("--out: is required with --each; name the list (.json) to write")
    for place in places:
        if not place.is_dir():
            raise ConfigError(f"{place}: is no run directory; --each draws those of runs")
    file_to_write("--out", out)
    from msgbench.device import choose_device, make_reproducible
    from msgbench.pictures.write import draw_pictures, write_list

    make_reproducible(1)
    on = choose_device(device)
    manifests = [draw_pictures([run], run / SAMPLES_JSON, sets, at, on) for run in places]
    say(f"sample: {write_list(manifests, out)}")


def protocols(
    name: Annotated[
        str | None, typer.Argument(help="A protocol: its card. Without it: all, one a line.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The list as the table of docs/protocols.md.")
    ] = False,
) -> None:
    """List the protocols that scores are made by, or print the card of one."""
    from msgbench.config.sentences import nearest
    from msgbench.protocols import PROTOCOLS, markdown_table

    if markdown:
        typer.echo(markdown_table())
        return
    if name is None:
        for protocol in PROTOCOLS.values():
            typer.echo(f"{protocol.name:20} v{protocol.version}  {protocol.title}")
        return
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol {name}: is not declared{nearest(name, PROTOCOLS)}")
    typer.echo(json.dumps(PROTOCOLS[name].card(), indent=2))


def sensitivity(
    train: Annotated[Path, typer.Argument(help="A store of the training images of CIFAR-10.")],
    test: Annotated[Path, typer.Argument(help="A store of its test images.")],
    inception: Annotated[
        Path, typer.Option(help="Inception weights whose layers up to 768 are the published ones.")
    ],
    cache: Annotated[Path, typer.Option(help="Folder where features are kept.")],
    page: Annotated[
        Path, typer.Option(help="The Markdown page whose measured part is written anew.")
    ] = Path("docs/protocols.md"),
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    log: LogOption = None,
) -> None:
    """Measure what resize, flips, number of images, splits and quantisation move, on real images."""
    from msgbench.console import log_to, say

    log_to(log)
    file_to_write("--page", page)
    known_threads(threads)
    from msgbench.sensitivity.table import write_sensitivity

    say(f"sensitivity: {write_sensitivity(train, test, inception, cache, page, threads)}")
