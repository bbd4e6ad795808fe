"""Prepare: from a source to a finished store, once. Running it again is how it goes on.

The store is built in a hidden folder inside its place, which is renamed when all bytes are on the disk;
only then is an earlier store replaced, manifest.json last. Killed at any moment, what lies there is
the earlier store, or nothing, or a finished build that the next call puts in place. Photographs, which may take
hours, are built in a folder that the next call goes on with (packing.py).
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msgbench.config import DatasetSpec
from msgbench.config.dataset import PHOTOGRAPHS, WITH_FACES
from msgbench.console import Progress, say
from msgbench.data.manifest import (
    IMAGES_NPY,
    IMAGES_TSV,
    IMAGES_ZIP,
    LABELS_NPY,
    PREPARE_JSON,
    RULE_VERSION,
    FileFact,
    Manifest,
    content_fingerprint,
    moments,
    npy_header,
)
from msgbench.data.photograph_store import PhotographStore
from msgbench.data.pool import MOST_WORKERS, cores
from msgbench.data.sources import open_source, recipe_version, source_changed
from msgbench.data.sources.base import Source
from msgbench.data.sources.photographs import DECODING_VERSION
from msgbench.data.store import Store
from msgbench.errors import DatasetError
from msgbench.layout import MANIFEST_JSON, SHEETS
from msgbench.locks import FolderLock
from msgbench.records import atomic_file, provenance, remove_temporaries, sha256_file, write_json

if TYPE_CHECKING:
    # OpenCV and ImageHash are loaded only where faces are found.
    from msgbench.data.faces.face_store import FaceStore

_BUILDING, _PARTIAL, _READY = ".building", ".partial", ".ready"
_IMAGES_AT_ONCE = 256
_TOLD_BYTES = 2**30  # from here on a person wants to know before it begins
_FILES = (IMAGES_NPY, IMAGES_ZIP, IMAGES_TSV, LABELS_NPY, PREPARE_JSON)
# Of a set of faces.
_FACE_FILES = ("outcomes.csv", "faces.csv", "summary.csv", SHEETS)
_SPARE_BYTES = 2**20  # for manifest, record and the file system's own needs


def prepare(spec: DatasetSpec, store_dir: Path, workers: int | None = None) -> Manifest:
    """Make the store that `spec` asks for in `store_dir`, or return at once when it is there.

    A second call beside a living one waits for it. Photographs are decoded by `workers` processes (None: as many
    as there are cores, at most MOST_WORKERS); their number changes no byte. Raises DatasetError when the source is
    missing, truncated, corrupt, another dataset or smaller than `spec.num_images`, or when the disk is too small;
    nothing half-written counts as a store, and an earlier store is kept until the new one is complete.
    """
    finished = _finished(spec, store_dir)
    if finished is not None:
        return finished
    # Opened before anything is created: a wrong source leaves no trace.
    make = _maker(spec, store_dir, workers)
    try:
        with FolderLock(store_dir, "prepare", wait=True):
            _tidy(store_dir)
            manifest = _finished(spec, store_dir)  # by whoever was here before us
            if manifest is None:
                manifest = make()
    except OSError as error:
        raise DatasetError(
            f"{error.filename or store_dir}: cannot be written ({error.strerror})"
        ) from error
    if not manifest.complete:
        say(
            f"{spec.name}: {manifest.source.count:,} of the {manifest.source.expected_count:,} published "
            f"{spec.split} images found; {store_dir / MANIFEST_JSON} says so"
        )
    if manifest.source.lossy:
        say(
            f"{spec.name}: made from JPEG files, whose pixels are not exactly the published ones, which moves "
            f"scores; {store_dir / MANIFEST_JSON} says so"
        )
    return manifest


def _maker(spec: DatasetSpec, store_dir: Path, workers: int | None) -> Callable[[], Manifest]:
    """What makes the store, once its folder is locked; the source is opened and the disk is looked at."""
    if spec.source not in PHOTOGRAPHS:
        source = _open(spec)
        _require_disk(store_dir, _size(spec, source))
        return lambda: _make(spec, source, store_dir)
    workers = min(workers or cores(), MOST_WORKERS)
    photographs: PhotographStore | FaceStore
    if spec.source in WITH_FACES:
        from msgbench.data.faces.face_store import FaceStore

        photographs = FaceStore.open(spec, store_dir, workers)
    else:
        photographs = PhotographStore.open(spec, workers)

    def make() -> Manifest:
        began = time.monotonic()
        partial = store_dir / _PARTIAL
        photographs.locate(partial)
        _require_disk(store_dir, photographs.bytes_to_write(partial), photographs.count)
        manifest = photographs.build(partial)
        _put_in_place(spec, manifest, partial, store_dir, began)
        return manifest

    if not photographs.drawn:
        # Known before anything is created, where it does not have to be unpacked first.
        _require_disk(store_dir, photographs.bytes_to_write(store_dir / _PARTIAL))
    return make


def _make(spec: DatasetSpec, source: Source, store_dir: Path) -> Manifest:
    """Build the store beside an earlier one, then put it in its place."""
    began = time.monotonic()
    building = store_dir / _BUILDING
    try:
        building.mkdir()
        manifest = _build(spec, source, building)
        _put_in_place(spec, manifest, building, store_dir, began)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _put_in_place(
    spec: DatasetSpec, manifest: Manifest, building: Path, store_dir: Path, began: float
) -> None:
    """Add manifest and record to a finished build and make it the store."""
    content = manifest.to_json()
    record = {
        "schema": "msgbench.prepare/1",
        "dataset": spec.name,
        "path": spec.path,
        "manifest_sha256": hashlib.sha256(content).hexdigest(),
        "provenance": provenance(seconds=time.monotonic() - began),
    }
    write_json(building / PREPARE_JSON, record)
    _write_bytes(building / MANIFEST_JSON, content)
    os.rename(building, store_dir / _READY)
    _publish(store_dir)


def _finished(spec: DatasetSpec, store_dir: Path) -> Manifest | None:
    """The manifest of a finished, undamaged store that is what `spec` asks for; else None."""
    if (store_dir / _READY).exists():
        return None
    try:
        manifest = Store.open(store_dir).manifest
    except DatasetError:
        return None
    matches = (
        manifest.name == spec.name
        and manifest.split == spec.split
        and manifest.resolution == spec.resolution
        and manifest.requested_images == spec.num_images
        and manifest.rule_version == RULE_VERSION
        and manifest.source.recipe == spec.source
        and manifest.source.recipe_version == recipe_version(spec.source)
    )
    if manifest.packing is not None:
        asked = (spec.fingerprint, DECODING_VERSION)
        packing = manifest.packing
        matches = matches and asked == (packing.recipe_fingerprint, packing.decoding_version)
    if spec.source in WITH_FACES:
        from msgbench.data.faces.face_store import is_current

        matches = matches and is_current(spec, store_dir, manifest)
    return manifest if matches and not source_changed(spec, manifest.source) else None


def _open(spec: DatasetSpec) -> Source:
    source = open_source(spec)
    assert source.resolution == spec.resolution, "DatasetSpec knows what each source can give"
    if spec.num_images is not None and spec.num_images > source.count:
        raise DatasetError(
            f"datasets.{spec.name}.num_images: is {spec.num_images}, the source holds {source.count} "
            f"images of split {spec.split}"
        )
    return source


def _count(spec: DatasetSpec, source: Source) -> int:
    return source.count if spec.num_images is None else spec.num_images


def _size(spec: DatasetSpec, source: Source) -> int:
    """Bytes of the store."""
    return _count(spec, source) * (spec.resolution * spec.resolution * 3 + 1)


def _require_disk(store_dir: Path, needed: int, images: int | None = None) -> None:
    """Raise DatasetError unless so many bytes fit on the disk, beside an earlier store; tell it of many images."""
    needed += _SPARE_BYTES
    place = store_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DatasetError(
            f"{store_dir}: needs {needed / 1e6:.1f} MB, its disk has {free / 1e6:.1f} MB free"
        )
    if images is not None and needed > _TOLD_BYTES:
        say(
            f"{store_dir}: {images:,} images, about {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free"
        )


def _tidy(store_dir: Path) -> None:
    """After a kill: drop what was being built, put in place what was finished."""
    shutil.rmtree(store_dir / _BUILDING, ignore_errors=True)
    remove_temporaries(store_dir, MANIFEST_JSON)
    if (store_dir / _READY).exists():
        _publish(store_dir)


def _publish(store_dir: Path) -> None:
    """Put a finished build in the place of an earlier store; can be repeated after a kill at any line."""
    ready = store_dir / _READY
    content = (ready / MANIFEST_JSON).read_bytes()
    # From here until its return there is no manifest, so nobody takes old and new files for one store.
    (store_dir / MANIFEST_JSON).unlink(missing_ok=True)
    manifest = Manifest.read(ready / MANIFEST_JSON)
    facts = (*manifest.files, *(manifest.faces.files if manifest.faces is not None else ()))
    own = {fact.name.split("/")[0] for fact in facts} | {PREPARE_JSON}
    for name in (*_FILES, *_FACE_FILES):
        if (ready / name).exists():
            if (ready / name).is_dir():
                shutil.rmtree(store_dir / name, ignore_errors=True)
            os.replace(ready / name, store_dir / name)
        elif name not in own:  # of an earlier store
            if (store_dir / name).is_dir():
                shutil.rmtree(store_dir / name)
            (store_dir / name).unlink(missing_ok=True)
    with atomic_file(store_dir / MANIFEST_JSON) as file:
        file.write(content)
    shutil.rmtree(ready)


def _build(spec: DatasetSpec, source: Source, folder: Path) -> Manifest:
    """Pack the images into `folder` and describe them."""
    count, side = _count(spec, source), spec.resolution
    pixels_digest = hashlib.sha256()
    sums, squares = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    labels: list[int] = []
    values = np.arange(256, dtype=np.int64)
    block = np.empty((_IMAGES_AT_ONCE, side, side, 3), dtype=np.uint8)
    with (
        (folder / IMAGES_NPY).open("wb") as file,
        Progress(f"prepare {spec.name} ({spec.split})", count, "images") as progress,
    ):
        file.write(npy_header((count, side, side, 3)))
        images = itertools.islice(source, count)
        while chunk := list(itertools.islice(images, _IMAGES_AT_ONCE)):
            filled = block[: len(chunk)]
            for place, image in enumerate(chunk):
                filled[place] = image.pixels
                if image.label is not None:
                    labels.append(image.label)
            file.write(filled.data)
            pixels_digest.update(filled.data)
            for channel in range(3):
                histogram = np.bincount(filled[..., channel].ravel(), minlength=256)
                sums[channel] += histogram @ values
                squares[channel] += histogram @ (values * values)
            progress.advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    names = [IMAGES_NPY]
    labels_digest = None
    if source.label_names is not None:
        assert len(labels) == count, f"{len(labels)} labels for {count} images"
        raw = np.array(labels, dtype=np.uint8).tobytes()
        labels_digest = hashlib.sha256(raw).hexdigest()
        _write_bytes(folder / LABELS_NPY, npy_header((count,)) + raw)
        names.append(LABELS_NPY)
    facts = source.facts()
    digest = pixels_digest.hexdigest()
    mean, std = moments(sums, squares, count * side * side)
    return Manifest(
        name=spec.name,
        split=spec.split,
        count=count,
        resolution=side,
        requested_images=spec.num_images,
        stand_in=source.stand_in,
        complete=facts.count == facts.expected_count,
        mean=mean,
        std=std,
        images_sha256=digest,
        labels_sha256=labels_digest,
        label_names=source.label_names,
        files=tuple(_fact(folder / name) for name in names),
        source=facts,
        rule_version=RULE_VERSION,
        fingerprint=content_fingerprint(count, side, digest, labels_digest),
    )


def _fact(path: Path) -> FileFact:
    return FileFact(name=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
