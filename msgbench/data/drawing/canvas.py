"""A small painter: antialiased shapes, gradients and noise on a NumPy grid.

Coordinates: x runs from 0 (left) to 1 (right), y from 0 (top) to 1 (bottom), whatever the resolution,
so one scene looks alike at 8 and at 256 pixels. Shapes are signed distances (negative inside, in units
of the image's side); coverage and colours are float32.

Only operations that IEEE 754 rounds in one way are used: + - * /, square root, floor, comparisons.
sin, exp and pow differ between processors and libraries, and sums of floats depend on the order a
library adds in, so neither appears; that is why the drawn dataset has one checksum everywhere.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from msgbench.data.drawing.dice import Dice

Colour = tuple[float, float, float]

_PI = 3.141592653589793
_SMALLEST_SIDE = 64  # below this, thin details (stars, masts) would fall between the samples


def sine(turns: float) -> float:
    """sin(2 pi turns) by its Taylor polynomial: the same bits everywhere, error below 1e-7."""
    t = turns - math.floor(turns)
    if t > 0.75:
        t -= 1.0
    elif t > 0.25:
        t = 0.5 - t
    x = t * (2.0 * _PI)
    xx = x * x
    tail = 1.0 - xx / 110.0 * (1.0 - xx / 156.0)
    return x * (1.0 - xx / 6.0 * (1.0 - xx / 20.0 * (1.0 - xx / 42.0 * (1.0 - xx / 72.0 * tail))))


def direction(turns: float) -> tuple[float, float]:
    """The unit vector (cos, sin) of an angle in turns (1 = 360 degrees)."""
    return sine(turns + 0.25), sine(turns)


def wave(t: np.ndarray) -> np.ndarray:
    """A smooth wave in [-1, 1] with period 1, elementwise: two parabolas, close to a sine."""
    t = t - np.floor(t)
    t += t
    t -= 1.0  # one period on [-1, 1)
    return (np.abs(t) - 1.0) * t * 4.0


def smooth(t: np.ndarray) -> np.ndarray:
    """Smoothstep of t clipped to [0, 1]."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Red, green, blue in [0, 1]; hue in turns, any real number."""
    h = (hue - math.floor(hue)) * 6.0
    channels = []
    for offset in (5.0, 3.0, 1.0):
        k = offset + h
        k -= math.floor(k / 6.0) * 6.0
        channels.append(value - value * saturation * max(0.0, min(k, 4.0 - k, 1.0)))
    return channels[0], channels[1], channels[2]


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour a fraction t of the way from a to b."""
    s = 1.0 - t
    return a[0] * s + b[0] * t, a[1] * s + b[1] * t, a[2] * s + b[2] * t


def column(colour: Colour) -> np.ndarray:
    """A colour as float32 [3, 1, 1], ready to broadcast over a canvas."""
    return np.array(colour, dtype=np.float32).reshape(3, 1, 1)


@lru_cache(maxsize=16)
def _axis(side: int) -> np.ndarray:
    centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    centres.setflags(write=False)
    return centres


@lru_cache(maxsize=64)
def _lattice_weights(side: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """For each sample: the lattice cell it lies in and its smoothed place within that cell."""
    place = _axis(side) * np.float32(cells)
    cell = np.floor(place)
    return cell.astype(np.intp), smooth(place - cell)


def disc(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return np.sqrt(u * u + v * v) - radius


def ellipse(u: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
    """Half axes a and b; exact on the outline, approximate away from it."""
    p, q = u * (1.0 / a), v * (1.0 / b)
    return (np.sqrt(p * p + q * q) - 1.0) * min(a, b)


def box(u: np.ndarray, v: np.ndarray, a: float, b: float, corner: float = 0.0) -> np.ndarray:
    """Half width a, half height b, corners rounded by `corner`."""
    p, q = np.abs(u) - (a - corner), np.abs(v) - (b - corner)
    if corner == 0.0:
        return np.maximum(p, q)
    outside_p, outside_q = np.maximum(p, 0.0), np.maximum(q, 0.0)
    outside = np.sqrt(outside_p * outside_p + outside_q * outside_q)
    return outside + np.minimum(np.maximum(p, q), 0.0) - corner


def convex(u: np.ndarray, v: np.ndarray, corners: list[tuple[float, float]]) -> np.ndarray:
    """A convex polygon, its corners clockwise on the screen (y grows downwards)."""
    distance: np.ndarray | None = None
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        dx, dy = x1 - x0, y1 - y0
        length = math.sqrt(dx * dx + dy * dy)
        nx, ny = dy / length, -dx / length
        side = u * nx + (v * ny - (x0 * nx + y0 * ny))
        distance = side if distance is None else np.maximum(distance, side)
    assert distance is not None, "a polygon has corners"
    return distance


def regular(u: np.ndarray, v: np.ndarray, radius: float, count: int, turn: float) -> np.ndarray:
    """A regular polygon with `count` corners."""
    corners = [direction(turn + k / count) for k in range(count)]
    return convex(u, v, [(radius * x, radius * y) for x, y in corners])


def star(u: np.ndarray, v: np.ndarray, radius: float, points: int, turn: float) -> np.ndarray:
    """A star: the union of thin triangles, one per point, and a core."""
    inner = 0.45 * radius
    shape = regular(u, v, inner * 1.02, points, turn + 0.5 / points)
    for k in range(points):
        left = direction(turn + (k - 0.5) / points)
        tip = direction(turn + k / points)
        right = direction(turn + (k + 0.5) / points)
        triangle = [
            (inner * left[0], inner * left[1]),
            (radius * tip[0], radius * tip[1]),
            (inner * right[0], inner * right[1]),
        ]
        shape = np.minimum(shape, convex(u, v, triangle))
    return shape


def stroke(
    x: np.ndarray,
    y: np.ndarray,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
) -> np.ndarray:
    """A line with round ends, `width` being half its thickness."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    u, v = x - start[0], y - start[1]
    along = np.clip((u * dx + v * dy) * (1.0 / (dx * dx + dy * dy)), 0.0, 1.0)
    return disc(u - along * dx, v - along * dy, width)


