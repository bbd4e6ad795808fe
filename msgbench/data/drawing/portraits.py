"""Portraits: faces with the light and shade of a photograph, so that a detector of faces takes them for faces.

Not the cartoon of creatures.py: brows above eyes in shaded sockets, a bridge of the nose between them, hair around the
forehead, a neck and shoulders below.
"""

from __future__ import annotations

import numpy as np

from msgbench.data.drawing.canvas import Canvas, Colour, box, disc, ellipse, hsv, mix, smooth
from msgbench.data.drawing.dice import Dice

_DARK: Colour = (0.1, 0.07, 0.07)
_WHITE: Colour = (0.97, 0.96, 0.94)
_LIP: Colour = (0.55, 0.18, 0.18)


def scene(canvas: Canvas, dice: Dice) -> None:
    """What is behind people: walls, windows and lamps out of focus, without anything like a face."""
    hue = dice.unit()
    ground = hsv(hue, dice.between(0.05, 0.5), dice.between(0.15, 0.6))
    other = hsv(hue + dice.near(0.0, 0.3), dice.between(0.05, 0.5), dice.between(0.4, 1.0))
    canvas.fill(
        canvas.blend(smooth(canvas.noise(dice, dice.whole(2, 5), 2) * 2.0 - 0.5), ground, other)
    )
    for _ in range(dice.whole(2, 5)):
        u, v = canvas.frame(dice.unit(), dice.unit(), dice.near(0.0, 0.03))
        part = box(u, v, dice.between(0.04, 0.25), dice.between(0.1, 0.6))
        colour = hsv(dice.unit(), dice.between(0.0, 0.6), dice.between(0.1, 1.0))
        canvas.paint(canvas.inside(part, 0.02), colour, dice.between(0.4, 0.9))
    for _ in range(dice.whole(0, 3)):
        lamp = disc(*canvas.frame(dice.unit(), dice.unit()), dice.between(0.02, 0.12))
        canvas.paint(canvas.inside(lamp, 0.04), _WHITE, dice.between(0.3, 0.9))


def portrait(canvas: Canvas, dice: Dice, cx: float, cy: float, size: float) -> None:
    """A person from the shoulders up; the middle of the face at (cx, cy), the face about 2 `size` high."""
    u, v = canvas.frame(cx, cy, dice.near(0.0, 0.025))
    u, v = u * (1.0 / size), v * (1.0 / size)  # the face reaches from -1 to 1
    skin = hsv(dice.near(0.065, 0.015), dice.between(0.28, 0.55), dice.between(0.5, 0.95))
    hair = hsv(dice.near(0.06, 0.03), dice.between(0.1, 0.6), dice.between(0.05, 0.5))
    wide = dice.between(0.7, 0.82)
    shadow = mix(skin, (0.25, 0.08, 0.05), 0.45)
    light = mix(skin, _WHITE, 0.25)
    _clothes(canvas, dice, u, v, size)
    canvas.shape(box(u, v - 1.0, dice.between(0.28, 0.42), 0.55, 0.1) * size, shadow)
    _hair_behind(canvas, dice, u, v, size, wide, hair)
    for side in (-1.0, 1.0):
        canvas.shape(ellipse(u - side * wide, v - 0.02, 0.11, 0.2) * size, mix(skin, shadow, 0.4))
    lit = dice.pick((-1.0, 1.0)) * dice.between(0.05, 0.45)
    face = np.maximum(ellipse(u, v, wide, 1.0), -1.2 - v)
    canvas.shape(face * size, canvas.blend(smooth(0.6 - u * lit - np.abs(u) * 0.35), shadow, light))
    edge, tilt = dice.between(-0.75, -0.52), dice.near(0.0, 0.35)
    fringe = np.maximum(ellipse(u, v, wide * 1.03, 1.03), v - edge - tilt * u)
    canvas.shape(fringe * size, hair)
    if dice.chance(0.25):
        beard = np.maximum(ellipse(u, v, wide * 1.01, 1.02), 0.42 - v - 0.5 * u * u)
        canvas.paint(canvas.inside(beard * size, 0.02), hair, dice.between(0.5, 0.9))
    _features(canvas, dice, u, v, size, skin, hair)
    if dice.chance(0.1):
        _hat(canvas, dice, u, v, size)


