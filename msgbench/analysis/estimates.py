"""Estimates over snapshots and over seeds: best and final of a run, mean, deviation and interval of runs, orderings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from msgbench.analysis.score_records import Record
from msgbench.seeding import derive_seed


@dataclass(frozen=True)
class Picked:
    """The best and the final score of one run by one protocol."""

    best: Record
    final: Record
    evaluations: int
    """How many measured snapshots the best was picked from."""


def pick(records: Sequence[Record]) -> Picked | None:
    """Best and final of one run's records by one protocol; None when nothing trained was measured.

    The untrained generator (0 images) is a point of the curve but no candidate for the best. Of equal
    scores the earliest is the best. `records` may come in any order.
    """
    trained = sorted((r for r in records if r.cur_nimg), key=lambda r: r.cur_nimg or 0)
    if not trained:
        return None
    higher = trained[0].direction == "higher"
    best = (max if higher else min)(trained, key=lambda record: record.value)
    return Picked(best, trained[-1], len(trained))


def mean(values: Sequence[float]) -> float | None:
    """Mean over seeds; None without values."""
    return statistics.fmean(values) if values else None


def standard_deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation over seeds (n - 1); None for fewer than two values."""
    return statistics.stdev(values) if len(values) >= 2 else None


CONFIDENCE = 0.95
RESAMPLES = 10_000
FEWEST_SEEDS = 3
"""Below this an interval would be a statement about luck alone: the single values are shown."""


@dataclass(frozen=True)
class Interval:
    """Where the mean over seeds lies, by the bootstrap."""

    low: float
    high: float


def interval(values: Sequence[float], rng: np.random.Generator) -> Interval | None:
    """The expanded percentile bootstrap interval of the mean over seeds; None for fewer than FEWEST_SEEDS values.

    Percentiles of the means of RESAMPLES resamples. The plain percentile interval is too short for few values: by
    the missing sqrt(n / (n - 1)), and because it takes the normal distribution for Student's. The choice of the
    percentiles makes up for both (Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 4.2). A mean
    of resampled values cannot leave their range, so that three seeds still cover less than 95 %: `COVERAGE`.
    """
    n = len(values)
    if n < FEWEST_SEEDS:
        return None
    t = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    tail = float(ndtr(-math.sqrt(n / (n - 1)) * t))
    low, high = np.quantile(_means(values, rng), [tail, 1 - tail])
    return Interval(float(low), float(high))


COVERAGE = {3: 0.75, 4: 0.88, 5: 0.92, 10: 0.94}
"""How often `interval` holds the true mean of normal values, by the number of seeds; simulated in the tests."""


def probability_of_less(
    ours: Sequence[float], theirs: Sequence[float], rng: np.random.Generator
) -> float:
    """The share of resamples over seeds in which the mean of `ours` is below that of `theirs`; ties count half.

    Both are resampled by themselves: seed 0 of one experiment has nothing in common with seed 0 of another. A single
    value in `theirs` is a constant (a printed number). Values may be infinite, for what was never reached.
    """
    a, b = _means(ours, rng), _means(theirs, rng)
    tied = np.isclose(a, b, rtol=1e-9, atol=0)  # sums of the same values in another order
    return float(np.mean((a < b) & ~tied) + np.mean(tied) / 2)


def generator(*purpose: str) -> np.random.Generator:
    """The generator of one estimate: the same for the same table and row, whatever was estimated before."""
    return np.random.default_rng(derive_seed(0, 0, "|".join(("bootstrap", *purpose))))


def _means(values: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Means of RESAMPLES resamples of `values`, float64 [RESAMPLES]."""
    array = np.asarray(values, np.float64)
    means: np.ndarray = array[rng.integers(len(array), size=(RESAMPLES, len(array)))].mean(axis=1)
    return means
