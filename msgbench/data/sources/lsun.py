"""LSUN: the official lmdb of a category, as a folder or zipped, or the images that were exported from it.

The database is read in the order of its keys, once and from front to back; a run that was interrupted goes on
behind the last key that it packed. Exported images are put in the same order. Reading a database needs the package
`lmdb`, an extra of msgbench.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgbench.config import DatasetSpec
from msgbench.console import Progress
from msgbench.data.sources.collection import Collection, of_files
from msgbench.data.sources.items import Item, Listed, list_zip, open_zip, signature
from msgbench.errors import DatasetError

CATEGORIES = {"lsun_churches": "church_outdoor", "lsun_bedrooms": "bedroom"}
_SPLITS = {"train": "train", "test": "val"}
_OFFICIAL = re.compile(r"([a-z_]+)_(train|val|test)_lmdb(?:\.zip)?")
_DATA = "data.mdb"
_BLOCK = 2**23


def forms_of(spec: DatasetSpec) -> str:
    """What may lie at the path, as the end of a sentence."""
    name = official_name(spec)
    return f"{name}/ (with {_DATA}), {name}.zip, a folder that holds one of these, or a folder or zip of images"


def open_lsun(spec: DatasetSpec, path: Path) -> Collection:
    """The photographs at `path`, which exists; raises DatasetError."""
    name = official_name(spec)
    if path.name == _DATA:
        path = path.parent
    for inside in (name, f"{name}.zip"):
        if (path / inside).exists():
            path = path / inside
            break
    named = _OFFICIAL.fullmatch(path.name)
    if named and path.name.removesuffix(".zip") != name:
        raise DatasetError(f"{path}: is {named[1]}, split {named[2]}; expected {name}")
    if path.is_dir() and (path / _DATA).exists():
        return _of_database(path, forms_of(spec))
    if path.is_file():
        inside_zip = list_zip(path, lambda file: file == _DATA)
        if inside_zip:
            return _of_zipped(path, inside_zip, forms_of(spec))
    return of_files(path, f"images of {name}", by_name_alone=True)


def official_name(spec: DatasetSpec) -> str:
    """Name of the database of a category and split."""
    return f"{CATEGORIES[spec.source]}_{_SPLITS[spec.split]}_lmdb"


def _of_database(folder: Path, forms: str) -> Collection:
    size = (folder / _DATA).stat().st_size
    count = _count(folder, size, forms)

    def items(start: int, after: str | None) -> Iterator[Item]:
        return _read(folder, after)

    return Collection("lmdb", count, signature([Listed(_DATA, size)]), size, items)


def _of_zipped(path: Path, inside: list[Listed], forms: str) -> Collection:
    """A database in a zip has to be unpacked before its images can be counted."""
    if len(inside) > 1:
        raise DatasetError(f"{path}: holds {len(inside)} databases; expected one")

    def items(start: int, after: str | None) -> Iterator[Item]:
        raise AssertionError("a zipped database is unpacked before it is read")

    return Collection(
        form="lmdb in a zip archive",
        count=0,
        signature=signature(inside),
        bytes=inside[0].size,
        items=items,
        unpacked_bytes=inside[0].size,
        unpack=lambda scratch: _of_database(unpack(path, scratch), forms),
    )


def unpack(path: Path, scratch: Path) -> Path:
    """The folder below `scratch` with the database of the zip archive `path`, unpacked once."""
    (member,) = list_zip(path, lambda file: file == _DATA)
    folder = scratch / "lmdb"
    if not folder.exists():
        building = scratch / "lmdb.unpacking"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        with (
            open_zip(str(path)).open(member.name) as packed,
            (building / _DATA).open("wb") as out,
            Progress(f"unpack {path.name}", member.size / 1e6, "MB") as progress,
        ):
            try:
                while block := packed.read(_BLOCK):
                    out.write(block)
                    progress.advance(len(block) / 1e6)
            except (EOFError, ValueError, RuntimeError) as error:
                raise DatasetError(f"{path} ({member.name}): is damaged or truncated") from error
        building.rename(folder)
    return folder


def load_lmdb() -> Any:
    """The package `lmdb`; raises DatasetError where it is not installed."""
    try:
        import lmdb
    except ImportError:
        raise DatasetError(
            "lmdb: the package that reads LSUN's databases is not installed; "
            "install it (pip install 'msgbench[lsun]'), or name a folder of exported images"
        ) from None
    return lmdb


def _open(folder: Path) -> Any:
    lmdb = load_lmdb()
    try:
        return lmdb.open(str(folder), readonly=True, lock=False, max_readers=1)
    except lmdb.Error as error:
        raise DatasetError(f"{folder / _DATA}: is not a readable lmdb ({error})") from None


def _count(folder: Path, size: int, forms: str) -> int:
    """Images of a database; raises DatasetError where it is cut off, which reading would crash on."""
    with _open(folder) as database:
        states = database.stat()
        needed = (database.info()["last_pgno"] + 1) * states["psize"]
        entries = int(states["entries"])
    if size < needed:
        raise DatasetError(
            f"{folder / _DATA}: is {size:,} bytes long, its pages need {needed:,} (a download that was cut off?)"
        )
    if entries == 0:
        raise DatasetError(f"{folder / _DATA}: holds no images; expected {forms}")
    return entries


def _read(folder: Path, after: str | None) -> Iterator[Item]:
    lmdb = load_lmdb()
    place = str(folder / _DATA)
    try:
        with _open(folder) as database, database.begin() as transaction:
            with transaction.cursor() as cursor:
                alive = cursor.first()
                if after is not None:
                    alive = cursor.set_key(after.encode("latin-1")) and cursor.next()
                while alive:
                    yield Item(cursor.key().decode("latin-1"), place, content=cursor.value())
                    alive = cursor.next()
    except lmdb.Error as error:
        raise DatasetError(f"{place}: is damaged ({error})") from None
