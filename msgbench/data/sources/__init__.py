"""Recipes: one module per dataset that knows the publisher's files and nothing of stores."""

from __future__ import annotations

from msgbench.config import DatasetSpec
from msgbench.data.manifest import SourceFacts
from msgbench.data.sources import cifar10, embedded
from msgbench.data.sources.base import SPLITS, Source, Split


def open_source(spec: DatasetSpec) -> Source:
    """The images that `spec` asks for, read and checked; raises DatasetError.

    A source that opens is whole: whatever is wrong with the publisher's files is found here, before
    anything is written.
    """
    if spec.source == "cifar10":
        return cifar10.open_cifar10(spec)
    return embedded.open_embedded(spec)


def splits_at(spec: DatasetSpec) -> tuple[Split, ...]:
    """The splits that can be read from the source of `spec`, `train` first; raises DatasetError."""
    return cifar10.splits_at(spec) if spec.source == "cifar10" else SPLITS


def recipe_version(source: str) -> int:
    """The version of the recipe by its name in the config."""
    return {"cifar10": cifar10.RECIPE_VERSION, "embedded": embedded.RECIPE_VERSION}[source]


def source_changed(spec: DatasetSpec, facts: SourceFacts) -> bool:
    """Whether the files at `spec.path` are visibly not those of `facts` (sizes only, nothing is read).

    False also when nothing is there: a store outlives the files it was made from.
    """
    if spec.source != "cifar10" or spec.path is None:
        return False
    return cifar10.sizes_changed(spec, facts)
