"""A contact sheet: a seeded draw of a store's images on one picture, in lines by class where there are labels.

For eyes only. Small images are enlarged by a whole factor with hard pixels, large ones are reduced by a
whole factor; no pixel is smoothed into another one or brightened.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from msgbench.data.store import Store
from msgbench.errors import DatasetError
from msgbench.records import atomic_file
from msgbench.seeding import derive_seed

MOST_IMAGES = 2500
_SMALLEST_TILE, _LARGEST_TILE = 96, 256  # px
_MOST_COLUMNS = 20
_GAP, _MARGIN, _TEXT = 2, 12, 16  # px
_PAPER, _INK = (255, 255, 255), (32, 32, 32)


class Row(NamedTuple):
    """One line of the sheet: its name (empty on the further lines of a class) and the images' indices."""

    name: str
    indices: list[int]


def write_contact_sheet(store: Store, out: Path, images: int = 64, seed: int = 0) -> int:
    """Draw the sheet of `store` into the PNG file `out`, complete or not at all; returns how many it shows.

    The same store, number and seed give the same picture. Raises DatasetError when `out` cannot be written.
    """
    rows = choose(store, images, seed)
    shown = sum(len(row.indices) for row in rows)
    buffer = io.BytesIO()
    draw_sheet(store, rows, f"{shown:,} of {len(store):,} images, seed {seed}").save(buffer, "PNG")
    try:
        with atomic_file(out) as file:
            file.write(buffer.getbuffer())
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written ({error.strerror})") from None
    return shown


def choose(store: Store, images: int, seed: int) -> list[Row]:
    """The lines of a sheet of at most `images` images, drawn without repetition.

    With labels the classes share the number as evenly as it and they allow: first one image of each
    class, then a second one of each, and so on.
    """
    assert 0 < images <= MOST_IMAGES
    # Sorted raw words, because only these are promised to be the same in every version of NumPy.
    words = np.random.PCG64(derive_seed(seed, 0, "contact-sheet")).random_raw(len(store))
    order = np.argsort(words, kind="stable")
    if store.labels is None:
        return _lines("", order[:images].tolist(), math.ceil(math.sqrt(min(images, len(order)))))
    drawn = [order[store.labels[order] == label] for label in np.unique(store.labels)]
    share = [0] * len(drawn)
    left = min(images, len(order))
    while left:
        for place, members in enumerate(drawn):
            if left and share[place] < len(members):
                share[place] += 1
                left -= 1
    rows = []
    for label, members, count in zip(np.unique(store.labels), drawn, share, strict=True):
        rows += _lines(_name(store, int(label)), members[:count].tolist(), max(share))
    return rows


def draw_sheet(store: Store, rows: list[Row], caption: str) -> Image.Image:
    """The sheet as an RGB picture: caption, then one line of images for each row, named at its left."""
    side = store.resolution
    factor = math.ceil(_SMALLEST_TILE / side)
    reduction = math.ceil(side / _LARGEST_TILE)
    tile = side * factor // reduction
    font = ImageFont.load_default(_TEXT)
    names = max((math.ceil(font.getlength(row.name)) for row in rows), default=0)
    left = _MARGIN + (names + _MARGIN if names else 0)
    top = _MARGIN + 2 * (_TEXT + 6) + 6
    columns = max((len(row.indices) for row in rows), default=0)
    lines = [_title(store), f"{caption}; {_scale(side, factor, reduction)}"]
    width = max(
        left + columns * (tile + _GAP) - _GAP,
        *(math.ceil(_MARGIN + font.getlength(t)) for t in lines),
    )
    height = top + len(rows) * (tile + _GAP) - _GAP
    sheet = Image.new("RGB", (width + _MARGIN, height + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, text in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + number * (_TEXT + 6)), text, fill=_INK, font=font)
    for line, row in enumerate(rows):
        y = top + line * (tile + _GAP)
        pen.text((left - _MARGIN, y + tile // 2), row.name, fill=_INK, font=font, anchor="rm")
        for column, index in enumerate(row.indices):
            picture = Image.fromarray(np.ascontiguousarray(store.images[index]))
            if reduction > 1:
                picture = picture.reduce(reduction)
            picture = picture.resize((tile, tile), Image.Resampling.NEAREST)
            sheet.paste(picture, (left + column * (tile + _GAP), y))
    return sheet


def _lines(name: str, indices: list[int], columns: int) -> list[Row]:
    """The images of one class, wrapped."""
    columns = min(columns, _MOST_COLUMNS)
    pieces = [indices[place : place + columns] for place in range(0, len(indices), columns)]
    return [Row(name if number == 0 else "", piece) for number, piece in enumerate(pieces)]


def _name(store: Store, label: int) -> str:
    names = store.manifest.label_names
    return names[label] if names is not None and label < len(names) else f"label {label}"


def _title(store: Store) -> str:
    manifest = store.manifest
    kind = ", drawn by msgbench as a stand-in" if manifest.stand_in else ""
    return f"{manifest.name}, split {manifest.split}{kind}, content {manifest.fingerprint[:8]}"


def _scale(side: int, factor: int, reduction: int) -> str:
    if reduction > 1:
        return f"{side} px reduced {reduction} times"
    return f"{side} px enlarged {factor} times" if factor > 1 else f"{side} px as they are"
