"""`msgbench data bench`: how fast photographs are packed here, by one process and by several.

The photographs are made for it, with the sizes of real files: smooth shapes with the grain of a sensor. Each number
of processes packs the same files; the rounds take turns, and the fastest counts, so that other work on the machine
disturbs least.
"""

from __future__ import annotations

import io
import math
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from msgbench.config import DatasetSpec
from msgbench.data.photograph_store import PhotographStore
from msgbench.units import format_duration

_GRAIN = 3.0  # standard deviation of a sensor's noise, in levels
_DISTINCT = 16


class Case(NamedTuple):
    """One kind of source."""

    title: str
    source_side: int
    suffix: str
    resolution: int
    published: str
    images: int
    """images of the published dataset of this kind, for which a time is computed"""
    times: int = 1
    """so many times as many images are packed: small ones are done before the processes have started"""


CASES = (
    Case("1024 px PNG, kept as it is", 1024, ".png", 1024, "FFHQ", 70_000),
    Case("1024 px array, to PNG", 1024, ".npy", 1024, "CelebA-HQ", 30_000),
    Case("1024 px PNG, to 128 px", 1024, ".png", 128, "FFHQ at 128 px", 70_000),
    Case("256 px JPEG, to 256 px", 256, ".jpg", 256, "LSUN churches", 126_227, times=25),
)


def photograph(side: int, seed: int) -> np.ndarray:
    """uint8 [side, side, 3] that compresses like a photograph."""
    random = np.random.default_rng(seed)
    total = np.zeros((side, side, 3), np.float64)
    for octave in range(2, int(math.log2(side))):
        small = random.integers(0, 256, (2**octave, 2**octave, 3), dtype=np.uint8)
        layer = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
        total += np.asarray(layer, np.float64) * 2.0 ** (1 - octave)
    total += random.normal(0.0, _GRAIN, total.shape)
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def bench_lines(images: int, workers: list[int], rounds: int) -> Iterator[str]:
    """A Markdown table: each case packed by each number of processes, and what that means for a published dataset."""
    yield "| source | processes | images/s | times one | the whole of | takes |"
    yield "|---|---:|---:|---:|---|---:|"
    for case in CASES:
        packed = images * case.times
        with tempfile.TemporaryDirectory(prefix="msgbench-bench-") as name:
            raw = _write_raw(Path(name) / "raw", case, packed)
            best = dict.fromkeys(workers, math.inf)
            for _ in range(rounds):
                for number in workers:
                    seconds = _pack(raw, case, Path(name) / "store", number)
                    best[number] = min(best[number], seconds)
        for number in workers:
            rate = packed / best[number]
            ratio = best[workers[0]] / best[number]
            took = format_duration(case.images / rate)
            yield (
                f"| {case.title} | {number} | {rate:,.1f} | {ratio:.2f} | {case.published}, {case.images:,} "
                f"| {took} |"
            )
    largest = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    yield ""
    yield f"Largest process: {largest / 1024:,.0f} MB."


def _write_raw(folder: Path, case: Case, images: int) -> Path:
    """Files of the case; a few distinct photographs are enough for timing."""
    folder.mkdir()
    contents = []
    for seed in range(min(images, _DISTINCT)):
        pixels, buffer = photograph(case.source_side, seed), io.BytesIO()
        if case.suffix == ".npy":
            np.save(buffer, pixels.transpose(2, 0, 1)[None])
        else:
            kind, options = ("PNG", {}) if case.suffix == ".png" else ("JPEG", {"quality": 75})
            Image.fromarray(pixels).save(buffer, kind, **options)
        contents.append(buffer.getvalue())
    for index in range(images):
        (folder / f"{index:06d}{case.suffix}").write_bytes(contents[index % len(contents)])
    return folder


def _pack(raw: Path, case: Case, folder: Path, workers: int) -> float:
    """Seconds of packing everything into `folder`, which is removed again."""
    spec = DatasetSpec(
        name="bench",
        source="folder",
        path=str(raw),
        resolution=case.resolution,
        mirror=False,
        resize="box",
    )
    began = time.monotonic()
    store = PhotographStore.open(spec, workers)
    store.locate(folder)
    store.build(folder)
    seconds = time.monotonic() - began
    shutil.rmtree(folder)
    return seconds
