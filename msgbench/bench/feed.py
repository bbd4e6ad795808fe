"""`msgbench bench feed`: how long training waits for its images, each way in which they can come.

Made-up photographs in stores of the published sizes. What a step computes is replaced by a pause of the length that it
takes at a rate which no device has reached yet, so that the figure holds for whatever is slower.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from msgbench.bench.record import Cell, Measured
from msgbench.console import Progress
from msgbench.data.bench import photograph
from msgbench.data.store import Images
from msgbench.data.zip_images import ZipImages, ZipWriter
from msgbench.device import device_name, make_reproducible
from msgbench.training.bench_ceilings import synchronise
from msgbench.training.feed import Feed

WARM_UP, STEPS = 3, 30
_DISTINCT = 16


@dataclass(frozen=True)
class Case:
    """Images of one size, and the steps that ask for them."""

    resolution: int
    images: int
    batch: int
    images_per_second: float
    """Of the steps; more than the targets of one GPU."""


# 2,048 images of 256 px are 400 MB: more than a processor's caches hold, less than small machines' memory.
CASES = (Case(256, 2_048, 32, 300.0), Case(1024, 96, 16, 120.0))


def bench_feed(device: torch.device, threads: int, cases: tuple[Case, ...] = CASES) -> Measured:
    """Time what the host does for each batch, without steps and beside steps of a fixed length.

    In every way that `device` has. Flips, conversion and the pyramid are the device's work and not timed.
    """
    make_reproducible(threads)
    rows: list[dict[str, Cell]] = []
    with tempfile.TemporaryDirectory(prefix="msgbench-bench-") as name:
        for case in cases:
            images = _images(case, Path(name))
            for resident, ahead in _ways(images, device):
                with Feed(
                    images, 0, True, device, lambda values: values, resident, read_ahead=ahead
                ) as feed:
                    rows.append(_row(case, feed, device))
    return Measured.of(
        "feed",
        f"msgbench bench feed --threads {threads} --device {device.type} --out FOLDER",
        {"threads": threads, "steps": STEPS},
        rows,
        device_name(device),
    )


def _ways(images: Images, device: torch.device) -> Iterator[tuple[int, bool]]:
    """(bytes that may be resident, whether batches are read ahead)."""
    if isinstance(images, np.ndarray):
        yield 0, False
    yield 0, True
    if device.type == "cuda":
        yield 1 << 40, False


def _row(case: Case, feed: Feed, device: torch.device) -> dict[str, Cell]:
    pause = case.batch / case.images_per_second
    with Progress(
        f"bench feed, {case.resolution} px, {feed.how}", 2 * (WARM_UP + STEPS), "steps"
    ) as progress:
        alone = _wait(case, feed, device, 0.0, progress)
        wait = _wait(case, feed, device, pause, progress)
    return {
        "resolution": case.resolution,
        "kept_as": "array" if isinstance(feed.images, np.ndarray) else "PNG",
        "how": feed.how,
        "batch_size": case.batch,
        "host_images_per_second": round(case.batch / alone, 1),
        "steps_images_per_second": case.images_per_second,
        "wait_ms": round(1000 * wait, 3),
        "wait_percent": round(100 * wait / (wait + pause), 2),
    }


def _wait(case: Case, feed: Feed, device: torch.device, pause: float, progress: Progress) -> float:
    """Mean seconds that a batch is waited for when `pause` seconds lie between two of them."""
    waited: list[float] = []
    for step in range(WARM_UP + STEPS):
        began = time.perf_counter()
        feed.pixels(step * case.batch, case.batch)
        synchronise(device)
        waited.append(time.perf_counter() - began)
        time.sleep(pause)
        progress.advance()
    return float(np.mean(waited[WARM_UP:]))


def _images(case: Case, folder: Path) -> Images:
    """Photographs by turns, as a store keeps them: a mapped array up to 256 px, PNG files from 512 px on."""
    distinct = [photograph(case.resolution, seed) for seed in range(_DISTINCT)]
    side = case.resolution
    if side <= 256:
        path = folder / f"{side}.npy"
        shape = (case.images, side, side, 3)
        images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        for number in range(case.images):
            images[number] = distinct[number % _DISTINCT]
        images.flush()
        return np.load(path, mmap_mode="r")
    packed = folder / f"{side}.zip"
    files = []
    for one in distinct:
        buffer = io.BytesIO()
        Image.fromarray(one).save(buffer, "PNG")
        files.append(buffer.getvalue())
    with ZipWriter(packed, 0) as writer:
        for number in range(case.images):
            writer.append(files[number % _DISTINCT])
        writer.complete()
    return ZipImages(packed, (case.images, side, side, 3))
