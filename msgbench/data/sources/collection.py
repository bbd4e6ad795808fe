"""Collections of photographs: folders and zip archives, with the names under which their publishers ship them.

One object stands for the images of one split, wherever they lie; flowers.py and lsun.py add the forms that only
these datasets have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgbench.config import DatasetSpec
from msgbench.data.manifest import FileFact
from msgbench.data.sources.items import Item, Listed, Wanted, list_folder, list_zip, signature
from msgbench.data.sources.photographs import ALLOWED, SUFFIXES, Rule
from msgbench.data.sources.published import Published
from msgbench.errors import DatasetError

# Bumped by hand, for all recipes of photographs, when the same files would be taken in another order or selection.
RECIPE_VERSION = 1


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
    listed = list_zip(place, wanted) if zipped else list_folder(place, wanted)
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


# Below a folder that was unpacked or downloaded as a whole: what of it is the dataset.
_INSIDE = {
    "celeba_hq": ("CelebA-HQ-img", "data1024x1024", "data1024x1024.zip"),
    "ffhq": ("images1024x1024", "images1024x1024.zip"),
    "celeba": ("img_align_celeba", "Img/img_align_celeba", "img_align_celeba.zip", "Img/img_align_celeba.zip"),
}  # fmt: skip
FORMS = {
    "celeba_hq": "a folder or zip of 1024x1024 images (PNG, JPEG or .npy), one file each",
    "ffhq": "images1024x1024/ with its folders 00000/ to 69000/, a folder that holds it, or a zip of it",
    "celeba": "img_align_celeba/ (178x218 JPEG), a folder that holds it, or img_align_celeba.zip",
    "folder": f"a folder (with folders) or a zip of images ({ALLOWED})",
}


def open_collection(spec: DatasetSpec, path: Path) -> Collection:
    """The images of CelebA-HQ, FFHQ, CelebA or any folder at `path`, which exists; raises DatasetError."""
    for name in _INSIDE.get(spec.source, ()):
        if (path / name).exists():
            path = path / name
            break
    return of_files(path, FORMS[spec.source])
