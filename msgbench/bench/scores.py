"""`msgbench bench metrics`: what the scores cost once the features are there, on features of the published size.

The features are made up (normal, with the falling spectrum that real ones have): 50,000 fakes and 50,000 reals of
2,048 values, and 1,008 logits. Extracting them from images is not timed here; it takes far longer and is the network's
affair.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from msgbench.bench.record import Measured
from msgbench.console import Progress
from msgbench.device import make_reproducible
from msgbench.metrics.fidelity import torch_fidelity
from msgbench.metrics.scores import (
    Statistics,
    confirmed_distance,
    frechet_distance,
    inception_score,
    kernel_distance,
    statistics,
)

COUNT, FEATURES, LOGITS = 50_000, 2_048, 1_008
# The published protocols'.
KID_SUBSETS, KID_SUBSET_SIZE, SPLITS = 100, 1_000, 10
_CHUNK = 5_000


@dataclass(frozen=True)
class Step:
    """One timed piece of work."""

    name: str
    seconds: float
    cpu_seconds: float
    """Of all threads: what the step takes on a machine that does something else beside it."""
    per: str
    """What it is done once for."""


def bench_metrics(threads: int, count: int = COUNT, features: int = FEATURES) -> Measured:
    """Time every score on `count` vectors of `features` values.

    The peak, in GiB, is that of the whole process before the last step, features included.
    """
    make_reproducible(threads)
    torch_fidelity()  # its import is not timed
    fake, real = (made_up(count, features, seed) for seed in (1, 2))
    logits = 3 * made_up(count, LOGITS, 3)
    steps: list[Step] = []
    found: dict[str, Statistics] = {}

    def timed(name: str, per: str, work: Callable[[], object]) -> None:
        began, cpu_began = time.perf_counter(), time.process_time()
        work()
        spent = time.perf_counter() - began, time.process_time() - cpu_began
        steps.append(Step(name, *spent, per))
        progress.advance(1, name)

    with Progress("bench metrics", 7, "steps") as progress:
        timed("statistics of the reals", "dataset", lambda: found.update(real=statistics(real)))
        timed("root of their covariance", "dataset", lambda: found["real"].root)
        timed("statistics of the fakes", "snapshot", lambda: found.update(fake=statistics(fake)))
        timed(
            "Frechet distance, symmetric",
            "snapshot",
            lambda: frechet_distance(found["fake"], found["real"]),
        )
        subset_size = min(KID_SUBSET_SIZE, count)
        timed(
            f"KID, {KID_SUBSETS} subsets of {subset_size:,}",
            "snapshot",
            lambda: kernel_distance(fake, real, KID_SUBSETS, subset_size),
        )
        timed(f"IS, {SPLITS} splits", "snapshot", lambda: inception_score(logits, SPLITS))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        timed(
            "Frechet distance again by torch-fidelity",
            "run, for best and final",
            lambda: confirmed_distance(found["fake"], found["real"]),
        )
    return Measured.of(
        "metrics",
        f"msgbench bench metrics --threads {threads} --out FOLDER",
        {"threads": threads, "count": count, "features": features, "logits": LOGITS, "peak_gib": round(peak, 2)},
        [
            {
                "step": step.name, "per": step.per, "seconds": round(step.seconds, 3),
                "cpu_seconds": round(step.cpu_seconds, 3),
            }
            for step in steps
        ],
        "cpu",
    )  # fmt: skip


def made_up(count: int, size: int, seed: int) -> torch.Tensor:
    """Normal vectors float32 [count, size] with deviations that fall as 1 / sqrt(k), never all in float64."""
    generator = np.random.default_rng(seed)
    spectrum = (1 / np.sqrt(np.arange(1, size + 1))).astype(np.float32)
    x = np.empty((count, size), np.float32)
    for start in range(0, count, _CHUNK):
        block = x[start : start + _CHUNK]
        block[:] = generator.standard_normal(block.shape, np.float32) * spectrum
    return torch.from_numpy(x)
