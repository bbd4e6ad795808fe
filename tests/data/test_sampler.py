"""The stream of training images: a function of (seed, cur_nimg), each image once per epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from msgbench.data.pixels import to_float, to_uint8
from msgbench.data.prepare import prepare
from msgbench.data.sampler import batch_indices, load_batch, mirror_flags
from msgbench.data.store import Store

if TYPE_CHECKING:
    from .conftest import MakeSpec

Draw = Callable[[int, int], np.ndarray]

PINNED_INDICES = [9, 2, 1, 4, 0, 6, 8, 7, 5, 3, 1, 8]
PINNED_FLAGS = "000010101100100110100111"


@pytest.fixture
def store(tmp_path: Path, drawn_spec: MakeSpec) -> Store:
    prepare(drawn_spec(24, resolution=8), tmp_path)
    return Store.open(tmp_path)


def stream(draw: Draw, start: int, batch_size: int, steps: int) -> np.ndarray:
    return np.concatenate([draw(start + k * batch_size, batch_size) for k in range(steps)])


@pytest.mark.parametrize(("count", "batch_size"), [(100, 16), (7, 16), (64, 64), (5, 1), (1, 3)])
def test_every_image_is_shown_once_per_epoch(count: int, batch_size: int) -> None:
    epochs = 4
    steps = -(-count * epochs // batch_size)
    shown = stream(lambda at, n: batch_indices(count, 3, at, n), 0, batch_size, steps)
    assert shown.dtype == np.int64
    for epoch in range(epochs):
        part = shown[epoch * count : (epoch + 1) * count]
        np.testing.assert_array_equal(np.sort(part), np.arange(count))


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    orders = [batch_indices(1000, seed, at, 1000) for seed in (0, 1) for at in (0, 1000)]
    orders.append(np.arange(1000))
    for a in range(len(orders)):
        for b in range(a):
            # Two independent permutations agree in one place on average.
            assert (orders[a] == orders[b]).sum() < 12


@pytest.mark.parametrize("start", [0, 1, 16, 95, 100, 1234])
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda at, n: batch_indices(100, 5, at, n), id="indices"),
        pytest.param(lambda at, n: mirror_flags(5, at, n), id="mirror"),
    ],
)
def test_a_resume_goes_on_where_it_stopped(draw: Draw, start: int) -> None:
    whole = draw(0, 2000)
    np.testing.assert_array_equal(stream(draw, start, 16, 20), whole[start : start + 320])


@pytest.mark.parametrize("pieces", [1, 2, 4, 8, 16])
def test_a_batch_in_pieces_is_the_same_batch(store: Store, pieces: int) -> None:
    at, batch_size = 4090, 16  # across the border of two blocks of mirror flags
    whole = load_batch(store, batch_indices(24, 1, at, 16), mirror_flags(1, at, 16))
    n = batch_size // pieces
    parts = [
        load_batch(store, batch_indices(24, 1, at + k * n, n), mirror_flags(1, at + k * n, n))
        for k in range(pieces)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_half_of_the_images_are_mirrored_independently() -> None:
    flags = mirror_flags(0, 0, 20_000)
    assert flags.dtype == bool
    # 5 standard deviations of a fair coin thrown 20,000 times: 5 * sqrt(20000) / 2 = 354
    assert abs(int(flags.sum()) - 10_000) < 354
    for lag in (1, 2, 8, 16, 64, 4096):
        agree = int((flags[lag:] == flags[:-lag]).sum())
        assert abs(agree - (20_000 - lag) // 2) < 354
    assert abs(int((flags == mirror_flags(1, 0, 20_000)).sum()) - 10_000) < 354


def test_the_stream_is_pinned() -> None:
    """A change here is another training for the same seed: bump TRAINING_FORMAT with it."""
    np.testing.assert_array_equal(batch_indices(10, 0, 0, 12), PINNED_INDICES)
    assert "".join("01"[int(flag)] for flag in mirror_flags(0, 0, 24)) == PINNED_FLAGS


def test_pixels_become_numbers_between_minus_one_and_one(store: Store) -> None:
    indices = np.array([5, 0, 5])
    x = load_batch(store, indices)
    assert x.shape == (3, 3, 8, 8)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    expected = (
        store.images[indices].astype(np.float32).transpose(0, 3, 1, 2) / np.float32(127.5) - 1
    )
    np.testing.assert_array_equal(x.numpy(), expected)


def test_flags_flip_left_and_right_only_where_set(store: Store) -> None:
    indices = np.arange(4)
    flags = np.array([True, False, False, True])
    plain, flipped = load_batch(store, indices), load_batch(store, indices, flags)
    for k, flag in enumerate(flags):
        assert torch.equal(flipped[k], plain[k].flip(-1) if flag else plain[k])
        assert not torch.equal(plain[k], plain[k].flip(-1))


def test_every_level_survives_the_way_back(store: Store) -> None:
    """All 256 levels come back under the project's 8-bit rule, so real images are measured unchanged."""
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(levels)), levels)
    x = load_batch(store, np.arange(24))
    back = to_uint8(x).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(back, store.images)


def test_loading_never_changes_the_store(store: Store) -> None:
    load_batch(store, np.arange(24), np.ones(24, dtype=bool))
    store.verify()
