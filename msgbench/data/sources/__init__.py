"""Recipes: one module per dataset that knows the publisher's files and nothing of stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgbench.config import DatasetSpec
from msgbench.config.dataset import PHOTOGRAPHS, WITH_FACES
from msgbench.config.published import PUBLISHED
from msgbench.console import say
from msgbench.data.manifest import SourceFacts
from msgbench.data.sources import cifar10, collection, embedded, flowers, lsun
from msgbench.data.sources.base import SPLITS, Source, Split
from msgbench.data.sources.collection import Collection
from msgbench.errors import DatasetError

# Photographs that are published in a form of their own; the others lie in a folder or an archive of images.
_OPENERS: dict[str, Callable[[DatasetSpec, Path], Collection]] = {
    "oxford_flowers": flowers.open_flowers,
    "lsun_churches": lsun.open_lsun,
    "lsun_bedrooms": lsun.open_lsun,
}


def open_source(spec: DatasetSpec) -> Source:
    """The images of CIFAR-10 or the drawn ones, as `spec` asks for them, read and checked; raises DatasetError.

    A source that opens is whole: whatever is wrong with the publisher's files is found here, before
    anything is written.
    """
    if spec.source == "cifar10":
        return cifar10.open_cifar10(spec)
    return embedded.open_embedded(spec)


def open_photographs(spec: DatasetSpec) -> Collection:
    """The photographs that `spec` asks for, found and listed; raises DatasetError. They are read when packed."""
    forms = forms_of(spec)
    if not spec.path:
        raise DatasetError(f"datasets.{spec.name}.path: is not set; allowed: {forms}")
    path = Path(spec.path).expanduser()
    try:
        if not path.exists():
            raise DatasetError(f"{path}: does not exist; datasets.{spec.name}.path allows {forms}")
        if not (path.is_file() or path.is_dir()):
            raise DatasetError(f"{path}: is neither a file nor a folder; expected {forms}")
        return _OPENERS.get(spec.source, collection.open_collection)(spec, path)
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read ({error.strerror})") from None


def forms_of(spec: DatasetSpec) -> str:
    """In which forms photographs are taken, as the end of a sentence."""
    # The names of LSUN's files hang on the split.
    return lsun.forms_of(spec) if spec.source in lsun.CATEGORIES else PUBLISHED[spec.source].forms


def splits_at(spec: DatasetSpec) -> tuple[Split, ...]:
    """The splits that can be read from the source of `spec`, `train` first; raises DatasetError."""
    return cifar10.splits_at(spec) if spec.source == "cifar10" else SPLITS


def recipe_version(source: str) -> int:
    """The version of the recipe by its name in the config."""
    if source in PHOTOGRAPHS:
        return collection.RECIPE_VERSION
    return {"cifar10": cifar10.RECIPE_VERSION, "embedded": embedded.RECIPE_VERSION}[source]


def source_changed(spec: DatasetSpec, facts: SourceFacts) -> bool:
    """Whether the files at `spec.path` are visibly not those of `facts` (names and sizes only, nothing is read).

    False also when nothing is there: a store outlives the files it was made from; and for a store from before .jfif
    was read, which runs may have been trained on. Of photographs both are said. Of faces data/faces looks itself.
    """
    if spec.path is None:
        return False
    if spec.source == "cifar10":
        return cifar10.sizes_changed(spec, facts)
    if (
        spec.source not in PHOTOGRAPHS
        or spec.source in WITH_FACES
        or (spec.source == "oxford_flowers" and Path(spec.path).is_file())
    ):
        return False
    try:
        found = open_photographs(spec)
    except DatasetError as error:
        # Nothing readable there (any more); the finished store is still what was asked for.
        say(f"{spec.name}: its store was made before and stands, although {error}")
        return False
    if found.jfif and found.count - found.jfif == facts.count:
        say(
            f"{spec.name}: files called .jfif ({found.jfif:,}) are not in its store, which was made of the others; "
            "delete its folder to have them packed, too"
        )
        return False
    return found.unpack is None and found.count != facts.count
