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

from msgbench.bench.record import Measured
from msgbench.config import RunSpec
from msgbench.config.split import check_processes
from msgbench.console import Progress
from msgbench.errors import MeasurementError
from msgbench.records import write_json

# Steps of each run that are timed.
STEPS = 2


def bench_processes(run: RunSpec, processes: int, runs: int) -> Measured:
    """Time steps of `run` by one process and by `processes`, `runs` times each, in turn.

    Raises ConfigError for a number of processes that cannot share the batch, MeasurementError when one fails.
    """
    check_processes(run.spec, processes, "--processes")
    counts = (1, processes)
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spec.json"
        write_json(file, run.to_json())
        with Progress("bench processes", 2 * runs, "runs") as progress:
            for _ in range(runs):
                for count in counts:
                    found[count].append(_timed(file, count))
                    progress.advance()
    spec = run.spec
    side, batch = spec.model.resolution, spec.training.batch_size
    width, precision = spec.model.width_multiplier, spec.training.precision
    medians = {
        count: [statistics.median(values) for values in zip(*timings, strict=True)]
        for count, timings in found.items()
    }
    return Measured.of(
        "processes",
        f"msgbench bench processes --method {spec.method} --resolution {side} --precision {precision} "
        f"--batch-size {batch} --width {width:g} --processes {processes} --rounds {runs} --out FOLDER",
        {
            "method": spec.method, "resolution": side, "precision": precision, "batch_size": batch, "width": width,
            "runs": runs, "steps": STEPS,
        },
        [
            {
                "processes": count,
                "seconds_per_step": round(seconds, 4),
                "times_one": round(medians[1][0] / seconds, 3),
                "cpu_seconds_of_busiest": round(worked, 4),
                "times_one_by_cpu": round(medians[1][1] / worked, 3),
                "fastest": round(min(seconds for seconds, _ in found[count]), 4),
                "slowest": round(max(seconds for seconds, _ in found[count]), 4),
            }
            for count, (seconds, worked) in medians.items()
        ],
        "cpu",
    )  # fmt: skip


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
