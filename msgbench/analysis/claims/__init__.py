"""The papers' claims: each a sentence with its place, a test against the records, and a verdict with its evidence.

The sentences are data (msgbench/reference/claims.yaml). A test compares numbers that other rooms recorded: scores,
times, what fixed latents showed, picture sets, or what the specs alone say. Nothing is measured here.
"""

from __future__ import annotations

from msgbench.analysis.claims.assess import RULE, AssessedClaim, ClaimVerdict, assess, counted
from msgbench.analysis.claims.forms import CLAIMS_SCHEMA, make_claims
from msgbench.analysis.claims.spec import Claim, load_claims

__all__ = [
    "CLAIMS_SCHEMA",
    "RULE",
    "AssessedClaim",
    "Claim",
    "ClaimVerdict",
    "assess",
    "counted",
    "load_claims",
    "make_claims",
]
