"""The families of living things: faces, fish, flowers."""

from __future__ import annotations

import numpy as np

from msgbench.data.drawing.canvas import (
    Canvas,
    Colour,
    box,
    convex,
    direction,
    disc,
    ellipse,
    hsv,
    mix,
    smooth,
    stroke,
    wave,
)
from msgbench.data.drawing.dice import Dice

_DARK: Colour = (0.13, 0.08, 0.1)


def faces(canvas: Canvas, dice: Dice) -> None:
    """A cartoon face: any colour, moods from sad to laughing, hair or a hat."""
    hue = dice.unit()
    ground = hsv(hue, dice.near(0.35, 0.3), dice.near(0.75, 0.2))
    distance = disc(*canvas.frame(0.5, 0.5), 0.0)
    canvas.fill(canvas.blend(smooth(distance * 1.4), mix(ground, (1.0, 1.0, 1.0), 0.35), ground))
    cx, cy = dice.near(0.5, 0.09), dice.near(0.53, 0.07)
    radius = dice.between(0.27, 0.38)
    u, v = canvas.frame(cx, cy, dice.near(0.0, 0.05))
    u, v = u * (1.0 / radius), v * (1.0 / radius)  # the head has radius 1 from here on
    skin = dice.pick(
        (
            hsv(dice.near(0.13, 0.02), 0.75, 1.0),
            hsv(dice.near(0.13, 0.02), 0.75, 1.0),
            hsv(dice.near(0.06, 0.02), dice.between(0.3, 0.6), dice.between(0.5, 0.98)),
            hsv(hue + dice.between(0.3, 0.7), 0.55, 0.9),
        )
    )
    wide, tall = dice.between(0.88, 1.0), dice.between(0.92, 1.05)
    head = ellipse(u, v, wide, tall)
    canvas.paint(canvas.inside(ellipse(u - 0.1, v - 0.14, wide, tall) * radius, 0.1), _DARK, 0.35)
    hair = hsv(dice.pick((0.07, 0.1, 0.03, hue)), dice.between(0.3, 0.9), dice.between(0.12, 0.75))
    style = dice.whole(0, 4)
    if style == 1:  # long hair behind the head
        canvas.shape(box(u, v - 0.1, 1.1, 1.1, 0.8) * radius, hair)
    if style == 2:  # ears of a bear or a cat
        for side in (-1.0, 1.0):
            canvas.shape(disc(u - side * 0.7, v + 0.75, 0.34) * radius, mix(skin, _DARK, 0.15))
            canvas.shape(
                disc(u - side * 0.7, v + 0.75, 0.18) * radius, mix(skin, (1.0, 0.5, 0.5), 0.5)
            )
    light = smooth(0.55 - (u + v) * 0.4)
    canvas.shape(
        head * radius,
        canvas.blend(light, mix(skin, (0.55, 0.15, 0.1), 0.4), mix(skin, (1.0, 1.0, 0.9), 0.25)),
    )
    if style in (1, 3):
        fringe = np.maximum(
            ellipse(u, v, wide * 1.06, tall * 1.06), v + 0.42 + 0.1 * wave(u * 0.8 + dice.unit())
        )
        canvas.shape(fringe * radius, hair)
    if style == 4:  # a hat
        canvas.shape(box(u, v + 0.95, 0.62, 0.38, 0.12) * radius, hair)
        canvas.shape(box(u, v + 0.6, 1.0, 0.12, 0.1) * radius, mix(hair, (1.0, 1.0, 1.0), 0.25))
    features(canvas, dice, u, v, radius)


