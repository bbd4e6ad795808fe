"""A packed dataset on disk: images.npy (one block of bytes, mapped, never decoded) and its manifest.

From 512 px on the images are PNG files in images.zip instead (zip_images.py), decoded when they are asked for;
whoever reads a store does not notice. Reading is lock-free and shared by all processes of a machine through the page
cache.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from msgbench.console import Progress
from msgbench.data.manifest import (
    IMAGES_NPY,
    IMAGES_TSV,
    IMAGES_ZIP,
    LABELS_NPY,
    FileFact,
    Manifest,
)
from msgbench.data.zip_images import ZipImages
from msgbench.errors import DatasetError
from msgbench.layout import MANIFEST_JSON
from msgbench.records import sha256_file

_IMAGES_AT_ONCE = 32
_AGAIN = "run `msgbench prepare` again"


class Images(Protocol):
    """uint8 [N, R, R, 3], read-only: an array, or what gives arrays like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, R, R, 3)"""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """One image [R, R, 3] of a whole number, [n, R, R, 3] of a slice or an array of indices (then a copy)."""


class Store:
    """Images of a prepared dataset; make one with `Store.open`."""

    def __init__(
        self, folder: Path, manifest: Manifest, images: Images, labels: np.ndarray | None
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.images = images
        """uint8 [N, R, R, 3], memory-mapped or decoded when asked for, read-only"""
        self.labels = labels
        """uint8 [N]; None when the source has no labels"""

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store in `folder`, after checks that cost no reading of pixels.

        Raises DatasetError when the store is missing or unfinished, or when its files do not have the
        sizes and shapes that the manifest states. `verify` checks every byte.
        """
        manifest = Manifest.read(folder / MANIFEST_JSON)
        for fact in manifest.files:
            path = folder / fact.name
            try:
                size = path.stat().st_size
            except OSError as error:
                raise DatasetError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from None
            if size != fact.bytes:
                raise DatasetError(
                    f"{path}: is {size} bytes long, the manifest says {fact.bytes}; {_AGAIN}"
                )
        side = manifest.resolution
        shape = (manifest.count, side, side, 3)
        images: Images
        if manifest.packing is not None and manifest.packing.storage == "zip":
            images = ZipImages(folder / IMAGES_ZIP, shape)
        else:
            images = _load(folder / IMAGES_NPY, shape, mapped=True)
        labels = None
        if manifest.labels_sha256 is not None:
            labels = _load(folder / LABELS_NPY, (manifest.count,), mapped=False)
        return cls(folder, manifest, images, labels)

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def resolution(self) -> int:
        """Side of the square images in pixels."""
        return self.manifest.resolution

    def verify(self) -> None:
        """Read everything and compare with the manifest's digests; raises DatasetError naming the file."""
        for fact in self.manifest.files:
            self._verify_file(fact)
        name = IMAGES_NPY if isinstance(self.images, np.ndarray) else IMAGES_ZIP
        digest = self._images_sha256()
        if digest != self.manifest.images_sha256:
            raise DatasetError(
                f"{self.folder / name}: the pixels' sha256 is {digest[:8]}..., "
                f"the manifest says {self.manifest.images_sha256[:8]}...; {_AGAIN}"
            )
        if self.labels is not None:
            self._verify_labels(self.labels)

    def _images_sha256(self) -> str:
        """What the manifest calls images_sha256; also holds every image to its digest in images.tsv."""
        if self.manifest.packing is None:
            return hashlib.sha256(np.ascontiguousarray(self.images).data).hexdigest()
        listed = hashlib.sha256()
        table = self.folder / IMAGES_TSV
        stated = (
            line.split("\t", 1)[0] for line in table.read_text(encoding="utf-8").splitlines()[1:]
        )
        with Progress(f"check {self.manifest.name}", len(self), "images") as progress:
            for start in range(0, len(self), _IMAGES_AT_ONCE):
                for offset, image in enumerate(self.images[start : start + _IMAGES_AT_ONCE]):
                    pixels = np.ascontiguousarray(image).data
                    own = hashlib.sha256(pixels)
                    if own.hexdigest() != next(stated, None):
                        raise DatasetError(
                            f"{self.folder}: image {start + offset} is not the one of {IMAGES_TSV}; {_AGAIN}"
                        )
                    listed.update(own.digest())
                    progress.advance()
        return listed.hexdigest()

    def _verify_labels(self, labels: np.ndarray) -> None:
        path, stated = self.folder / LABELS_NPY, self.manifest.labels_sha256
        digest = hashlib.sha256(labels.tobytes()).hexdigest()
        if digest != stated:
            raise DatasetError(
                f"{path}: the labels' sha256 is {digest[:8]}..., "
                f"the manifest says {str(stated)[:8]}...; {_AGAIN}"
            )
        classes = len(self.manifest.label_names or ())
        if classes and labels.max() >= classes:
            raise DatasetError(
                f"{path}: holds the label {labels.max()}, the manifest names {classes} classes; {_AGAIN}"
            )

    def _verify_file(self, fact: FileFact) -> None:
        path = self.folder / fact.name
        digest = sha256_file(path)
        if digest != fact.sha256:
            raise DatasetError(
                f"{path}: its sha256 is {digest[:8]}..., the manifest says {fact.sha256[:8]}...; {_AGAIN}"
            )


def _load(path: Path, shape: tuple[int, ...], mapped: bool) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise DatasetError(f"{path}: is not a readable .npy file; {_AGAIN}") from None
    if array.dtype != np.uint8 or array.shape != shape:
        raise DatasetError(
            f"{path}: holds {array.dtype} {list(array.shape)}, the manifest says uint8 {list(shape)}; {_AGAIN}"
        )
    array.setflags(write=False)
    return array
