"""The square around a face: where it lies, whether the photograph holds all of it, and its pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from msgbench.config.faces import Pad
from msgbench.config.published import Filter
from msgbench.data.faces.detectors import Face, turn_of
from msgbench.data.sources.photographs import FILTERS

# Less is not worth an interpolation of its own.
_LEAST_TURN = math.radians(0.5)
_GRID = 64  # points along a side that the made-up part of a padded square is counted by


class Square(NamedTuple):
    """Where a crop lies in its photograph, in pixels."""

    x: float
    y: float
    """its centre"""
    side: float
    turn: float
    """by which it is turned about its centre, in radians"""
    shift: float | None
    """how far it was moved to stay inside, in sides; None: it cannot stay inside"""
    padded: float
    """share of it that lies outside"""


def place(face: Face, size: tuple[int, int], margin: float, align: bool, pad: Pad) -> Square:
    """The square of `margin` face sizes around a face of a photograph of `size` (width, height).

    Without `pad` it is moved as little as keeps all of it inside; with `pad` it stays where the face is.
    """
    turn = turn_of(face) if align else 0.0
    if abs(turn) < _LEAST_TURN:
        turn = 0.0
    side = margin * face.size
    x, y = face.centre
    reach = side / 2 * (abs(math.cos(turn)) + abs(math.sin(turn)))
    width, height = size
    if pad != "none":
        square = Square(x, y, side, turn, 0.0, 0.0)
        return square._replace(padded=_outside(square, size))
    if 2 * reach > min(width, height):
        return Square(x, y, side, turn, None, _outside(Square(x, y, side, turn, None, 0.0), size))
    inside_x = min(max(x, reach), width - reach)
    inside_y = min(max(y, reach), height - reach)
    shift = math.hypot(inside_x - x, inside_y - y) / side
    return Square(inside_x, inside_y, side, turn, shift, 0.0)


def _outside(square: Square, size: tuple[int, int]) -> float:
    """Share of a square that lies outside of a photograph."""
    steps = ((np.arange(_GRID) + 0.5) / _GRID - 0.5) * square.side
    u, v = np.meshgrid(steps, steps)
    cos, sin = math.cos(square.turn), math.sin(square.turn)
    x, y = square.x + u * cos - v * sin, square.y + u * sin + v * cos
    inside = (x >= 0) & (x <= size[0]) & (y >= 0) & (y <= size[1])
    return float(1.0 - inside.mean())


def cut(
    photograph: Image.Image, square: Square, side: int, resize: Filter, pad: Pad
) -> Image.Image:
    """The square as an RGB image of `side` px: turned (bicubic, in the photograph's own resolution), then resized."""
    if pad != "none" and square.padded > 0:
        photograph, square = _padded(photograph, square, pad)
    half = square.side / 2
    if square.turn == 0.0:
        box = (
            max(0.0, square.x - half),
            max(0.0, square.y - half),
            min(float(photograph.width), square.x + half),
            min(float(photograph.height), square.y + half),
        )
        return photograph.resize((side, side), FILTERS[resize], box=box)
    own = max(1, round(square.side))
    step = square.side / own
    cos, sin = math.cos(square.turn) * step, math.sin(square.turn) * step
    middle = own / 2
    upright = photograph.transform(
        (own, own),
        Image.Transform.AFFINE,
        (
            cos, -sin, square.x - middle * cos + middle * sin,
            sin, cos, square.y - middle * sin - middle * cos,
        ),
        Image.Resampling.BICUBIC,
    )  # fmt: skip
    return upright.resize((side, side), FILTERS[resize])


def _padded(photograph: Image.Image, square: Square, pad: Pad) -> tuple[Image.Image, Square]:
    """The photograph with as much made up around it as the square needs."""
    reach = square.side / 2 * (abs(math.cos(square.turn)) + abs(math.sin(square.turn)))
    left, top = (max(0, math.ceil(reach - at) + 1) for at in (square.x, square.y))
    right = max(0, math.ceil(square.x + reach - photograph.width) + 1)
    bottom = max(0, math.ceil(square.y + reach - photograph.height) + 1)
    widths = ((top, bottom), (left, right), (0, 0))
    if pad == "reflect":
        pixels = np.pad(np.asarray(photograph), widths, mode="reflect")
    else:
        pixels = np.pad(np.asarray(photograph), widths, mode="edge")
    return Image.fromarray(pixels), square._replace(x=square.x + left, y=square.y + top)
