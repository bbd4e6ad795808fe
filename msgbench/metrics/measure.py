"""From the features of an image set to the scores of all protocols that look at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from msgbench.data.store import Store
from msgbench.metrics.extractors.weights import ExtractorWeights, resolve_weights
from msgbench.metrics.fidelity import Extractor, Features
from msgbench.metrics.real_statistics import RealReference
from msgbench.metrics.reals import RealSet, reals_of
from msgbench.metrics.scores import (
    Score,
    Statistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_and_recall,
    statistics,
)
from msgbench.protocols import Protocol


@dataclass
class Seen:
    """What an extractor saw in one image set, and its statistics once they are asked for."""

    features: Features
    _statistics: dict[str, Statistics] = field(default_factory=dict)

    def layer(self, name: str) -> torch.Tensor:
        """float32 [N, C] of a layer."""
        return self.features.layers[name]

    def statistics(self, layer: str) -> Statistics:
        """Mean and covariance of a layer; protocols that share images share them."""
        if layer not in self._statistics:
            self._statistics[layer] = statistics(self.layer(layer))
        return self._statistics[layer]


NamedWeights = Mapping[str, str | Path | None] | None
Group = tuple[str, int, int]


def group_of(protocol: Protocol) -> Group:
    """Protocols of one group see the same images through the same extractor: they share one pass."""
    return protocol.extractor, protocol.num_fake, protocol.seed


class Instruments:
    """What a set of protocols measures with: extractors, and the real images that they compare with.

    Extractors are built, and reals extracted or read from the cache, when they are first needed.
    """

    def __init__(
        self,
        protocols: list[Protocol],
        store: Store | None,
        mirror: bool,
        weights: NamedWeights,
        cache: Path | None,
        device: torch.device,
    ) -> None:
        self.protocols, self.store, self.mirror = protocols, store, mirror
        self.cache, self.device = cache, device
        names = sorted({p.extractor for p in protocols})
        self.weights: dict[str, ExtractorWeights] = {
            name: resolve_weights(name, weights) for name in names
        }
        self._extractors: dict[str, Extractor] = {}
        self._references: dict[tuple[str, tuple[Any, ...]], RealReference] = {}

    def extractor(self, name: str) -> Extractor:
        """The extractor called `name`, with the layers that the protocols need."""
        if name not in self._extractors:
            metrics = {p.metric for p in self.protocols if p.extractor == name}
            self._extractors[name] = Extractor(self.weights[name], metrics, self.device)
        return self._extractors[name]

    def reals(self, protocol: Protocol) -> RealSet | None:
        """The real images that `protocol` compares with; None for a score of the images alone."""
        if not protocol.compares:
            return None
        assert self.store is not None
        return reals_of(self.store, protocol, self.mirror)

    def facts(self, protocol: Protocol) -> dict[str, Any]:
        """What a record states of extractor and reals."""
        reals = self.reals(protocol)
        return {
            "reals": None if reals is None else reals.describe(),
            "extractor": self.weights[protocol.extractor].identity(),
        }

    def reference(self, protocol: Protocol) -> RealReference | None:
        """What `protocol` compares with; protocols with the same reals share it."""
        reals = self.reals(protocol)
        if reals is None:
            return None
        return self.reference_of(protocol.extractor, reals)

    def reference_of(self, extractor: str, reals: RealSet) -> RealReference:
        """`reals` as the extractor called so sees them."""
        key = (extractor, tuple(reals.key().items()))
        if key not in self._references:
            self._references[key] = RealReference(reals, self.extractor(extractor), self.cache)
        return self._references[key]

    def prepare(self, protocols: Iterable[Protocol]) -> None:
        """Everything that `protocols` compare with, before the sampling: what is wrong with it fails at once."""
        for protocol in protocols:
            reference = self.reference(protocol)
            if reference is not None:
                reference.prepare(protocol.metric)

    def score(self, protocol: Protocol, seen: Seen) -> Score:
        """The value of `protocol` for an image set."""
        layer = self.extractor(protocol.extractor).layer_for(protocol.metric)
        if protocol.metric == "is":
            assert protocol.splits is not None
            return inception_score(seen.layer(layer), protocol.splits)
        reference = self.reference(protocol)
        assert reference is not None
        if protocol.metric == "fid":
            return frechet_distance(seen.statistics(layer), reference.statistics())
        return compare(protocol, seen.layer(layer), reference.features(protocol.metric))


def compare(protocol: Protocol, fake: torch.Tensor, real: torch.Tensor) -> Score:
    """The value of a comparing `protocol` for the features `fake` [N, F] against the features `real` [M, F]."""
    if protocol.metric == "fid":
        return frechet_distance(statistics(fake), statistics(real))
    if protocol.metric == "prc":
        assert protocol.neighborhood is not None
        return precision_and_recall(fake, real, protocol.neighborhood)
    assert protocol.kid_subsets is not None
    assert protocol.kid_subset_size is not None
    return kernel_distance(fake, real, protocol.kid_subsets, protocol.kid_subset_size)
