"""Contact sheets of a set of faces, one for each outcome, for cleaning by eye: every tile with its id and its numbers.

A copy stands behind the face that is kept instead of it. Photographs without a crop are shown small, with what was
detected marked in them. Outcomes with more tiles than a page holds have several pages.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from msgbench.data.faces.decide import (
    DUPLICATE,
    KEPT,
    NOT_CHOSEN,
    OUTCOMES,
    UNREADABLE,
    Decided,
    FaceOutcome,
    InputOutcome,
)
from msgbench.data.faces.examine import crop_file, thumbnail_file

TILES_A_PAGE = 120
_COLUMNS = 12
_TILE, _TEXT, _GAP, _MARGIN = 128, 11, 6, 12  # px
_PAPER, _INK, _PALE = (255, 255, 255), (32, 32, 32), (110, 110, 110)
_QUALITY = 85


class Tile(NamedTuple):
    """One picture of a sheet with two lines below it."""

    picture: Path | None
    first: str
    second: str


def write_sheets(decided: Decided, seen_folder: Path, folder: Path) -> list[str]:
    """Draw the sheets into `folder`; returns the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for outcome, words in OUTCOMES.items():
        tiles = list(_tiles(decided, outcome, seen_folder))
        pages = [tiles[at : at + TILES_A_PAGE] for at in range(0, len(tiles), TILES_A_PAGE)]
        for number, page in enumerate(pages, 1):
            name = f"{outcome}.jpg" if number == 1 else f"{outcome}-{number}.jpg"
            title = f"{outcome}: {words}; {len(tiles):,} pictures"
            if len(pages) > 1:
                title += f", page {number} of {len(pages)}"
            (folder / name).write_bytes(_draw(title, page))
            names.append(name)
    return names


def _tiles(decided: Decided, outcome: str, seen_folder: Path) -> Iterator[Tile]:
    """Faces of an outcome, then photographs of it without faces; copies behind what they are copies of."""
    faces = [one for one in decided.faces if one.outcome == outcome]
    if outcome == DUPLICATE:
        by_id = {one.id: one for one in decided.faces}
        shown: set[str] = set()
        for one in sorted(faces, key=lambda one: (one.duplicate_of, one.id)):
            if one.duplicate_of not in shown:
                shown.add(one.duplicate_of)
                first = by_id[one.duplicate_of]
                yield _face_tile(first, seen_folder)._replace(second=f"is {first.outcome}; copies:")
            yield _face_tile(one, seen_folder)._replace(second=f"{one.bits} bits differ")
    else:
        for one in faces:
            yield _face_tile(one, seen_folder)
    if outcome in (KEPT, NOT_CHOSEN, UNREADABLE):
        return
    for input_ in decided.inputs:
        if input_.outcome == outcome and input_.seen is not None and not input_.seen.faces:
            yield _photograph_tile(input_, seen_folder)


def _face_tile(one: FaceOutcome, seen_folder: Path) -> Tile:
    face = one.face
    numbers = f"{face.size:.0f} px  s {face.sharpness:.2f}  b {face.brightness:.0f}"
    has_crop = face.crop_bytes > 0
    path = (
        crop_file(seen_folder, one.id)
        if has_crop
        else thumbnail_file(seen_folder, one.photograph.id)
    )
    return Tile(path, one.id, numbers)


def _photograph_tile(one: InputOutcome, seen_folder: Path) -> Tile:
    assert one.seen is not None
    size = f"{one.seen.width}x{one.seen.height} px"
    return Tile(thumbnail_file(seen_folder, one.id), one.id, size)


def _draw(title: str, tiles: list[Tile]) -> bytes:
    font = ImageFont.load_default(_TEXT)
    large = ImageFont.load_default(_TEXT + 5)
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    step_y = _TILE + 2 * (_TEXT + 3) + _GAP
    top = _MARGIN + 30
    width = max(2 * _MARGIN + columns * (_TILE + _GAP), 2 * _MARGIN + int(large.getlength(title)))
    sheet = Image.new("RGB", (width, top + rows * step_y + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), title, fill=_INK, font=large)
    for place, tile in enumerate(tiles):
        x = _MARGIN + place % columns * (_TILE + _GAP)
        y = top + place // columns * step_y
        if tile.picture is not None:
            with Image.open(tile.picture) as opened:
                picture = opened.convert("RGB")
            picture.thumbnail((_TILE, _TILE), Image.Resampling.BOX)
            sheet.paste(picture, (x, y))
        pen.text((x, y + _TILE + 2), tile.first, fill=_INK, font=font)
        pen.text((x, y + _TILE + _TEXT + 4), tile.second, fill=_PALE, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
