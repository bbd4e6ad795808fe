"""The verdict rule on hand-made cells, both sides of every border."""

from __future__ import annotations

import pytest

from msgbench.analysis.verdicts import Verdict, value_verdict

PAPER = {
    "tier": "paper", "departures": (), "comparable": True, "direction": "higher", "printed": 8.0, "planned": 3,
    "reason": None,
}  # fmt: skip


def judge(values, **changes):
    return str(value_verdict(**{**PAPER, "values": values, **changes}))


@pytest.mark.parametrize(
    ("values", "direction", "expected"),
    [
        ([8.0, 8.0, 8.0], "higher", "reproduced"),
        ([8.79, 8.79, 8.79], "higher", "reproduced"),  # within 10 %: 7.2 to 8.8
        ([7.21, 7.21, 7.21], "higher", "reproduced"),
        ([8.81, 8.81, 8.81], "higher", "better"),
        ([7.19, 7.19, 7.19], "higher", "worse"),
        ([8.81, 8.81, 8.81], "lower", "worse"),
        ([7.19, 7.19, 7.19], "lower", "better"),
        # Mean 6.5, 1.5 away; deviation 1: two of them are 2 > 0.8.
        ([5.5, 6.5, 7.5], "higher", "reproduced"),
        # Mean 6.5, deviation 0.7: two of them are 1.4 < 1.5.
        ([5.8, 6.5, 7.2], "higher", "worse"),
    ],
)
def test_paper_tier(values, direction, expected):
    assert judge(values, direction=direction) == expected


def test_the_deviation_is_that_of_a_sample():
    """n - 1: with n in the denominator [5.6, 6.5, 7.4] would be worse (2 x 0.735 < 1.5)."""
    assert judge([5.6, 6.5, 7.4]) == "reproduced"


def test_exactly_the_tolerance_is_within():
    assert judge([11.0, 11.0, 11.0], printed=10.0) == "reproduced"
    # Deviation 1 exactly, the mean two of them away.
    assert judge([11.0, 12.0, 13.0], printed=10.0) == "reproduced"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([8.0], "inconclusive (1 seed)"),
        ([8.0, 8.0], "inconclusive (2 seeds)"),
        ([99.0], "inconclusive (1 seed)"),
    ],
)
def test_fewer_than_three_seeds(values, expected):
    assert judge(values) == expected


@pytest.mark.parametrize("tier", ["smoke", "mini"])
@pytest.mark.parametrize("comparable", [True, False])
def test_scaled_tiers_never_judge(tier, comparable):
    assert judge([8.0, 8.0, 8.0], tier=tier, comparable=comparable) == "scaled"


def test_a_departure_makes_the_paper_tier_scaled():
    assert judge([8.0, 8.0, 8.0], departures=("1M real images shown instead of 12M",)) == "scaled"


def test_another_extractor_never_enters_a_verdict():
    assert judge([8.0, 8.0, 8.0], comparable=False) == "not comparable"
    assert judge([8.0], comparable=False) == "not comparable"


def test_no_printed_number():
    assert judge([8.0, 8.0, 8.0], printed=None) == "not comparable: the paper prints no number"


@pytest.mark.parametrize("tier", ["smoke", "mini", "paper"])
def test_missing_is_not_run_with_its_reason(tier):
    assert judge([], tier=tier, reason="planned, not trained") == "not run: planned, not trained"


def test_a_missing_seed_beside_others_counts_them_only():
    assert judge([8.0, 8.0], reason="planned, not trained") == "inconclusive (2 seeds)"


@pytest.mark.parametrize(
    ("value", "expected"), [(11.24, "reproduced"), (10.1, "worse"), (12.6, "better")]
)
def test_real_images_are_measured_once(value, expected):
    """No training, no seeds: the tolerance alone decides, 10.206 to 12.474."""
    assert judge([value], printed=11.34, planned=None) == expected


def test_form():
    assert str(Verdict("scaled")) == "scaled"
