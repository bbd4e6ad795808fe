"""The command line: one command for each rule of the workflow, and what a person needs beside it.

Imports are inside the commands, so that `msgbench --help` and the commands of the analysis room never
load torch. Errors that are the user's to mend are one line and the exit code of their class.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from msgbench import cli_bench, cli_measuring
from msgbench.cli_options import (
    DEFAULT_CONFIG,
    CheckOption,
    ConfigOption,
    DeviceOption,
    LogOption,
    SetOption,
    known_device,
)
from msgbench.errors import ConfigError, MsgbenchError, StoppedBySignal

if TYPE_CHECKING:
    from msgbench.config import Benchmark, DatasetSpec
    from msgbench.data.sources.base import Split
    from msgbench.layout import Layout

app = typer.Typer(
    name="msgbench",
    help="Reproducibility benchmark of MSG-GAN. The whole of it runs by `snakemake`; these are its steps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

data_app = typer.Typer(
    name="data",
    help="Look at datasets: check a store or your copy, draw a contact sheet.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data_app)

RunDir = Annotated[Path, typer.Argument(help="A run directory made by `plan`.")]
StoreOption = Annotated[Path, typer.Option("--store", help="A dataset store made by `prepare`.")]

# What the system answers where a file or folder cannot be written or read.
_OF_THE_MACHINE = frozenset(
    {
        errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOTDIR,
        errno.EPERM, errno.EROFS,
    }
)  # fmt: skip


@app.command()
def plan(
    experiment: Annotated[
        str | None, typer.Argument(help="Name under `experiments`; without it: list all.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the resolved spec and its fingerprint.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the run to plan.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Where to write spec.json.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Resolve experiments: list them with their cost, show one, or write the spec.json of a run."""
    from msgbench.console import log_to

    log_to(log)
    benchmark = _benchmark(config, set_)
    if experiment is None:
        if show or seed is not None or run_dir is not None:
            raise ConfigError("plan: --show, --seed and --run-dir need the name of an experiment")
        _list_experiments(benchmark)
    elif show or (seed is None and run_dir is None):
        spec = benchmark.experiment(experiment)
        typer.echo(
            json.dumps(
                {"fingerprint": spec.fingerprint, "spec": spec.model_dump(mode="json")},
                indent=2,
            )
        )
    else:
        _write_spec(benchmark, experiment, seed, run_dir)


def _write_spec(
    benchmark: Benchmark, experiment: str, seed: int | None, run_dir: Path | None
) -> None:
    from msgbench.analysis.cost import Workload, require_accepted
    from msgbench.layout import SPEC_JSON
    from msgbench.records import write_json

    if seed is None:
        raise ConfigError("--seed: is required to write a run's spec.json")
    run = benchmark.run(experiment, seed)
    layout = _layout(benchmark)
    this = [(experiment, seed)]
    require_accepted(Workload(benchmark, layout, this, train=this, evaluate=this))
    folder = run_dir or layout.run_dir(experiment, run.fingerprint, seed)
    write_json(folder / SPEC_JSON, run.to_json())


def _list_experiments(benchmark: Benchmark) -> None:
    from msgbench.analysis.cost import plan_lines

    for line in plan_lines(benchmark, _layout(benchmark)):
        typer.echo(line)


