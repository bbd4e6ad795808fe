"""The commands about the package's own speed: `bench` and `performance-page`. cli.py registers them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from msgbench.cli_options import (
    DEFAULT_CONFIG,
    CheckOption,
    ConfigOption,
    DeviceOption,
    LogOption,
    SetOption,
    known_device,
    known_threads,
)
from msgbench.errors import ConfigError

if TYPE_CHECKING:
    from msgbench.bench.record import Measured


def bench(
    what: Annotated[
        str,
        typer.Argument(
            help="training (steps), processes (that share a step), feed (waiting for images), precision (scores of "
            "short runs), metrics (scores from made-up features), or results (what is made from records)."
        ),
    ] = "training",
    method: Annotated[str, typer.Option(help="Name under `methods`.")] = "msg-progan",
    resolution: Annotated[
        list[int] | None, typer.Option(help="Side of the images in pixels. Repeatable.")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="float32, tf32 or bfloat16. Repeatable; default: what the kind compares."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 16,
    width: Annotated[float, typer.Option(help="Width multiplier; 1 = as published.")] = 1.0,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    rounds: Annotated[int, typer.Option(help="Timed rounds; the median counts.")] = 3,
    processes: Annotated[
        int, typer.Option(help="Of `processes`: how many share a step, against one.")
    ] = 2,
    kimg: Annotated[
        float, typer.Option(help="Of `precision`: thousands of images a run is shown.")
    ] = 2.0,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Each precision compiled, too.")
    ] = False,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="A checkout of the authors' BMSG-GAN to time, too; with --method msg-gan-v1."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for WHAT.json, WHAT.csv and WHAT.md; default: print only."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    log: LogOption = None,
) -> None:
    """Time training steps beside a plain eager float32 one; or what else the first argument names."""
    from msgbench.bench.record import Kind, require_folder
    from msgbench.console import log_to

    log_to(log)
    kinds = get_args(Kind)
    if what not in kinds:
        raise ConfigError(f"bench: {what!r} is not allowed; allowed: {', '.join(kinds)}")
    require_folder(out)
    known_threads(threads)
    on = known_device(device)
    if what == "results":
        from msgbench.bench.results import bench_results

        measured = bench_results(config)
    elif what == "metrics":
        from msgbench.bench.scores import bench_metrics

        measured = bench_metrics(threads)
    elif what == "feed":
        from msgbench.bench.feed import bench_feed
        from msgbench.device import choose_device

        measured = bench_feed(choose_device(on), threads)
    elif what == "precision":
        from msgbench.bench.precision import PRECISIONS, bench_precision

        if out is None:
            raise ConfigError("--out: bench precision needs a folder for its runs")
        measured = bench_precision(
            config, set_ or (), precisions=precision or PRECISIONS, kimg=kimg, device=on, out=out
        )
    else:
        from msgbench.bench.steps import bench_run, default_precisions, run_bench
        from msgbench.config import load_benchmark

        benchmark = load_benchmark(config, assignments=[*(set_ or ()), "tier=paper"])
        if what == "processes":
            from msgbench.bench.processes import bench_processes

            side, chosen = (resolution or [32])[0], (precision or ["float32"])[0]
            run = bench_run(benchmark, method, side, chosen, batch_size, width)
            measured = bench_processes(run, processes, rounds)
        else:
            measured = run_bench(
                benchmark,
                method,
                resolutions=resolution or [32],
                precisions=precision or default_precisions(on),
                batch_size=batch_size,
                width=width,
                threads=threads,
                rounds=rounds,
                device=on,
                compiled=compiled,
                beside=beside,
            )
    _show(measured, out)


def _show(measured: Measured, out: Path | None) -> None:
    from msgbench.bench.forms import shown

    lines: Sequence[str] = shown(measured)
    for line in lines:
        typer.echo(line)
    if out is not None:
        measured.write(out, list(lines))


def performance_page(
    page: Annotated[Path, typer.Argument(help="The Markdown file with the marks.")] = Path(
        "docs/performance.md"
    ),
    check: CheckOption = False,
    log: LogOption = None,
) -> None:
    """Write the measured parts of docs/performance.md from the records beside it."""
    from msgbench.bench.page import require_page, write_page
    from msgbench.console import log_to, say

    log_to(log)
    if check:
        require_page(page)
        say(f"performance-page: {page} is what its records give")
        return
    write_page(page)
    say(f"performance-page: {page}")
