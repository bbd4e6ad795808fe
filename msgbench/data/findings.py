"""What there is to say about a set of images, in lines for a person: counts, copies, what it shares with another."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from msgbench.config.published import PUBLISHED
from msgbench.data.manifest import Packing, SourceFacts
from msgbench.data.sources.base import Split

_EXAMPLES = 3


@dataclass(frozen=True)
class ImageSet:
    """The images of one split, known by the digests of their pixels."""

    where: str
    """how a line calls it"""
    split: Split
    digests: list[bytes]
    labels: list[int] | None
    label_names: tuple[str, ...] | None


def digests_of(images: Iterable[np.ndarray]) -> list[bytes]:
    """sha256 of each image's pixels, uint8 [R, R, 3] in C order."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]


def copies(digests: Sequence[bytes]) -> list[list[int]]:
    """The groups of equal images: their indices, in order."""
    places: dict[bytes, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        places[digest].append(index)
    return [group for group in places.values() if len(group) > 1]


def shared(one: Sequence[bytes], other: Sequence[bytes]) -> list[tuple[int, int]]:
    """The images of `one` that are in `other`, too: both indices (the first ones in `other`)."""
    places: dict[bytes, int] = {}
    for index, digest in enumerate(other):
        places.setdefault(digest, index)
    return [(index, places[digest]) for index, digest in enumerate(one) if digest in places]


def source_lines(facts: SourceFacts) -> Iterator[str]:
    """Whether the source is complete."""
    published = PUBLISHED.get(facts.recipe)
    if published is not None and not published.counts:
        state = f"{facts.count:,} images of yours"
    elif facts.count == facts.expected_count:
        state = f"complete, all {facts.count:,} published images"
    else:
        state = f"incomplete, {facts.count:,} of the {facts.expected_count:,} published images"
        if facts.count > facts.expected_count:
            state = f"not as published, {facts.count:,} images instead of {facts.expected_count:,}"
    yield line("source", f"{facts.recipe}, {facts.form}: {state}")
    if facts.lossy:
        yield line("source", "lossy: JPEG files, whose pixels are not exactly the published ones")


def content_lines(images: ImageSet) -> Iterator[str]:
    """Classes, where there are labels, and copies."""
    if images.labels is not None:
        counts = np.bincount(images.labels, minlength=len(images.label_names or ())).tolist()
        names = images.label_names or tuple(f"label {label}" for label in range(len(counts)))
        each = (f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
        yield line("classes", ", ".join(each))
    groups = copies(images.digests)
    if not groups:
        yield line("duplicates", "none")
        return
    spare = sum(len(group) - 1 for group in groups)
    yield line("duplicates", f"{number_of(spare)} repeated: {examples(map(_equation, groups))}")
    if images.labels is not None:
        labels = images.labels
        torn = [group for group in groups if len({labels[index] for index in group}) > 1]
        if torn:
            found = examples(map(_equation, torn))
            yield line("duplicates", f"some under different labels: {found}")


def leakage_lines(images: ImageSet, other: ImageSet | None, reason: str = "") -> Iterator[str]:
    """What two sets share; `reason`: why there is no other one."""
    if other is None:
        yield line("leakage", f"not looked for: {reason}; name one with --against")
        return
    between = f"between split {images.split} and split {other.split} ({other.where})"
    found = shared(images.digests, other.digests)
    if not found:
        yield line("leakage", f"none {between}")
        return
    pairs = (f"{images.split} {one} = {other.split} {two}" for one, two in found)
    yield line("leakage", f"{number_of(len(found))} shared {between}: {examples(pairs)}")


def _equation(group: Sequence[int]) -> str:
    return " = ".join(str(index) for index in group)


def examples(texts: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    everything = list(texts)
    more = len(everything) - _EXAMPLES
    return ", ".join(everything[:_EXAMPLES]) + (f", and {more:,} more" if more > 0 else "")


def packing_lines(packing: Packing) -> Iterator[str]:
    """How photographs were made into the images of a store."""
    decoded = packing.libraries.get("pillow", "?")
    yield line(
        "pixels", f"{packing.fit}, {packing.resize}, Pillow {decoded}{changed(packing.changes)}"
    )
    terms = (
        ""
        if packing.terms is None
        else "; terms accepted: " + ("yes" if packing.accept_terms else "no")
    )
    yield line("licence", packing.licence + terms)


def changed(changes: Mapping[str, int]) -> str:
    """Which rules changed how many images, as the end of a line."""
    return "".join(f"; {rule}: {count:,}" for rule, count in changes.items())


def number_of(count: int) -> str:
    """`1 image is`, `2 images are`."""
    return f"{count:,} image is" if count == 1 else f"{count:,} images are"


def line(label: str, text: object) -> str:
    """A line of the report."""
    return f"{label:<12}{text}"
