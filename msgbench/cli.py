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
from typing import TYPE_CHECKING, Annotated

import typer

from msgbench import cli_bench, cli_data, cli_measuring, cli_results, cli_runs
from msgbench.cli_options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DeviceOption,
    LogOption,
    SetOption,
    benchmark_of,
    known_device,
    layout_of,
)
from msgbench.errors import ConfigError, MsgbenchError, StoppedBySignal

if TYPE_CHECKING:
    from msgbench.config import Benchmark

app = typer.Typer(
    name="msgbench",
    help="Reproducibility benchmark of MSG-GAN. The whole of it runs by `snakemake`; these are its steps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(cli_data.data_app)

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
    benchmark = benchmark_of(config, set_)
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
    layout = layout_of(benchmark)
    this = [(experiment, seed)]
    require_accepted(Workload(benchmark, layout, this, train=this, evaluate=this))
    folder = run_dir or layout.run_dir(experiment, run.fingerprint, seed)
    write_json(folder / SPEC_JSON, run.to_json())


def _list_experiments(benchmark: Benchmark) -> None:
    from msgbench.analysis.cost import plan_lines

    for line in plan_lines(benchmark, layout_of(benchmark)):
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
    benchmark = benchmark_of(config, set_)
    layout = layout_of(benchmark)
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
    benchmark = benchmark_of(config, set_)
    spec = benchmark.dataset(dataset)
    if source is not None:
        # Alone: it may be prepared at a size that the tier's experiments are too short for.
        path = json.dumps(["datasets", dataset, "path"])
        assignments = [*(set_ or ()), f"{path}={json.dumps(str(source))}"]
        spec = load_dataset(config, dataset, assignments)
    folder = store or layout_of(benchmark).dataset_dir(dataset, spec.fingerprint)
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
app.command()(cli_results.table)
app.command()(cli_results.claims)
app.command()(cli_results.figure)
app.command()(cli_results.report)
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
    benchmark = benchmark_of(config, set_)
    model = None if name in LAYER_TABLES else benchmark.experiment(name).model
    from msgbench.layer_tables import describe as describe_networks
    from msgbench.layer_tables import write_layer_table

    if model is None:
        layout = layout_of(benchmark)
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


app.command()(cli_results.publish)
app.command()(cli_results.walkthrough)
app.command("results-table")(cli_results.results_table)
app.command()(cli_runs.launch)
app.command()(cli_runs.export)
app.command()(cli_runs.status)
app.command()(cli_runs.logs)
app.command()(cli_runs.cancel)
app.command()(cli_runs.unlock)


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
    benchmark = benchmark_of(config, set_)
    sentences = benchmark.left_out_sentences(names or None)
    if sentences and not benchmark.allow_missing:
        raise ConfigError(
            f"{'; '.join(sentences)}. Everything else is made; allow_missing: true accepts what is missing"
        )
    for sentence in sentences:
        typer.echo(sentence)


@app.command()
def schema() -> None:
    """Print the JSON schema of config.yaml."""
    from msgbench.config import Document

    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Document.model_json_schema(),
    }
    typer.echo(json.dumps(document, indent=2))


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
