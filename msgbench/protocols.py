"""Declarations of measurements: a protocol's name says how its score was made.

A score is comparable only with scores of the same protocol, version and extractor. `version` is bumped
when the measured number may change; records carry the whole declaration, the protocol's card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Metric = Literal["fid", "is", "kid", "prc"]
Reals = Literal["once", "stream"]

INCEPTION = "inception-v3-compat"
VGG16 = "vgg16"
SMALL = "small-cifar10-v1"

# The resize is a part of each extractor: it decides the features as much as the weights do.
RESIZE = {
    INCEPTION: "to 299 px, bilinear as in TensorFlow 1 (not antialiased), float32",
    VGG16: "to 224 px, bilinear as in TensorFlow 1 (not antialiased), float32",
    SMALL: "to 32 px, bilinear, antialiased, float32; 32 px images as they are",
}
PARTS = {"prc": ("precision", "recall")}
"""Metric -> the numbers that its score is made of and that records state beside it."""


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
    """Real images; None = all of the store."""
    extractor: str
    """Feature extractor: the 2015 TensorFlow Inception, torchvision's VGG16, or our own small one."""
    splits: int | None = None
    """Inception Score: number of splits that the mean is taken over."""
    kid_subsets: int | None = None
    """KID: number of random subsets."""
    kid_subset_size: int | None = None
    """KID: images in a subset."""
    neighborhood: int | None = None
    """Precision and recall: which neighbour's distance is the radius of an image's ball."""
    reals: Reals = "once"
    """`once`: the first `num_real` images of the store, each once, as they are. `stream`: the first `num_real` of the
    endless stream of the store's images in its order, each flipped with probability 1/2 if the training mirrors."""
    comparable_with_paper: bool = False
    """Whether the papers' numbers of this metric were made so, as far as their authors' code shows: only such scores
    may stand beside them."""
    seed: int = 2020
    """Latents, flips, shuffling: the same for all methods, runs and snapshots."""

    @property
    def direction(self) -> Literal["lower", "higher"]:
        """Which way is better."""
        return "higher" if self.metric in ("is", "prc") else "lower"

    @property
    def compares(self) -> bool:
        """Whether the score is a comparison with real images."""
        return self.metric != "is"

    def reals_in_words(self) -> str:
        """Which real images, how often, and how flipped."""
        if not self.compares:
            return "none: the score is of the images alone"
        if self.reals == "stream":
            return (
                f"the first {self.num_real:,} of the store's endless stream: its images in order, again and again, "
                "each flipped left-right with probability 1/2 if the training mirrors"
            )
        which = (
            "all of the store" if self.num_real is None else f"the first {self.num_real:,} images"
        )
        return f"{which}, each once, not flipped"

    def card(self) -> dict[str, Any]:
        """All that decides the score apart from the images, as data: what records carry."""
        options = {
            "splits": self.splits,
            "softmax_bias": False if self.metric == "is" else None,
            "kid_subsets": self.kid_subsets,
            "kid_subset_size": self.kid_subset_size,
            "neighborhood": self.neighborhood,
        }
        return {
            "name": self.name,
            "version": self.version,
            "metric": self.metric,
            "direction": self.direction,
            "title": self.title,
            "num_fake": self.num_fake,
            "generator": "G_ema, without truncation, noise of its own for each image",
            "num_real": self.num_real,
            "reals": self.reals,
            "reals_in_words": self.reals_in_words(),
            "extractor": self.extractor,
            "resize": RESIZE[self.extractor],
            "quantisation": "uint8: x * 127.5 + 128, clamped, fraction dropped",
            "precision": "float32 without TF32, statistics in float64",
            **{name: value for name, value in options.items() if value is not None},
            "seed": self.seed,
        }

    def best(self, values: Mapping[int, float]) -> int | None:
        """The length, in images shown, of the best of `values` (score by length); None when nothing was trained.

        The untrained generator (0 images) is no candidate; of equal scores the earliest is the best.
        """
        trained = sorted((length, value) for length, value in values.items() if length > 0)
        if not trained:
            return None
        pick = max if self.direction == "higher" else min
        return pick(trained, key=lambda pair: pair[1])[0]


def _declare(*protocols: Protocol) -> dict[str, Protocol]:
    assert len({protocol.name for protocol in protocols}) == len(protocols)
    return {protocol.name: protocol for protocol in protocols}


