"""Drawn photographs of people as a search of the web brings them: one face, several, none, and all that is wrong.

The stand-in of Indian Celebs: folders of persons, several formats; what photograph i shows is a function of i alone,
so that what has to become of it is known.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Literal

from PIL import Image, ImageFilter, ImageOps

from msgbench.config import DatasetSpec
from msgbench.data.drawing.canvas import Canvas
from msgbench.data.drawing.dice import Dice
from msgbench.data.drawing.portraits import portrait, scene
from msgbench.seeding import derive_seed

# Bumped by hand with every change that moves a pixel.
_DRAWING_VERSION = 1
# When the files were changed last, for what looks at that: a moment of 2020 for each version.
_STAMP = 1_577_836_800 + _DRAWING_VERSION
_SIDE = 112
_PERSONS = 24
Kind = Literal["one", "several", "none", "dark", "blurred", "copy", "mirrored", "broken", "small"]
# Of fifty photographs in a row, behind those with one face; copies are of the first two.
_REST: tuple[Kind, ...] = ("several", "none", "dark", "blurred", "copy", "mirrored", "broken", "small")  # fmt: skip
_ROW = 50
_ORIGINAL: dict[Kind, int] = {"copy": 0, "mirrored": 1}
_FORMATS = ((".jpg", "JPEG"), (".png", "PNG"), (".webp", "WEBP"))


def kind_of(index: int) -> Kind:
    """What photograph `index` shows."""
    place = index % _ROW
    return "one" if place < _ROW - len(_REST) else _REST[place - (_ROW - len(_REST))]


def name_of(index: int) -> str:
    """Its file below the folder."""
    suffix = ".jpg" if kind_of(index) == "broken" else _FORMATS[index % 3][0]
    return f"person{index % _PERSONS:02d}/{index:05d}{suffix}"


def draw_people(spec: DatasetSpec, folder: Path) -> None:
    """Write as many photographs as `spec` asks for below `folder`."""
    for index in range(spec.drawn or 0):
        path = folder / name_of(index)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_file(index, f"{spec.source}-{spec.split}-{spec.name}"))
        # Drawn again it is the same file, and need not be looked at again.
        os.utime(path, (_STAMP, _STAMP))


def photograph(index: int, purpose: str) -> Image.Image:
    """Photograph `index` before it is written, an RGB image."""
    kind = kind_of(index)
    if kind in _ORIGINAL:
        original = photograph(index // _ROW * _ROW + _ORIGINAL[kind], purpose)
        small = original.resize((original.width * 15 // 16, original.height * 15 // 16))
        return ImageOps.mirror(small) if kind == "mirrored" else small
    canvas = Canvas(_SIDE)
    dice = Dice(derive_seed(_DRAWING_VERSION, index, purpose))
    scene(canvas, dice)
    if kind == "several":
        portrait(canvas, dice, dice.near(0.26, 0.03), dice.near(0.42, 0.05), 0.17)
        portrait(canvas, dice, dice.near(0.72, 0.03), dice.near(0.5, 0.02), 0.22)
    elif kind == "small":
        portrait(canvas, dice, dice.near(0.5, 0.2), dice.near(0.5, 0.1), 0.15)
    elif kind != "none":
        size = dice.between(0.24, 0.29)
        portrait(canvas, dice, dice.between(0.4, 0.6), dice.between(0.44, 0.54), size)
    image = Image.fromarray(canvas.finish())
    if kind == "dark":
        return image.point([level // 5 for level in range(256)] * 3)
    return image.filter(ImageFilter.GaussianBlur(2)) if kind == "blurred" else image


def _file(index: int, purpose: str) -> bytes:
    image, buffer = photograph(index, purpose), io.BytesIO()
    if kind_of(index) == "broken":
        image.save(buffer, "JPEG", quality=90)
        return buffer.getvalue()[: len(buffer.getvalue()) // 2]
    if kind_of(index) == "copy":
        image.save(buffer, _FORMATS[index % 3][1], quality=75)
    else:
        image.save(buffer, _FORMATS[index % 3][1], quality=92)
    return buffer.getvalue()