def features(canvas: Canvas, dice: Dice, u: np.ndarray, v: np.ndarray, radius: float) -> None:
    """Eyes, mouth and cheeks in head coordinates (the head has radius 1)."""
    apart, high = dice.between(0.34, 0.44), dice.between(0.05, 0.25)
    look, lid = dice.near(0.0, 0.05), dice.whole(0, 3)
    size = dice.between(0.13, 0.2)
    for side in (-1.0, 1.0):
        p, q = u - side * apart, v + high
        if lid == 0 and side > 0:  # a wink
            canvas.shape(
                (np.abs(q + 0.5 * np.abs(p)) - 0.07) * radius + np.maximum(np.abs(p) - 0.2, 0.0),
                _DARK,
            )
        elif lid == 1:
            canvas.shape(ellipse(p, q, size * 1.25, size * 1.6) * radius, (1.0, 1.0, 1.0))
            canvas.shape(disc(p - look * 1.5, q - 0.03, size * 0.75) * radius, _DARK)
        else:
            canvas.shape(ellipse(p, q, size * 0.85, size * 1.25) * radius, _DARK)
            canvas.shape(disc(p + 0.04, q + 0.08, size * 0.3) * radius, (1.0, 1.0, 1.0))
    if dice.chance(0.4):
        for side in (-1.0, 1.0):
            cheek = disc(u - side * 0.58, v - 0.22, 0.14) * radius
            canvas.paint(canvas.inside(cheek, 0.06), (0.98, 0.4, 0.4), 0.6)
    mouth, width = dice.whole(0, 3), dice.between(0.34, 0.52)
    if mouth == 0:  # laughing: a half disc with teeth
        half = np.maximum(ellipse(u, v - 0.22, width, width * 0.9), 0.22 - v)
        canvas.shape(half * radius, (0.5, 0.08, 0.1))
        canvas.shape(np.maximum(half + 0.05, v - 0.34) * radius, (1.0, 1.0, 1.0))
    elif mouth == 3:  # astonished
        canvas.shape(
            ellipse(u, v - 0.48, 0.15, dice.between(0.14, 0.24)) * radius, (0.35, 0.06, 0.08)
        )
    else:  # a smile, or its opposite
        bend = dice.between(0.5, 1.1) if mouth == 1 or dice.chance(0.5) else -0.8
        height = 0.42 + 0.1 * (1.0 if bend > 0 else -0.6)
        curve = v - height + bend * (u * u - 0.06)
        canvas.shape(np.maximum(np.abs(curve) - 0.07, np.abs(u) - width) * radius, (0.4, 0.08, 0.1))


def fish(canvas: Canvas, dice: Dice) -> None:
    """Under water: one or two fish, light from above, sand, weeds and bubbles."""
    hue = dice.near(0.54, 0.1)
    top, deep = (
        hsv(hue - 0.04, 0.5, dice.between(0.75, 0.95)),
        hsv(hue + 0.05, 0.85, dice.between(0.25, 0.55)),
    )
    canvas.fill(canvas.blend(smooth(canvas.y * 1.05), top, deep))
    rays = wave((canvas.x + canvas.y * dice.near(0.0, 0.5)) * dice.between(1.5, 3.0) + dice.unit())
    canvas.glow(np.maximum(rays, 0.0) * (1.0 - canvas.y) * 0.16, (0.9, 1.0, 0.9))
    canvas.pixels *= 0.92 + 0.16 * canvas.noise(dice, 6, 2)
    if dice.chance(0.6):
        line = dice.between(0.82, 0.92) + 0.03 * wave(canvas.x * 0.9 + dice.unit())
        sand = mix(hsv(dice.near(0.11, 0.02), 0.4, 0.9), deep, 0.35)
        grains = 0.85 + 0.3 * canvas.noise(dice, 24)
        canvas.paint(canvas.inside(line - canvas.y), canvas.blend(grains, (0.0, 0.0, 0.0), sand))
    for _ in range(dice.whole(0, 3)):
        foot, sway = dice.unit(), dice.between(0.02, 0.05)
        bent = canvas.x - foot - sway * wave(canvas.y * dice.between(1.5, 3.0) + dice.unit())
        blade = np.maximum(
            np.abs(bent) - 0.022 * smooth((canvas.y - 0.4) * 3.0),
            dice.between(0.45, 0.75) - canvas.y,
        )
        canvas.shape(blade, mix(hsv(dice.between(0.25, 0.4), 0.7, 0.5), deep, 0.3))
    count = dice.pick((1, 1, 2))
    for k in range(count):
        size = dice.between(0.85, 1.2) if count == 1 else dice.between(0.5, 0.75)
        cy = dice.near(0.47, 0.16) if count == 1 else 0.3 + 0.36 * k
        one_fish(canvas, dice, dice.near(0.5, 0.12), cy, size)
    for _ in range(dice.whole(0, 4)):
        u, v = canvas.frame(dice.unit(), dice.between(0.05, 0.6))
        radius = dice.between(0.015, 0.035)
        canvas.paint(canvas.inside(np.abs(disc(u, v, radius)) - 0.008), (0.95, 1.0, 1.0), 0.75)


