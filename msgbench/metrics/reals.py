"""Which real images a score compares with, how often each, and how flipped.

The published code draws its reals from the stream that the training reads: the store's images in order, again and again
until there are 50,000, each flipped at random if the training mirrors. Later papers take every image once. For a small
dataset these are different numbers, so a protocol says which, and a record states what that came to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msgbench.data.store import Store
from msgbench.errors import MeasurementError
from msgbench.protocols import Protocol
from msgbench.seeding import derive_seed


@dataclass(frozen=True)
class RealSet:
    """`count` real images of `store`: its first ones, or the first of its endless stream."""

    store: Store
    count: int
    mirror: bool = False
    """Whether each image is flipped with probability 1/2, by `seed`."""
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    @property
    def distinct(self) -> int:
        """Images of the store that occur."""
        return min(self.count, len(self.store))

    def indices(self) -> NDArray[np.int64]:
        """Store indices in order, int64 [count]."""
        return np.arange(self.count, dtype=np.int64) % len(self.store)

    def flips(self) -> NDArray[np.bool_]:
        """Which images are flipped left-right, bool [count]."""
        if not self.mirror:
            return np.zeros(self.count, dtype=bool)
        return stream_flips(self.count, self.seed)

    def batches(
        self, batch_size: int, on_batch: Callable[[int], None] | None = None
    ) -> Iterator[Tensor]:
        """uint8 [n, 3, R, R], n = batch_size but for the last; `on_batch` is told each size after its use."""
        indices, flips = self.indices(), self.flips()
        for start in range(0, self.count, batch_size):
            chosen = slice(start, start + batch_size)
            pixels = self.store.images[indices[chosen]]  # a copy in memory
            pixels[flips[chosen]] = pixels[flips[chosen], :, ::-1]
            yield torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
            if on_batch is not None:
                on_batch(len(pixels))

    def key(self) -> dict[str, Any]:
        """What decides the images beside the store's content; equal sets have equal keys."""
        return {"count": self.count, "mirror": self.mirror, "seed": self.seed if self.mirror else 0}

    def describe(self) -> dict[str, Any]:
        """The set as records state it."""
        return {
            "count": self.count,
            "distinct": self.distinct,
            "passes": round(self.count / len(self.store), 4),
            "flipped": int(self.flips().sum()),
        }


def stream_flips(count: int, seed: int) -> NDArray[np.bool_]:
    """Which of the first `count` images of a mirrored stream are flipped, bool [count]."""
    # Raw words, because only they are promised to be the same in every version of NumPy.
    words = np.random.PCG64(derive_seed(seed, 0, "real-flips")).random_raw(-(-count // 64))
    return np.unpackbits(words.astype("<u8").view(np.uint8))[:count].astype(bool)


def reals_of(store: Store, protocol: Protocol, mirror: bool) -> RealSet:
    """The real images of `store` that `protocol` compares with; `mirror` is whether the training flips.

    Raises MeasurementError when every image is to be used once and the store has fewer than the protocol asks for.
    """
    available = len(store)
    if protocol.reals == "stream":
        assert protocol.num_real is not None
        return RealSet(store, protocol.num_real, mirror, protocol.seed)
    if protocol.num_real is None:
        return RealSet(store, available)
    if available < protocol.num_real:
        raise MeasurementError(
            f"{protocol.name}: needs {protocol.num_real:,} real images, the store of dataset "
            f"{store.manifest.name} has {available:,}"
        )
    return RealSet(store, protocol.num_real)


def halves(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two disjoint random halves of 0 ... count - 1, int64, each in order; an odd one is left out."""
    words = np.random.PCG64(derive_seed(seed, 0, "halves")).random_raw(count)
    order = np.argsort(words, kind="stable")
    half = count // 2
    return np.sort(order[:half]), np.sort(order[half : 2 * half])
