"""Assessed claims as JSON (with every number of the evidence), CSV and Markdown."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from msgbench.analysis.claims.assess import RULE, AssessedClaim, assess, counted
from msgbench.analysis.claims.spec import Claim
from msgbench.analysis.collect import collect
from msgbench.analysis.tables import relative
from msgbench.config import Benchmark
from msgbench.layout import Layout
from msgbench.records import write_json, write_text

CLAIMS_SCHEMA = "msgbench.claims/1"

PAPERS = {"cvpr2020": "CVPR 2020", "arxiv-v1": "first version"}


def make_claims(benchmark: Benchmark, layout: Layout) -> Path:
    """Assess all claims and write them below `layout`; returns the JSON file, which is written last."""
    claims = assess(collect(benchmark, layout))
    out = layout.claims_json
    write_text(
        out.with_suffix(".csv"), claims_frame(claims).to_csv(index=False, lineterminator="\n")
    )
    write_text(out.with_suffix(".md"), claims_markdown(benchmark, claims))
    write_json(out, claims_json(benchmark, claims, out.parent))
    return out


def claims_json(
    benchmark: Benchmark, claims: list[AssessedClaim], folder: Path
) -> dict[str, object]:
    """The content of claims.json; sources are relative to `folder`."""
    return {
        "schema": CLAIMS_SCHEMA,
        "tier": benchmark.tier,
        "rule": RULE,
        "claims": [
            {
                "id": assessed.claim.id,
                "paper": assessed.claim.paper,
                "place": assessed.claim.place,
                "quote": assessed.claim.quote,
                "title": assessed.claim.title,
                "test": test_in_words(assessed.claim),
                "verdict": assessed.verdict,
                "reason": assessed.reason,
                "evidence": [
                    {
                        "what": evidence.what,
                        "value": evidence.value
                        if evidence.value is not None and math.isfinite(evidence.value)
                        else None,
                        "unit": evidence.unit,
                        "source": None
                        if evidence.source is None
                        else relative(evidence.source, folder),
                    }
                    for evidence in assessed.outcome.evidence
                ],
            }
            for assessed in claims
        ],
    }


def claims_frame(claims: list[AssessedClaim]) -> pd.DataFrame:
    """One claim a row."""
    return pd.DataFrame(
        [
            {
                "id": assessed.claim.id,
                "paper": assessed.claim.paper,
                "place": assessed.claim.place,
                "title": assessed.claim.title,
                "quote": assessed.claim.quote,
                "test": test_in_words(assessed.claim),
                "verdict": assessed.verdict,
                "reason": assessed.reason,
            }
            for assessed in claims
        ]
    )


def claims_markdown(benchmark: Benchmark, claims: list[AssessedClaim]) -> str:
    """The claims for reading: verdicts first, then each with its quote."""
    summary = ", ".join(f"{number} {verdict}" for verdict, number in counted(claims).items())
    lines = [
        f"### Claims of the papers, {benchmark.tier} tier",
        "",
        f"{len(claims)} claims: {summary}.",
        "",
        RULE,
        "",
    ]
    lines += ["| Claim | Paper | Verdict |", "|---|---|---|"]
    for assessed in claims:
        place = f"{PAPERS[assessed.claim.paper]}, {assessed.claim.place}"
        lines.append(f"| {assessed.claim.title} | {place} | {assessed.verdict} |")
    for assessed in claims:
        lines += [
            "",
            f"**{assessed.claim.title}**: {assessed.verdict}: {assessed.reason}",
            "",
            f"> {assessed.claim.quote} ({PAPERS[assessed.claim.paper]}, {assessed.claim.place})",
            "",
            f"Test: {test_in_words(assessed.claim)}",
        ]
    return "\n".join(lines) + "\n"


def test_in_words(claim: Claim) -> str:
    """What is compared, as a sentence."""
    test = claim.test
    said = (type(test).__doc__ or "").strip()
    words = test.model_dump(exclude_none=True)
    compared = [_listed(words[key]) for key in ("pairs", "experiments", "groups") if key in words]
    rest = {
        key: value
        for key, value in words.items()
        if key not in ("kind", "why", "pairs", "experiments", "groups")
    }
    settings = [f"{key.replace('_', ' ')} {_listed(value)}" for key, value in rest.items()]
    listed = "; ".join([*settings, *compared])
    return f"{said} Here: {listed}." if listed else said


def _listed(value: object) -> str:
    if isinstance(value, dict):
        if set(value) == {"table", "row"}:
            return f"{value['row']} of {value['table']} as printed"
        if "ours" in value:
            (other,) = (key for key in value if key != "ours")
            word = "not to be better than" if other.startswith("worse") else "against"
            return f"{value['ours']} {word} {_listed(value[other])}"
    if isinstance(value, tuple | list):
        return ", ".join(map(_listed, value))
    return str(value)
