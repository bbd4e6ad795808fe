"""Reading picture sets: tiles with their labels, as `msgbench sample` wrote them beside a run. Needs no torch."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msgbench.analysis.collected import Run
from msgbench.errors import ResultsError
from msgbench.layout import SAMPLES_JSON
from msgbench.records import read_json

PICTURES_SCHEMA = "msgbench.pictures/1"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Lacking:
    """Why there is no picture set, as the end of a sentence about its run."""

    reason: str


@dataclass(frozen=True)
class PictureSet:
    """One picture set of one run; `tiles` uint8 [rows * columns, R, R, 3], row by row."""

    name: str
    rows: int
    columns: int
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    how: Mapping[str, Any]
    """Seeds, layers, truncation, noise."""
    tiles: Pixels
    arrays: Mapping[str, NDArray[Any]]
    """What stands beside the tiles: raw scales, deviations."""
    cur_nimg: int
    """Images that the generator had been shown."""
    manifest: Path

    def tile(self, row: int, column: int) -> Pixels:
        """uint8 [R, R, 3]."""
        found: Pixels = self.tiles[row * self.columns + column]
        return found


def read_set(run: Run, name: str) -> PictureSet | Lacking:
    """The picture set `name` of a run.

    Raises ResultsError when the manifest or a file of it is broken, or of another run.
    """
    found = read_sets(run, name)
    return found if isinstance(found, Lacking) else found[0]


def read_sets(run: Run, prefix: str) -> list[PictureSet] | Lacking:
    """The picture sets of a run whose names begin with `prefix`, in the order of the manifest."""
    path = run.folder / SAMPLES_JSON
    if not path.is_file():
        return Lacking(run.reason or "its pictures are not drawn (msgbench sample)")
    content = _manifest(path)
    try:
        source = content["sources"][0]
        entries = [entry for entry in content["pictures"] if entry["name"].startswith(prefix)]
        if source["run"] != run.run_id:
            raise ResultsError(f"{path}: is of run {source['run']!r}, its folder of {run.run_id!r}")
        found = [_set(path, entry, int(source["cur_nimg"])) for entry in entries]
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise ResultsError(
            f"{path}: is no complete manifest of picture sets ({type(error).__name__}: {error}); draw them again"
        ) from None
    return found or Lacking(f"it has no pictures called {prefix.rstrip('-')}")


def _manifest(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(path)
    except ValueError as error:
        raise ResultsError(str(error)) from None
    if not isinstance(content, dict) or content.get("schema") != PICTURES_SCHEMA:
        schema = content.get("schema") if isinstance(content, dict) else None
        raise ResultsError(f"{path}: schema is {schema!r}, {PICTURES_SCHEMA!r} is needed")
    return content


def _set(manifest: Path, entry: Mapping[str, Any], cur_nimg: int) -> PictureSet:
    files = [manifest.parent / file["file"] for file in entry["files"]]
    path = next(file for file in files if file.suffix == ".npz")
    try:
        with np.load(path) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ResultsError(
            f"{path}: cannot be read ({error}); draw the pictures again (msgbench sample)"
        ) from None
    tiles = arrays.pop("tiles")
    rows, columns = int(entry["rows"]), int(entry["columns"])
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or len(tiles) != rows * columns:
        raise ResultsError(
            f"{path}: tiles are {tiles.dtype} {list(tiles.shape)}, uint8 [{rows * columns}, R, R, 3] is needed"
        )
    return PictureSet(
        str(entry["name"]), rows, columns, tuple(map(str, entry["row_labels"])),
        tuple(map(str, entry["column_labels"])), entry["how"], tiles, arrays, cur_nimg, manifest,
    )  # fmt: skip


def in_range(pixels: Pixels) -> NDArray[np.float64]:
    """Pixels in the networks' range: uint8 -> [-1, 1]."""
    return pixels.astype(np.float64) / 127.5 - 1


def pooled(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., 2R, 2R, C] -> [..., R, R, C] by the means of 2x2 pixels."""
    *head, height, width, channels = images.shape
    blocks = images.reshape(*head, height // 2, 2, width // 2, 2, channels)
    means: NDArray[np.float64] = blocks.mean(axis=(-4, -2))
    return means


def enlarged(image: Pixels, side: int) -> Pixels:
    """uint8 [r, r, 3] -> [side, side, 3] by repeating pixels."""
    times = side // image.shape[0]
    return image.repeat(times, axis=0).repeat(times, axis=1)
