"""Prepare: from a source to a finished store, once. Running it again is how it goes on.

The store is built in a hidden folder inside its place, which is renamed when all bytes are on the disk;
only then is an earlier store replaced, manifest.json last. Killed at any moment, what lies there is
the earlier store, or nothing, or a finished build that the next call puts in place.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np

from msgbench.config import DatasetSpec
from msgbench.console import Progress, say
from msgbench.data.manifest import (
    IMAGES_NPY,
    LABELS_NPY,
    PREPARE_JSON,
    RULE_VERSION,
    FileFact,
    Manifest,
    content_fingerprint,
)
from msgbench.data.sources import open_source, recipe_version, source_changed
from msgbench.data.sources.base import Source
from msgbench.data.store import Store
from msgbench.errors import DatasetError
from msgbench.layout import MANIFEST_JSON
from msgbench.locks import FolderLock
from msgbench.records import atomic_file, provenance, sha256_file, write_json

_BUILDING, _READY = ".building", ".ready"
_NPY_HEADER_BYTES = 128
_IMAGES_AT_ONCE = 256
_SPARE_BYTES = 2**20  # for manifest, record and the file system's own needs


def prepare(spec: DatasetSpec, store_dir: Path) -> Manifest:
    """Make the store that `spec` asks for in `store_dir`, or return at once when it is there.

    A second call beside a living one waits for it. Raises DatasetError when the source is missing,
    truncated, corrupt, another dataset or smaller than `spec.num_images`, or when the disk is too small;
    nothing half-written stays, and an earlier store is kept until the new one is complete.
    """
    finished = _finished(spec, store_dir)
    if finished is not None:
        return finished
    # Opened before anything is created: a wrong source leaves no trace.
    source = _open(spec)
    _check_disk(spec, source, store_dir)
    try:
        with FolderLock(store_dir, "prepare", wait=True):
            _tidy(store_dir)
            manifest = _finished(spec, store_dir)  # by whoever was here before us
            if manifest is None:
                manifest = _make(spec, source, store_dir)
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


def _make(spec: DatasetSpec, source: Source, store_dir: Path) -> Manifest:
    """Build the store beside an earlier one, then put it in its place."""
    began = time.monotonic()
    building = store_dir / _BUILDING
    try:
        building.mkdir()
        manifest = _build(spec, source, building)
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
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _publish(store_dir)
    return manifest


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


def _check_disk(spec: DatasetSpec, source: Source, store_dir: Path) -> None:
    """Raise DatasetError unless the store fits on the disk, beside an earlier one."""
    needed = _count(spec, source) * (spec.resolution * spec.resolution * 3 + 1) + _SPARE_BYTES
    place = store_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DatasetError(
            f"{store_dir}: needs {needed / 1e6:.1f} MB, its disk has {free / 1e6:.1f} MB free"
        )


def _tidy(store_dir: Path) -> None:
    """After a kill: drop what was being built, put in place what was finished."""
    shutil.rmtree(store_dir / _BUILDING, ignore_errors=True)
    for leftover in store_dir.glob(f".{MANIFEST_JSON}.*.tmp"):
        leftover.unlink(missing_ok=True)
    if (store_dir / _READY).exists():
        _publish(store_dir)


def _publish(store_dir: Path) -> None:
    """Put a finished build in the place of an earlier store; can be repeated after a kill at any line."""
    ready = store_dir / _READY
    content = (ready / MANIFEST_JSON).read_bytes()
    # From here until its return there is no manifest, so nobody takes old and new files for one store.
    (store_dir / MANIFEST_JSON).unlink(missing_ok=True)
    for name in (IMAGES_NPY, LABELS_NPY, PREPARE_JSON):
        if (ready / name).exists():
            os.replace(ready / name, store_dir / name)
    if Manifest.read(ready / MANIFEST_JSON).labels_sha256 is None:
        (store_dir / LABELS_NPY).unlink(missing_ok=True)  # of an earlier store
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
    mean, std = _moments(sums, squares, count * side * side)
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


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The first 128 bytes of a .npy file (format 1.0) of uint8 in C order.

    Written here, because NumPy's own padding has changed between versions and the file's sha256 stands
    in the manifest.
    """
    fields = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    room = _NPY_HEADER_BYTES - 10
    return (
        b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + fields.ljust(room - 1).encode() + b"\n"
    )


def _moments(
    sums: np.ndarray, squares: np.ndarray, n: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and population standard deviation per channel of pixel / 255, from exact integer sums."""
    mean, std = [], []
    for s, q in zip(sums.tolist(), squares.tolist(), strict=True):
        mean.append(s / (n * 255))
        std.append(math.sqrt((n * q - s * s) / (n * n)) / 255)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def _fact(path: Path) -> FileFact:
    return FileFact(name=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
