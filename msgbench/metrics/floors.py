"""Floors: what a protocol gives for real images against real images, which no generator made.

`half against half`: two disjoint random halves of the store, each image once. `test against train`: the dataset's test
images against what the protocol compares with. `images against their stream`: for protocols that compare with the
repeating, mirrored stream, every image once against that stream; a generator that had learned the images by heart
would score so. FID's floors hang on the number of images (its bias falls as 1/N), which the record states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from msgbench.console import say
from msgbench.data.store import Store
from msgbench.metrics.measure import Instruments, compare
from msgbench.metrics.reals import RealSet, halves
from msgbench.metrics.scores import Score
from msgbench.protocols import Protocol

HALVES = "half against half"
TEST = "test against train"
STREAM = "images against their stream"


@dataclass(frozen=True)
class Floor:
    """One floor by one protocol; `score` measures it."""

    name: str
    sample_set: dict[str, Any]
    """The real images in the place of generated ones."""
    reals: dict[str, Any]
    """The real images that they are compared with."""
    score: Callable[[], Score]


class Floors:
    """The floors of `store`; `test` is the store of the same dataset's test images, if there are any."""

    def __init__(
        self, instruments: Instruments, store: Store, test: Store | None, batch_size: int
    ) -> None:
        self.instruments, self.store, self.test = instruments, store, test
        self.batch_size = batch_size

    def of(self, protocol: Protocol) -> Iterator[Floor]:
        """The floors by `protocol`; none for a score of images alone, nor where there are too few images."""
        if not protocol.compares:
            return
        reals = self.instruments.reals(protocol)
        assert reals is not None
        half = len(self.store) // 2
        if self._enough(protocol, HALVES, half):
            set_ = {"source": "real images, one random half", "count": half, "seed": protocol.seed}
            yield Floor(HALVES, set_, {"count": half}, lambda: self._halves(protocol))
        if self.test is not None and self._enough(protocol, TEST, len(self.test)):
            set_ = {
                "source": "real images of the test split",
                "count": len(self.test),
                "fingerprint": self.test.manifest.fingerprint,
            }
            test = RealSet(self.test, len(self.test))
            yield Floor(TEST, set_, reals.describe(), lambda: self._against(protocol, test))
        if protocol.reals == "stream":
            set_ = {"source": "real images, each once", "count": len(self.store)}
            once = RealSet(self.store, len(self.store))
            yield Floor(STREAM, set_, reals.describe(), lambda: self._against(protocol, once))

    def _enough(self, protocol: Protocol, name: str, count: int) -> bool:
        """Whether `protocol` can be made of `count` images; says so when not."""
        least = max(2, protocol.kid_subset_size or 0, (protocol.neighborhood or 0) + 1)
        if count < least:
            say(
                f"{self.store.manifest.name}: no floor `{name}` by {protocol.name}, which needs {least:,} images "
                f"on either side; there are {count:,}"
            )
        return count >= least

    def _halves(self, protocol: Protocol) -> Score:
        features = self._features(protocol, RealSet(self.store, len(self.store)))
        first, second = (
            features[torch.from_numpy(part)] for part in halves(len(features), protocol.seed)
        )
        return compare(protocol, first, second)

    def _against(self, protocol: Protocol, images: RealSet) -> Score:
        reals = self.instruments.reals(protocol)
        assert reals is not None
        return compare(protocol, self._features(protocol, images), self._features(protocol, reals))

    def _features(self, protocol: Protocol, images: RealSet) -> torch.Tensor:
        reference = self.instruments.reference_of(protocol.extractor, images)
        return reference.features(protocol.metric)
