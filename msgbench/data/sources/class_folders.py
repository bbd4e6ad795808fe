"""Images in one folder for each class, by themselves or below train/ and test/.

Here the files are found, checked for what can be seen without reading them, and put in order; what is in
them is the business of image_files. The order: within a class by name, numbers counted as numbers (2.png
before 10.png); then the first image of every class in the order of the classes, the second of every class,
and so on, a class that has no more being passed over. So the first N images of a split hold all classes
alike, whatever N is.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from msgbench.data.sources.base import SPLITS, Split, published_splits
from msgbench.data.sources.image_files import SUFFIXES
from msgbench.errors import DatasetError

# What file managers leave in folders; names that begin with a dot are passed over, too.
_LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_NUMBER = re.compile(r"(\d+)", re.ASCII)


class ImageFile(NamedTuple):
    """One image of a split."""

    path: Path
    relative: str
    """class/name: the path below the split's folder; split/class/name where both splits are read"""
    label: int
    size: int
    """bytes"""


@dataclass(frozen=True)
class ClassFolders:
    """The classes of a dataset, in the order of their labels, and how its sentences call it."""

    title: str
    classes: tuple[str, ...]
    meant: Mapping[str, str] = field(default_factory=dict)
    """other names that people use, and the class that they mean; only for `did you mean`"""

    @property
    def expected(self) -> str:
        """What a folder with all classes holds."""
        return f"one folder for each class ({self.classes[0]} to {self.classes[-1]})"

    def are_in(self, folder: Path) -> bool:
        """Whether `folder` looks like such a tree: by a folder of a class or a split, or most nearly so."""
        names = _folders(folder)
        near = [name for name in names if self._nearest(name, SPLITS) is not None]
        exact = set(names).intersection(self.classes + SPLITS)
        return bool(exact) or 2 * len(near) > len(names)

    def splits(self, root: Path) -> tuple[Split, ...]:
        """The splits that the tree tells apart; empty when it is a single one, without name."""
        names = _folders(root)
        splits = tuple(name for name in SPLITS if name in names)
        mixed = sorted(set(names).intersection(self.classes))
        if splits and mixed:
            raise DatasetError(
                f"{root}: holds a class ({mixed[0]}) beside a split ({splits[0]}); "
                "expected folders of classes, or train and test with these"
            )
        return splits

    def files(self, root: Path, split: Split) -> list[ImageFile]:
        """The images of a split in the order of the dataset; raises DatasetError.

        A tree without folders for splits is taken for the one that is asked for. `all` of a tree with them is the
        one split after the other, each in its own order.
        """
        splits = self.splits(root)
        if split == "all" and splits:
            return [
                file._replace(relative=f"{part}/{file.relative}")
                for part in published_splits(split)
                for file in self.files(root, part)
            ]
        if splits and split not in splits:
            raise DatasetError(
                f"{root}: has no images of split {split} (found {', '.join(splits)}); "
                f"expected a folder {split} with {self.expected}"
            )
        real_root = Path(os.path.realpath(root))
        if splits:
            with os.scandir(root) as entries:
                _check_link(next(entry for entry in entries if entry.name == split), real_root)
        folder = root / split if splits else root
        by_class: dict[str, list[ImageFile]] = {}
        for entry in entries_of(folder, real_root):
            if not entry.is_dir():
                if _is_image_name(entry.name):
                    raise DatasetError(
                        f"{entry.path}: lies in no class; expected {self.expected} in {folder}"
                    )
                continue  # a readme, a list of labels
            if entry.name not in self.classes:
                known = () if splits else SPLITS
                raise DatasetError(
                    f"{entry.path}: is no class of {self.title}{self._hint(entry.name, known)}"
                )
            label = self.classes.index(entry.name)
            by_class[entry.name] = _images_of_class(Path(entry.path), label, real_root)
        if not any(by_class.values()):
            raise DatasetError(f"{folder}: holds no images; expected {self.expected}")
        return _alternating([by_class.get(name, []) for name in self.classes])

    def _nearest(self, name: str, besides: tuple[str, ...] = ()) -> str | None:
        lower = name.lower()
        if lower in self.meant:
            return self.meant[lower]
        close = difflib.get_close_matches(lower, [*self.classes, *besides], n=1, cutoff=0.6)
        return close[0] if close else None

    def _hint(self, name: str, besides: tuple[str, ...]) -> str:
        meant = self._nearest(name, besides)
        return f"; did you mean {meant!r}?" if meant else f"; allowed: {', '.join(self.classes)}"


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts names as people do: img2 before img10, and a02 beside a2."""
    parts = _NUMBER.split(name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def list_digest(digests: Mapping[str, str]) -> str:
    """sha256 over the lines `sha256  relative path` of all files, sorted by the bytes of the path.

    For names without line breaks it is what `find` with `sort` and `sha256sum` give in the split's folder:
    find airplane automobile ... -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum
    """
    lines = hashlib.sha256()
    for relative in sorted(digests, key=os.fsencode):
        lines.update(f"{digests[relative]}  ".encode() + os.fsencode(relative) + b"\n")
    return lines.hexdigest()


def _alternating(classes: Iterable[list[ImageFile]]) -> list[ImageFile]:
    """First images of all classes, then the second ones, ..."""
    rounds = itertools.zip_longest(*classes)
    return [file for one_of_each in rounds for file in one_of_each if file is not None]


def _images_of_class(folder: Path, label: int, real_root: Path) -> list[ImageFile]:
    found = []
    for entry in entries_of(folder, real_root):
        if entry.is_dir():
            raise DatasetError(f"{entry.path}: is a folder inside of a class; expected images only")
        if not entry.is_file():
            raise DatasetError(f"{entry.path}: is neither a file nor a folder; expected an image")
        if not _is_image_name(entry.name):
            raise DatasetError(
                f"{entry.path}: is not an image by its name; expected {', '.join(SUFFIXES)}"
            )
        relative = f"{folder.name}/{entry.name}"
        found.append(ImageFile(Path(entry.path), relative, label, entry.stat().st_size))
    return sorted(found, key=lambda file: natural_key(file.path.name))


def entries_of(folder: Path, real_root: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name; raises DatasetError for a link that leads out of the tree or nowhere."""
    with os.scandir(folder) as entries:
        visible = sorted(
            (entry for entry in entries if not _is_litter(entry.name)), key=lambda entry: entry.name
        )
    for entry in visible:
        _check_link(entry, real_root)
    return visible


def _check_link(entry: os.DirEntry[str], real_root: Path) -> None:
    if not entry.is_symlink():
        return
    target = os.path.realpath(entry.path)
    if not Path(target).is_relative_to(real_root):
        raise DatasetError(
            f"{entry.path}: is a link to {target}, outside of {real_root}; expected no such link"
        )
    if not os.path.exists(target):
        raise DatasetError(f"{entry.path}: is a link to nothing; expected an image or a folder")


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if entry.is_dir() and not _is_litter(entry.name)
        )


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)
