"""What a dataset is worth before anything is trained on it: complete or not, copies, leakage.

What makes a dataset unusable is an error (DatasetError). What a person should know is a finding, a line:
fewer images than published, JPEG sources, images that occur twice or in both splits. Images are compared by
a digest of their pixels, so a copy that was compressed, cropped or turned again is not seen as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgbench.config import DatasetSpec
from msgbench.config.dataset import PHOTOGRAPHS
from msgbench.data.check_photographs import check_photographs, guess
from msgbench.data.findings import (
    ImageSet,
    content_lines,
    digests_of,
    leakage_lines,
    line,
    packing_lines,
    source_lines,
)
from msgbench.data.manifest import (
    IMAGES_NPY,
    IMAGES_TSV,
    IMAGES_ZIP,
    PREPARE_JSON,
    Manifest,
    SourceFacts,
)
from msgbench.data.sources import open_source, splits_at
from msgbench.data.sources.base import Split
from msgbench.data.store import Store
from msgbench.errors import DatasetError
from msgbench.layout import MANIFEST_JSON, stores_beside
from msgbench.records import read_json, sha256_file

_OTHER: dict[Split, Split] = {"train": "test", "test": "train"}


def check(
    place: Path,
    split: Split | None = None,
    against: Path | None = None,
    source: str | None = None,
) -> Iterator[str]:
    """Check a store or a raw dataset and yield the lines to print; raises DatasetError at what is wrong.

    `split` limits a raw source to one of its splits. `against` is a store or raw source of the other split
    to look for leakage; without it: what the same source or a store beside this one holds. `source` says as what a
    raw dataset is read; None: told by its names, else CIFAR-10.
    """
    if _is_store(place):
        if split is not None:
            raise DatasetError(
                f"{place}: is a store, which holds one split; --split {split} is for raw sources"
            )
        yield from _check_store(place, against)
        return
    guessed = source is None
    source = source or guess(place)
    if source in PHOTOGRAPHS:
        if against is not None and _is_store(against):
            raise DatasetError(
                f"{against}: is a store, whose images are fitted and resized; --against a raw dataset for a raw one"
            )
        yield from check_photographs(place, source, split or "train", against)
    else:
        yield from _check_source(place, split, against, guessed)


def _is_store(place: Path) -> bool:
    """Whether a store lies there, be it a damaged one; raises DatasetError when nothing does."""
    try:
        if place.exists():
            names = (MANIFEST_JSON, IMAGES_NPY, IMAGES_ZIP)
            return any((place / name).exists() for name in names)
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
    yield line("store", place)
    yield line(
        "images",
        f"{manifest.count:,} of {manifest.resolution}x{manifest.resolution} px, split {manifest.split} "
        f"of {manifest.name}" + _cap(manifest),
    )
    names = ", ".join(fact.name for fact in manifest.files)
    yield line("bytes", f"{names}: all as the manifest says, content {manifest.fingerprint[:8]}")
    if manifest.stand_in:
        yield line("source", "drawn by msgbench as a stand-in, not the published images")
    else:
        yield from source_lines(manifest.source)
    if manifest.packing is not None:
        yield from packing_lines(manifest.packing)
    images = _of_store(store)
    yield from content_lines(images)
    if images.split in _OTHER:
        yield from leakage_lines(images, *_other_of_store(store, against))
    elif against is not None:
        raise DatasetError(
            f"{place}: holds split {images.split}, train and test together; --against is for one of them"
        )
    else:
        # Copies between its two parts are among the duplicates.
        yield line("leakage", f"not looked for: split {images.split} is train and test together")


def _check_source(
    place: Path, split: Split | None, against: Path | None, guessed: bool
) -> Iterator[str]:
    yield line("raw source", place)
    try:
        found = splits_at(_spec(place, split or "train"))
    except DatasetError as error:
        if not guessed:
            raise
        raise DatasetError(
            f"{error} (nothing told which dataset it is; --as names it, --as folder any images)"
        ) from None
    checked = []
    for name in found if split is None else (split,):
        images, facts = _of_source(_spec(place, name))
        yield line("images", f"{facts.count:,} of 32x32 px, split {name} of cifar10")
        yield from source_lines(facts)
        yield from content_lines(images)
        checked.append(images)
    if against is None and len(checked) == 2:
        yield from leakage_lines(checked[0], checked[1])
        return
    for images in checked:
        split = _OTHER[images.split]
        if against is not None:
            yield from leakage_lines(images, _of_place(against, split))
        elif split in found:
            yield from leakage_lines(images, _of_source(_spec(place, split))[0])
        else:
            yield from leakage_lines(images, None, f"the source holds no split {split}")


def _cap(manifest: Manifest) -> str:
    if manifest.requested_images is None or manifest.count == manifest.source.count:
        return ""
    return f" (the first {manifest.count:,} of {manifest.source.count:,}, as num_images asks)"


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
        _digests_of_store(store),
        labels,
        store.manifest.label_names,
    )


def _digests_of_store(store: Store) -> list[bytes]:
    """Of all images; photographs' are listed, and were compared with the pixels when the store was verified."""
    if store.manifest.packing is None:
        return digests_of(store.images[index] for index in range(len(store)))
    lines = (store.folder / IMAGES_TSV).read_text(encoding="utf-8").splitlines()
    return [bytes.fromhex(text.split("\t", 1)[0]) for text in lines[1:]]


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


def _of_packed(against: Path, store: Store) -> ImageSet:
    """Another store, of whatever dataset and split, whose images can be compared with those of `store`."""
    if not _is_store(against):
        raise DatasetError(
            f"{against}: is no store; the images of {store.folder} are fitted and resized: --against another store"
        )
    other = Store.open(against)
    if other.resolution != store.resolution:
        raise DatasetError(
            f"{against}: holds images of {other.resolution} px; expected {store.resolution}, as in {store.folder}"
        )
    return _of_store(other)


def _other_of_store(store: Store, against: Path | None) -> tuple[ImageSet | None, str]:
    """Images of the other split and, if there are none, why: as named, from a store beside, or from the source."""
    manifest = store.manifest
    split = _OTHER[manifest.split]
    if against is not None and manifest.packing is not None:
        return _of_packed(against, store), ""
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
