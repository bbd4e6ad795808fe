"""What every recipe for reading a dataset offers to `prepare`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import numpy as np

from msgbench.data.manifest import SourceFacts

Split = Literal["train", "test", "all"]
# Those that a source is published in; `all` is both of them, in this order.
SPLITS: tuple[Split, ...] = ("train", "test")


def published_splits(split: Split) -> tuple[Split, ...]:
    """The splits as published that `split` is made of."""
    return SPLITS if split == "all" else (split,)


class SourceImage(NamedTuple):
    """One image as published, uint8 [H, W, 3], and its label (None when the source has none)."""

    pixels: np.ndarray
    label: int | None


class Source(Protocol):
    """Images of one split in a fixed order; iterating twice gives the same images."""

    @property
    def count(self) -> int:
        """Images of this split that the source holds."""

    @property
    def resolution(self) -> int:
        """Side of the square images in pixels."""

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Names of the labels 0, 1, ...; None when the images have no labels."""

    @property
    def stand_in(self) -> bool:
        """Whether the images only stand in for the dataset."""

    def __iter__(self) -> Iterator[SourceImage]: ...

    def facts(self) -> SourceFacts:
        """Recipe, version and files with their sha256."""
