"""Packing photographs: decoded and fitted on all cores, written in their order, continued where a run was killed.

What is being packed lies in a hidden folder of the store's place, with a journal: one line for each image whose
pixels were written before it. Killed at any moment, full disk or unreadable file: the next run keeps all images of
the journal, cuts off what lies behind them, and goes on. It ends with the same bytes as a run in one go, on any
number of processes.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np
from PIL import Image

from msgbench.console import Progress
from msgbench.data.manifest import IMAGES_NPY, IMAGES_TSV, IMAGES_ZIP, FileFact, npy_header
from msgbench.data.pool import ordered_map
from msgbench.data.sources.collection import Collection
from msgbench.data.sources.items import Item
from msgbench.data.sources.photographs import Rule, read_photograph
from msgbench.data.zip_images import ZipWriter, complete_entries
from msgbench.errors import DatasetError

# From this side on images are kept as PNG: a block of raw pixels would be twice as large.
ZIP_FROM_SIDE = 512
JOURNAL, BEGUN = "journal.jsonl", "begun.json"
# Almost as small as level 6, six times as fast.
_PNG_LEVEL = 1
_NPY_HEADER_BYTES = len(npy_header((1, 1, 1, 3)))
_CHECKPOINT_SECONDS = 1.0
_READ_BYTES = 2**23
_LONG_BYTES = 2**30
# Pixels of one task, so that handing it over costs little and its images fit in memory many times.
_TASK_PIXELS = 2**19
# Images of 128 px that a process needs to be worth its start.
_WORK_OF_A_PROCESS = 500
_VALUES = np.arange(256, dtype=np.int64)


class Line(NamedTuple):
    """What the journal says about one image."""

    name: str
    source_sha256: str
    source_bytes: int
    pixels_sha256: str
    changes: list[str]
    sums: list[int]
    """per channel, of all pixels"""
    squares: list[int]


class Packed(NamedTuple):
    """One image, ready to be written: its raw pixels or its PNG file."""

    line: Line
    content: bytes


class Task(NamedTuple):
    """Some images and what to do with them."""

    items: list[Item]
    rule: Rule
    as_png: bool


class Done(NamedTuple):
    """What became of a task."""

    packed: list[Packed]
    error: str | None
    """why the image behind these cannot be used; None when all could"""


class Totals(NamedTuple):
    """What a packed set of images amounts to."""

    images: int
    images_sha256: str
    images_file: FileFact
    source_bytes: int
    source_sha256: str
    changes: dict[str, int]
    sums: np.ndarray
    squares: np.ndarray


def pack(
    collection: Collection, rule: Rule, count: int, folder: Path, key: str, title: str, workers: int
) -> Totals:
    """Write the first `count` images of `collection` into `folder`, going on with what lies there of the same `key`.

    Leaves images.npy or images.zip, complete, images.tsv, and the journal. Raises DatasetError for the first image
    that cannot be used, after everything before it was written; OSError when the disk is full.
    """
    _begin(folder, key)
    as_png = rule.side >= ZIP_FROM_SIDE
    kept = _keep(folder, count, rule.side, as_png)
    after = _name_of_last(folder, kept)
    items = itertools.islice(collection.items(kept, after), count - kept)
    tasks = _tasks(items, rule, as_png)
    writer: _Writer
    writer = (
        ZipWriter(folder / IMAGES_ZIP, kept)
        if as_png
        else _NpyWriter(folder, kept, count, rule.side)
    )
    # No more processes than there is work for: a second one costs half a second to start.
    work = (count - kept) * max(1.0, (rule.side / 128) ** 2)
    workers = max(1, min(workers, int(work / _WORK_OF_A_PROCESS)))
    with writer, (folder / JOURNAL).open("a", encoding="utf-8") as journal:
        with Progress(title, count, "images", start=kept) as progress:
            results = ordered_map(run_task, tasks, workers)
            done = kept + _write(results, writer, journal, progress)
        if done != count:
            raise DatasetError(f"{title}: the source ended after {done:,} of {count:,} images")
        writer.complete()
    return _finish(folder, rule.side, as_png)


def run_task(task: Task) -> Done:
    """The images of a task, packed, up to the first that cannot be used."""
    packed: list[Packed] = []
    try:
        for item in task.items:
            packed.append(_pack_one(item, task.rule, task.as_png))
    except DatasetError as error:
        return Done(packed, str(error))
    return Done(packed, None)


def _pack_one(item: Item, rule: Rule, as_png: bool) -> Packed:
    raw = item.read()
    photograph = read_photograph(raw, item.where, rule)
    pixels = np.ascontiguousarray(photograph.pixels)
    content = pixels.tobytes()
    sums, squares = [], []
    for channel in range(3):
        histogram = np.bincount(pixels[..., channel].ravel(), minlength=256)
        sums.append(int(histogram @ _VALUES))
        squares.append(int(histogram @ (_VALUES * _VALUES)))
    line = Line(
        name=item.name,
        source_sha256=hashlib.sha256(raw).hexdigest(),
        source_bytes=len(raw),
        pixels_sha256=hashlib.sha256(content).hexdigest(),
        changes=list(photograph.changes),
        sums=sums,
        squares=squares,
    )
    if as_png:
        content = raw if photograph.plain_png else _png(pixels)
    return Packed(line, content)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _tasks(items: Iterator[Item], rule: Rule, as_png: bool) -> Iterator[Task]:
    size = max(1, _TASK_PIXELS // rule.side**2) if not as_png else 1
    while chunk := list(itertools.islice(items, min(size, 32))):
        yield Task(chunk, rule, as_png)


class _Writer(Protocol):
    """Where packed images go, one after the other."""

    def append(self, content: bytes, /) -> None: ...
    def flush(self) -> None: ...
    def complete(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class _NpyWriter:
    """images.npy: a header, then the pixels of one image after the other."""

    def __init__(self, folder: Path, kept: int, count: int, side: int) -> None:
        self._path, self._kept = folder / IMAGES_NPY, kept
        self._shape = (count, side, side, 3)

    def __enter__(self) -> Self:
        self._path.touch()
        self._file = self._path.open("r+b")
        self._file.write(npy_header(self._shape))
        end = _NPY_HEADER_BYTES + self._kept * self._shape[1] ** 2 * 3
        self._file.truncate(end)
        self._file.seek(end)
        return self

    def append(self, content: bytes) -> None:
        self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def complete(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def __exit__(self, *raised: object) -> None:
        try:
            self._file.close()
        except OSError:
            if raised[0] is None:
                raise


def _write(
    results: Iterator[Done], writer: _Writer, journal: io.TextIOBase, progress: Progress
) -> int:
    """Write what comes, pixels first; whatever ends it, the images before are in the journal. Returns how many."""
    lines: list[Line] = []
    written = 0
    last = time.monotonic()

    def checkpoint() -> None:
        writer.flush()
        journal.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        journal.flush()
        lines.clear()

    try:
        for packed, error in results:
            for line, content in packed:
                writer.append(content)
                lines.append(line)
            if error is not None:
                raise DatasetError(error)
            written += len(packed)
            progress.advance(len(packed))
            if time.monotonic() - last > _CHECKPOINT_SECONDS:
                checkpoint()
                last = time.monotonic()
    except DatasetError:
        checkpoint()
        raise
    checkpoint()
    return written


def _begin(folder: Path, key: str) -> None:
    """Make `folder`, or keep it where it holds a beginning of the same `key`; everything else in it is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = folder / BEGUN
    if begun.exists() and begun.read_text(encoding="utf-8") == key:
        return
    for name in (BEGUN, JOURNAL, IMAGES_NPY, IMAGES_ZIP, IMAGES_TSV):
        (folder / name).unlink(missing_ok=True)
    begun.write_text(key, encoding="utf-8")


