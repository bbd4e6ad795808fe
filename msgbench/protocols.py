"""Declarations of measurements: a protocol's name says how its score was made.

A score is comparable only with scores of the same protocol, version and extractor. `version` is bumped
when the measured number may change; records carry the whole declaration.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Metric = Literal["fid", "is", "kid"]

INCEPTION = "inception-v3-compat"
SMALL = "small-cifar10-v1"


@dataclass(frozen=True)
class Protocol:
    """How one score is made."""

    name: str
    version: int
    metric: Metric
    title: str
    num_fake: int
    """Generated images, from G_ema, without truncation."""
    num_real: int | None
    """Real images, the first so many of the store, each once, without flips; None = all of them."""
    extractor: str
    """Feature extractor: `inception-v3-compat` (the 2015 TensorFlow Inception) or our own small one."""
    splits: int | None = None
    """Inception Score: number of splits that the mean is taken over."""
    kid_subsets: int | None = None
    """KID: number of random subsets."""
    kid_subset_size: int | None = None
    """KID: images in a subset."""
    seed: int = 2020
    """Latents and shuffling: the same for all methods, runs and snapshots."""

    @property
    def direction(self) -> Literal["lower", "higher"]:
        """Which way is better."""
        return "higher" if self.metric == "is" else "lower"

    @property
    def comparable_with_paper(self) -> bool:
        """Only scores of the Inception network may stand beside the paper's numbers."""
        return self.extractor == INCEPTION

    def card(self) -> dict[str, Any]:
        """The declaration as data, for records."""
        return {**asdict(self), "direction": self.direction}


def _declare(*protocols: Protocol) -> dict[str, Protocol]:
    assert len({protocol.name for protocol in protocols}) == len(protocols)
    return {protocol.name: protocol for protocol in protocols}


PROTOCOLS: dict[str, Protocol] = _declare(
    Protocol(
        "is50k",
        1,
        "is",
        "Inception Score, 50,000 images, 10 splits",
        50_000,
        50_000,
        INCEPTION,
        splits=10,
    ),
    Protocol(
        "is50k_1split",
        1,
        "is",
        "Inception Score, 50,000 images, 1 split",
        50_000,
        50_000,
        INCEPTION,
        splits=1,
    ),
    # The first version's script for its flowers.
    Protocol(
        "is5k",
        1,
        "is",
        "Inception Score, 5,000 images, 10 splits",
        5_000,
        5_000,
        INCEPTION,
        splits=10,
    ),
    Protocol(
        "fid50k_full", 1, "fid", "FID, 50,000 images against all reals", 50_000, None, INCEPTION
    ),
    Protocol(
        "kid50k_full",
        1,
        "kid",
        "KID, 50,000 images against all reals",
        50_000,
        None,
        INCEPTION,
        kid_subsets=100,
        kid_subset_size=1000,
    ),
    Protocol(
        "is2k_small",
        1,
        "is",
        "IS by small-cifar10-v1, 2,000 images, 10 splits",
        2_000,
        2_000,
        SMALL,
        splits=10,
    ),
    Protocol(
        "is2k_small_1split",
        1,
        "is",
        "IS by small-cifar10-v1, 2,000 images, 1 split",
        2_000,
        2_000,
        SMALL,
        splits=1,
    ),
    Protocol(
        "fid2k_small",
        1,
        "fid",
        "FID by small-cifar10-v1, 2,000 images against all reals",
        2_000,
        None,
        SMALL,
    ),
    Protocol(
        "kid2k_small",
        1,
        "kid",
        "KID by small-cifar10-v1, 2,000 images against all reals",
        2_000,
        None,
        SMALL,
        kid_subsets=100,
        kid_subset_size=500,
    ),
    # For the shortest trainings of the smoke tier, which only show that everything runs.
    Protocol(
        "is500_small",
        1,
        "is",
        "IS by small-cifar10-v1, 500 images, 5 splits",
        500,
        500,
        SMALL,
        splits=5,
    ),
    Protocol(
        "fid500_small",
        1,
        "fid",
        "FID by small-cifar10-v1, 500 images against all reals",
        500,
        None,
        SMALL,
    ),
)


def get_protocol(name: str) -> Protocol:
    """The protocol called `name`; KeyError when there is none (configs are checked before)."""
    return PROTOCOLS[name]
