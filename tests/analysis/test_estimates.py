"""Best, final, mean and deviation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from msgbench.analysis.estimates import (
    COVERAGE,
    generator,
    interval,
    mean,
    pick,
    probability_of_less,
    standard_deviation,
)
from msgbench.analysis.score_records import Record


def records(direction, *points):
    return [
        Record("p", 1, "is", direction, "e", nimg, value, None, Path(f"{nimg}.json"), {}) for nimg, value in points
    ]  # fmt: skip


@pytest.mark.parametrize(("direction", "best"), [("higher", 2000), ("lower", 1000)])
def test_best_follows_the_direction_and_final_the_length(direction, best):
    picked = pick(records(direction, (3000, 2.0), (1000, 1.0), (2000, 3.0)))
    assert picked is not None
    assert (picked.best.cur_nimg, picked.final.cur_nimg, picked.evaluations) == (best, 3000, 3)


def test_of_equal_scores_the_earliest_is_the_best():
    for direction in ("higher", "lower"):
        picked = pick(records(direction, (1000, 1.0), (2000, 1.0)))
        assert picked is not None
        assert picked.best.cur_nimg == 1000


def test_the_untrained_generator_is_no_candidate():
    picked = pick(records("higher", (0, 9.0), (1000, 1.0)))
    assert picked is not None
    assert (picked.best.cur_nimg, picked.evaluations) == (1000, 1)
    assert pick(records("higher", (0, 9.0))) is None
    assert pick([]) is None


def test_mean_and_deviation():
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert mean([]) is None
    assert standard_deviation([1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert standard_deviation([1.0]) is None


@pytest.mark.parametrize("n", sorted(COVERAGE))
def test_interval_covers_as_often_as_is_said(n):
    """Normal values, true mean 0. 1,000 trials: three standard errors of a share are at most 0.041."""
    rng = np.random.default_rng(n)
    trials = [interval(rng.normal(size=n).tolist(), rng) for _ in range(1000)]
    covered = sum(found is not None and found.low <= 0 <= found.high for found in trials) / 1000
    assert covered == pytest.approx(COVERAGE[n], abs=0.041)


def test_interval_is_between_the_expanded_percentiles():
    """Ten values: Student's 2.262 times sqrt(10 / 9) is 2.384, and 0.86 % of a normal distribution are below that."""
    values = np.random.default_rng(1).normal(size=10)
    found = interval(values.tolist(), np.random.default_rng(2))
    drawn = np.random.default_rng(2).integers(10, size=(10_000, 10))
    wanted = np.quantile(values[drawn].mean(axis=1), [0.00856, 1 - 0.00856])
    # The plain percentiles, or Student's alone (1.2 %), are 0.015 and more away.
    assert found is not None
    assert [found.low, found.high] == pytest.approx(wanted, abs=0.005)


def test_interval_needs_three_seeds_and_is_the_same_every_time():
    assert interval([1.0, 2.0], generator("a")) is None
    values = [8.1, 8.4, 8.2, 8.9, 8.3]
    assert interval(values, generator("a")) == interval(values, generator("a"))
    assert interval([5.0, 5.0, 5.0], generator("a")) == interval([5.0] * 3, generator("b"))


def test_orderings():
    """Separate values are certain, equal ones undecided, and a constant is not resampled."""
    low, high = [1.0, 1.1, 1.2], [2.0, 2.1, 2.2]
    assert probability_of_less(low, high, generator("a")) == 1.0
    assert probability_of_less(high, low, generator("a")) == 0.0
    assert probability_of_less([3.0] * 3, [3.0] * 3, generator("a")) == 0.5
    assert probability_of_less(low, [1.05], generator("a")) == pytest.approx(
        sum(a + b + c < 3.15 for a in low for b in low for c in low) / 27, abs=0.015
    )
    assert probability_of_less(low, [math.inf] * 3, generator("a")) == 1.0
