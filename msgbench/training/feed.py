"""The images of each step on the training's device: kept there, or read ahead.

A dataset that fits lies on the GPU as bytes and is indexed there. Others are read by a thread while the device
computes, and travel from pinned memory. Flips, the conversion to [-1, 1] and the pyramid are the device's work either
way. On a CPU the mapped file is the memory; only images that have to be decoded are read ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from msgbench.data.pixels import to_float
from msgbench.data.sampler import batch_indices, mirror_flags
from msgbench.data.store import Images
from msgbench.device import sent
from msgbench.seeding import derive_seed

# Of the GPU's free memory, what a dataset may take to live there.
RESIDENT_SHARE = 0.25

# Batches that are read before they are asked for.
AHEAD = 2

# Of one value for each sample of a batch [N] those of this process.
Own = Callable[[np.ndarray], np.ndarray]


def room_for_images(free: int, needed: int) -> int:
    """Bytes of a GPU with `free` ones that a dataset may take, where the largest step takes `needed`.

    A resident dataset must not be why a step has to be made in halves.
    """
    return max(0, min(int(free * RESIDENT_SHARE), free - needed))


class Feed:
    """Batches of a store's `images` for the run of `seed`; a context manager, because it may read in a thread.

    `own` chooses this process's samples of a batch. `resident_bytes`: how large a dataset may be to live on `device`;
    None: a quarter of a GPU's free memory, nothing of a CPU's. `read_ahead`: whether the others are read before they
    are asked for; None: for a GPU, and of images that have to be decoded.
    """

    def __init__(
        self,
        images: Images,
        seed: int,
        mirrored: bool,
        device: torch.device,
        own: Own,
        resident_bytes: int | None = None,
        read_ahead: bool | None = None,
    ) -> None:
        self.images, self._seed, self._mirrored = images, seed, mirrored
        self._device, self._own = device, own
        self.bytes = int(np.prod(images.shape))
        if resident_bytes is None:
            resident_bytes = 0
            if device.type == "cuda":
                resident_bytes = int(torch.cuda.mem_get_info(device)[0] * RESIDENT_SHARE)
        self._resident: Tensor | None = None
        if self.bytes <= resident_bytes:
            self._resident = self._copied()
        if read_ahead is None:
            read_ahead = device.type == "cuda" or not isinstance(images, np.ndarray)
        reads_ahead = self._resident is None and read_ahead
        self._reader = ThreadPoolExecutor(AHEAD, "read-ahead") if reads_ahead else None
        self._coming: dict[tuple[str, int, int], Future[Tensor]] = {}

    @property
    def how(self) -> str:
        """`resident`, `read ahead` or `mapped`."""
        if self._resident is not None:
            return "resident"
        return "mapped" if self._reader is None else "read ahead"

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._reader.shutdown(wait=True, cancel_futures=True)

    def batch(self, cur_nimg: int, batch_size: int, stream: str = "") -> Tensor:
        """This process's real images [n, 3, R, R] float32 in [-1, 1] of the step at `cur_nimg`, mirrored or not.

        Every `stream` shuffles and mirrors in its own way; the empty one is the discriminator's, which counts.
        """
        pixels = self.pixels(cur_nimg, batch_size, stream)
        _, flags = self._chosen(cur_nimg, batch_size, stream)
        if flags is not None:
            turned = sent(torch.from_numpy(flags), self._device).view(-1, 1, 1, 1)
            pixels = torch.where(turned, pixels.flip(2), pixels)
        return to_float(pixels.permute(0, 3, 1, 2).contiguous())

    def pixels(self, cur_nimg: int, batch_size: int, stream: str = "") -> Tensor:
        """The same images as they lie in the store, uint8 [n, R, R, 3] on the device: what the host has to do."""
        if self._resident is not None:
            indices, _ = self._chosen(cur_nimg, batch_size, stream)
            return self._resident[sent(torch.from_numpy(indices), self._device)]
        key = (stream, cur_nimg, batch_size)
        if self._reader is None:
            return self._read(*key)
        coming = self._coming.pop(key, None)
        read = self._read(*key) if coming is None else coming.result()
        self._read_ahead(stream, cur_nimg, batch_size)
        return read.to(self._device, non_blocking=True)

    def _chosen(
        self, cur_nimg: int, batch_size: int, stream: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        seed = derive_seed(self._seed, 0, stream) if stream else self._seed
        indices = batch_indices(len(self.images), seed, cur_nimg, batch_size)
        flags = mirror_flags(seed, cur_nimg, batch_size) if self._mirrored else None
        return self._own(indices), None if flags is None else self._own(flags)

    def _read(self, stream: str, cur_nimg: int, batch_size: int) -> Tensor:
        indices, _ = self._chosen(cur_nimg, batch_size, stream)
        pixels = torch.from_numpy(np.asarray(self.images[indices]))
        return pixels.pin_memory() if self._device.type == "cuda" else pixels

    def _read_ahead(self, stream: str, cur_nimg: int, batch_size: int) -> None:
        """Start on the next batches; another phase may ask for others, which are then read when it does."""
        assert self._reader is not None
        coming = [(stream, cur_nimg + n * batch_size, batch_size) for n in range(1, AHEAD + 1)]
        for key in [key for key in self._coming if key[0] == stream and key not in coming]:
            self._coming.pop(key).cancel()
        for key in coming:
            if key not in self._coming:
                self._coming[key] = self._reader.submit(self._read, *key)

    def _copied(self) -> Tensor:
        """All images as bytes on the device, copied in pieces."""
        count, side = len(self.images), self.images.shape[1]
        kept = torch.empty(count, side, side, 3, dtype=torch.uint8, device=self._device)
        at_once = max(1, (64 << 20) // (side * side * 3))
        for start in range(0, count, at_once):
            piece = np.array(self.images[start : start + at_once])
            kept[start : start + len(piece)] = torch.from_numpy(piece).to(self._device)
        return kept
