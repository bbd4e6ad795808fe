"""A raw dataset of photographs, looked at as a whole before hours are spent on it: every file decoded, on all cores."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msgbench.config import DatasetSpec
from msgbench.config.published import PUBLISHED
from msgbench.console import Progress
from msgbench.data.findings import ImageSet, changed, content_lines, examples, leakage_lines, line
from msgbench.data.pool import MOST_WORKERS, cores, ordered_map
from msgbench.data.sources import open_photographs
from msgbench.data.sources.base import Split
from msgbench.data.sources.items import Item
from msgbench.data.sources.photographs import ALLOWED, read_whole
from msgbench.errors import DatasetError

_UNPACKED = "a zipped database is checked when it is prepared; unpack it to check it before"
_FEW = 2000


class Seen(NamedTuple):
    """What one file turned out to be."""

    digest: bytes
    size: tuple[int, int]
    changes: tuple[str, ...]
    error: str | None


def guess(place: Path) -> str:
    """As what a raw dataset is read that nobody named: by its own name or what lies in it, else as CIFAR-10."""
    for source, published in PUBLISHED.items():
        for sign in published.signs:
            if place.match(sign) or (place.is_dir() and next(place.glob(sign), None) is not None):
                return source
    return "cifar10"


def look(item: Item) -> Seen:
    """Decode one file."""
    try:
        image, changes = read_whole(item.read(), item.where)
    except DatasetError as error:
        return Seen(b"", (0, 0), (), str(error))
    return Seen(hashlib.sha256(np.asarray(image).tobytes()).digest(), image.size, changes, None)


def check_photographs(
    place: Path, source: str, split: Split, against: Path | None
) -> Iterator[str]:
    """Lines about a raw dataset; raises DatasetError, after all of them, when images of it cannot be used."""
    published = PUBLISHED[source]
    yield line("raw source", place)
    seen, form, left = _look_at_all(place, source, split)
    good = [one for one in seen if one.error is None]
    sizes = Counter(one.size for one in good)
    yield line("images", f"{len(seen):,} of {_sizes(sizes)}, split {split} of {source}")
    if left:
        yield line("left out", f"{len(left):,} images that are not {ALLOWED}: {examples(left)}")
    expected = published.counts.get(split)
    if expected is not None:
        complete = len(seen) == expected
        state = "complete, all" if complete else f"not complete, {len(seen):,} of the"
        if len(seen) > expected:
            state = f"not as published, {len(seen):,} instead of"
        yield line("source", f"{published.title}, {form}: {state} {expected:,} published images")
    changes = Counter(change for one in good for change in one.changes)
    yield line(
        "rules", changed(dict(sorted(changes.items()))).removeprefix("; ") or "change no image"
    )
    yield line("licence", published.licence)
    images = ImageSet(str(place), split, [one.digest for one in good], None, None)
    yield from content_lines(images)
    if against is not None:
        other, _, _ = _look_at_all(against, source, split)
        digests = [one.digest for one in other if one.error is None]
        yield from leakage_lines(images, ImageSet(str(against), split, digests, None, None))
    else:
        yield from leakage_lines(images, None, "there is nothing to compare with")
    wrong = [one.error for one in seen if one.error is not None]
    if published.size is not None:
        width, height = published.size
        others = sum(count for size, count in sizes.items() if size != published.size)
        if others:
            wrong.append(f"{others:,} are not {width}x{height} px")
    if wrong:
        raise DatasetError(f"{place}: has images that cannot be used: {examples(wrong)}")


def _look_at_all(place: Path, source: str, split: Split) -> tuple[list[Seen], str, tuple[str, ...]]:
    """What was seen of every image, the form they lie in, and the images that are not read."""
    spec = DatasetSpec(
        name=source, source=source, path=str(place), resolution=64, split=split, mirror=False
    )
    collection = open_photographs(spec)
    if collection.unpack is not None:
        raise DatasetError(f"{place}: {_UNPACKED}")
    workers = min(cores(), MOST_WORKERS) if collection.count > _FEW else 1
    seen = []
    with Progress(f"check {place.name}", collection.count, "images") as progress:
        for one in ordered_map(look, collection.items(0, None), workers):
            seen.append(one)
            progress.advance()
    return seen, collection.form, collection.passed_over


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    common = [f"{width}x{height} px ({count:,})" for (width, height), count in sizes.most_common(4)]
    if len(sizes) == 1:
        return common[0].rsplit(" (", 1)[0]
    return f"{len(sizes)} sizes: {', '.join(common[:3])}" + (
        " and others" if len(sizes) > 3 else ""
    )
