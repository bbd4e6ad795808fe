"""Crops of tilted faces, to either side: every pixel is where a rotation by hand puts it, also beyond the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from msgbench.data.faces.crop import Square, cut, place
from msgbench.data.faces.detectors import Face

SIZE = (120, 100)
TILTS = [math.radians(degrees) for degrees in (-25, -10, 10, 25)]


def tilted_face(tilt: float, x: float = 60, y: float = 50, size: float = 40) -> Face:
    """A face around (x, y) whose line of the eyes falls to the right by `tilt`."""
    across, down = 10 * math.cos(tilt), 10 * math.sin(tilt)
    box = (x - size / 2, y - size / 2, size, size)
    return Face(box, 1.0, ((x - across, y - down), (x + across, y + down)))


def ramp() -> Image.Image:
    """Red is 2 x, green is 2 y, at every pixel."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return Image.fromarray(np.stack([2 * x, 2 * y, 0 * x], axis=-1).astype(np.uint8))


def places(square: Square, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Where in the photograph the pixels of the crop have their centres, in its pixels: x and y, [side, side]."""
    steps = ((np.arange(side) + 0.5) / side - 0.5) * square.side
    u, v = np.meshgrid(steps, steps)
    cos, sin = math.cos(square.turn), math.sin(square.turn)
    return square.x + u * cos - v * sin - 0.5, square.y + u * sin + v * cos - 0.5


@pytest.mark.parametrize("tilt", TILTS)
def test_pixels_are_those_that_the_turned_square_covers(tilt: float) -> None:
    square = place(tilted_face(tilt), SIZE, 1.5, True, "none")
    assert (square.turn, square.shift, square.padded) == (pytest.approx(tilt), 0.0, 0.0)
    crop = np.asarray(cut(ramp(), square, 60, "box", "none")).astype(float)
    x, y = places(square, 60)
    # Of whole numbers, by a filter that keeps straight lines.
    np.testing.assert_allclose(crop[..., 0], 2 * x, atol=1.1)
    np.testing.assert_allclose(crop[..., 1], 2 * y, atol=1.1)


@pytest.mark.parametrize("tilt", TILTS)
def test_the_widest_turned_square_touches_two_sides(tilt: float) -> None:
    widest = 100 / (math.cos(tilt) + abs(math.sin(tilt))) / 40
    assert place(tilted_face(tilt), SIZE, widest - 0.01, True, "none").shift == 0.0
    assert place(tilted_face(tilt), SIZE, widest + 0.01, True, "none").shift is None


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize(("x", "y"), [(8, 6), (112, 6), (8, 94), (112, 94)])
def test_beyond_the_photograph_its_edge_goes_on(x: float, y: float, tilt: float) -> None:
    square = place(tilted_face(tilt, x, y), SIZE, 1.5, True, "edge")
    assert (square.x, square.y, square.shift) == (pytest.approx(x), pytest.approx(y), 0.0)
    px, py = np.meshgrid(np.arange(SIZE[0]) + 0.5 - x, np.arange(SIZE[1]) + 0.5 - y)
    u = px * math.cos(tilt) + py * math.sin(tilt)
    v = py * math.cos(tilt) - px * math.sin(tilt)
    covered = ((abs(u) <= 30) & (abs(v) <= 30)).sum()  # pixels of the photograph
    assert square.padded == pytest.approx(1 - covered / 60**2, abs=0.01)
    crop = np.asarray(cut(ramp(), square, 60, "box", "edge")).astype(float)
    at_x, at_y = places(square, 60)
    # The filter rounds off the bend where the edge begins.
    np.testing.assert_allclose(crop[..., 0], 2 * at_x.clip(0, SIZE[0] - 1), atol=2.1)
    np.testing.assert_allclose(crop[..., 1], 2 * at_y.clip(0, SIZE[1] - 1), atol=2.1)