def _lines(folder: Path) -> Iterator[Line]:
    """The journal's complete lines, up to the first that is damaged."""
    try:
        with (folder / JOURNAL).open(encoding="utf-8") as file:
            for text in file:
                if not text.endswith("\n"):
                    return
                yield Line(*json.loads(text))
    except FileNotFoundError:
        return
    except (ValueError, TypeError):
        return


def _keep(folder: Path, count: int, side: int, as_png: bool) -> int:
    """How many images of an earlier run are complete; the journal is cut to them."""
    stated = min(count, sum(1 for _ in _lines(folder)))
    if as_png:
        kept = complete_entries(folder / IMAGES_ZIP, stated)
    else:
        path = folder / IMAGES_NPY
        size = path.stat().st_size if path.exists() else 0
        kept = min(stated, max(0, size - _NPY_HEADER_BYTES) // (side * side * 3))
    journal = folder / JOURNAL
    if journal.exists():
        end = 0
        with journal.open("rb") as file:
            for line in itertools.islice(file, kept):
                end += len(line)
        os.truncate(journal, end)
    return kept


def _name_of_last(folder: Path, kept: int) -> str | None:
    last = None
    for line in _lines(folder):
        last = line.name
    assert (last is None) == (kept == 0)
    return last


def _finish(folder: Path, side: int, as_png: bool) -> Totals:
    """Sum up the journal and write images.tsv: one line for each image, what it is and what it was made from."""
    sources, listed = hashlib.sha256(), hashlib.sha256()
    changes: Counter[str] = Counter()
    sums, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    count = source_bytes = 0
    with (folder / IMAGES_TSV).open("w", encoding="utf-8") as table:
        table.write("pixels_sha256\tsource_sha256\tsource_bytes\tsource_name\tchanges\n")
        for line in _lines(folder):
            fields = (line.pixels_sha256, line.source_sha256, line.source_bytes)
            name = line.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
            name = name.translate({9: "\\t", 10: "\\n", 13: "\\r"})
            table.write("\t".join(map(str, (*fields, name, ",".join(line.changes)))) + "\n")
            sources.update(f"{line.source_sha256}  {name}\n".encode())
            listed.update(bytes.fromhex(line.pixels_sha256))
            changes.update(line.changes)
            sums += line.sums
            squares += line.squares
            count += 1
            source_bytes += line.source_bytes
        table.flush()
        os.fsync(table.fileno())
    path = folder / (IMAGES_ZIP if as_png else IMAGES_NPY)
    fact, pixels = _digests(path)
    digest = listed.hexdigest() if as_png else pixels
    found = dict(sorted(changes.items()))
    return Totals(count, digest, fact, source_bytes, sources.hexdigest(), found, sums, squares)


def _digests(path: Path) -> tuple[FileFact, str]:
    """The file's own fact, and the sha256 of what is behind the header of a .npy file."""
    whole, behind = hashlib.sha256(), hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as file, ExitStack() as stack:
        progress = None
        if size > _LONG_BYTES:
            progress = stack.enter_context(Progress(f"check {path.name}", size / 1e6, "MB"))
        block = file.read(_NPY_HEADER_BYTES)
        whole.update(block)
        while block := file.read(_READ_BYTES):
            whole.update(block)
            behind.update(block)
            if progress is not None:
                progress.advance(len(block) / 1e6)
    return FileFact(name=path.name, bytes=size, sha256=whole.hexdigest()), behind.hexdigest()
