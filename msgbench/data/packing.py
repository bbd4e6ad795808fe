"""Packing photographs: decoded and fitted on all cores, written in their order, continued where a run was killed.

What is being packed lies in a hidden folder of the store's place, with a journal: one line for each image whose
pixels were written before it. Killed at any moment, full disk or unreadable file: the next run keeps all images of
the journal, cuts off what lies behind them, and goes on. It ends with the same bytes as a run in one go, on any
number of processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
# Pixels of one task, so that handing it over costs little and its images fit in memory many times.
_TASK_PIXELS = 2**19
_MOST_OF_A_TASK = 32
# Images of 128 px, or bytes of source files, that a process needs to be worth its start.
_WORK_OF_A_PROCESS = 500
_BYTES_OF_A_PROCESS = 2**24
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
    """One image: what the journal will say, and its PNG file (empty where its pixels are written already)."""

    line: Line
    content: bytes


class Task(NamedTuple):
    """Some images and what to do with them."""

    items: list[Item]
    rule: Rule
    npy: str | None
    """where to write their pixels; None: they become PNG files"""
    first: int
    """number of the first"""


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
    path = folder / (IMAGES_ZIP if as_png else IMAGES_NPY)
    tasks = _tasks(items, rule, None if as_png else str(path), kept)
    writer: _Writer
    writer = ZipWriter(path, kept) if as_png else _NpyWriter(path, kept, count, rule.side)
    # No more processes than there is work for: a second one costs half a second to start.
    work = (count - kept) * max(1.0, (rule.side / 128) ** 2) / _WORK_OF_A_PROCESS
    work = max(work, collection.bytes / _BYTES_OF_A_PROCESS)
    workers = max(1, min(workers, int(work)))
    with _GrowingDigest(path) as digest:
        with writer, (folder / JOURNAL).open("a", encoding="utf-8") as journal:
            with Progress(title, count, "images", start=kept) as progress:
                results = ordered_map(run_task, tasks, workers)
                done = kept + _write(results, writer, journal, progress, digest)
            if done != count:
                raise DatasetError(f"{title}: the source ended after {done:,} of {count:,} images")
            writer.complete()
        fact = digest.fact()
    return _finish(folder, fact)


def run_task(task: Task) -> Done:
    """The images of a task, packed, up to the first that cannot be used."""
    packed: list[Packed] = []
    try:
        for number, item in enumerate(task.items, task.first):
            packed.append(_pack_one(item, task.rule, task.npy, number))
    except DatasetError as error:
        return Done(packed, str(error))
    return Done(packed, None)


def _pack_one(item: Item, rule: Rule, npy: str | None, number: int) -> Packed:
    raw = item.read()
    photograph = read_photograph(raw, item.where, rule)
    pixels = np.ascontiguousarray(photograph.pixels)
    image = Image.fromarray(pixels)
    histogram = np.array(image.histogram(), np.int64).reshape(3, 256)
    line = Line(
        name=item.name,
        source_sha256=hashlib.sha256(raw).hexdigest(),
        source_bytes=len(raw),
        pixels_sha256=hashlib.sha256(pixels.data).hexdigest(),
        changes=list(photograph.changes),
        sums=(histogram @ _VALUES).tolist(),
        squares=(histogram @ (_VALUES * _VALUES)).tolist(),
    )
    if npy is None:
        return Packed(line, raw if photograph.plain_png else _png(image))
    write_pixels(npy, number, pixels)
    return Packed(line, b"")


def write_pixels(path: str, number: int, pixels: np.ndarray) -> None:
    """Write the pixels of image `number` into its place in images.npy; raises OSError, naming the file."""
    try:
        handle = os.open(path, os.O_WRONLY)
        try:
            place, content = (
                _NPY_HEADER_BYTES + number * pixels.nbytes,
                pixels.data.cast("B"),
            )
            while content:
                written = os.pwrite(handle, content, place)
                place, content = place + written, content[written:]
        finally:
            os.close(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _tasks(items: Iterator[Item], rule: Rule, npy: str | None, first: int) -> Iterator[Task]:
    size = 1 if npy is None else min(_MOST_OF_A_TASK, max(1, _TASK_PIXELS // rule.side**2))
    while chunk := list(itertools.islice(items, size)):
        yield Task(chunk, rule, npy, first)
        first += len(chunk)


class _Writer(Protocol):
    """Where packed images go, one after the other."""

    def append(self, content: bytes, /) -> None: ...
    def flush(self) -> int: ...
    def complete(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class _NpyWriter:
    """images.npy: a header, then the pixels of one image after the other, which the processes write themselves."""

    def __init__(self, path: Path, kept: int, count: int, side: int) -> None:
        self._path, self._shape = path, (count, side, side, 3)
        self._end = _NPY_HEADER_BYTES + kept * side**2 * 3

    def __enter__(self) -> Self:
        self._path.touch()
        with self._path.open("r+b") as file:
            file.write(npy_header(self._shape))
            file.truncate(self._end)
        return self

    def append(self, content: bytes) -> None:
        """Nothing is left to write; the file has grown by an image."""
        self._end += self._shape[1] ** 2 * 3

    def flush(self) -> int:
        return self._end

    def complete(self) -> None:
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def __exit__(self, *_: object) -> None:
        pass


class _GrowingDigest:
    """sha256 of a file while it is written, in a thread of its own: `follow` says up to where its bytes are final."""

    def __init__(self, path: Path) -> None:
        self._path, self._digest, self._place = path, hashlib.sha256(), 0
        self._thread = ThreadPoolExecutor(1, "digest")

    def __enter__(self) -> Self:
        return self

    def follow(self, end: int) -> None:
        self._thread.submit(self._advance, end)

    def fact(self) -> FileFact:
        """Of the whole file, which is complete."""
        size = self._path.stat().st_size
        self._thread.submit(self._advance, size).result()
        return FileFact(name=self._path.name, bytes=size, sha256=self._digest.hexdigest())

    def _advance(self, end: int) -> None:
        with self._path.open("rb") as file:
            file.seek(self._place)
            while self._place < end:
                block = file.read(min(_READ_BYTES, end - self._place))
                if not block:
                    return
                self._digest.update(block)
                self._place += len(block)

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)


def _write(
    results: Iterator[Done],
    writer: _Writer,
    journal: io.TextIOBase,
    progress: Progress,
    digest: _GrowingDigest,
) -> int:
    """Write what comes, pixels first; whatever ends it, the images before are in the journal. Returns how many."""
    lines: list[Line] = []
    written = 0
    last = time.monotonic()

    def checkpoint() -> None:
        digest.follow(writer.flush())
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
    except (DatasetError, OSError):
        with contextlib.suppress(OSError):
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


def _finish(folder: Path, fact: FileFact) -> Totals:
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
    return Totals(
        images=count,
        images_sha256=listed.hexdigest(),
        images_file=fact,
        source_bytes=source_bytes,
        source_sha256=sources.hexdigest(),
        changes=dict(sorted(changes.items())),
        sums=sums,
        squares=squares,
    )
