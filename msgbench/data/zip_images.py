"""Images of 512 px and more: one zip archive of PNG files, uncompressed, as StyleGAN's tools write and read it.

`00000/img00000000.png` and so on, and dataset.json, which says that there are no labels. Appending goes on behind any
number of complete entries, so that a run that was killed is continued; what it ends with are the same bytes.
"""

from __future__ import annotations

import io
import os
import struct
import weakref
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from msgbench.errors import DatasetError

DATASET_JSON = "dataset.json"
_LABELS = b'{"labels": null}'
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_SIGNATURE = b"PK\x03\x04"
_DECODERS = 8


def entry_name(index: int) -> str:
    """Name of image `index` in the archive."""
    return f"{index // 1000:05d}/img{index:08d}.png"


class ZipWriter:
    """Appends PNG files to the archive at `path` behind its first `count` ones; use as a context manager.

    `complete` adds what makes it a zip archive. Without it, what lies at `path` is a beginning that is continued.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count

    def __enter__(self) -> Self:
        self._path.touch()
        infos = list(_entries(self._path, self._count))
        end = _end_of(infos)
        os.truncate(self._path, end)
        # Opened for appending, a file without the end mark of an archive is taken as it is, and written behind.
        self._archive = zipfile.ZipFile(self._path, "a", zipfile.ZIP_STORED)
        self._archive.filelist[:] = [info for info, _ in infos]
        self._archive.NameToInfo.update((info.filename, info) for info, _ in infos)
        return self

    def append(self, png: bytes) -> None:
        """The next image."""
        self._write(entry_name(self._count), png)
        self._count += 1

    def flush(self) -> int:
        """Hand everything to the operating system; up to the returned place it does not change any more."""
        assert self._archive.fp is not None
        self._archive.fp.flush()
        return self._archive.fp.tell()

    def complete(self) -> None:
        """Add the labels and the directory; the archive is done."""
        self._write(DATASET_JSON, _LABELS)
        self._archive.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def __exit__(self, *_: object) -> None:
        # Not closed: that would write a directory, also where writing failed.
        if self._archive.fp is not None:
            fp, self._archive.fp = self._archive.fp, None
            fp.close()

    def _write(self, name: str, content: bytes) -> None:
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        info.create_system = 3
        info.external_attr = 0o644 << 16
        self._archive.writestr(info, content, zipfile.ZIP_STORED)


def complete_entries(path: Path, most: int) -> int:
    """How many of the first `most` images lie complete in a beginning of an archive."""
    return sum(1 for _ in _entries(path, most)) if path.exists() else 0


def _end_of(entries: list[tuple[zipfile.ZipInfo, int]]) -> int:
    return entries[-1][1] if entries else 0


def _entries(path: Path, count: int) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """The first `count` entries by their own headers, each with the place where it ends."""
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        for index in range(count):
            file.seek(place)
            raw = file.read(_LOCAL_HEADER.size)
            if len(raw) < _LOCAL_HEADER.size:
                return
            mark, _, _, _, _, _, crc, packed, _, name_length, extra = _LOCAL_HEADER.unpack(raw)
            end = place + _LOCAL_HEADER.size + name_length + extra + packed
            if mark != _SIGNATURE or end > size or packed == 0:
                return
            info = zipfile.ZipInfo(entry_name(index), (1980, 1, 1, 0, 0, 0))
            if file.read(name_length) != info.filename.encode():
                return
            info.create_system, info.external_attr = 3, 0o644 << 16
            info.CRC, info.compress_size, info.file_size = crc, packed, packed
            info.header_offset = place
            yield info, end
            place = end


class ZipImages:
    """uint8 [N, R, R, 3] like an array on disk: decoded when it is asked for, by threads, and not kept."""

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        """Raises DatasetError unless the archive holds the images that `shape` says."""
        self.path, self.shape = path, shape
        try:
            with zipfile.ZipFile(path) as archive:
                infos = {info.filename: info for info in archive.infolist()}
        except (OSError, zipfile.BadZipFile):
            raise DatasetError(
                f"{path}: is not a readable zip archive; run `msgbench prepare` again"
            ) from None
        self._places = np.empty((shape[0], 2), np.int64)
        for index in range(shape[0]):
            info = infos.get(entry_name(index))
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise DatasetError(
                    f"{path}: has no uncompressed {entry_name(index)}, the manifest says {shape[0]} images; "
                    "run `msgbench prepare` again"
                )
            self._places[index] = info.header_offset, info.compress_size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        """One image [R, R, 3], or [n, R, R, 3] of a slice or an array of indices; a copy that may be written to."""
        if isinstance(index, int | np.integer):
            return self._decode(range(len(self))[int(index)])
        chosen = np.arange(len(self))[index].tolist()
        out = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        if len(chosen) < 2:
            for place, one in enumerate(chosen):
                out[place] = self._decode(one)
            return out

        def fill(place: int) -> None:
            out[place] = self._decode(chosen[place])

        list(self._threads.map(fill, range(len(chosen))))
        return out

    def file_bytes(self, index: int) -> bytes:
        """The PNG file of one image."""
        place, size = self._places[index].tolist()
        header = os.pread(self._handle, _LOCAL_HEADER.size, place)
        *_, name_length, extra = _LOCAL_HEADER.unpack(header)
        start = place + _LOCAL_HEADER.size + name_length + extra
        return os.pread(self._handle, size, start)

    def _decode(self, index: int) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(self.file_bytes(index)), formats=("PNG",)) as image:
                pixels = np.array(image)
        except (OSError, SyntaxError, ValueError, struct.error):
            pixels = np.empty(0)
        if pixels.shape != self.shape[1:] or pixels.dtype != np.uint8:
            raise DatasetError(
                f"{self.path} ({entry_name(index)}): is damaged; run `msgbench prepare` again"
            )
        return pixels

    @cached_property
    def _handle(self) -> int:
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, handle)
        return handle

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        # Started at the first batch, never copied into a process that is forked before.
        return ThreadPoolExecutor(min(_DECODERS, len(os.sched_getaffinity(0))), "decode")
