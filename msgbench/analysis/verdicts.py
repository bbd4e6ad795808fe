"""Verdicts on single numbers, ours beside the printed one; those on claims over several stand in claims/.

The rule is written down once, here. A verdict needs the paper tier, the published protocol and three
seeds; everything else has a word of its own that cannot be mistaken for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from msgbench.analysis.estimates import FEWEST_SEEDS, mean, standard_deviation
from msgbench.config import Tier

Kind = Literal[
    "reproduced", "better", "worse", "inconclusive", "scaled", "not comparable", "not run", "quoted"
]

RELATIVE_TOLERANCE = 0.10

RULE = (
    "A number of the paper tier is *reproduced* when at least three seeds ran and the mean of each run's best "
    "snapshot (the papers report the best, too) is within "
    "10 % of the printed number, or within two standard deviations over seeds if that is more; otherwise it is "
    "*better* or *worse*. Fewer seeds are *inconclusive*. Scaled-down runs are *scaled*, whatever their "
    "number. Scores of another extractor than the paper’s are *not comparable*. What has no result is *not run*; "
    "what the paper itself copied from another one is *quoted*."
)


@dataclass(frozen=True)
class Verdict:
    """A verdict and, where the word alone does not say it, why."""

    kind: Kind
    detail: str = ""

    def __str__(self) -> str:
        """The form of tables: `inconclusive (1 seed)`, `not run: trained, not measured`."""
        if not self.detail:
            return self.kind
        return (
            f"{self.kind} ({self.detail})"
            if self.kind == "inconclusive"
            else f"{self.kind}: {self.detail}"
        )


def value_verdict(
    *,
    tier: Tier,
    departures: Sequence[str],
    comparable: bool,
    direction: str,
    printed: float | None,
    values: Sequence[float],
    planned: int | None,
    reason: str | None,
) -> Verdict:
    """The verdict on one cell.

    `departures` are the ways in which the run is smaller than the published one, `comparable` says
    whether the protocol's extractor is the paper's, `direction` ("lower" or "higher") which way is
    better, `values` our score per seed. `planned` is the number of seeds planned; None for real images, which
    are measured once: there is no training whose luck seeds could show, and the tolerance alone
    decides. `reason` says why values are missing.
    """
    if reason is not None and len(values) == 0:
        return Verdict("not run", reason)
    assert values, "a cell without values needs a reason"
    # A scaled tier comes first: there even a comparable protocol gives no verdict.
    if tier != "paper" or departures:
        return Verdict("scaled")
    if not comparable:
        return Verdict("not comparable")
    if printed is None:
        return Verdict("not comparable", "the paper prints no number")
    if planned is not None and len(values) < FEWEST_SEEDS:
        return Verdict("inconclusive", f"{len(values)} seed{'s' if len(values) != 1 else ''}")
    ours = mean(values)
    assert ours is not None
    tolerance = max(RELATIVE_TOLERANCE * printed, 2 * (standard_deviation(values) or 0.0))
    if abs(ours - printed) <= tolerance:
        return Verdict("reproduced")
    return Verdict("better" if (ours > printed) == (direction == "higher") else "worse")
