"""The families without a story: shapes, patterns, glows, marbles, rings."""

from __future__ import annotations

import numpy as np

from msgbench.data.drawing.canvas import (
    Canvas,
    Colour,
    box,
    direction,
    disc,
    ellipse,
    hsv,
    mix,
    regular,
    smooth,
    star,
    wave,
)
from msgbench.data.drawing.dice import Dice


def palette(dice: Dice, count: int) -> list[Colour]:
    """Colours that go together: neighbours on the colour wheel, or two opposite groups."""
    hue, spread = dice.unit(), dice.pick((0.04, 0.08, 0.14, 0.33, 0.5))
    strength = dice.between(0.3, 0.75)
    colours = []
    for k in range(count):
        saturation = dice.near(strength, 0.25)
        value = dice.near(0.4 + 0.5 * ((k * 2 + 1) % count) / count + 0.1, 0.15)
        colours.append(hsv(hue + spread * k + dice.near(0.0, 0.03), saturation, value))
    return colours


def ramp(canvas: Canvas, dice: Dice, first: Colour, second: Colour) -> np.ndarray:
    """A gradient [3, side, side] in a random direction."""
    dx, dy = direction(dice.unit())
    t = ((canvas.x - 0.5) * dx + (canvas.y - 0.5) * dy) * 0.8 + 0.5
    return canvas.blend(smooth(t), first, second)


def shapes(canvas: Canvas, dice: Dice) -> None:
    """One to three solid bodies, lit from the upper left, with soft shadows on a plain ground."""
    ground = hsv(dice.unit(), dice.near(0.25, 0.25), dice.near(0.7, 0.3))
    canvas.fill(ramp(canvas, dice, ground, mix(ground, (0.15, 0.15, 0.25), dice.near(0.45, 0.25))))
    hue, first = dice.unit(), dice.unit()
    count = dice.whole(1, 3)
    for k in range(count):
        if count == 1:
            radius = dice.between(0.26, 0.36)
            cx, cy = dice.near(0.48, 0.12), dice.near(0.48, 0.12)
        else:  # around the middle, far enough apart to be told from each other
            radius = dice.between(0.17, 0.24)
            away = direction(first + k / count)
            cx, cy = 0.48 + 0.24 * away[0], 0.48 + 0.24 * away[1]
        turn, kind = dice.unit(), dice.whole(0, 5)
        colour = hsv(hue + 0.37 * k, dice.between(0.6, 1.0), dice.between(0.75, 1.0))

        def outline(
            du: float,
            dv: float,
            cx: float = cx,
            cy: float = cy,
            turn: float = turn,
            kind: int = kind,
            radius: float = radius,
        ) -> np.ndarray:
            u, v = canvas.frame(cx + du, cy + dv, turn)
            if kind == 0:
                return disc(u, v, radius)
            if kind == 1:
                return box(u, v, radius * 0.8, radius * 0.8, radius * 0.15)
            if kind == 2:
                return star(u, v, radius * 1.15, 5, 0.0)
            if kind == 5:
                return np.abs(disc(u, v, radius * 0.75)) - radius * 0.24
            return regular(u, v, radius * 1.05, kind * 3 - 6, 0.0)  # triangle, hexagon

        canvas.paint(canvas.inside(outline(0.05, 0.06), 0.08), (0.0, 0.0, 0.05), 0.45)
        u, v = canvas.frame(cx, cy)
        body = outline(0.0, 0.0)
        light = np.clip(0.5 - (u + v) * (0.5 / radius), 0.0, 1.0)
        dark, bright = mix(colour, (0.05, 0.0, 0.15), 0.5), mix(colour, (1.0, 1.0, 0.9), 0.25)
        canvas.shape(body, canvas.blend(light, dark, bright))
        if kind == 0:  # a ball shines
            shine = disc(u + radius * 0.35, v + radius * 0.38, radius * 0.12)
            canvas.paint(canvas.inside(shine, radius * 0.3), (1.0, 1.0, 1.0), 0.8)


