"""What an extractor sees in real images, computed once and cached by content.

The key of a cache file is a digest of everything that decides its numbers: the store's fingerprint, which of its images
and how flipped, the extractor's name and weights, the layer, and the format version. A changed dataset therefore never
meets an old file. Files are written atomically, hold plain tensors alone, are checked when read, and ignored (and
replaced) when anything about them is wrong, so that any number of processes may share a cache folder and anyone may
delete it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from msgbench.config import fingerprint_of
from msgbench.console import Progress, say
from msgbench.locks import FolderLock
from msgbench.metrics.fidelity import Extractor
from msgbench.metrics.reals import RealSet
from msgbench.metrics.scores import Statistics, statistics
from msgbench.protocols import Metric
from msgbench.records import atomic_file

# Bumped by hand when the same images would give other numbers.
CACHE_FORMAT = 2
CACHE_FOLDER = "real-statistics"
_METADATA_KEY = "msgbench"


class RealReference:
    """The real images `reals` as `extractor` sees them: FID's statistics with their root, and features.

    Nothing is computed before it is asked for; what was computed stays in memory and, under `cache`, on disk.
    """

    def __init__(
        self, reals: RealSet, extractor: Extractor, cache: Path | None, batch_size: int = 100
    ) -> None:
        self.reals, self.extractor = reals, extractor
        self.batch_size = batch_size
        self._cache = None if cache is None else cache / CACHE_FOLDER
        self._features: dict[str, Tensor] = {}
        self._statistics: Statistics | None = None
        self._extracted: dict[str, Tensor] = {}

    def statistics(self) -> Statistics:
        """Mean and covariance of the layer that FID uses, with the root of the covariance."""
        if self._statistics is None:
            tensors = self._cached_or(
                "statistics", self.extractor.layer_for("fid"), self._compute_statistics
            )
            found = Statistics(
                tensors["mean"].numpy(), tensors["covariance"].numpy(), len(self.reals)
            )
            # The root is a cached property of the statistics: it takes as long as several distances.
            found.__dict__["root"] = tensors["root"].numpy()
            self._statistics = found
        return self._statistics

    def features(self, metric: Metric = "kid") -> Tensor:
        """float32 [count, F] of the layer that `metric` uses, in the order of the images."""
        layer = self.extractor.layer_for(metric)
        if layer not in self._features:
            tensors = self._cached_or(
                "features", layer, lambda name: {"features": self._extract(name)}
            )
            self._features[layer] = tensors["features"]
        return self._features[layer]

    def prepare(self, metric: Metric) -> None:
        """Computes, or reads from the cache, what `metric` compares with."""
        self.statistics() if metric == "fid" else self.features(metric)

    def cache_file(self, kind: str, layer: str) -> Path | None:
        """Where `kind` ("statistics" or "features") of `layer` is cached; None without a cache."""
        if self._cache is None:
            return None
        return self._cache / f"{fingerprint_of(self._key(kind, layer))[:32]}.safetensors"

    def _key(self, kind: str, layer: str) -> dict[str, Any]:
        return {
            "format": CACHE_FORMAT,
            "kind": kind,
            "dataset": self.reals.store.manifest.fingerprint,
            "reals": self.reals.key(),
            "extractor": self.extractor.weights.identity(),
            "layer": layer,
        }

    def _cached_or(
        self, kind: str, layer: str, compute: Callable[[str], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The cache file's tensors; without one they are computed, by one process at a time, and kept."""
        path = self.cache_file(kind, layer)
        if path is None:
            return compute(layer)
        damaged = path.exists()
        tensors = self._load(kind, layer)
        if tensors is None:
            with FolderLock(path.parent, f"{kind}-{path.stem[:8]}", wait=True, say=say) as lock:
                # Another process may have finished it in between, unless we saw that it needs replacing.
                tensors = None if damaged and not lock.waited else self._load(kind, layer)
                if tensors is None:
                    tensors = compute(layer)
                    self._save(kind, layer, tensors)
        return tensors

    def _compute_statistics(self, layer: str) -> dict[str, Tensor]:
        of_layer = statistics(self._extract(layer))
        found = {"mean": of_layer.mean, "covariance": of_layer.covariance, "root": of_layer.root}
        return {name: torch.from_numpy(array) for name, array in found.items()}

    def _extract(self, layer: str) -> Tensor:
        """float32 [count, C] of `layer`; the images go through the extractor once for all its layers."""
        if layer not in self._extracted:
            title = f"real images of {self.reals.store.manifest.name}"
            with Progress(title, len(self.reals), "images") as progress:
                batches = self.reals.batches(self.batch_size, progress.advance)
                self._extracted = self.extractor.features(batches).layers
        return self._extracted[layer]

    def _save(self, kind: str, layer: str, tensors: dict[str, Tensor]) -> None:
        path = self.cache_file(kind, layer)
        if path is None:
            return
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        note = {"key": self._key(kind, layer), "sha256": _digest(tensors)}
        blob = serialise(tensors, metadata={_METADATA_KEY: json.dumps(note, sort_keys=True)})
        with atomic_file(path) as file:
            file.write(blob)

    def _load(self, kind: str, layer: str) -> dict[str, Tensor] | None:
        path = self.cache_file(kind, layer)
        if path is None or not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                note = json.loads((file.metadata() or {})[_METADATA_KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            sound = note["key"] == self._key(kind, layer) and note["sha256"] == _digest(tensors)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            sound = False
        if not sound:
            say(f"{path}: is damaged; computing these real statistics again")
            return None
        return tensors


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
