"""The commands that look at datasets, `msgbench data ...`. cli.py registers them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from msgbench.cli_options import DEFAULT_CONFIG, ConfigOption, LogOption, SetOption
from msgbench.errors import ConfigError

if TYPE_CHECKING:
    from msgbench.config import DatasetSpec
    from msgbench.data.sources.base import Split

data_app = typer.Typer(
    name="data",
    help="Look at datasets: check a store or your copy, draw a contact sheet.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@data_app.command("check")
def data_check(
    place: Annotated[
        Path, typer.Argument(metavar="PATH|STORE", help="A store, or a dataset as you have it.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--as", help="Recipe of your copy (`source` in the config); default: told by its names."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of your copy: only `train` or only `test`.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Where the other split lies (store or your copy), to look for leakage."),
    ] = None,
    log: LogOption = None,
) -> None:
    """Verify every byte and say what a dataset holds: complete or not, duplicates, leakage."""
    from msgbench.console import log_to
    from msgbench.data.check import check

    log_to(log)
    for line in check(place, _split(split), against, _source(source)):
        typer.echo(line)


@data_app.command("show")
def data_show(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store made by `prepare`.")],
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    images: Annotated[int, typer.Option(help="How many images, in lines by class.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the draw; the same one shows the same.")] = 0,
    log: LogOption = None,
) -> None:
    """Draw a contact sheet: images of a store, drawn at random, enlarged if they are small."""
    from msgbench.console import log_to, say
    from msgbench.data.contact_sheet import MOST_IMAGES, write_contact_sheet
    from msgbench.data.store import Store

    log_to(log)
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out: {str(out)!r} is not allowed; allowed: a file name with .png")
    if not 1 <= images <= MOST_IMAGES:
        raise ConfigError(f"--images: {images} is not allowed; allowed: 1 to {MOST_IMAGES}")
    shown = write_contact_sheet(Store.open(store), out, images, seed)
    say(f"{shown} images in {out}")


@data_app.command("bench")
def data_bench(
    images: Annotated[int, typer.Option(help="Images of each kind.")] = 200,
    workers: Annotated[
        list[int] | None, typer.Option(help="Numbers of processes. Repeatable; default: 1 and 2.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds; the fastest counts.")] = 3,
) -> None:
    """Time the packing of photographs that are made for it, and say what real datasets would take."""
    from msgbench.data.bench import bench_lines

    numbers = workers or [1, 2]
    for key, value in (("--images", images), ("--rounds", rounds), ("--workers", min(numbers))):
        if value < 1:
            raise ConfigError(f"{key}: {value} is not allowed; allowed: a whole number from 1")
    for line in bench_lines(images, numbers, rounds):
        typer.echo(line)


@data_app.command("check-faces")
def data_check_faces(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="Photographs of people.")],
    not_faces: Annotated[
        Path | None, typer.Option(help="Photographs without any face; none may be kept.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="Name under `datasets`, whose detector and thresholds are checked.")
    ] = "indian-celebs",
    workers: Annotated[int | None, typer.Option(help="Processes; default: all cores.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
) -> None:
    """Spoil copies of photographs in every way and say whether each is left out for the right reason."""
    from msgbench.data.faces.check_faces import check_faces
    from msgbench.data.pool import cores

    spec = _of_faces(config, set_, dataset, source)
    for line in check_faces(spec, not_faces, workers or cores()):
        typer.echo(line)


@data_app.command("bench-faces")
def data_bench_faces(
    source: Annotated[
        Path | None, typer.Option(help="Photographs of people; default: drawn ones.")
    ] = None,
    images: Annotated[int, typer.Option(help="How many photographs.")] = 400,
    workers: Annotated[
        list[int] | None, typer.Option(help="Numbers of processes. Repeatable; default: 1 and 2.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds, which take turns; the fastest counts.")] = 3,
    dataset: Annotated[
        str, typer.Option(help="Name under `datasets`, whose detector is timed.")
    ] = "indian-celebs",
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
) -> None:
    """Time the finding of faces by one process and by several."""
    from msgbench.data.faces.bench_faces import bench_faces

    numbers = workers or [1, 2]
    for key, value in (("--images", images), ("--rounds", rounds), ("--workers", min(numbers))):
        if value < 1:
            raise ConfigError(f"{key}: {value} is not allowed; allowed: a whole number from 1")
    spec = _of_faces(config, set_, dataset, source)
    for line in bench_faces(spec, images, numbers, rounds):
        typer.echo(line)


def _of_faces(
    config: Path, assignments: list[str] | None, name: str, source: Path | None
) -> DatasetSpec:
    """A dataset of photographs of people at `source`; None: as it is drawn. Raises ConfigError for any other one."""
    from msgbench.config import load_dataset
    from msgbench.config.dataset import WITH_FACES

    path = json.dumps(["datasets", name, "path"])
    given = [] if source is None else [f"{path}={json.dumps(str(source))}"]
    spec = load_dataset(config, name, [*(assignments or ()), *given])
    if spec.source not in WITH_FACES:
        raise ConfigError(
            f"datasets.{name}.source: is {spec.source}; allowed here: {', '.join(WITH_FACES)}"
        )
    return spec


def _split(name: str | None) -> Split | None:
    if name not in (None, "train", "test"):
        raise ConfigError(f"--split: {name!r} is not allowed; allowed: train, test")
    return cast("Split | None", name)


def _source(name: str | None) -> str | None:
    from msgbench.config.dataset import PHOTOGRAPHS

    known = ("cifar10", *PHOTOGRAPHS)
    if name is not None and name not in known:
        raise ConfigError(f"--as: {name!r} is not allowed; allowed: {', '.join(known)}")
    return name