def patterns(canvas: Canvas, dice: Dice) -> None:
    """Cloth and tiles: stripes, checks, dots, zigzags, plaid, bricks."""
    first, second, third = palette(dice, 3)
    if dice.chance(0.4):
        second = mix(second, (1.0, 0.98, 0.92), 0.75)
    kind, frequency = dice.whole(0, 5), dice.between(2.5, 6.0)
    turn = dice.pick((0.0, 0.125, dice.unit()))
    u, v = canvas.frame(dice.unit(), dice.unit(), turn)
    if dice.chance(0.4):  # the cloth has folds
        bend = dice.between(0.02, 0.05)
        u = u + bend * wave(v * dice.between(0.8, 1.8) + dice.unit())
    u, v = u * frequency, v * frequency
    sharp = canvas.side / frequency  # samples per period: edges one sample wide

    def edge(t: np.ndarray) -> np.ndarray:
        return np.clip(0.5 + t * (0.25 * sharp), 0.0, 1.0)

    canvas.fill(first)
    if kind == 0:
        canvas.paint(edge(wave(u) - dice.near(0.0, 0.5)), second)
        if dice.chance(0.5):
            canvas.paint(edge(wave(u * 0.5 + 0.1) - 0.75), third)
    elif kind == 1:
        canvas.paint(edge(wave(u) * wave(v)), second)
    elif kind == 2:
        p, q = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
        canvas.paint(edge((dice.between(0.24, 0.4) - disc(p, q, 0.0)) * 4.0), second)
    elif kind == 3:
        zigzag = np.abs(u - np.floor(u) - 0.5) * dice.between(1.0, 2.0)
        canvas.paint(edge(wave(v + zigzag)), second)
        canvas.paint(edge(wave(v * 0.5 + zigzag * 0.5 + 0.1) - 0.6), third, 0.7)
    elif kind == 4:
        canvas.paint(edge(wave(u) - 0.1), second, 0.5)
        canvas.paint(edge(wave(v) - 0.1), second, 0.5)
        canvas.paint(edge(np.maximum(wave(u * 0.5), wave(v * 0.5)) - 0.93), third, 0.8)
    else:
        row = np.floor(v * 1.6)
        p = u * 0.8 + row * 0.5
        joint = np.minimum(0.5 - np.abs(p - np.floor(p) - 0.5), 0.5 - np.abs(v * 1.6 - row - 0.5))
        canvas.pixels *= 0.75 + 0.4 * canvas.noise(dice, 8)
        canvas.paint(edge((0.1 - joint) * 4.0), second)
    lx, ly = direction(dice.unit())
    canvas.pixels *= 0.92 + 0.3 * ((canvas.x - 0.5) * lx + (canvas.y - 0.5) * ly)
    canvas.pixels *= 0.93 + 0.14 * canvas.noise(dice, 16)


def glows(canvas: Canvas, dice: Dice) -> None:
    """Coloured light: a gradient with soft lamps in it."""
    colours = palette(dice, 4)
    hue, night = dice.unit(), dice.chance(0.5)
    ground = [mix(c, (0.02, 0.02, 0.08), 0.7 if night else 0.15) for c in colours]
    canvas.fill(ramp(canvas, dice, ground[0], ground[1]))
    for k in range(dice.whole(2, 5)):
        u, v = canvas.frame(dice.unit(), dice.unit())
        radius = dice.between(0.15, 0.55)
        light = np.maximum(1.0 - (u * u + v * v) * (1.0 / (radius * radius)), 0.0)
        light *= light
        colour = hsv(hue + dice.near(0.0, 0.2), 0.8, 1.0) if night else colours[2 + k % 2]
        if night:
            canvas.glow(light * dice.between(0.5, 1.0), mix(colour, colours[k % 4], 0.3))
        else:
            canvas.paint(light, mix(colour, (1.0, 1.0, 1.0), 0.2), dice.between(0.6, 1.0))


def marbles(canvas: Canvas, dice: Dice) -> None:
    """Stone, smoke and ink: noise bent by noise, in three colours with thin veins."""
    colours = palette(dice, 3)
    cells = dice.whole(2, 4)
    field = canvas.noise(dice, cells, 3)
    bent = wave(
        canvas.x * dice.near(0.0, 1.2)
        + canvas.y * dice.near(0.0, 1.2)
        + field * dice.between(0.7, 2.2)
        + dice.unit()
    )
    canvas.fill(canvas.blend(smooth(0.5 + 0.5 * bent), colours[0], colours[1]))
    canvas.paint(smooth(canvas.noise(dice, cells + 1, 2) * 3.0 - 1.6), colours[2])
    vein = smooth(1.0 - np.abs(bent) * dice.between(4.0, 9.0))
    bright = dice.chance(0.5)
    canvas.paint(vein, (1.0, 0.97, 0.9) if bright else (0.1, 0.05, 0.1), dice.between(0.3, 0.8))


def rings(canvas: Canvas, dice: Dice) -> None:
    """Targets and ripples: concentric bands around one centre, sometimes two."""
    colours = palette(dice, 4)
    canvas.fill(ramp(canvas, dice, colours[0], mix(colours[0], colours[3], 0.4)))
    for k in range(dice.pick((1, 1, 2))):
        turn, squeeze = dice.unit(), dice.pick((1.0, 1.0, dice.between(0.6, 1.0)))
        u, v = canvas.frame(dice.near(0.5, 0.3), dice.near(0.5, 0.3), turn)
        outer = dice.between(0.3, 0.5) if k == 0 else dice.between(0.15, 0.28)
        bands = dice.whole(3, 6)
        for band in range(bands):
            radius = outer * (bands - band) / bands
            colour = colours[(band + k + 1) % 4] if bands > 3 else colours[1 + (band + k) % 2]
            if band == 0:
                shadow = ellipse(u - 0.02, v - 0.02, radius, radius * squeeze)
                canvas.paint(canvas.inside(shadow, 0.07), (0.0, 0.0, 0.0), 0.4)
            canvas.shape(ellipse(u, v, radius, radius * squeeze), colour)
    canvas.pixels *= 1.08 - 0.25 * canvas.y + 0.06 * wave(canvas.x + dice.unit())