def _clothes(canvas: Canvas, dice: Dice, u: np.ndarray, v: np.ndarray, size: float) -> None:
    cloth = hsv(dice.unit(), dice.between(0.0, 0.8), dice.between(0.08, 0.95))
    body = box(u, v - 2.15, dice.between(1.3, 2.0), dice.between(0.8, 1.05), 0.6)
    canvas.shape(body * size, cloth)
    if dice.chance(0.4):  # a shirt below a jacket
        shirt = np.maximum(body, np.abs(u) - 0.7 + 0.35 * (v - 1.0))
        canvas.shape(shirt * size, mix(_WHITE, cloth, dice.between(0.0, 0.4)))


def _hair_behind(
    canvas: Canvas, dice: Dice, u: np.ndarray, v: np.ndarray, size: float, wide: float, hair: Colour
) -> None:
    puff, aside = dice.between(1.05, 1.55), dice.near(0.0, 0.12)
    canvas.shape(ellipse(u - aside, v + 0.25, wide * puff, 0.95 + 0.2 * puff) * size, hair)
    if dice.chance(0.45):
        down, left = dice.between(0.7, 1.5), dice.between(1.1, 1.5)
        canvas.shape(box(u - aside, v - down + 0.7, wide * left, down, 0.4) * size, hair)


def _hat(canvas: Canvas, dice: Dice, u: np.ndarray, v: np.ndarray, size: float) -> None:
    cloth = hsv(dice.unit(), dice.between(0.1, 0.8), dice.between(0.15, 0.95))
    top = np.maximum(
        ellipse(u, v + 0.55, dice.between(0.9, 1.1), dice.between(0.7, 0.95)), v + 0.58
    )
    canvas.shape(top * size, cloth)
    canvas.shape(
        box(u, v + 0.62, dice.between(0.9, 1.35), 0.06, 0.05) * size, mix(cloth, _DARK, 0.4)
    )


def _features(
    canvas: Canvas,
    dice: Dice,
    u: np.ndarray,
    v: np.ndarray,
    size: float,
    skin: Colour,
    hair: Colour,
) -> None:
    """Brows, eyes, nose and mouth, in coordinates of the face."""
    apart, high = dice.between(0.32, 0.36), dice.between(-0.2, -0.14)
    shadow = mix(skin, (0.2, 0.06, 0.04), 0.55)
    look = dice.near(0.0, 0.03)
    iris = hsv(dice.pick((0.07, 0.08, 0.58)), 0.6, dice.between(0.12, 0.35))
    for side in (-1.0, 1.0):
        p, q = u - side * apart, v - high
        canvas.paint(canvas.inside(ellipse(p, q + 0.02, 0.25, 0.16) * size, 0.05), shadow, 0.75)
        brow = np.maximum(np.abs(q + 0.2 + 0.5 * p * p) - 0.045, np.abs(p) - 0.22)
        canvas.paint(canvas.inside(brow * size, 0.01), mix(hair, _DARK, 0.5), 0.9)
        canvas.shape(ellipse(p, q, 0.155, 0.072) * size, _WHITE)
        canvas.shape(disc(p - look, q, 0.075) * size, iris)
        canvas.shape(disc(p - look, q, 0.036) * size, _DARK)
        lid = np.maximum(np.abs(q + 0.055 + 1.5 * p * p * 0.5) - 0.02, np.abs(p) - 0.17)
        canvas.shape(lid * size, _DARK)
    bridge = ellipse(u, v - 0.12, 0.09, 0.34)
    canvas.paint(canvas.inside(bridge * size, 0.03), mix(skin, _WHITE, 0.5), 0.6)
    canvas.paint(canvas.inside(ellipse(u, v - 0.33, 0.19, 0.06) * size, 0.03), shadow, 0.7)
    for side in (-1.0, 1.0):
        canvas.shape(ellipse(u - side * 0.075, v - 0.335, 0.04, 0.022) * size, _DARK)
    width = dice.between(0.26, 0.33)
    canvas.shape(ellipse(u, v - 0.6, width, 0.085) * size, mix(_LIP, skin, dice.between(0.1, 0.4)))
    smile = dice.between(0.0, 0.4)
    line = np.maximum(np.abs(v - 0.6 + smile * (u * u - 0.03)) - 0.018, np.abs(u) - width)
    canvas.shape(line * size, mix(_LIP, _DARK, 0.7))
    canvas.paint(canvas.inside(ellipse(u, v - 0.75, 0.2, 0.04) * size, 0.03), shadow, 0.5)
