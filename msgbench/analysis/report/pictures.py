"""Pictures of the pages: thumbnails of grids and contact sheets, small and exact, and previews inside the index.

Every image becomes a tile of one size: low resolutions are enlarged without smoothing, so that 4x4
pixels can be seen as such, high ones are averaged down. Nothing is normalised.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from msgbench.analysis.collected import Grid
from msgbench.analysis.report.parts import href, write_unsynced
from msgbench.data.manifest import IMAGES_NPY, IMAGES_ZIP
from msgbench.errors import ResultsError

GRID_COLUMNS, GRID_ROWS = 4, 2
SHEET_COLUMNS, SHEET_ROWS = 16, 3
TILE = 64
GAP = 4
PREVIEW_COLUMNS, PREVIEW_TILE = 4, 32
MOST_MOMENTS = 6


@dataclass(frozen=True)
class Thumbnail:
    """A picture on a page: a relative URL, or a data URI."""

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


def grid_thumbnail(grid: Grid) -> Image.Image:
    """The first GRID_COLUMNS x GRID_ROWS images of a grid; ResultsError when it is no grid of its scale."""
    return tiled(grid_images(grid.path, grid.scale)[:GRID_ROWS, :GRID_COLUMNS])


def thumbnail_file(grid: Grid, out: Path, folder: Path) -> Thumbnail:
    """The thumbnail of `grid` in the file `out`, for a page in `folder`.

    A thumbnail that is not older than its grid stands: reading the grids of large images takes seconds each.
    """
    url = href(out, folder)
    try:
        if out.stat().st_mtime_ns > grid.path.stat().st_mtime_ns:
            with Image.open(out) as made:
                return Thumbnail(url, *made.size)
    except OSError:
        pass  # none yet, or a broken one
    picture = grid_thumbnail(grid)
    write_unsynced(out, png_bytes(picture))
    return Thumbnail(url, *picture.size)


def preview(grid: Grid) -> Thumbnail:
    """A few images of a grid as one small data URI; lossy, to recognise a run by."""
    images = grid_images(grid.path, grid.scale)[0, :PREVIEW_COLUMNS]
    side = images.shape[1]
    row = Image.fromarray(images.swapaxes(0, 1).reshape(side, len(images) * side, 3))
    how = Image.Resampling.BOX if side > PREVIEW_TILE else Image.Resampling.NEAREST
    small = row.resize((PREVIEW_TILE * len(images), PREVIEW_TILE), how)
    buffer = io.BytesIO()
    small.save(buffer, format="WEBP", quality=75)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Thumbnail(uri, *small.size)


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


def contact_sheet(store: Path) -> Image.Image | None:
    """The first images of a store side by side; None when it has no images."""
    images = _first_images(store)
    if images is None:
        return None
    columns = min(SHEET_COLUMNS, len(images))
    rows = min(SHEET_ROWS, len(images) // columns)
    return tiled(images[: rows * columns].reshape(rows, columns, *images.shape[1:]))


def _first_images(store: Path) -> np.ndarray | None:
    """uint8 [N, R, R, 3]: the images for a contact sheet; None when the store has none."""
    images_npy, images_zip = store / IMAGES_NPY, store / IMAGES_ZIP
    if not images_npy.exists() and images_zip.exists():
        return _zipped_images(images_zip)
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
    return np.asarray(images[: SHEET_COLUMNS * SHEET_ROWS])


def _zipped_images(path: Path) -> np.ndarray | None:
    """The first images of a store of PNG files."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".png")]
            found = [
                np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
                for name in names[: SHEET_COLUMNS * SHEET_ROWS]
            ]
    except (OSError, zipfile.BadZipFile):
        raise ResultsError(f"{path}: is not a readable zip of images") from None
    return np.stack(found) if found else None


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
