"""Controls: image sets that no network made, which a trained generator has to beat.

`pixel-gaussian`: images drawn from the Gaussian that has the training set's mean and covariance, pixel by pixel and
channel by channel. It knows all colours and all linear correlations of the dataset and nothing else; a generator that
scores worse has not learned more than that.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msgbench.data.store import Images
from msgbench.seeding import derive_seed

PIXEL_GAUSSIAN = "pixel-gaussian"

# Both decide the order of float32 sums, and so bits: they are constants, whatever size of batch is asked for.
GROUP = 500
"""Images that are drawn together: one pass over the store for each group."""
BLOCK_VALUES = 1 << 22
"""Values of the store that are float32 in memory at a time."""


@dataclass(frozen=True)
class GaussianRecipe:
    """All that decides the bits of the control's images, apart from the store."""

    count: int
    seed: int
    fitted_on: int
    """Images whose mean and covariance the Gaussian has: all of the store."""
    source: str = PIXEL_GAUSSIAN
    draw: str = "mean + sum of w_i (x_i - mean) / sqrt(fitted_on), float32"
    weights: str = "w = numpy-pcg64(derive_seed(seed, index, 'pixel-gaussian'))"
    pixels: str = "+ 0.5, clamped, fraction dropped"


class PixelGaussian:
    """`count` images of the control for the store `images` (uint8 [N, R, R, 3]): iterate over `batches()`.

    The covariance matrix (of 3 R R pixels, 9.4 million entries at R = 32) is never formed: with independent standard
    normal w_i, mean + sum_i w_i (x_i - mean) / sqrt(N) is normal with exactly the mean and the covariance (denominator
    N) of the x_i. Image k is a function of the store, the seed and k; count and size of batches do not move a bit.
    After a complete pass `checksum` is the sha256 of the uint8 stream, as that of a sample set.
    """

    def __init__(
        self,
        images: Images,
        count: int,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> None:
        assert count > 0
        self.images = images
        self.recipe = GaussianRecipe(count, seed, fitted_on=len(images))
        self.device = torch.device(device)
        self.checksum: str | None = None
        values = int(np.prod(images.shape[1:]))
        self._block = max(1, BLOCK_VALUES // values)
        self._mean = self._pixel_mean().to(self.device)

    def batches(
        self, batch_size: int, on_batch: Callable[[int], None] | None = None
    ) -> Iterator[Tensor]:
        """uint8 [n, 3, R, R] on the CPU, n = batch_size but for the last; `on_batch` is told each size."""
        digest = hashlib.sha256()
        self.checksum = None
        rest = torch.empty(0)
        for start in range(0, self.recipe.count, GROUP):
            drawn = self._group(start)[: self.recipe.count - start]
            rest = torch.cat([rest, drawn]) if len(rest) else drawn
            last = start + GROUP >= self.recipe.count
            while len(rest) >= batch_size or (last and len(rest)):
                batch, rest = rest[:batch_size], rest[batch_size:]
                digest.update(batch.numpy().tobytes())
                yield batch
                if on_batch is not None:
                    on_batch(len(batch))
        self.checksum = digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """The recipe as data, for records; with the checksum after a complete pass."""
        return {**asdict(self.recipe), "checksum": self.checksum}

    def _pixel_mean(self) -> Tensor:
        """float32 [R R 3]; summed as whole numbers, so that no order of summing matters."""
        total = np.zeros(self.images.shape[1:], np.uint64)
        for start in range(0, len(self.images), self._block):
            total += self.images[start : start + self._block].sum(axis=0, dtype=np.uint64)
        return torch.from_numpy((total / len(self.images)).astype(np.float32)).flatten()

    @torch.inference_mode()
    def _group(self, start: int) -> Tensor:
        """uint8 [GROUP, 3, R, R] of the images from `start` on: always a whole group, for the same bits."""
        count, (height, width, channels) = len(self.images), self.images.shape[1:]
        w = torch.from_numpy(
            np.stack([self._weights(index, count) for index in range(start, start + GROUP)])
        ).to(self.device)
        total = torch.zeros(GROUP, len(self._mean), device=self.device)
        for begin in range(0, count, self._block):
            block = np.array(self.images[begin : begin + self._block])
            x = torch.from_numpy(block).to(self.device).flatten(1).float() - self._mean
            total.addmm_(w[:, begin : begin + self._block], x)
        values = self._mean + total / math.sqrt(count)
        pixels = (values + 0.5).clamp(0, 255).to(torch.uint8).cpu()
        return pixels.reshape(GROUP, height, width, channels).permute(0, 3, 1, 2).contiguous()

    def _weights(self, index: int, count: int) -> NDArray[np.float32]:
        generator = np.random.default_rng(derive_seed(self.recipe.seed, index, PIXEL_GAUSSIAN))
        return generator.standard_normal(count, np.float32)
