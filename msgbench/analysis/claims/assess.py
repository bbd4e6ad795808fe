"""From outcomes to verdicts: what a tier may say about a claim.

The paper tier says reproduced, contradicted or inconclusive; mini says whether a claim holds or fails at its scale;
smoke says nothing. A run of the paper tier that is scaled down in any way, or that was scored by an extractor of the
project's own, decides nothing either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from msgbench.analysis import scale
from msgbench.analysis.claims.kinds import Assessor
from msgbench.analysis.claims.measured import Measured
from msgbench.analysis.claims.outcome import ENOUGH, Outcome
from msgbench.analysis.claims.spec import Claim, experiments_in, load_claims
from msgbench.analysis.collected import Collection
from msgbench.analysis.estimates import FEWEST_SEEDS
from msgbench.analysis.tables import described
from msgbench.config import Benchmark, Tier
from msgbench.reference import Printed

ClaimVerdict = Literal[
    "reproduced", "contradicted", "inconclusive", "holds at mini scale", "fails at mini scale", "not assessed",
    "not measurable here",
]  # fmt: skip

RULE = (
    f"An ordering holds when at least {ENOUGH:.0%} of the resamples over seeds show the stated sign, and fails when at "
    f"most {1 - ENOUGH:.0%} do; fewer than {FEWEST_SEEDS} seeds decide nothing. A claim of several orderings holds "
    "when all do and fails when one does. The paper tier says *reproduced*, *contradicted* or *inconclusive*; the mini "
    "tier only whether a claim *holds* or *fails at mini scale*; smoke assesses nothing. Runs that are scaled down, "
    "and scores of the project's own extractor, never enter a verdict of the paper tier."
)


@dataclass(frozen=True)
class AssessedClaim:
    """A claim, what testing it gave, and what the tier may say of it."""

    claim: Claim
    outcome: Outcome
    verdict: ClaimVerdict
    reason: str


def assess(collection: Collection, claims: Sequence[Claim] | None = None) -> list[AssessedClaim]:
    """All `claims` (None: those of the papers) tested against what a benchmark has."""
    measured = Measured(collection)
    found = []
    for claim in load_claims() if claims is None else claims:
        outcome = Assessor(claim.id, claim.paper, measured).outcome(claim.test)
        departures = claim_departures(measured, claim)
        verdict, reason = claim_verdict(collection.benchmark.tier, outcome, departures)
        found.append(AssessedClaim(claim, outcome, verdict, reason))
    return found


def claim_verdict(
    tier: Tier, outcome: Outcome, departures: Sequence[str] = ()
) -> tuple[ClaimVerdict, str]:
    """The verdict on a tested claim and why; `departures` are the ways in which its runs are scaled down."""
    if outcome.state == "not measurable":
        return "not measurable here", outcome.reason
    if tier == "smoke":
        return "not assessed", f"smoke trains too little to say anything ({outcome.reason})"
    if outcome.unfit:
        return "inconclusive", "; ".join(outcome.unfit)
    if tier == "mini":
        if outcome.compares_with_printed:
            return (
                "inconclusive",
                f"a scaled run says nothing about a printed number ({outcome.reason})",
            )
        words: dict[str, ClaimVerdict] = {
            "holds": "holds at mini scale", "fails": "fails at mini scale", "undecided": "inconclusive",
        }  # fmt: skip
        return words[outcome.state], outcome.reason
    if departures:
        return "inconclusive", f"scaled down: {'; '.join(departures)} ({outcome.reason})"
    words = {"holds": "reproduced", "fails": "contradicted", "undecided": "inconclusive"}
    return words[outcome.state], outcome.reason


def claim_departures(measured: Measured, claim: Claim) -> tuple[str, ...]:
    """How the experiments of a claim are scaled down, each way once."""
    benchmark, datasets = measured.collection.benchmark, measured.collection.datasets
    found: list[str] = []
    for name in experiments_in([claim]):
        spec = benchmark.experiments.get(name)
        dataset = datasets.get(spec.dataset.name) if spec is not None else None
        if spec is None or dataset is None:
            continue
        printed, in_paper = _printed_for(benchmark, name)
        found += scale.training_departures(
            spec, dataset, printed, benchmark.published.get(name), in_paper=in_paper
        )
    return tuple(dict.fromkeys(found))


def _printed_for(benchmark: Benchmark, experiment: str) -> tuple[dict[str, Printed], bool]:
    """What the papers print beside the score of an experiment, and whether they have it at all."""
    for name, table in benchmark.tables.items():
        for row in table.rows:
            if row.experiment == experiment and row.reference is not None:
                return described(table, name, row), True
    return {}, False


def counted(claims: Sequence[AssessedClaim]) -> dict[ClaimVerdict, int]:
    """How many claims have each verdict, most frequent first."""
    verdicts = [claim.verdict for claim in claims]
    return dict(sorted({v: verdicts.count(v) for v in verdicts}.items(), key=lambda item: -item[1]))
