"""Images of anybody's generator as they lie in a folder or a ZIP file, read as they are or refused.

They are taken in the order of their names. What would measure something else than the generator is refused: JPEG (its
artefacts move FID, and can even lower it), images of one colour, copies of one another, another size.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from msgbench.data.sources.image_files import SUFFIXES, decode, largest_file
from msgbench.data.sources.items import DAMAGED_MEMBER
from msgbench.errors import DatasetError

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")

# What reading a file or a member raises, and Pillow for the size in the first image's header.
_UNREADABLE = (*DAMAGED_MEMBER, Image.DecompressionBombError)


class ImageSet:
    """The first `count` images of a folder or ZIP file, all square and of `resolution` pixels."""

    def __init__(
        self, place: Path, count: int, resolution: int | None = None, copies: bool = False
    ) -> None:
        """`resolution` None: that of the first image. `copies` allows images that equal one another.

        Raises DatasetError when there is no such place, or it holds fewer images.
        """
        self.place, self.count, self.copies = place, count, copies
        self._files = _Files(place)
        names = self._files.names
        if len(names) < count:
            raise DatasetError(f"{place}: holds {len(names):,} images, {count:,} are needed")
        self.available = len(names)
        self._names = names[:count]
        self.resolution = resolution or self._first_side()
        self.checksum: str | None = None

    def batches(
        self, batch_size: int, on_batch: Callable[[int], None] | None = None
    ) -> Iterator[Tensor]:
        """uint8 [n, 3, R, R]; `on_batch` is told each size after its use. Raises DatasetError for an unfit image."""
        digest = hashlib.sha256()
        known: dict[bytes, str] = {}
        for start in range(0, self.count, batch_size):
            names = self._names[start : start + batch_size]
            images = np.stack([self._read(name) for name in names]).transpose(0, 3, 1, 2)
            batch = torch.from_numpy(np.ascontiguousarray(images))
            for name, image in zip(names, batch, strict=True):
                raw = image.numpy().tobytes()
                self._require_new(name, raw, known)
                digest.update(raw)
            yield batch
            if on_batch is not None:
                on_batch(len(batch))
        self.checksum = digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """The set as records state it; which file it was is not part of what decides a score."""
        return {
            "source": "image files",
            "count": self.count,
            "order": "by name",
            "copies": self.copies,
        }

    def _read(self, name: str) -> np.ndarray:
        where = f"{self.place}/{name}"
        if name.lower().endswith(JPEG_SUFFIXES):
            raise _lossy(where)
        decoded = decode(
            self._files.read(name, largest_file(self.resolution)), where, self.resolution
        )
        if decoded.lossy:
            raise _lossy(where)
        first = decoded.pixels[0, 0]
        if (decoded.pixels == first).all():
            raise DatasetError(
                f"{where}: every pixel is {tuple(map(int, first))}; an image of one colour is no sample"
            )
        return decoded.pixels

    def _require_new(self, name: str, raw: bytes, known: dict[bytes, str]) -> None:
        if self.copies:
            return
        other = known.setdefault(hashlib.sha256(raw).digest(), name)
        if other != name:
            raise DatasetError(
                f"{self.place}/{name}: is a copy of {other}; a set of copies has another score than its images "
                "(--copies measures it all the same)"
            )

    def _first_side(self) -> int:
        name = self._names[0]
        try:
            with self._files.open(name) as file, Image.open(file) as image:
                return int(image.size[0])
        except _UNREADABLE:
            raise DatasetError(f"{self.place}/{name}: is not an image that can be read") from None


def _lossy(where: str) -> DatasetError:
    return DatasetError(
        f"{where}: is a JPEG, whose artefacts would be measured with the images; write them as PNG"
    )


class _Files:
    """Names and bytes of the image files of a folder or ZIP file."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._zip: zipfile.ZipFile | None = None
        if place.is_dir():
            found = [p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()]
        elif place.is_file():
            try:
                self._zip = zipfile.ZipFile(place)
            except _UNREADABLE:
                raise DatasetError(f"{place}: is neither a folder nor a ZIP file") from None
            found = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            raise DatasetError(f"{place}: no such folder or ZIP file")
        self.names = sorted(
            name for name in found if PurePosixPath(name).suffix.lower() in SUFFIXES
        )
        # A ZIP file may have a name twice; every reading would give its last image, and no copy would be seen.
        name, times = Counter(self.names).most_common(1)[0] if self.names else ("", 0)
        if times > 1:
            raise DatasetError(
                f"{place}: holds {name} {times} times; every name has to stand for one image"
            )
        if not self.names:
            raise DatasetError(f"{place}: holds no image ({', '.join(SUFFIXES[:3])})")

    def open(self, name: str) -> Any:
        """The file called `name`, for reading bytes."""
        return (self.place / name).open("rb") if self._zip is None else self._zip.open(name)

    def read(self, name: str, most: int) -> bytes:
        """At most `most` bytes of a file: a longer one is no image of the wanted size."""
        try:
            with self.open(name) as file:
                raw: bytes = file.read(most + 1)
        except _UNREADABLE:
            raise DatasetError(f"{self.place}/{name}: cannot be read") from None
        if len(raw) > most:
            raise DatasetError(f"{self.place}/{name}: is too large a file for an image of its size")
        return raw