def one_fish(canvas: Canvas, dice: Dice, cx: float, cy: float, size: float) -> None:
    """A fish that swims to the left or right; `size` 1 is a bit over half the picture."""
    side = dice.pick((-1.0, 1.0))
    u, v = canvas.frame(cx, cy, dice.near(0.0, 0.05))
    u, v = u * (side / size), v * (1.0 / size)
    hue = dice.pick((dice.between(0.0, 0.15), dice.between(0.0, 0.15), dice.unit()))
    body = hsv(hue, dice.between(0.65, 0.95), dice.between(0.8, 1.0))
    fin = hsv(hue + dice.near(0.0, 0.12), 0.85, dice.between(0.55, 0.9))
    long, high = dice.between(0.22, 0.28), dice.between(0.11, 0.19)
    spread = dice.between(0.1, 0.17)
    tail = convex(u, v, [(0.17, 0.0), (0.38, -spread), (0.33, 0.0)])
    other = convex(u, v, [(0.17, 0.0), (0.33, 0.0), (0.38, spread)])
    canvas.shape(np.minimum(tail, other) * size, fin)
    back = ellipse(u - 0.02, v + high * 0.85, long * 0.5, high * 0.5)
    canvas.shape(
        np.minimum(back, ellipse(u - 0.04, v - high * 0.9, long * 0.3, high * 0.35)) * size, fin
    )
    outline = ellipse(u, v, long, high)
    shade = canvas.blend(
        smooth(0.5 + v * (0.5 / high)),
        mix(body, (0.1, 0.1, 0.2), 0.2),
        mix(body, (1.0, 1.0, 0.85), 0.6),
    )
    canvas.shape(outline * size, shade)
    if dice.chance(0.5):
        bands = 0.35 - wave(u * dice.between(5.0, 8.0) + v * v * 6.0 + dice.unit())
        mark = dice.pick(((1.0, 1.0, 1.0), fin, _DARK))
        canvas.paint(
            canvas.inside(np.maximum(outline * size, np.abs(u) - 0.2))
            * np.clip(-bands * 4.0, 0.0, 1.0),
            mark,
            0.85,
        )
    canvas.shape(ellipse(u + long * 0.05, v - 0.02, 0.05, 0.03) * size, mix(fin, body, 0.3))
    canvas.shape(disc(u + long * 0.62, v + high * 0.2, 0.045) * size, (1.0, 1.0, 1.0))
    canvas.shape(disc(u + long * 0.66, v + high * 0.2, 0.024) * size, _DARK)


