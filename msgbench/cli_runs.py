"""The commands about single runs and jobs: starting, looking, ending, unlocking, exporting. cli.py registers them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from msgbench.cli_options import (
    DEFAULT_CONFIG,
    ConfigOption,
    LogOption,
    SetOption,
    benchmark_of,
    layout_of,
)
from msgbench.errors import ConfigError


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
    benchmark = benchmark_of(config, set_)
    folder = find_run(benchmark, layout_of(benchmark), run).folder
    say(f"export: {export_run(benchmark, folder, snapshot, out or default_folder(folder))}")


def status(
    json_: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
) -> None:
    """Show all runs: queued, running, failed, finished; from files and one look at Slurm. Exit code 1: some failed."""
    from msgbench.status import lines, look, to_json

    benchmark = benchmark_of(config, set_)
    overview = look(benchmark, layout_of(benchmark))
    for line in [json.dumps(to_json(overview), indent=2)] if json_ else lines(overview):
        typer.echo(line)
    raise typer.Exit(1 if overview.has_failed else 0)


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
    benchmark = benchmark_of(config, set_)
    path = log_of(find_run(benchmark, layout_of(benchmark), run), task)
    say(f"log: {path}")
    place = show_log(path, number)
    if follow:
        follow_log(path, place)


def cancel(run: RunName, config: ConfigOption = DEFAULT_CONFIG, set_: SetOption = None) -> None:
    """End the jobs of a run, whether they run or wait; the same run goes on later from its last state."""
    from msgbench.console import say
    from msgbench.status import cancel as cancel_run
    from msgbench.status import find_run

    benchmark = benchmark_of(config, set_)
    for line in cancel_run(find_run(benchmark, layout_of(benchmark), run)):
        say(line)


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