@app.command()
def cost(
    experiment: Annotated[
        list[str] | None,
        typer.Argument(help="Names under `experiments`; without any: all that the tables show."),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="V100, A100, H100, H200, L40S, RTX-3090, RTX-4090 or CPU: use only its records, estimate for it."
        ),
    ] = None,
    gpus: Annotated[int, typer.Option(help="Runs side by side, one GPU each: wall time.")] = 1,
    price_per_gpu_hour: Annotated[float | None, typer.Option(help="In any currency.")] = None,
    watts: Annotated[
        float | None, typer.Option(help="Power of one GPU at work; default: its data sheet's TDP.")
    ] = None,
    price_per_kwh: Annotated[float | None, typer.Option(help="In the same currency.")] = None,
    co2_grams_per_kwh: Annotated[float | None, typer.Option(help="Of your electricity.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all numbers as CSV here, too.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
) -> None:
    """Say what experiments cost: GPU-hours, wall time, disk, energy, money; from records where there are any."""
    from msgbench.analysis.cost import CostModel, Measured, Rates, estimate_benchmark
    from msgbench.analysis.cost.bill import bill_lines, to_csv
    from msgbench.console import say
    from msgbench.records import write_text

    rates = Rates(gpus, price_per_gpu_hour, watts, price_per_kwh, co2_grams_per_kwh)
    benchmark = _benchmark(config, set_)
    layout = _layout(benchmark)
    measured = Measured.read(layout.results)
    model = CostModel.of(benchmark.tier, gpu, measured)
    total = estimate_benchmark(benchmark, layout, model, experiment or None)
    for path in measured.unreadable:
        say(f"{path}: is not a readable record of a training and is not counted")
    for line in bill_lines(total, rates, benchmark.cluster.of("train").processes("train")):
        typer.echo(line)
    if out is not None:
        write_text(out, to_csv(total, rates))
        say(f"cost: {out}")


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(help="Name under `datasets`.")],
    store: Annotated[Path | None, typer.Option(help="Where to write it.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="Your copy of the dataset; wins over its `path` in the config."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that decode photographs; default: one for each core, up to 16."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Turn a dataset as you downloaded it into a packed store with a manifest."""
    from msgbench.config import load_dataset
    from msgbench.console import log_to, say
    from msgbench.data.prepare import prepare as prepare_dataset

    log_to(log)
    benchmark = _benchmark(config, set_)
    spec = benchmark.dataset(dataset)
    if source is not None:
        # Alone: it may be prepared at a size that the tier's experiments are too short for.
        path = json.dumps(["datasets", dataset, "path"])
        assignments = [*(set_ or ()), f"{path}={json.dumps(str(source))}"]
        spec = load_dataset(config, dataset, assignments)
    folder = store or _layout(benchmark).dataset_dir(dataset, spec.fingerprint)
    manifest = prepare_dataset(spec, folder, workers)
    say(f"{dataset}: {manifest.count} images of {manifest.resolution} px in {folder}")


@app.command()
def train(
    run_dir: RunDir,
    store: StoreOption,
    device: DeviceOption = "auto",
    on_term: Annotated[
        str,
        typer.Option(
            help="On SIGTERM: `stop` (save and end) or `save-and-continue`.",
            envvar="MSGBENCH_ON_TERM",
        ),
    ] = "stop",
    log: LogOption = None,
) -> None:
    """Train a run to its end; the same command resumes it."""
    from msgbench.console import log_to

    if on_term not in ("stop", "save-and-continue"):
        raise ConfigError(
            f"--on-term: {on_term!r} is not allowed; allowed: stop, save-and-continue"
        )
    log_to(log)
    from msgbench.training.loop import train as train_run

    # Typer hands a str over; its two values were checked above.
    train_run(run_dir, store, device=known_device(device), on_term=on_term)  # type: ignore[arg-type]


app.command()(cli_measuring.evaluate)
app.command()(cli_measuring.sample)
app.command()(cli_measuring.protocols)
app.command()(cli_measuring.sensitivity)


@app.command()
def table(
    name: Annotated[
        str, typer.Argument(help="Name under `tables`; or parameters (by scales), or text.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Make a table of the paper from the records that exist: CSV, Markdown, LaTeX."""
    from msgbench.analysis.own_tables import make_any_table
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = _benchmark(config, set_)
    layout = _layout(benchmark)
    say(f"{name}: {make_any_table(benchmark, layout, name)}")


@app.command()
def claims(
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Test every claim of the papers against the records that exist: quote, numbers, verdict."""
    from msgbench.analysis.claims import make_claims
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = _benchmark(config, set_)
    say(f"claims: {make_claims(benchmark, _layout(benchmark))}")


@app.command()
def figure(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of figures; without any: those of `all`.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Draw figures as PNG and SVG, and write the plotted numbers beside each."""
    from msgbench.analysis import figures_of_all
    from msgbench.analysis.figures import make_figures, write_list
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = _benchmark(config, set_)
    layout = _layout(benchmark)
    written = make_figures(benchmark, layout, names or figures_of_all(benchmark))
    for path in written:
        say(f"{path.stem}: {path}")
    if not names:
        say(f"figures: {write_list(layout, written)}")


@app.command()
def report(
    zip_: Annotated[
        Path | None,
        typer.Option("--zip", help="Also pack the tier's results for a reviewer into this file."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Write the pages that a reviewer opens."""
    from msgbench.analysis.report import make_report, zip_results
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = _benchmark(config, set_)
    layout = _layout(benchmark)
    if zip_ is not None and zip_.suffix.lower() != ".zip":
        raise ConfigError(f"--zip: {str(zip_)!r} is not allowed; allowed: a file name with .zip")
    say(f"report: {make_report(benchmark, layout)}")
    if zip_ is not None:
        count = zip_results(layout, zip_)
        bound = [
            d.name for d in benchmark.datasets.values() if d.accept_terms and not d.is_stand_in
        ]
        say(f"report: {count} files in {zip_}, without images, snapshots and states")
        if bound:
            say(
                f"report: it shows small pictures of {', '.join(bound)}, whose terms of use you accepted: pass it on "
                "as they allow"
            )


app.command()(cli_bench.bench)
app.command()(cli_bench.performance_page)


@app.command()
def describe(
    name: Annotated[
        str, typer.Argument(help="Name under `experiments`, or table6 or table7 of the paper.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Print the layers of an experiment's networks as they are built, or write Table 6 or 7 of the paper."""
    from msgbench.config import LAYER_TABLES
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = _benchmark(config, set_)
    model = None if name in LAYER_TABLES else benchmark.experiment(name).model
    from msgbench.layer_tables import describe as describe_networks
    from msgbench.layer_tables import write_layer_table

    if model is None:
        layout = _layout(benchmark)
        write_layer_table(name, layout)
        say(f"{name}: {layout.table_csv(name)}")
    else:
        for line in describe_networks(name, model):
            typer.echo(line)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint of another project.")],
    form: Annotated[str, typer.Option("--as", help="Its form: bmsg-generator.")],
    out: Annotated[Path, typer.Option(help="The snapshot (.safetensors) to write.")],
    log: LogOption = None,
) -> None:
    """Read a generator that another project trained into a snapshot; no code of the file is run."""
    from msgbench.console import log_to, say

    log_to(log)
    from msgbench.checkpoints import import_checkpoint

    if out.suffix != ".safetensors":
        raise ConfigError(
            f"--out: {str(out)!r} is not allowed; allowed: a file name with .safetensors"
        )
    meta = import_checkpoint(file, form, out)
    model = meta.model
    say(
        f"{out}: generator of {model.resolution} px, {model.latent_size} latent dimensions, from {meta.imported}"
    )


@app.command()
def publish(
    experiment: Annotated[str, typer.Argument(help="Name under `experiments`.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Copy the records and small pictures of an experiment's runs to results/published, without local names."""
    from msgbench.analysis.published import publish as publish_runs
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = _benchmark(config, set_)
    layout = _layout(benchmark)
    for out in publish_runs(benchmark, layout, experiment):
        say(f"{experiment}: {out}")


@app.command()
def walkthrough(
    published: Annotated[Path, typer.Argument(help="Published records, made by `publish`.")],
    out: Annotated[Path, typer.Option(help="The Markdown file to write.")],
    check: CheckOption = False,
    log: LogOption = None,
) -> None:
    """Write a page about one training, with its pictures beside it, from published records."""
    from msgbench.console import log_to, say

    log_to(log)
    if check:
        from msgbench.analysis.in_step import require_walkthrough

        require_walkthrough(published, out)
        say(f"walkthrough: {out} is what {published} gives")
        return
    from msgbench.analysis.first_training import make_walkthrough

    say(f"walkthrough: {make_walkthrough(published, out)}")


@app.command("results-table")
def results_table(
    readme: Annotated[
        Path,
        typer.Option(help="The Markdown file with the two marks that the table stands between."),
    ] = Path("README.md"),
    check: CheckOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Write the result table of README.md from all published records."""
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = _benchmark(config, set_)
    folder = _layout(benchmark).published
    if check:
        from msgbench.analysis.in_step import require_result_table

        require_result_table(benchmark, folder, readme)
        say(f"results-table: {readme} is what {folder} gives")
        return
    from msgbench.analysis.result_table import write_result_table

    write_result_table(benchmark, folder, readme)
    say(f"results-table: {readme}")


@app.command()
def launch(
    command: Annotated[list[str], typer.Argument(help="The command to run, after `--`.")],
    run_dir: Annotated[
        Path, typer.Option(help="Folder that it works for; jobs/TASK.json is kept there.")
    ],
    task: Annotated[str, typer.Option(help="train, prepare or evaluate.")] = "train",
    output: Annotated[
        Path | None, typer.Option(help="What it makes in the end; default: train.json.")
    ] = None,
    launcher: Annotated[str, typer.Option(help="inline, local or slurm.")] = "inline",
    resources: Annotated[
        str, typer.Option(help="For slurm: what the job asks for, a JSON object.")
    ] = "{}",
    log: LogOption = None,
) -> None:
    """Run a command in place or as a job, or go on waiting for the job that runs it already."""
    from msgbench.console import log_to
    from msgbench.launch.submit import awaited
    from msgbench.launch.submit import launch as launch_command
    from msgbench.launch.waiter import WAITED_FOR, become_waiter

    log_to(log)
    code = launch_command(
        command,
        run_dir,
        launcher,
        task,
        output,
        _resources(resources),
        become=lambda record, attached: become_waiter(
            awaited(record, run_dir, attached),
            [sys.executable, *sys.argv],
            None if log is None else str(log),
        ),
        waited_for=os.environ.pop(WAITED_FOR, None),
    )
    raise typer.Exit(code)


def _resources(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"--resources: {text!r} is not allowed; allowed: a JSON object")
    return content


RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="An experiment, experiment/seed, a run directory, or the start of a fingerprint.",
    ),
]


@app.command()
def export(
    run: RunName,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; default: exports/ beside the tier's runs."),
    ] = None,
    snapshot: Annotated[
        str, typer.Option(help="best, final, or the images shown at a snapshot.")
    ] = "best",
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Write a run's generator as safetensors, with a loader in plain torch and a model card."""
    from msgbench.console import log_to, say
    from msgbench.export import default_folder, export_run
    from msgbench.status import find_run

    log_to(log)
    benchmark = _benchmark(config, set_)
    folder = find_run(benchmark, _layout(benchmark), run).folder
    say(f"export: {export_run(benchmark, folder, snapshot, out or default_folder(folder))}")


@app.command()
def status(
    json_: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
) -> None:
    """Show all runs: queued, running, failed, finished; from files and one look at Slurm. Exit code 1: some failed."""
    from msgbench.status import lines, look, to_json

    benchmark = _benchmark(config, set_)
    overview = look(benchmark, _layout(benchmark))
    for line in [json.dumps(to_json(overview), indent=2)] if json_ else lines(overview):
        typer.echo(line)
    raise typer.Exit(1 if overview.has_failed else 0)


@app.command()
def logs(
    run: RunName,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is added.")
    ] = False,
    number: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 40,
    task: Annotated[
        str | None, typer.Option(help="train or evaluate; default: the later one.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
) -> None:
    """Show the log of a run: of its job, or of its command."""
    from msgbench.console import say
    from msgbench.status import find_run, follow_log, show_log
    from msgbench.status.actions import log_of

    if task not in (None, "train", "evaluate"):
        raise ConfigError(f"--task: {task!r} is not allowed; allowed: train, evaluate")
    if number < 0:
        raise ConfigError(f"--lines: {number} is not allowed; allowed: a whole number from 0")
    benchmark = _benchmark(config, set_)
    path = log_of(find_run(benchmark, _layout(benchmark), run), task)
    say(f"log: {path}")
    place = show_log(path, number)
    if follow:
        follow_log(path, place)


@app.command()
def cancel(run: RunName, config: ConfigOption = DEFAULT_CONFIG, set_: SetOption = None) -> None:
    """End the jobs of a run, whether they run or wait; the same run goes on later from its last state."""
    from msgbench.console import say
    from msgbench.status import cancel as cancel_run
    from msgbench.status import find_run

    benchmark = _benchmark(config, set_)
    for line in cancel_run(find_run(benchmark, _layout(benchmark), run)):
        say(line)


@app.command()
def unlock(
    folder: Annotated[Path, typer.Argument(help="The folder Snakemake was started in.")] = Path(),
    log: LogOption = None,
) -> None:
    """Remove the lock that a killed Snakemake left, after looking for a living owner."""
    from msgbench.console import log_to
    from msgbench.launch.unlock import unlock as unlock_folder

    if not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder")
    log_to(log)
    unlock_folder(folder)


@app.command("left-out")
def left_out(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names under `tables` and `figures`; without any: those of `all`."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Name the datasets that are not configured and what is not made for them: an error if there are any."""
    from msgbench.console import log_to

    log_to(log)
    benchmark = _benchmark(config, set_)
    sentences = benchmark.left_out_sentences(names or None)
    if sentences and not benchmark.allow_missing:
        raise ConfigError(
            f"{'; '.join(sentences)}. Everything else is made; allow_missing: true accepts what is missing"
        )
    for sentence in sentences:
        typer.echo(sentence)


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


@app.command()
def schema() -> None:
    """Print the JSON schema of config.yaml."""
    from msgbench.config import Document

    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Document.model_json_schema(),
    }
    typer.echo(json.dumps(document, indent=2))


def _benchmark(config: Path, assignments: list[str] | None) -> Benchmark:
    from msgbench.config import load_benchmark

    return load_benchmark(config, assignments=assignments or ())


def _layout(benchmark: Benchmark) -> Layout:
    from msgbench.layout import Layout

    return Layout.of(benchmark.results, benchmark.tier)


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


def main() -> None:
    """Entry point: runs the command; one line and the right exit code for every expected error."""
    from msgbench.console import say

    # Threads that spin while they wait make a training 10 to 25 times slower as soon as anything else
    # runs on the same cores (measured); read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Python ignores SIGPIPE and would show a traceback when the reader of a pipe goes away.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except MsgbenchError as error:
        if not error.told_by_another:
            say(f"msgbench: error: {error}")
        sys.exit(error.exit_code)
    except StoppedBySignal as stopped:
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        # A disk or a folder that cannot be used is the user's to mend wherever it is met; all else is a bug.
        if error.errno not in _OF_THE_MACHINE:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        say(f"msgbench: error: {where}{error.strerror}")
        sys.exit(MsgbenchError.exit_code)


if __name__ == "__main__":
    main()
