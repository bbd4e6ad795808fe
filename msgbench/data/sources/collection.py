"""Collections of photographs: folders and zip archives, with the names under which their publishers ship them.

One object stands for the images of one split, wherever they lie; flowers.py and lsun.py add the forms that only
these datasets have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgbench.config import DatasetSpec
from msgbench.config.published import PUBLISHED, Published
from msgbench.data.manifest import FileFact
from msgbench.data.sources.items import Item, Listed, Wanted, list_folder, list_zip, signature
from msgbench.data.sources.photographs import SUFFIXES, Rule
from msgbench.errors import DatasetError

# Bumped by hand, for all recipes of photographs, when the same files would be taken in another order or selection.
RECIPE_VERSION = 1

# Images to whoever put them there: they are not taken, and not passed over in silence.
_NOT_READ = (
    ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ppm", ".pgm", ".tga",
)  # fmt: skip


@dataclass(frozen=True)
class Collection:
    """The photographs of one split in their order, not read yet; iterating twice gives the same."""

    form: str
    """which of the publisher's forms was found"""
    count: int
    signature: str
    """of names and sizes: a run that is resumed goes on only with the files that it began with"""
    bytes: int
    """of all files, where that is known without reading them; else 0"""
    items: Callable[[int, str | None], Iterator[Item]] = field(repr=False)
    """(number, name of the item before it) -> the items from that number on"""
    archive: FileFact | None = None
    unpacked_bytes: int = 0
    """disk that reading takes beside the store"""
    passed_over: tuple[str, ...] = ()
    """names of images in forms that are not read, by their suffix, which lie among the others"""
    jfif: int = 0
    """how many of the images are called .jfif: stores that were made before these were read do without them"""
    unpack: Callable[[Path], Collection] | None = field(default=None, repr=False)
    """where nothing can be read before: unpacks below a folder, once, and gives the collection that is read"""


def rule_of(spec: DatasetSpec, published: Published) -> Rule:
    """What becomes of every image: as `spec` says, else as the recipe does by default."""
    return Rule(
        side=spec.resolution,
        fit=spec.fit or published.fit,
        resize=spec.resize or published.resize,
        size=published.size,
        window=published.window,
        title=published.title,
    )


def is_image(name: str) -> bool:
    """Whether a file is one of the images, by its name."""
    return name.lower().endswith(SUFFIXES)


def of_files(
    place: Path, expected: str, wanted: Wanted = is_image, by_name_alone: bool = False
) -> Collection:
    """The images below a folder or in a zip archive; raises DatasetError when there are none (but `expected`).

    `by_name_alone`: in the byte order of their last names, as a database has its keys.
    """
    zipped = place.is_file()
    passed_over: list[str] = []

    def noted(name: str) -> bool:
        if not wanted(name) and name.lower().endswith(_NOT_READ):
            passed_over.append(name)
        return wanted(name)

    listed = list_zip(place, noted) if zipped else list_folder(place, noted)
    if by_name_alone:
        listed.sort(key=lambda one: one.name.rsplit("/", 1)[-1].encode(errors="surrogateescape"))
    if not listed:
        raise DatasetError(f"{place}: holds no images; expected {expected}")

    def items(start: int, after: str | None) -> Iterator[Item]:
        for one in listed[start:]:
            yield Item(one.name, str(place if zipped else place / one.name), in_archive=zipped)

    return Collection(
        form="zip archive of images" if zipped else "folder of images",
        count=len(listed),
        signature=signature(listed),
        bytes=sum(one.size for one in listed),
        items=items,
        passed_over=tuple(sorted(passed_over)),
        jfif=sum(one.name.lower().endswith(".jfif") for one in listed),
    )


def of_memory(place: Path, form: str, files: dict[str, bytes], archive: FileFact) -> Collection:
    """The images of an archive that was read already, by name."""
    names = sorted(files)

    def items(start: int, after: str | None) -> Iterator[Item]:
        for name in names[start:]:
            yield Item(name, str(place), content=files[name])

    sizes = [Listed(name, len(files[name])) for name in names]
    return Collection(
        form=form,
        count=len(names),
        signature=signature(sizes),
        bytes=sum(one.size for one in sizes),
        items=items,
        archive=archive,
    )


def open_collection(spec: DatasetSpec, path: Path) -> Collection:
    """The images in a folder or an archive of any name at `path`, which exists; raises DatasetError."""
    published = PUBLISHED[spec.source]
    for name in published.inside:
        if (path / name).exists():
            path = path / name
            break
    return of_files(path, published.forms)
