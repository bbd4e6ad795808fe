"""Files of a dataset where they lie: in a folder, in a zip archive, or in memory.

Listing looks at names and sizes alone; the bytes are read by whoever decodes them, in a process of its own. Nothing
of an archive is ever written to a path that the archive names.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from msgbench.data.sources.class_folders import entries_of, natural_key
from msgbench.data.sources.photographs import LARGEST_FILE
from msgbench.errors import DatasetError

# What reading a damaged, encrypted or oddly packed member of a zip archive raises.
DAMAGED_MEMBER = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # encrypted; NotImplementedError, which is one, for a compression that Python has not
    OSError,  # damaged bzip2 data
    ValueError,
)


class Item(NamedTuple):
    """One image file: its name inside the dataset, and its bytes or the place that has them."""

    name: str
    place: str
    """the file, or the archive or database that holds it"""
    content: bytes | None = None
    """None: to be read from the place"""
    in_archive: bool = False

    @property
    def where(self) -> str:
        """How a sentence calls it."""
        inside = self.in_archive or self.content is not None
        return f"{self.place} ({self.name})" if inside else self.place

    def read(self) -> bytes:
        """The file's bytes; raises DatasetError where they cannot be read."""
        if self.content is not None:
            return self.content
        try:
            if self.in_archive:
                return _read_member(self.place, self.name)
            with open(self.place, "rb") as file:
                return file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise DatasetError(f"{self.where}: cannot be read ({error.strerror})") from None


class Listed(NamedTuple):
    """A file by name and size in bytes."""

    name: str
    size: int


Wanted = Callable[[str], bool]


def list_folder(root: Path, wanted: Wanted) -> list[Listed]:
    """All files below `root` whose name is wanted, by path relative to it, numbers counted as numbers.

    Hidden files and what file managers leave are passed over. Raises DatasetError for a link that leads out of
    `root` or nowhere, OSError for what cannot be listed.
    """
    found: list[Listed] = []
    real_root = root.resolve()

    def walk(folder: Path, prefix: str, above: tuple[Path, ...]) -> None:
        for entry in entries_of(folder, real_root):
            if entry.is_dir():
                real = Path(entry.path).resolve()
                if real in above:
                    raise DatasetError(f"{entry.path}: is a link to a folder that it lies in")
                walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, real))
            elif entry.is_file() and wanted(entry.name):
                found.append(Listed(prefix + entry.name, entry.stat().st_size))

    walk(root, "", (real_root,))
    return sorted(found, key=lambda listed: natural_key(listed.name))


def list_zip(path: Path, wanted: Wanted) -> list[Listed]:
    """All members of a zip archive whose last name is wanted, in the order of `list_folder`.

    Raises DatasetError for what is no zip or is truncated, and for members that no honest archive has: names that
    lead out of it, links, passwords.
    """
    found = []
    for info in open_zip(str(path)).infolist():
        name = PurePosixPath(info.filename)
        where = f"{path} ({info.filename})"
        if name.is_absolute() or ".." in name.parts or "\\" in info.filename:
            raise DatasetError(
                f"{where}: names a place outside of the archive; nothing was unpacked"
            )
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DatasetError(f"{where}: is a link; expected files only")
        hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
        if info.is_dir() or hidden or not wanted(name.name):
            continue
        if info.flag_bits & 1:
            raise DatasetError(f"{where}: is encrypted; expected an archive without a password")
        found.append(Listed(info.filename, info.file_size))
    return sorted(found, key=lambda listed: natural_key(listed.name))


def open_zip(path: str) -> zipfile.ZipFile:
    """The archive at `path`, opened once a process; raises DatasetError for what is no zip or is truncated."""
    state = os.stat(path)
    return _open_zip(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)
def _open_zip(path: str, size: int, changed: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise DatasetError(
            f"{path}: is not a zip archive, or its end is missing (a download that was cut off?)"
        ) from None


def _read_member(path: str, name: str) -> bytes:
    archive = open_zip(path)
    where = f"{path} ({name})"
    info = archive.getinfo(name)
    if info.file_size > LARGEST_FILE:
        raise DatasetError(
            f"{where}: unpacks to {info.file_size:,} bytes; expected an image of at most {LARGEST_FILE:,} bytes"
        )
    try:
        return archive.read(info)
    except DAMAGED_MEMBER as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's or the network's trouble, not the archive's
        raise DatasetError(f"{where}: is damaged or truncated in the archive") from None


def signature(listed: Iterable[Listed]) -> str:
    """sha256 over names and sizes: tells whether a list of files is still the one that was begun with."""
    digest = hashlib.sha256()
    for name, size in listed:
        digest.update(f"{name}\0{size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
