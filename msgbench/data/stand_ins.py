"""Stand-ins in the form in which a dataset is published: drawn by msgbench, read by the dataset's own recipe.

So that a first run, and every test, goes through the code that reads real copies: a tarball of JPEG files, an lmdb,
a zip of one, trees of PNG files, arrays. Image i is a function of (source, i) alone.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from msgbench.config import DatasetSpec
from msgbench.config.published import PUBLISHED, Published
from msgbench.data.drawing.canvas import Canvas
from msgbench.data.drawing.creatures import faces, flowers
from msgbench.data.drawing.dice import Dice
from msgbench.data.drawing.places import houses, nights
from msgbench.data.drawn_people import draw_people
from msgbench.data.sources import lsun
from msgbench.seeding import derive_seed

# Bumped by hand with every change that moves a pixel of a raw form.
_DRAWING_VERSION = 1
_SIDE = 64
_CELEBA_SIZE = (178, 218)
# The quality of LSUN's own files.
_JPEG_QUALITY = 75

Painter = Callable[[Canvas, Dice], None]
# Of all others: faces.
_PAINTERS: dict[str, tuple[Painter, ...]] = {
    "oxford_flowers": (flowers,),
    "lsun_churches": (houses,),
    "lsun_bedrooms": (nights, houses),
}


def side_of(spec: DatasetSpec) -> int:
    """Side of the drawn images: at least that of the store, twice as large where the recipe makes them smaller."""
    return max(_SIDE, spec.resolution)


def published_of(spec: DatasetSpec) -> Published:
    """What a stand-in is held to instead of the published facts: as many images as were drawn, of their size."""
    assert spec.drawn is not None
    published = PUBLISHED[spec.source]
    side = side_of(spec)
    square = published.size is not None and published.size[0] == published.size[1]
    size = (side, side) if square else published.size
    return replace(published, counts={spec.split: spec.drawn}, size=size, terms=None)


def draw_raw(spec: DatasetSpec, folder: Path) -> Path:
    """Draw the stand-in of `spec` below `folder`, once, and return the path that its recipe reads."""
    if not folder.exists():
        building = folder.with_name(f"{folder.name}.drawing")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        _WRITERS.get(spec.source, _draw_plain)(spec, building)
        building.rename(folder)
    return folder


def _pictures(spec: DatasetSpec, side: int) -> Iterator[Image.Image]:
    painters = _PAINTERS.get(spec.source, (faces,))
    for index in range(spec.drawn or 0):
        canvas = Canvas(side)
        paint = painters[index % len(painters)]
        paint(
            canvas,
            Dice(derive_seed(_DRAWING_VERSION, index, f"{spec.source}-{spec.split}-{spec.name}")),
        )
        yield Image.fromarray(canvas.finish())


def _jpeg(image: Image.Image, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _draw_flowers(spec: DatasetSpec, folder: Path) -> None:
    """102flowers.tgz with jpg/image_00001.jpg and so on: landscapes and portraits."""
    side = side_of(spec)
    low = side * 3 // 16
    with tarfile.open(folder / "102flowers.tgz", "w:gz", compresslevel=1) as archive:
        for index, image in enumerate(_pictures(spec, side)):
            box = (0, low, side, side) if index % 3 else (low, 0, side, side)
            content = _jpeg(image.crop(box))
            member = tarfile.TarInfo(f"jpg/image_{index + 1:05d}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _draw_lmdb(spec: DatasetSpec, folder: Path) -> None:
    """church_outdoor_train_lmdb/ as LSUN ships it: JPEG files by the hash of their contents."""
    lmdb = lsun.load_lmdb()
    side, name = side_of(spec), lsun.official_name(spec)
    room = 2**24 + (spec.drawn or 0) * side**2 * 4
    with lmdb.open(str(folder / name), map_size=room) as database:
        with database.begin(write=True) as transaction:
            for index, image in enumerate(_pictures(spec, side)):
                wide = image.crop((0, side // 8 * (index % 2), side, side))
                content = _jpeg(wide, _JPEG_QUALITY)
                transaction.put(hashlib.sha1(content).hexdigest().encode(), content)


def _draw_zipped_lmdb(spec: DatasetSpec, folder: Path) -> None:
    """bedroom_train_lmdb.zip, the same database in the archive in which LSUN offers it."""
    _draw_lmdb(spec, folder)
    name = lsun.official_name(spec)
    with zipfile.ZipFile(
        folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        archive.write(folder / name / "data.mdb", f"{name}/data.mdb")
    shutil.rmtree(folder / name)


def _draw_arrays(spec: DatasetSpec, folder: Path) -> None:
    """imgHQ00000.npy and so on: arrays of one image, channels first."""
    for index, image in enumerate(_pictures(spec, side_of(spec))):
        np.save(folder / f"imgHQ{index:05d}.npy", np.asarray(image).transpose(2, 0, 1)[None])


def _draw_ffhq(spec: DatasetSpec, folder: Path) -> None:
    """images1024x1024/00000/00000.png and so on, a folder for each thousand."""
    for index, image in enumerate(_pictures(spec, side_of(spec))):
        path = folder / "images1024x1024" / f"{index // 1000 * 1000:05d}" / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, compress_level=1)


def _draw_celeba(spec: DatasetSpec, folder: Path) -> None:
    """img_align_celeba.zip with 178x218 JPEG files, the face around (89, 121)."""
    width, height = _CELEBA_SIZE
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for index, image in enumerate(_pictures(spec, side_of(spec))):
            scaled = image.resize((height, height), Image.Resampling.BICUBIC)
            left = (height - width) // 2
            aligned = _jpeg(scaled.crop((left, 0, left + width, height)))
            archive.writestr(zipfile.ZipInfo(f"img_align_celeba/{index + 1:06d}.jpg"), aligned)


def _draw_folder(spec: DatasetSpec, folder: Path) -> None:
    """A folder for each of some people, PNG files of several sizes."""
    side = side_of(spec)
    for index, image in enumerate(_pictures(spec, side)):
        path = folder / f"person{index % 50:02d}" / f"{index // 50}.png"
        path.parent.mkdir(exist_ok=True)
        image.crop((0, 0, side, side - side // 8 * (index % 3 == 2))).save(path, compress_level=1)


def _draw_plain(spec: DatasetSpec, folder: Path) -> None:
    """00000.png and so on: a folder of images, square where the published ones are."""
    side = side_of(spec)
    for index, image in enumerate(_pictures(spec, side)):
        cut = 0 if PUBLISHED[spec.source].size is not None else side // 8 * (index % 3)
        image.crop((0, 0, side, side - cut)).save(folder / f"{index:05d}.png", compress_level=1)


_WRITERS: dict[str, Callable[[DatasetSpec, Path], None]] = {
    "oxford_flowers": _draw_flowers,
    "lsun_churches": _draw_lmdb,
    "lsun_bedrooms": _draw_zipped_lmdb,
    "celeba_hq": _draw_arrays,
    "ffhq": _draw_ffhq,
    "celeba": _draw_celeba,
    "indian_celebs": draw_people,
    "folder": _draw_folder,
}
