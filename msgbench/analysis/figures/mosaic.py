"""Laying tiles out with their labels: sizes in inches, no layout engine, pixels never stretched to another range."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from msgbench.analysis.figures.drawing import wrapped, write_below
from msgbench.analysis.figures.picture_sets import Pixels
from msgbench.analysis.figures.style import FAINT, PNG_DPI, STYLE

_GAP_INCHES = 0.02
_MARGIN_INCHES = 0.05
_TITLE_INCHES, _LABEL_INCHES = 0.19, 0.13
_SMALL_LETTER_INCHES = 0.052
_LINE_INCHES = 0.12
# Tiles larger than this in a moving picture are only more bytes.
_FRAME_SIDE = 160


@dataclass(frozen=True)
class Block:
    """Tiles in rows and columns with what they are called; `tiles` uint8 [R, R, 3] each, row by row."""

    title: str
    tiles: Sequence[Pixels]
    columns: int
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    under: Sequence[str] = ()
    """What stands under each column."""
    nimg: int = 0
    """Images that the generator had been shown."""
    resolutions: Sequence[int] = ()
    """Of each column, where its tiles are enlarged."""

    @property
    def rows(self) -> int:
        return math.ceil(len(self.tiles) / self.columns)


def lay_out(
    blocks: Sequence[Block], width: float, side_by_side: int, statement: str, below: float = 0.0
) -> tuple[Figure, float]:
    """The blocks as a figure `width` inches wide, so many side by side, and how high what stands under them may begin.

    `below` inches under the blocks stay free for axes of the caller. The second value is the bottom of the blocks
    in inches.
    """
    with matplotlib.rc_context(STYLE):
        each = (width - _MARGIN_INCHES * (side_by_side + 1)) / side_by_side
        sizes = [_Size.of(block, each) for block in blocks]
        lines = [sizes[i : i + side_by_side] for i in range(0, len(sizes), side_by_side)]
        said = wrapped(statement, width)
        foot = _LINE_INCHES * len(said) + 0.04 + below
        height = (
            foot
            + _MARGIN_INCHES / 2
            + sum(max(size.height for size in line) + _MARGIN_INCHES for line in lines)
        )
        figure = Figure(figsize=(width, height))
        top = height - _MARGIN_INCHES / 2
        for index, line in enumerate(lines):
            for place, size in enumerate(line):
                left = _MARGIN_INCHES + place * (each + _MARGIN_INCHES)
                _draw_block(figure, blocks[index * side_by_side + place], size, left, top)
            top -= max(size.height for size in line) + _MARGIN_INCHES
        write_below(figure, said)
        return figure, foot


@dataclass(frozen=True)
class _Size:
    """Inches of a block's parts."""

    tile: float
    labels: float
    """Of the row labels."""
    head: float
    height: float

    @classmethod
    def of(cls, block: Block, width: float) -> _Size:
        longest = max((len(label) for label in block.row_labels), default=0)
        labels = longest * _SMALL_LETTER_INCHES + 0.05 * bool(longest)
        tile = (width - labels - _GAP_INCHES * (block.columns - 1)) / block.columns
        head = _TITLE_INCHES * bool(block.title) + _LABEL_INCHES * any(block.column_labels)
        picture = block.rows * tile + (block.rows - 1) * _GAP_INCHES
        return cls(tile, labels, head, head + picture + _LABEL_INCHES * any(block.under))


