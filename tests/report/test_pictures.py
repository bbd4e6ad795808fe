"""Thumbnails and contact sheets: exact pixels, one size, refused where there are none."""

from __future__ import annotations

import base64
import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from msgbench.analysis.collected import Grid
from msgbench.analysis.report.pictures import (
    GAP,
    TILE,
    contact_sheet,
    grid_thumbnail,
    moments,
    preview,
    thumbnail_file,
)
from msgbench.errors import ResultsError


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("scale", [4, 8, 16, 32, 64])
def test_low_resolutions_are_enlarged_without_a_change(tmp_path, scale):
    rng = np.random.default_rng(scale)
    grid = rng.integers(0, 256, (6 * scale, 6 * scale, 3), np.uint8)
    shown = np.asarray(grid_thumbnail(Grid(0, scale, save(tmp_path / "g.png", grid))))
    assert shown.shape == (2 * TILE + GAP, 4 * TILE + 3 * GAP, 4)
    step, factor = TILE + GAP, TILE // scale
    for row, column in [(0, 0), (1, 3)]:
        tile = shown[row * step : row * step + TILE, column * step : column * step + TILE]
        image = grid[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
        assert (tile[..., :3] == image.repeat(factor, 0).repeat(factor, 1)).all()
        assert (tile[..., 3] == 255).all()
    assert (shown[TILE : TILE + GAP, :, 3] == 0).all()


def test_high_resolutions_are_averaged(tmp_path):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    shown = np.asarray(grid_thumbnail(Grid(0, 128, save(tmp_path / "g.png", stripes))))
    assert shown.shape == (2 * TILE + GAP, 2 * TILE + GAP, 4)
    assert (shown[:TILE, :TILE, :3] == 100).all()


def test_a_picture_that_is_no_grid_is_refused(tmp_path):
    path = save(tmp_path / "g.png", np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(ResultsError, match="is 10x10 pixels, no grid of images of 4 pixels"):
        grid_thumbnail(Grid(0, 4, path))
    path.write_text("no picture")
    with pytest.raises(ResultsError, match="cannot be read as a picture"):
        grid_thumbnail(Grid(0, 4, path))


def test_contact_sheet(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    shown = np.asarray(contact_sheet(tmp_path))
    step = TILE + GAP
    assert shown.shape == (3 * step - GAP, 16 * step - GAP, 4)
    assert (shown[step : step + TILE : 2, :TILE:2, :3] == images[16]).all()
    np.save(tmp_path / "images.npy", images[:3])
    assert np.asarray(contact_sheet(tmp_path)).shape == (TILE, 3 * step - GAP, 4)
    np.save(tmp_path / "images.npy", images.reshape(100, -1))
    with pytest.raises(ResultsError, match="no RGB images"):
        contact_sheet(tmp_path)
    (tmp_path / "images.npy").unlink()
    assert contact_sheet(tmp_path) is None


def test_a_store_of_files_has_the_same_sheet(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "images.npy", images)
    (tmp_path / "zip").mkdir()
    with zipfile.ZipFile(tmp_path / "zip" / "images.zip", "w") as archive:
        for place, image in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            archive.writestr(f"00000/img{place:08d}.png", buffer.getvalue())
    assert contact_sheet(tmp_path / "zip") == contact_sheet(tmp_path / "npy")
    (tmp_path / "zip" / "images.zip").write_bytes(b"PK no more")
    with pytest.raises(ResultsError, match=r"images\.zip: is not a readable zip of images"):
        contact_sheet(tmp_path / "zip")


def test_a_thumbnail_is_made_once_and_again_for_a_newer_grid(tmp_path):
    grid = np.zeros((24, 24, 3), np.uint8)
    source = save(tmp_path / "g.png", grid)
    out = tmp_path / "report" / "assets" / "g.png"
    folder = tmp_path / "report" / "runs"
    first = thumbnail_file(Grid(0, 4, source), out, folder)
    assert first.uri == "../assets/g.png"
    made = out.stat().st_mtime_ns
    assert thumbnail_file(Grid(0, 4, source), out, folder) == first
    assert out.stat().st_mtime_ns == made
    save(source, grid + 255)
    os.utime(source, ns=(made + 1, made + 1))
    thumbnail_file(Grid(0, 4, source), out, folder)
    with Image.open(out) as picture:
        assert picture.getpixel((0, 0)) == (255, 255, 255, 255)
    out.write_bytes(b"half a pict")
    thumbnail_file(Grid(0, 4, source), out, folder)
    with Image.open(out) as picture:
        assert picture.size == (first.width, first.height)


def test_a_preview_is_small_and_shows_the_first_images(tmp_path):
    grid = np.zeros((6 * 32, 6 * 32, 3), np.uint8)
    grid[:32, 32:64] = 255  # the second image
    shown = preview(Grid(0, 32, save(tmp_path / "g.png", grid)))
    assert len(shown.uri) < 2_000
    head, _, data = shown.uri.partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        grey = np.asarray(picture.convert("L"))
    assert grey.shape == (32, 128)
    assert grey[:, 4:28].max() < 30  # lossy
    assert grey[:, 36:60].min() > 225


@pytest.mark.parametrize(
    ("lengths", "most", "chosen"),
    [
        ([0, 1, 2], 6, [0, 1, 2]),
        ([], 6, []),
        (list(range(11)), 6, [0, 2, 4, 6, 8, 10]),
        (list(range(100)), 3, [0, 50, 99]),
        ([5, 5, 1], 6, [1, 5]),
    ],
)
def test_moments_keep_the_first_and_the_last(lengths, most, chosen):
    assert moments(lengths, most) == chosen
