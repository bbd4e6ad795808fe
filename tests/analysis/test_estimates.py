"""Best, final, mean and deviation."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgbench.analysis.collect import Record
from msgbench.analysis.estimates import mean, pick, standard_deviation


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
