"""`msgbench bench processes`: two processes that share each step against one, on the CPU, one core each.

The same global batch, in alternating runs. Beside the clock stands the CPU time of the busiest process: where something
else uses the cores, it says what the clock would say without.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from msgbench.config import RunSpec
from msgbench.config.split import check_processes
from msgbench.console import Progress
from msgbench.errors import MeasurementError
from msgbench.records import provenance, write_json, write_text

# Steps of each run that are timed.
STEPS = 2


def bench_processes(run: RunSpec, processes: int, runs: int, out: Path | None) -> list[str]:
    """Time steps of `run` by one process and by `processes`; the lines of a Markdown table.

    Raises ConfigError for a number of processes that cannot share the batch, MeasurementError when one fails.
    """
    check_processes(run.spec, processes, "--processes")
    counts = (1, processes)
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.json"
        write_json(spec, run.to_json())
        with Progress("bench processes", 2 * runs, "runs") as progress:
            for _ in range(runs):
                for count in counts:
                    found[count].append(_timed(spec, count))
                    progress.advance()
    lines = _markdown(run, found)
    if out is not None:
        write_text(out / "processes.md", "\n".join(lines) + "\n")
    return lines


def _timed(spec: Path, count: int) -> tuple[float, float]:
    """Median seconds of a step, and CPU seconds of the process that worked most."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    argv = [sys.executable, "-m", "msgbench.training.bench_rank", str(spec), str(STEPS)]
    started = [
        subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            },
        )
        for rank in range(count)
    ]  # fmt: skip
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise MeasurementError(
            f"bench processes: one of {count} processes failed; it said why above"
        )
    steps = [json.loads(text) for text in said]
    seconds = statistics.median(step[0] for step in steps[0])
    worked = max(statistics.median(step[1] for step in each) for each in steps)
    return seconds, worked


def _markdown(run: RunSpec, found: dict[int, list[tuple[float, float]]]) -> list[str]:
    origin, spec = provenance("cpu"), run.spec
    medians = {
        count: [statistics.median(values) for values in zip(*timings, strict=True)]
        for count, timings in found.items()
    }
    one = medians[1]
    lines = [
        f"{spec.method}, {spec.model.resolution} px, batch {spec.training.batch_size}, width multiplier "
        f"{spec.model.width_multiplier:g}, {origin['cpu']}, torch {origin['versions']['torch']}, "
        f"{origin['written'][:10]}, one core a process, median of {len(found[1])} alternating runs of {STEPS} steps, "
        f"commit {str(origin['commit'])[:10]}",
        "",
        "| processes | s/step | times one | CPU s/step of the busiest | times one |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {count} | {seconds:.3g} | {one[0] / seconds:.2f} | {worked:.3g} | {one[1] / worked:.2f} |"
        for count, (seconds, worked) in medians.items()
    ]
    return lines
