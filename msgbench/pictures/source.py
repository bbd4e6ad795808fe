"""A generator whose pictures are drawn: a snapshot, and how its images become pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msgbench.data.pixels import to_uint8
from msgbench.errors import MeasurementError
from msgbench.models.growing import set_lod
from msgbench.models.stylegan import StyleGANGenerator
from msgbench.models.styles import truncate
from msgbench.records import sha256_file
from msgbench.sampling import noise_inputs
from msgbench.snapshots import load_snapshot

Pixels = NDArray[np.uint8]
# Values of the highest scale that are drawn at a time: 4 images of 1024 px, 64 of 256.
_VALUES_AT_ONCE = 4 * 3 * 1024**2


class Source:
    """The generator of one snapshot on a device; images come out as pixels, never stretched or normalised."""

    def __init__(self, snapshot: Path, device: str | torch.device = "cpu") -> None:
        self.snapshot = snapshot
        self.device = torch.device(device)
        self.G, self.meta = load_snapshot(snapshot, self.device)
        self.sha256 = sha256_file(snapshot)

    @property
    def styled(self) -> bool:
        """Whether the generator has styles: truncation and mixing mean something."""
        return isinstance(self.G, StyleGANGenerator)

    @property
    def lod(self) -> float | None:
        """Level of detail that a growing generator works at, 0 = full resolution; None: all scales at once."""
        return self.G.lod

    @contextmanager
    def at_lod(self, lod: float) -> Iterator[None]:
        """Have a growing generator work at `lod` for a while."""
        before = self.lod
        assert before is not None, "a generator of all scales at once has no level of detail"
        set_lod(self.G, lod)
        try:
            yield
        finally:
            set_lod(self.G, before)

    @property
    def latent_size(self) -> int:
        return self.meta.model.latent_size

    def identity(self) -> dict[str, Any]:
        """The generator as a manifest states it; where the file lies does not matter."""
        meta = self.meta
        return {
            "snapshot": self.snapshot.name,
            "sha256": self.sha256,
            "run": meta.run,
            "experiment": meta.experiment,
            "cur_nimg": meta.cur_nimg,
            "family": meta.model.family,
            "resolution": meta.model.resolution,
        }

    def noise(self, count: int, seed: int) -> list[Tensor]:
        """Noise inputs of `count` images, each a function of (seed, its index); empty for a family without."""
        return [
            part.to(self.device)
            for part in noise_inputs(range(count), self.G.noise_resolutions, seed)
        ]

    def scales(self, z: Tensor, noise: Sequence[Tensor], psi: float | None = None) -> list[Pixels]:
        """Images uint8 [N, R, R, 3] of every scale, lowest first; `psi` truncates where there are styles."""

        def draw(part: slice) -> list[Tensor]:
            chosen, parts = z[part].to(self.device), [n[part] for n in noise]
            if psi is None or not isinstance(self.G, StyleGANGenerator):
                return self.G(chosen, parts)
            ws = self.G.broadcast(self.G.mapping(chosen))
            return self.G.synthesise(truncate(self.G, ws, psi), parts)

        return self.drawn(len(z), draw)

    def drawn(self, count: int, draw: Callable[[slice], list[Tensor]]) -> list[Pixels]:
        """Pixels of what `draw` makes for each piece of 0 ... count - 1, few images at a time."""
        size = max(1, _VALUES_AT_ONCE // (3 * self.meta.model.resolution**2))
        pieces: list[list[Pixels]] = []
        with torch.inference_mode():
            for start in range(0, count, size):
                pieces.append([self._pixels(x) for x in draw(slice(start, start + size))])
        images = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
        # A generator that is still growing is shown as it is measured: pixels repeated to full size.
        times = self.meta.model.resolution // images[-1].shape[1]
        images[-1] = images[-1].repeat(times, axis=1).repeat(times, axis=2)
        return images

    def _pixels(self, x: Tensor) -> Pixels:
        if not bool(torch.isfinite(x).all()):
            raise MeasurementError(f"{self.snapshot}: generates values that are not finite")
        pixels: Pixels = to_uint8(x).permute(0, 2, 3, 1).cpu().numpy()
        return pixels
