"""Estimates over snapshots and over seeds: best and final of a run, mean and deviation of runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from msgbench.analysis.collect import Record


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
