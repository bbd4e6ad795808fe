"""What a dataset is worth before anything is trained on it: complete or not, copies, leakage.

What makes a dataset unusable is an error (DatasetError). What a person should know is a finding, a line:
fewer images than published, JPEG sources, images that occur twice or in both splits. Images are compared by
a digest of their pixels, so a copy that was compressed, cropped or turned again is not seen as one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msgbench.config import DatasetSpec
from msgbench.data.manifest import IMAGES_NPY, PREPARE_JSON, Manifest, SourceFacts
from msgbench.data.sources import open_source, splits_at
from msgbench.data.sources.base import Split
from msgbench.data.store import Store
from msgbench.errors import DatasetError
from msgbench.layout import MANIFEST_JSON, stores_beside
from msgbench.records import read_json, sha256_file

_OTHER: dict[Split, Split] = {"train": "test", "test": "train"}
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


def check(place: Path, split: Split | None = None, against: Path | None = None) -> Iterator[str]:
    """Check a store or a raw CIFAR-10 and yield the lines to print; raises DatasetError at what is wrong.

    `split` limits a raw source to one of its splits. `against` is a store or raw source of the other split
    to look for leakage; without it: what the same source or a store beside this one holds.
    """
    if _is_store(place):
        if split is not None:
            raise DatasetError(
                f"{place}: is a store, which holds one split; --split {split} is for raw sources"
            )
        yield from _check_store(place, against)
    else:
        yield from _check_source(place, split, against)


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


def _is_store(place: Path) -> bool:
    """Whether a store lies there, be it a damaged one; raises DatasetError when nothing does."""
    try:
        if place.exists():
            return (place / MANIFEST_JSON).exists() or (place / IMAGES_NPY).exists()
    except OSError as error:
        raise DatasetError(f"{place}: cannot be read ({error.strerror})") from None
    raise DatasetError(
        f"{place}: does not exist; expected a store made by `msgbench prepare` or a raw dataset"
    )


def _check_store(place: Path, against: Path | None) -> Iterator[str]:
    store = Store.open(place)
    manifest = store.manifest
    store.verify()
    _check_record(place)
    yield _line("store", place)
    yield _line(
        "images",
        f"{manifest.count:,} of {manifest.resolution}x{manifest.resolution} px, split {manifest.split} "
        f"of {manifest.name}" + _cap(manifest),
    )
    names = ", ".join(fact.name for fact in manifest.files)
    yield _line("bytes", f"{names}: all as the manifest says, content {manifest.fingerprint[:8]}")
    if manifest.stand_in:
        yield _line("source", "drawn by msgbench as a stand-in, not the published images")
    else:
        yield from _source_lines(manifest.source)
    images = _of_store(store)
    yield from _content_lines(images)
    if images.split in _OTHER:
        yield from _leakage_lines(images, *_other_of_store(store, against))
    elif against is not None:
        raise DatasetError(
            f"{place}: holds split {images.split}, train and test together; --against is for one of them"
        )
    else:
        # Copies between its two parts are among the duplicates.
        yield _line("leakage", f"not looked for: split {images.split} is train and test together")


def _check_source(place: Path, split: Split | None, against: Path | None) -> Iterator[str]:
    yield _line("raw source", place)
    found = splits_at(_spec(place, split or "train"))
    checked = []
    for name in found if split is None else (split,):
        images, facts = _of_source(_spec(place, name))
        yield _line("images", f"{facts.count:,} of 32x32 px, split {name} of cifar10")
        yield from _source_lines(facts)
        yield from _content_lines(images)
        checked.append(images)
    if against is None and len(checked) == 2:
        yield from _leakage_lines(checked[0], checked[1])
        return
    for images in checked:
        split = _OTHER[images.split]
        if against is not None:
            yield from _leakage_lines(images, _of_place(against, split))
        elif split in found:
            yield from _leakage_lines(images, _of_source(_spec(place, split))[0])
        else:
            yield from _leakage_lines(images, None, f"the source holds no split {split}")


def _cap(manifest: Manifest) -> str:
    if manifest.requested_images is None or manifest.count == manifest.source.count:
        return ""
    return f" (the first {manifest.count:,} of {manifest.source.count:,}, as num_images asks)"


def _source_lines(facts: SourceFacts) -> Iterator[str]:
    if facts.count == facts.expected_count:
        state = f"complete, all {facts.count:,} published images"
    else:
        state = f"incomplete, {facts.count:,} of the {facts.expected_count:,} published images"
        if facts.count > facts.expected_count:
            state = f"not as published, {facts.count:,} images instead of {facts.expected_count:,}"
    yield _line("source", f"{facts.recipe}, {facts.form}: {state}")
    if facts.lossy:
        yield _line("source", "lossy: JPEG files, whose pixels are not exactly the published ones")


def _content_lines(images: ImageSet) -> Iterator[str]:
    if images.labels is not None:
        counts = np.bincount(images.labels, minlength=len(images.label_names or ())).tolist()
        names = images.label_names or tuple(f"label {label}" for label in range(len(counts)))
        each = (f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
        yield _line("classes", ", ".join(each))
    groups = copies(images.digests)
    if not groups:
        yield _line("duplicates", "none")
        return
    spare = sum(len(group) - 1 for group in groups)
    yield _line("duplicates", f"{_images(spare)} repeated: {_examples(map(_equation, groups))}")
    if images.labels is not None:
        labels = images.labels
        torn = [group for group in groups if len({labels[index] for index in group}) > 1]
        if torn:
            examples = _examples(map(_equation, torn))
            yield _line("duplicates", f"some under different labels: {examples}")


def _leakage_lines(images: ImageSet, other: ImageSet | None, reason: str = "") -> Iterator[str]:
    if other is None:
        yield _line("leakage", f"not looked for: {reason}; name one with --against")
        return
    between = f"between split {images.split} and split {other.split} ({other.where})"
    found = shared(images.digests, other.digests)
    if not found:
        yield _line("leakage", f"none {between}")
        return
    pairs = (f"{images.split} {one} = {other.split} {two}" for one, two in found)
    yield _line("leakage", f"{_images(len(found))} shared {between}: {_examples(pairs)}")


def _equation(group: Sequence[int]) -> str:
    return " = ".join(str(index) for index in group)


def _examples(texts: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    everything = list(texts)
    more = len(everything) - _EXAMPLES
    return ", ".join(everything[:_EXAMPLES]) + (f", and {more:,} more" if more > 0 else "")


def _images(count: int) -> str:
    return f"{count:,} image is" if count == 1 else f"{count:,} images are"


def _line(label: str, text: object) -> str:
    return f"{label:<12}{text}"


def _check_record(place: Path) -> None:
    """The manifest is the one that was written with the store, if its record has come along."""
    path = place / PREPARE_JSON
    try:
        stated = read_json(path)["manifest_sha256"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError):
        raise DatasetError(f"{path}: is not a record of `msgbench prepare`; delete it") from None
    if sha256_file(place / MANIFEST_JSON) != stated:
        raise DatasetError(
            f"{place / MANIFEST_JSON}: is not the manifest that was written with this store; "
            "delete it and run `msgbench prepare` again"
        )


def _of_store(store: Store) -> ImageSet:
    labels = None if store.labels is None else store.labels.tolist()
    return ImageSet(
        str(store.folder),
        store.manifest.split,
        digests_of(store.images[index] for index in range(len(store))),
        labels,
        store.manifest.label_names,
    )


def _of_source(spec: DatasetSpec) -> tuple[ImageSet, SourceFacts]:
    source = open_source(spec)
    digests, labels = [], []
    for image in source:
        digests += digests_of([image.pixels])
        if image.label is not None:
            labels.append(image.label)
    named = labels if source.label_names is not None else None
    images = ImageSet(str(spec.path), spec.split, digests, named, source.label_names)
    return images, source.facts()


def _of_place(place: Path, split: Split) -> ImageSet:
    """What `--against` names, which must hold images of `split`."""
    if not _is_store(place):
        return _of_source(_spec(place, split))[0]
    store = Store.open(place)
    if store.manifest.split != split:
        raise DatasetError(f"{place}: holds split {store.manifest.split}; expected split {split}")
    return _of_store(store)


def _other_of_store(store: Store, against: Path | None) -> tuple[ImageSet | None, str]:
    """Images of the other split and, if there are none, why: as named, from a store beside, or from the source."""
    manifest = store.manifest
    split = _OTHER[manifest.split]
    if against is not None:
        return _of_place(against, split), ""
    beside = []
    for folder in stores_beside(store.folder):
        try:
            candidate = Store.open(folder)
        except DatasetError:
            continue  # a broken neighbour is its own check's business
        theirs = candidate.manifest
        if (theirs.source.recipe, theirs.resolution, theirs.split) == (
            manifest.source.recipe,
            manifest.resolution,
            split,
        ):
            beside.append(candidate)
    if beside:
        return _of_store(max(beside, key=len)), ""
    nowhere = f"no store of split {split} lies beside this one"
    path = _recorded_path(store.folder)
    if path is None or manifest.source.recipe != "cifar10":
        return None, nowhere
    try:
        # A folder that does not tell splits apart would be compared with itself.
        if split not in splits_at(_spec(path, manifest.split)):
            return None, f"{nowhere}, and its source holds none"
        return _of_source(_spec(path, split))[0], ""
    except DatasetError:
        return None, f"{nowhere}, and none can be read from {path}"


def _recorded_path(folder: Path) -> Path | None:
    """Where the source of a store lay, as its record says; None when nobody knows."""
    if not (folder / PREPARE_JSON).exists():
        return None
    path = read_json(folder / PREPARE_JSON).get("path")
    return Path(path) if isinstance(path, str) else None


def _spec(place: Path, split: Split) -> DatasetSpec:
    return DatasetSpec(
        name="cifar10", source="cifar10", path=str(place), resolution=32, split=split, mirror=False
    )
