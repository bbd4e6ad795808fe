"""Sample sets: generated images as a recipe with a checksum, made in memory, never as a folder of files.

The rule that turns a network's output into 8-bit pixels is data/pixels.py's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from msgbench.data.pixels import to_uint8
from msgbench.errors import MeasurementError
from msgbench.seeding import derive_seed
from msgbench.snapshots import load_snapshot


def latents(indices: range, latent_size: int, seed: int) -> Tensor:
    """Standard normal latents float32 [len(indices), latent_size] on the CPU.

    Each latent is a function of (seed, its index) alone: the batch size, the device, the method and the run do not
    matter, so that all runs of a protocol are measured on the same latents. NumPy draws them because its stream, unlike
    torch's, does not depend on the CPU's vector width.
    """
    rows = [
        np.random.default_rng(derive_seed(seed, index, "sample-latent")).standard_normal(
            latent_size, np.float32
        )
        for index in indices
    ]
    return torch.from_numpy(np.stack(rows))


def noise_inputs(indices: range, resolutions: Sequence[int], seed: int) -> list[Tensor]:
    """Standard normal noise inputs float32 [len(indices), 1, R, R] on the CPU, one for each R of `resolutions`.

    As latents, each image's noise is a function of (seed, its index) alone.
    """
    sizes = [resolution**2 for resolution in resolutions]
    if not sizes:
        return []
    rows = [
        np.random.default_rng(derive_seed(seed, index, "sample-noise")).standard_normal(
            sum(sizes), np.float32
        )
        for index in indices
    ]
    parts = torch.from_numpy(np.stack(rows)).split(sizes, dim=1)
    return [part.reshape(-1, 1, r, r) for part, r in zip(parts, resolutions, strict=True)]


_LOOKED_AT = 32


def looks_of(images: Tensor) -> list[bytes]:
    """For each of `images` (uint8 [N, 3, H, W]) its pixels on a grid of at most 32x32: equal for equal images."""
    step = max(1, images.shape[-1] // _LOOKED_AT)
    return [image.numpy().tobytes() for image in images[:, :, ::step, ::step].contiguous()]


@dataclass(frozen=True)
class SampleRecipe:
    """All that decides the bits of a sample set, apart from the snapshot itself."""

    count: int
    seed: int
    batch_size: int
    truncation: None = None
    """No truncation, ever: a truncated set would be another protocol."""
    pixels: str = "float32 * 127.5 + 128, clamped, fraction dropped"
    latents: str = "numpy-pcg64(derive_seed(seed, index, 'sample-latent'))"
    noise: str = (
        "numpy-pcg64(derive_seed(seed, index, 'sample-noise')), for generators that take noise"
    )

    def describe(self) -> dict[str, Any]:
        """The recipe as data, for records."""
        return asdict(self)


class SampleSet:
    """The images that one snapshot generates for (count, seed): iterate over `batches()`.

    After a complete pass `checksum` is the sha256 of the uint8 stream (images in order of their index, each
    [3, R, R] in C order), and `distinct` the number of images that differ (in at least one of up to 32x32 pixels).
    Another batch size or device may move single pixels by one grey level; the recipe therefore carries the batch size.
    """

    def __init__(
        self,
        snapshot: Path,
        count: int,
        seed: int,
        batch_size: int,
        device: str | torch.device = "cpu",
    ) -> None:
        assert count > 0
        assert batch_size > 0
        self.snapshot = snapshot
        self.recipe = SampleRecipe(count=count, seed=seed, batch_size=batch_size)
        self.device = torch.device(device)
        self.checksum: str | None = None
        self.distinct: int | None = None
        self._generator, self.meta = load_snapshot(snapshot, self.device)
        if self.device.type == "cpu":
            # A third faster there; the values are the same up to the order of float32 sums.
            self._generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __len__(self) -> int:
        return self.recipe.count

    def batches(self) -> Iterator[Tensor]:
        """uint8 [n, 3, R, R] on the CPU, n = batch_size but for the last; the images of the highest scale.

        Raises MeasurementError when the generator gives a value that is not finite.
        """
        digest = hashlib.sha256()
        seen: set[bytes] = set()
        self.checksum = self.distinct = None
        for start in range(0, self.recipe.count, self.recipe.batch_size):
            indices = range(start, min(start + self.recipe.batch_size, self.recipe.count))
            images = self._generate(indices)
            digest.update(images.numpy().tobytes())
            seen.update(looks_of(images))
            yield images
        self.checksum, self.distinct = digest.hexdigest(), len(seen)

    def describe(self) -> dict[str, Any]:
        """The sample set for records: recipe and, after a complete pass, what was found."""
        return {**self.recipe.describe(), **self.found()}

    def found(self) -> dict[str, Any]:
        """What a complete pass found: checksum and number of distinct images."""
        return {"checksum": self.checksum, "distinct": self.distinct}

    @torch.inference_mode()
    def _generate(self, indices: range) -> Tensor:
        z = latents(indices, self.meta.model.latent_size, self.recipe.seed).to(self.device)
        noise = noise_inputs(indices, self._generator.noise_resolutions, self.recipe.seed)
        x = self._generator(z, [part.to(self.device) for part in noise])[-1]
        if x.shape[-1] < self.meta.model.resolution:
            # A generator that is still growing is measured as its code shows it: pixels repeated to full size.
            x = interpolate(x, size=self.meta.model.resolution, mode="nearest")
        if not bool(torch.isfinite(x).all()):
            raise MeasurementError(
                f"{self.snapshot}: generates values that are not finite (images {indices.start} to {indices.stop - 1})"
            )
        return to_uint8(x).cpu()
