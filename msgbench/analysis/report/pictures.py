"""Pictures of the page: thumbnails of grids and contact sheets as data URIs, small and exact.

Every image becomes a tile of one size: low resolutions are enlarged without smoothing, so that 4x4
pixels can be seen as such, high ones are averaged down. Nothing is normalised.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from msgbench.analysis.collect import Grid
from msgbench.errors import ResultsError

GRID_COLUMNS, GRID_ROWS = 4, 2
SHEET_COLUMNS, SHEET_ROWS = 16, 3
TILE = 64
GAP = 4
MOST_MOMENTS = 6


@dataclass(frozen=True)
class Thumbnail:
    """A picture inside the page."""

    uri: str
    width: int
    height: int


def moments(lengths: Sequence[int], most: int = MOST_MOMENTS) -> list[int]:
    """At most `most` of the training lengths, evenly chosen, with the first and the last."""
    ordered = sorted(set(lengths))
    if len(ordered) <= most:
        return ordered
    picked = [round(i * (len(ordered) - 1) / (most - 1)) for i in range(most)]
    return [ordered[i] for i in picked]


def grid_thumbnail(grid: Grid) -> Thumbnail:
    """The first GRID_COLUMNS x GRID_ROWS images of a grid; ResultsError when it is no grid of its scale."""
    return _thumbnail(grid_images(grid.path, grid.scale)[:GRID_ROWS, :GRID_COLUMNS])


def grid_images(path: Path, side: int) -> np.ndarray:
    """uint8 [rows, columns, side, side, 3]: the images of the grid in `path`; ResultsError when it is none."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if width % side or height % side:
                raise ResultsError(
                    f"{path}: is {width}x{height} pixels, no grid of images of {side} pixels"
                )
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read as a picture ({error})") from None
    return pixels.reshape(height // side, side, width // side, side, 3).swapaxes(1, 2)


def contact_sheet(images_npy: Path) -> Thumbnail | None:
    """The first images of a store side by side; None when there is no such store file."""
    try:
        images = np.load(images_npy, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise ResultsError(f"{images_npy}: is not a readable .npy file") from None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) == 0:
        raise ResultsError(
            f"{images_npy}: holds {images.dtype} {list(images.shape)}, no RGB images"
        )
    columns = min(SHEET_COLUMNS, len(images))
    rows = min(SHEET_ROWS, len(images) // columns)
    return _thumbnail(
        np.asarray(images[: rows * columns]).reshape(rows, columns, *images.shape[1:])
    )


def _thumbnail(images: np.ndarray) -> Thumbnail:
    sheet = tiled(images)
    data = base64.b64encode(png_bytes(sheet)).decode()
    return Thumbnail(f"data:image/png;base64,{data}", *sheet.size)


def png_bytes(picture: Image.Image) -> bytes:
    """`picture` as PNG; the same picture gives the same bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def tiled(images: np.ndarray) -> Image.Image:
    """uint8 [rows, columns, R, R, 3] as tiles of TILE pixels with transparent gaps between them."""
    rows, columns = images.shape[:2]
    step = TILE + GAP
    sheet = Image.new("RGBA", (columns * step - GAP, rows * step - GAP), (0, 0, 0, 0))
    for row in range(rows):
        for column in range(columns):
            image = images[row, column]
            smooth = len(image) > TILE
            how = Image.Resampling.BOX if smooth else Image.Resampling.NEAREST
            tile = Image.fromarray(image).resize((TILE, TILE), how)
            sheet.paste(tile, (column * step, row * step))
    return sheet