class Canvas:
    """A picture being painted: `pixels` is float32 [3, side, side] in [0, 1], later paint on top."""

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution
        # Two samples per pixel and axis besides the analytic edge; large pictures do without.
        self.side = max(_SMALLEST_SIDE, 2 * resolution if resolution < 128 else resolution)
        self.x = _axis(self.side)[None, :]
        self.y = _axis(self.side)[:, None]
        self.pixels = np.zeros((3, self.side, self.side), dtype=np.float32)

    def frame(self, cx: float, cy: float, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates [side, side] of every sample relative to (cx, cy), rotated by `turn`."""
        u, v = self.x - cx, self.y - cy
        if turn == 0.0:
            return u, v
        cos, sin = direction(turn)
        return u * cos + v * sin, v * cos - u * sin

    def inside(self, distance: np.ndarray, blur: float = 0.0) -> np.ndarray:
        """Coverage in [0, 1] of a shape; `blur` widens the edge (in units of the image's side)."""
        sharpness = 1.0 / (1.0 / self.side + blur)
        return np.clip(0.5 - distance * sharpness, 0.0, 1.0)

    def fill(self, colours: Colour | np.ndarray) -> None:
        self.pixels[:] = column(colours) if isinstance(colours, tuple) else colours

    def paint(
        self, coverage: np.ndarray, colours: Colour | np.ndarray, opacity: float = 1.0
    ) -> None:
        """Lay a colour, or a field of colours [3, side, side], over the picture."""
        ink = column(colours) if isinstance(colours, tuple) else colours
        change = ink - self.pixels
        change *= coverage if opacity == 1.0 else coverage * opacity
        self.pixels += change

    def shape(self, distance: np.ndarray, colours: Colour | np.ndarray, blur: float = 0.0) -> None:
        self.paint(self.inside(distance, blur), colours)

    def glow(self, light: np.ndarray, colour: Colour) -> None:
        """Add light; values above 1 are cut off at the end."""
        self.pixels += light * column(colour)

    def blend(self, t: np.ndarray, first: Colour, second: Colour) -> np.ndarray:
        """A field of colours [3, ...]: `first` where t = 0, `second` where t = 1."""
        start = column(first)
        return start + t * (column(second) - start)

    def noise(self, dice: Dice, cells: int, octaves: int = 1) -> np.ndarray:
        """Smooth value noise [side, side] in [0, 1); `cells` lattice cells across the picture."""
        total: np.ndarray | None = None
        weight, weights = 1.0, 0.0
        for octave in range(octaves):
            count = cells << octave
            lattice = dice.lattice(count + 1, count + 1)
            cell, place = _lattice_weights(self.side, count)
            rows = lattice[cell]
            rows = rows + place[:, None] * (lattice[cell + 1] - rows)
            left = rows[:, cell]
            layer = left + place[None, :] * (rows[:, cell + 1] - left)
            total = layer * weight if total is None else total + layer * weight
            weights += weight
            weight *= 0.5
        assert total is not None, "noise has at least one octave"
        return total * (1.0 / weights)

    def finish(self) -> np.ndarray:
        """The picture as uint8 [resolution, resolution, 3]: samples averaged, rounded half up."""
        step = self.side // self.resolution
        total = np.zeros((3, self.resolution, self.resolution), dtype=np.float32)
        for row in range(step):
            for col in range(step):
                total += self.pixels[:, row::step, col::step]
        levels = total * np.float32(255.0 / (step * step)) + np.float32(0.5)
        image = np.clip(np.floor(levels), 0.0, 255.0).astype(np.uint8)
        return np.ascontiguousarray(image.transpose(1, 2, 0))
