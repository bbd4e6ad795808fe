"""What comparing gives: samples of numbers, a number a seed, and whether a stated ordering of them holds.

An ordering holds when at least ENOUGH of the resamples over seeds show it, fails when at most 1 - ENOUGH do, and is
undecided in between and whenever a side has fewer than three seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgbench.analysis.estimates import FEWEST_SEEDS, generator, mean, probability_of_less
from msgbench.analysis.scale import counted

ENOUGH = 0.95
MOST_REASONS = 3
NEVER = "never"

State = Literal["holds", "fails", "undecided", "not measurable"]


@dataclass(frozen=True)
class Evidence:
    """One number that a claim was tested with, and the file that states it."""

    what: str
    value: float | None
    """None for what was never reached."""
    unit: str
    source: Path | None


@dataclass(frozen=True)
class Sample:
    """One side of a comparison: a number a seed, or one constant."""

    label: str
    unit: str
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    """Why seeds have no number."""
    constant: bool = False

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers; what was never reached is infinite."""
        return tuple(math.inf if e.value is None else e.value for e in self.evidence)

    @property
    def mean(self) -> float | None:
        return mean(self.values)


def constant(label: str, value: float, unit: str) -> Sample:
    """A side that is one number, whatever the seed."""
    return Sample(label, unit, (Evidence(label, value, unit, None),), constant=True)


@dataclass(frozen=True)
class Outcome:
    """Whether a claim's test holds, and with which numbers."""

    state: State
    reason: str
    evidence: tuple[Evidence, ...] = ()
    compares_with_printed: bool = False
    """Whether a side is a printed number: a scaled run says nothing about it."""
    unfit: tuple[str, ...] = field(default=())
    """Why the numbers may decide nothing: scores of an extractor of our own."""


def less(claim: str, low: Sample, high: Sample) -> Outcome:
    """Whether the mean of `low` is below that of `high`."""
    evidence = (*low.evidence, *high.evidence)
    missing = (*low.missing, *high.missing)
    for side in (low, high):
        if not side.values:
            return Outcome("undecided", _some(missing) or f"no {side.label}", evidence)
    few = [
        f"{counted(len(side.values), 'seed')} of {side.label}"
        for side in (low, high)
        if not side.constant and len(side.values) < FEWEST_SEEDS
    ]
    said = f"{low.label} = {_shown(low)}, {high.label} = {_shown(high)}"
    if few:
        return Outcome("undecided", f"{said} ({', '.join(few)})", evidence)
    share = probability_of_less(low.values, high.values, generator(claim, low.label, high.label))
    state: State = "holds" if share >= ENOUGH else "fails" if share <= 1 - ENOUGH else "undecided"
    return Outcome(state, f"{said} (the stated order in {share:.1%} of resamples)", evidence)


def all_hold(outcomes: Sequence[Outcome]) -> Outcome:
    """Several comparisons as one: fails where one fails, holds where all do."""
    assert outcomes
    states = {outcome.state for outcome in outcomes}
    state: State = (
        "fails" if "fails" in states else "undecided" if "undecided" in states else "holds"
    )
    decisive = [o for o in outcomes if o.state == state] if state != "holds" else outcomes
    return Outcome(
        state,
        _some([outcome.reason for outcome in decisive])
        if state == "undecided"
        else "; ".join(dict.fromkeys(outcome.reason for outcome in decisive)),
        tuple(dict.fromkeys(e for outcome in outcomes for e in outcome.evidence)),
        any(outcome.compares_with_printed for outcome in outcomes),
        tuple(dict.fromkeys(text for outcome in outcomes for text in outcome.unfit)),
    )


def _some(reasons: Sequence[str]) -> str:
    """The first few of many reasons."""
    shown = list(dict.fromkeys(reasons))
    more = len(shown) - MOST_REASONS
    return "; ".join(shown[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")


def number(value: float | None) -> str:
    """A number in a reason: four digits, `never` for what was not reached."""
    if value is None or math.isinf(value):
        return NEVER
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _shown(side: Sample) -> str:
    shown = number(side.mean)
    return f"{shown} {side.unit}" if side.unit and shown != NEVER else shown
