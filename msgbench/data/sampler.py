"""Which images a training step sees: a function of the seed and the number of images shown, no state.

Position n of the endless stream of training images is image n mod count of the shuffle of epoch
n // count. A training that resumes at cur_nimg, or splits its batch into pieces or over processes,
therefore meets exactly the images, flipped exactly so, that it would have met in one go.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from msgbench.data.pixels import to_float
from msgbench.data.store import Store
from msgbench.seeding import derive_seed

_FLAGS_AT_ONCE = 4096


@lru_cache(maxsize=4)
def _epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffle of one epoch: a permutation of 0 ... count - 1, int64, read-only.

    Sorting raw words instead of asking NumPy for a permutation, because only the raw words are promised
    to be the same in every version.
    """
    words = np.random.PCG64(derive_seed(seed, epoch, "epoch")).random_raw(count)
    order = np.argsort(words, kind="stable").astype(np.int64, copy=False)
    order.setflags(write=False)
    return order


@lru_cache(maxsize=4)
def _flag_block(seed: int, block: int) -> np.ndarray:
    """Mirror flags of the stream's positions from block * 4096 on, bool [4096], read-only."""
    words = np.random.PCG64(derive_seed(seed, block * _FLAGS_AT_ONCE, "mirror")).random_raw(
        _FLAGS_AT_ONCE // 64
    )
    flags = np.unpackbits(words.astype("<u8").view(np.uint8)).astype(bool)
    flags.setflags(write=False)
    return flags


def batch_indices(count: int, seed: int, cur_nimg: int, batch_size: int) -> np.ndarray:
    """Store indices of the images at positions cur_nimg ... cur_nimg + batch_size - 1, int64 [batch_size].

    Every image is shown exactly once per epoch; a batch may straddle two epochs or hold several.
    """
    assert min(count, batch_size) > 0
    assert cur_nimg >= 0
    pieces = []
    position, end = cur_nimg, cur_nimg + batch_size
    while position < end:
        epoch, start = divmod(position, count)
        piece = _epoch_order(count, seed, epoch)[start : start + end - position]
        pieces.append(piece)
        position += len(piece)
    return np.concatenate(pieces)


def mirror_flags(seed: int, cur_nimg: int, batch_size: int) -> np.ndarray:
    """Which images of the batch are flipped left-right, bool [batch_size], each with probability 1/2."""
    assert cur_nimg >= 0
    assert batch_size > 0
    pieces = []
    position, end = cur_nimg, cur_nimg + batch_size
    while position < end:
        block, start = divmod(position, _FLAGS_AT_ONCE)
        piece = _flag_block(seed, block)[start : start + end - position]
        pieces.append(piece)
        position += len(piece)
    return np.concatenate(pieces)


def load_batch(
    store: Store,
    indices: np.ndarray,
    flags: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Images of the store as [N, 3, R, R] float32 in [-1, 1] (pixels.to_float).

    `flags` (bool [N]) flips images left-right; None flips none. The bytes travel to `device` and are
    converted there.
    """
    pixels = store.images[indices]  # a copy in memory, uint8 [N, R, R, 3]
    if flags is not None:
        assert flags.shape == indices.shape, f"{flags.shape} flags for {indices.shape} images"
        pixels[flags] = pixels[flags, :, ::-1]
    x = torch.from_numpy(np.asarray(pixels)).to(device)
    return to_float(x.permute(0, 3, 1, 2).contiguous())
