"""Recipes: one module per dataset that knows the publisher's files and nothing of stores."""

from __future__ import annotations

from msgbench.config import UNBUILT_SOURCES, DatasetSpec
from msgbench.data.manifest import SourceFacts
from msgbench.data.sources import cifar10, embedded
from msgbench.data.sources.base import SPLITS, Source, Split
from msgbench.errors import DatasetError


def open_source(spec: DatasetSpec) -> Source:
    """The images that `spec` asks for, read and checked; raises DatasetError.

    A source that opens is whole: whatever is wrong with the publisher's files is found here, before
    anything is written.
    """
    _require_built(spec)
    if spec.source == "cifar10":
        return cifar10.open_cifar10(spec)
    return embedded.open_embedded(spec)


def splits_at(spec: DatasetSpec) -> tuple[Split, ...]:
    """The splits that can be read from the source of `spec`, `train` first; raises DatasetError."""
    _require_built(spec)
    return cifar10.splits_at(spec) if spec.source == "cifar10" else SPLITS


def _require_built(spec: DatasetSpec) -> None:
    """Raise DatasetError for a dataset that is declared, but whose recipe does not exist yet."""
    if spec.source in UNBUILT_SOURCES:
        raise DatasetError(
            f"datasets.{spec.name}.source: the recipe {spec.source} is not built yet; its experiments run in the "
            "smoke tier only, on images that msgbench draws (leave datasets."
            f"{spec.name}.path empty there)"
        )


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
