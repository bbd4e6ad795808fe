"""The images of a step are the same bits however they come: mapped, resident on the device, or read ahead."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msgbench.data.sampler import batch_indices, load_batch, mirror_flags
from msgbench.data.store import Store
from msgbench.seeding import derive_seed
from msgbench.training.feed import AHEAD, Feed

CPU = torch.device("cpu")


class Decoded:
    """Images that are no array, as those of a zip are, and the names of the threads that read."""

    def __init__(self, images: Any) -> None:
        self._images, self.readers = images, list[str]()
        self.shape = images.shape

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> np.ndarray:
        self.readers.append(threading.current_thread().name)
        return np.array(self._images[index])


def every(values: np.ndarray) -> np.ndarray:
    return values


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("stream", ["", "reals-g"])
def test_three_ways_and_one_answer(store_dir: Path, mirrored: bool, stream: str) -> None:
    store = Store.open(store_dir)
    seed = derive_seed(7, 0, stream) if stream else 7
    ways = {
        "mapped": (store.images, 0),
        "resident": (store.images, 10**9),
        "read ahead": (Decoded(store.images), 0),
    }
    for how, (images, most) in ways.items():
        with Feed(images, 7, mirrored, CPU, every, most) as feed:
            assert feed.how == how
            # Another batch from 24 on, as in a growing training, and one asked for again.
            for at, size in ((0, 8), (8, 8), (16, 8), (24, 4), (28, 4), (0, 8)):
                flags = mirror_flags(seed, at, size) if mirrored else None
                expected = load_batch(store, batch_indices(len(store), seed, at, size), flags)
                assert torch.equal(feed.batch(at, size, stream), expected), (how, at)


def test_a_mapped_dataset_is_read_ahead_on_demand(store_dir: Path) -> None:
    store = Store.open(store_dir)
    expected = Feed(store.images, 7, True, CPU, every).batch(8, 8)
    with Feed(store.images, 7, True, CPU, every, read_ahead=True) as feed:
        assert feed.how == "read ahead"
        assert torch.equal(feed.batch(8, 8), expected)


def test_a_process_gets_its_own(store_dir: Path) -> None:
    store = Store.open(store_dir)
    whole = Feed(store.images, 7, True, CPU, every).batch(0, 8)
    half = Feed(store.images, 7, True, CPU, lambda values: values[1::2]).batch(0, 8)
    assert torch.equal(half, whole[1::2])


def test_what_is_decoded_is_there_before_it_is_asked_for(store_dir: Path) -> None:
    """Nothing but the first batch is read by the step that asks for it."""
    images = Decoded(Store.open(store_dir).images)
    with Feed(images, 7, True, CPU, every) as feed:
        for step in range(6):
            feed.batch(8 * step, 8)
            deadline = time.monotonic() + 60
            while len(images.readers) < step + 1 + AHEAD:  # the next ones come unasked
                assert time.monotonic() < deadline
                time.sleep(0.001)
    readers = [name.partition("_")[0] for name in images.readers]
    assert readers == ["MainThread"] + ["read-ahead"] * (5 + AHEAD)


def test_what_cannot_be_read_is_an_error_of_the_step(store_dir: Path) -> None:
    class Broken(Decoded):
        def __getitem__(self, index: Any) -> np.ndarray:
            if self.readers:
                raise OSError("gone")
            return super().__getitem__(index)

    store = Store.open(store_dir)
    with Feed(Broken(store.images), 7, True, CPU, every) as feed:
        feed.batch(0, 8)
        with pytest.raises(OSError, match="gone"):
            feed.batch(8, 8)


@pytest.mark.gpu
def test_a_gpu_keeps_a_small_dataset_and_reads_a_large_one_ahead(store_dir: Path) -> None:
    store, cuda = Store.open(store_dir), torch.device("cuda")
    expected = Feed(store.images, 7, True, CPU, every).batch(8, 8)
    for most, how in ((None, "resident"), (0, "read ahead")):
        with Feed(store.images, 7, True, cuda, every, most) as feed:
            assert feed.how == how
            assert torch.equal(feed.batch(8, 8).cpu(), expected)