def _draw_block(figure: Figure, block: Block, size: _Size, left: float, top: float) -> None:
    width, height = figure.get_size_inches()
    step = size.tile + _GAP_INCHES
    picture = mosaic(block.tiles, block.columns, size.tile)
    wide, high = block.columns * step - _GAP_INCHES, block.rows * step - _GAP_INCHES
    x, y = left + size.labels, top - size.head
    axes = figure.add_axes((x / width, (y - high) / height, wide / width, high / height))
    axes.imshow(picture, interpolation="none", aspect="auto")
    axes.set_axis_off()

    def write(text: str, at_x: float, at_y: float, ha: str, va: str, **font: Any) -> None:
        figure.text(at_x / width, at_y / height, text, ha=ha, va=va, **font)

    if block.title:
        write(block.title, left, top - 0.02, "left", "top", fontsize=8)
    for column, label in enumerate(block.column_labels):
        write(label, x + column * step + size.tile / 2, y + 0.02, "center", "bottom", fontsize=6.5)
    for row, label in enumerate(block.row_labels):
        write(label, x - 0.03, y - row * step - size.tile / 2, "right", "center", fontsize=6.5)
    for column, label in enumerate(block.under):
        place = x + column * step + size.tile / 2
        write(label, place, y - high - 0.015, "center", "top", fontsize=6, color=FAINT)


def mosaic(tiles: Sequence[Pixels], columns: int, tile_inches: float) -> Pixels:
    """uint8 [H, W, 3]: the tiles with white gaps, about as many pixels as the figure has at its resolution."""
    side = round(tile_inches * PNG_DPI)
    gap = max(1, round(_GAP_INCHES * PNG_DPI))
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * (side + gap) - gap, columns * (side + gap) - gap, 3)
    picture = np.full(shape, 255, np.uint8)
    for index, tile in enumerate(tiles):
        y, x = (part * (side + gap) for part in divmod(index, columns))
        picture[y : y + side, x : x + side] = fitted(tile, side)
    return picture


def fitted(tile: Pixels, side: int) -> Pixels:
    """uint8 [r, r, 3] -> [side, side, 3]: pixels stay squares when enlarged, are averaged when made smaller."""
    how = Image.Resampling.NEAREST if side >= tile.shape[0] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(tile)).resize((side, side), how))


def tile_frame(blocks: Iterable[Block]) -> pd.DataFrame:
    """What a figure of tiles shows, one tile a row: place, labels, images shown, mean colour, deviation (0 to 255)."""
    rows = []
    for block in blocks:
        for index, tile in enumerate(block.tiles):
            row, column = divmod(index, block.columns)
            means = tile.reshape(-1, tile.shape[-1]).mean(axis=0)
            rows.append(
                {
                    "panel": block.title, "row": row, "column": column,
                    "row_label": _label(block.row_labels, row),
                    "column_label": _label(block.column_labels, column),
                    "images_shown": block.nimg,
                    "resolution": block.resolutions[column] if block.resolutions else tile.shape[0],
                    "mean_red": round(float(means[0]), 4), "mean_green": round(float(means[1]), 4),
                    "mean_blue": round(float(means[2]), 4), "deviation": round(float(tile.std()), 4),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _label(labels: Sequence[str], index: int) -> str:
    return labels[index] if index < len(labels) else ""


def animated(frames: Sequence[Pixels], titles: Sequence[str], milliseconds: int) -> bytes:
    """Frames uint8 [H, W, 3] of one size as a WebP without loss that repeats; `titles` stand above, if not empty."""
    pictures = [_titled(frame, title) for frame, title in zip(frames, titles, strict=True)]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, format="WEBP", save_all=True, append_images=pictures[1:], duration=milliseconds,
        loop=0, lossless=True, method=4,
    )  # fmt: skip
    return buffer.getvalue()


def frame_of(tiles: Sequence[Pixels], columns: int) -> Pixels:
    """One frame of a moving picture: the tiles side by side, 160 px each or a little less."""
    side = tiles[0].shape[0]
    side = side * max(1, _FRAME_SIDE // side) if side <= _FRAME_SIDE else _FRAME_SIDE
    return mosaic(tiles, columns, side / PNG_DPI)


def _titled(frame: Pixels, title: str) -> Image.Image:
    if not title:
        return Image.fromarray(frame)
    high = 20
    picture = Image.new("RGB", (frame.shape[1], frame.shape[0] + high), "white")
    picture.paste(Image.fromarray(frame), (0, high))
    font = ImageFont.load_default(13)
    ImageDraw.Draw(picture).text((4, 2), title, fill="black", font=font)
    return picture
