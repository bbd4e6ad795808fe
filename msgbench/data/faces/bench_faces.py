"""`msgbench data bench-faces`: photographs a second, by one process and by several, side by side in one run.

The photographs are the user's, again and again where they are too few, or drawn. Rounds take turns, and the fastest
counts, so that other work on the machine disturbs least. Starting the processes is part of the time.
"""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgbench.config import DatasetSpec
from msgbench.data.faces.detectors import require_detector
from msgbench.data.faces.examine import Rules, look_at_all
from msgbench.data.faces.inputs import list_inputs
from msgbench.data.stand_ins import draw_raw


def bench_faces(spec: DatasetSpec, images: int, workers: list[int], rounds: int) -> Iterator[str]:
    """A Markdown table: the photographs of `spec` looked at by each number of processes."""
    require_detector(spec.face_rules, spec.name)
    best = dict.fromkeys(workers, math.inf)
    with tempfile.TemporaryDirectory(prefix="msgbench-bench-") as name:
        folder = Path(name)
        if spec.path is None:
            drawn = draw_raw(spec.model_copy(update={"drawn": images}), folder / "raw")
            spec = spec.model_copy(update={"path": str(drawn), "drawn": None})
        found = list_inputs(spec)
        inputs = [
            one._replace(item=one.item._replace(name=f"{number}/{one.item.name}"))
            for number, one in enumerate(itertools.islice(itertools.cycle(found), images))
        ]
        rules = Rules.of(spec)
        for _ in range(rounds):
            for number in workers:
                began = time.monotonic()
                look_at_all(inputs, rules, folder / "seen", f"{number} processes", number)
                best[number] = min(best[number], time.monotonic() - began)
                shutil.rmtree(folder / "seen")
    yield "| detector | photographs | processes | photographs/s | each process | times one |"
    yield "|---|---:|---:|---:|---:|---:|"
    for number in workers:
        rate = images / best[number]
        yield (
            f"| {spec.face_rules.detector} | {images:,} | {number} | {rate:,.1f} | {rate / number:,.1f} "
            f"| {best[workers[0]] / best[number]:.2f} |"
        )