def flowers(canvas: Canvas, dice: Dice) -> None:
    """One to three blossoms on stems before a blurred garden."""
    hue = dice.pick((dice.near(0.3, 0.1), dice.near(0.3, 0.1), dice.near(0.56, 0.06), dice.unit()))
    back = canvas.noise(dice, dice.whole(2, 4), 2)
    dark = hsv(hue, dice.near(0.5, 0.25), dice.between(0.2, 0.6))
    bright = hsv(hue - dice.near(0.04, 0.06), dice.near(0.4, 0.2), dice.between(0.6, 1.0))
    canvas.fill(canvas.blend(smooth(back * 1.2 + 0.15 - 0.5 * canvas.y), dark, bright))
    if dice.chance(0.5):
        for _ in range(dice.whole(2, 5)):
            bokeh = disc(*canvas.frame(dice.unit(), dice.unit()), dice.between(0.04, 0.11))
            canvas.paint(canvas.inside(bokeh, 0.06), hsv(dice.unit(), 0.4, 0.95), 0.35)
    count = dice.pick((1, 1, 1, 2, 3))
    hue = dice.pick((0.95, 0.0, 0.13, 0.75, 0.85, 0.6, dice.unit()))
    for k in range(count):
        size = dice.between(0.85, 1.15) if count == 1 else dice.between(0.45, 0.62)
        cx = dice.near(0.5, 0.1) if count == 1 else (k + 0.5) / count + dice.near(0.0, 0.08)
        cy = dice.near(0.42, 0.08) if count == 1 else dice.between(0.25, 0.6)
        foot = (dice.near(0.5, 0.2), 1.05)
        green = hsv(dice.near(0.3, 0.05), 0.7, dice.between(0.35, 0.6))
        canvas.shape(stroke(canvas.x, canvas.y, (cx, cy), foot, 0.022 * size), green)
        if dice.chance(0.7):
            side = dice.pick((-1.0, 1.0))
            turn = 0.08 * side * dice.between(0.6, 1.6)
            u, v = canvas.frame(
                (cx + foot[0]) * 0.5 + side * 0.12 * size, (cy + 1.05) * 0.5 + 0.08, -turn
            )
            canvas.shape(
                ellipse(u, v, 0.13 * size, 0.045 * size), mix(green, (0.7, 0.9, 0.3), 0.25)
            )
        blossom(canvas, dice, cx, cy, size, hue + dice.near(0.0, 0.05))


def blossom(canvas: Canvas, dice: Dice, cx: float, cy: float, size: float, hue: float) -> None:
    """Petals around a heart; `size` 1 is about two thirds of the picture across."""
    petals, turn = dice.whole(5, 9), dice.unit()
    saturation = dice.pick(
        (dice.between(0.6, 0.95), dice.between(0.6, 0.95), dice.between(0.0, 0.15))
    )
    colour = hsv(hue, saturation, dice.between(0.85, 1.0))
    inner = mix(colour, hsv(hue + dice.near(0.0, 0.15), 0.9, dice.between(0.4, 0.9)), 0.6)
    long = 0.15 * size
    thin = min(long * dice.between(0.55, 0.8), 0.9 * size / petals)
    reach = dice.between(0.13, 0.17) * size
    canvas.paint(
        canvas.inside(disc(*canvas.frame(cx + 0.03, cy + 0.04), 0.27 * size), 0.1),
        (0.0, 0.05, 0.0),
        0.4,
    )
    for k in range(petals):
        angle = turn + k / petals
        dx, dy = direction(angle)
        u, v = canvas.frame(cx + dx * reach, cy + dy * reach, angle)
        shade = smooth(u * (0.5 / long) + 0.5)
        petal = ellipse(u, v, long, thin)
        canvas.shape(petal, mix(inner, _DARK, 0.35), 0.02)
        canvas.shape(petal + 0.012 * size, canvas.blend(shade, inner, colour))
    heart = hsv(dice.pick((0.13, 0.11, 0.08, 0.3)), 0.85, dice.between(0.45, 0.98))
    u, v = canvas.frame(cx, cy)
    radius = dice.between(0.06, 0.1) * size
    canvas.shape(
        disc(u, v, radius),
        canvas.blend(
            smooth(0.5 - (u + v) * (0.4 / radius)), mix(heart, (0.3, 0.1, 0.0), 0.5), heart
        ),
    )