def _is(name: str, count: int, splits: int, extractor: str, published: bool = False) -> Protocol:
    words = f"{count:,} images, {splits} split{'s' if splits > 1 else ''}"
    title = (
        f"IS by {SMALL}, {words}" if extractor == SMALL else f"Inception Score, {words}, no bias"
    )
    return Protocol(
        name,
        1,
        "is",
        title,
        count,
        count,
        extractor,
        splits=splits,
        comparable_with_paper=published,
    )


def _compared(
    name: str,
    version: int,
    metric: Metric,
    count: int,
    num_real: int | None,
    extractor: str,
    reals: Reals = "once",
    published: bool = False,
    kid_subset_size: int | None = None,
) -> Protocol:
    by = f" by {SMALL}" if extractor == SMALL else ""
    against = "all reals"
    if reals == "stream":
        against = f"{num_real:,} of the repeating, mirrored stream of reals"
    elif num_real is not None:
        against = f"{num_real:,} reals"
    what = {"fid": "FID", "kid": "KID", "prc": "Precision and recall"}[metric]
    title = f"{what}{by}, {count:,} images against {against}"
    return Protocol(
        name,
        version,
        metric,
        title,
        count,
        num_real,
        extractor,
        kid_subsets=100 if metric == "kid" else None,
        kid_subset_size=kid_subset_size,
        neighborhood=3 if metric == "prc" else None,
        reals=reals,
        comparable_with_paper=published,
    )


PROTOCOLS: dict[str, Protocol] = _declare(
    # The published code: FID against the reals as the training streams them, IS with the softmax weights alone.
    _compared("fid50k", 1, "fid", 50_000, 50_000, INCEPTION, reals="stream", published=True),
    _is("is50k", 50_000, 10, INCEPTION, published=True),
    _is("is50k_1split", 50_000, 1, INCEPTION, published=True),
    # The first version's script for its flowers.
    _is("is5k", 5_000, 10, INCEPTION, published=True),
    # What later papers do: every real image once.
    _compared("fid50k_full", 2, "fid", 50_000, None, INCEPTION),
    _compared("kid50k_full", 1, "kid", 50_000, None, INCEPTION, kid_subset_size=1000),
    _compared("prc50k", 1, "prc", 50_000, None, VGG16),
    # By the project's own extractor, for smoke runs and looks on a CPU.
    _is("is2k_small", 2_000, 10, SMALL),
    _is("is2k_small_1split", 2_000, 1, SMALL),
    _compared("fid2k_small", 2, "fid", 2_000, None, SMALL),
    _compared("fid2k_small_stream", 1, "fid", 2_000, 2_000, SMALL, reals="stream"),
    _compared("kid2k_small", 1, "kid", 2_000, None, SMALL, kid_subset_size=500),
    _compared("prc2k_small", 1, "prc", 2_000, 2_000, SMALL),
    # For the shortest trainings of the smoke tier, which only show that everything runs.
    _is("is500_small", 500, 5, SMALL),
    _compared("fid500_small", 2, "fid", 500, None, SMALL),
    # Twice the reals, so that a store of 600 drawn images is gone through again.
    _compared("fid500_small_stream", 1, "fid", 500, 1_000, SMALL, reals="stream"),
    _compared("prc500_small", 1, "prc", 500, 500, SMALL),
)


def get_protocol(name: str) -> Protocol:
    """The protocol called `name`; KeyError when there is none (configs are checked before)."""
    return PROTOCOLS[name]


def markdown_table() -> str:
    """All protocols as a Markdown table; docs/protocols.md holds it."""
    lines = [
        "| protocol | version | generated | reals | extractor | splits, subsets, neighbour | as the papers' |",
        "|---|---|---|---|---|---|---|",
    ]
    for p in PROTOCOLS.values():
        options = {
            "is": f"{p.splits} split{'s' if p.splits != 1 else ''}",
            "kid": f"{p.kid_subsets} subsets of {p.kid_subset_size:,}" if p.kid_subset_size else "",
            "prc": f"neighbour {p.neighborhood}",
            "fid": "",
        }[p.metric]
        reals = "–" if not p.compares else "all, once" if p.num_real is None else f"{p.num_real:,}"
        if p.compares and p.num_real is not None:
            reals += " of the stream" if p.reals == "stream" else ", once"
        published = "yes" if p.comparable_with_paper else ""
        lines.append(
            f"| `{p.name}` | {p.version} | {p.num_fake:,} | {reals} | {p.extractor} | {options} | {published} |"
        )
    return "\n".join(lines)
