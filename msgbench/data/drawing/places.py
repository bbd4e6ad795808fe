"""The families of places: hills, houses, boats, nights; and the sky over them."""

from __future__ import annotations

import numpy as np

from msgbench.data.drawing.canvas import (
    Canvas,
    Colour,
    box,
    convex,
    disc,
    ellipse,
    hsv,
    mix,
    smooth,
    stroke,
    wave,
)
from msgbench.data.drawing.dice import Dice

# Each mood of the sky: its top, its horizon, and the light it throws on the land.
MOODS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((0.22, 0.48, 0.86), (0.72, 0.88, 0.97), (1.0, 1.0, 0.97)),  # day
    ((0.28, 0.58, 0.92), (0.86, 0.94, 0.95), (1.05, 1.03, 0.95)),  # noon
    ((0.36, 0.27, 0.52), (0.99, 0.58, 0.31), (1.0, 0.72, 0.58)),  # sunset
    ((0.45, 0.56, 0.82), (0.99, 0.82, 0.72), (1.0, 0.88, 0.82)),  # dawn
    ((0.42, 0.46, 0.54), (0.76, 0.79, 0.80), (0.75, 0.77, 0.80)),  # overcast
)


def sky(canvas: Canvas, dice: Dice, horizon: float) -> Colour:
    """Paint sky, sun and clouds down to `horizon`; returns the light that falls on the land."""
    top, low, light = MOODS[dice.whole(0, len(MOODS) - 1)]
    tint = hsv(dice.unit(), 0.5, 0.8)
    top, low = mix(top, tint, 0.12), mix(low, tint, 0.06)
    canvas.fill(canvas.blend(smooth(canvas.y * (1.0 / horizon)), top, low))
    if dice.chance(0.55):
        u, v = canvas.frame(dice.between(0.1, 0.9), horizon * dice.between(0.15, 0.95))
        distance = disc(u, v, 0.0)
        halo = np.maximum(1.0 - distance * 2.2, 0.0)
        canvas.glow(halo * halo * 0.5, mix(low, (1.0, 0.9, 0.6), 0.5))
        canvas.shape(distance - dice.between(0.05, 0.09), (1.0, 0.96, 0.78), 0.02)
    if dice.chance(0.7):
        thick = canvas.noise(dice, dice.whole(3, 5), 2) + 0.25 * canvas.noise(dice, 2)
        cover = smooth((thick - dice.between(0.55, 0.75)) * 5.0) * smooth(1.2 - canvas.y / horizon)
        canvas.paint(cover, mix((1.0, 1.0, 1.0), low, 0.35), 0.85)
    return light


def lit(colour: Colour, light: Colour) -> Colour:
    return colour[0] * light[0], colour[1] * light[1], colour[2] * light[2]


def ridge(canvas: Canvas, dice: Dice, height: float, swing: float, rough: int) -> np.ndarray:
    """The line of a hill or mountain range as y [1, side]: waves, `rough` of them."""
    line = np.full_like(canvas.x, height)
    frequency = dice.between(0.5, 1.1)
    for _ in range(rough):
        line = line + swing * wave(canvas.x * frequency + dice.unit())
        frequency *= dice.between(1.7, 2.5)
        swing *= 0.5
    return line


def tree(canvas: Canvas, dice: Dice, cx: float, foot: float, height: float, light: Colour) -> None:
    """A fir or a round tree standing at (cx, foot)."""
    trunk = box(canvas.x - cx, canvas.y - (foot - 0.15 * height), 0.06 * height, 0.16 * height)
    canvas.shape(trunk, lit((0.35, 0.22, 0.13), light))
    leaf = lit(hsv(dice.near(0.3, 0.12), dice.near(0.6, 0.2), dice.near(0.42, 0.15)), light)
    if dice.chance(0.5):
        for step in (0.0, 0.28):
            half, base = height * (0.34 - step * 0.4), foot - height * (0.2 + step)
            corners = [(cx, base - height * 0.55), (cx + half, base), (cx - half, base)]
            shade = canvas.blend(
                smooth((canvas.x - cx) * (1.2 / half) + 0.5), leaf, mix(leaf, (0, 0, 0), 0.4)
            )
            canvas.shape(convex(canvas.x, canvas.y, corners), shade)
    else:
        u, v = canvas.frame(cx, foot - height * 0.62)
        crown = ellipse(u, v, height * 0.34, height * 0.4)
        shade = smooth((u + v) * (1.0 / height) + 0.5)
        canvas.shape(
            crown,
            canvas.blend(shade, mix(leaf, (1.0, 1.0, 0.6), 0.25), mix(leaf, (0.0, 0.0, 0.1), 0.4)),
        )


def meadow(canvas: Canvas, dice: Dice, line: np.ndarray | float, light: Colour) -> None:
    """Grass (or sand, or snow) below the line."""
    hue, saturation, value = dice.pick(
        (
            (0.27, 0.6, 0.62),
            (0.27, 0.6, 0.62),
            (0.22, 0.55, 0.7),
            (0.13, 0.45, 0.85),
            (0.6, 0.06, 0.95),
        )
    )
    near = lit(hsv(hue + dice.near(0.0, 0.04), saturation, value * 0.72), light)
    far = lit(hsv(hue, saturation * 0.8, value), light)
    depth = smooth((canvas.y - line) * 3.0)
    colours = canvas.blend(depth, far, near) * (0.86 + 0.28 * canvas.noise(dice, 12, 2))
    canvas.paint(canvas.inside(line - canvas.y), colours)


def hills(canvas: Canvas, dice: Dice) -> None:
    """A landscape: ranges of hills fading into the air, sometimes snow, a lake, trees."""
    horizon = dice.between(0.45, 0.65)
    light = sky(canvas, dice, horizon)
    air = tuple(float(c) for c in canvas.pixels[:, int(horizon * canvas.side), 0])
    haze = (air[0], air[1], air[2])
    hue = dice.pick((0.28, 0.33, 0.6, 0.08, 0.75))
    if dice.chance(0.5):
        line = ridge(canvas, dice, horizon - dice.between(0.08, 0.2), dice.between(0.1, 0.17), 4)
        rock = lit(hsv(hue + 0.3, 0.25, dice.between(0.35, 0.55)), light)
        slope = 0.8 + 0.4 * canvas.noise(dice, 8, 2)
        canvas.paint(canvas.inside(line - canvas.y), column_of(mix(rock, haze, 0.35), slope))
        if dice.chance(0.6):
            snow = canvas.y - line - 0.05 - 0.07 * canvas.noise(dice, 10)
            canvas.paint(
                canvas.inside(np.maximum(line - canvas.y, snow), 0.02),
                lit((0.97, 0.98, 1.0), light),
            )
    layers = dice.whole(2, 4)
    for k in range(layers):
        t = (k + 1) / layers
        base = horizon + (0.95 - horizon) * (t - 0.5 / layers)
        line = ridge(canvas, dice, base - 0.05, dice.between(0.03, 0.09), 2)
        grass = hsv(hue + dice.near(0.0, 0.05), dice.near(0.55, 0.2), dice.near(0.5, 0.2))
        colour = mix(haze, lit(grass, light), 0.3 + 0.7 * t)
        shade = 1.12 - smooth((canvas.y - line) * 3.5) * 0.4 + 0.1 * canvas.noise(dice, 12)
        canvas.paint(canvas.inside(line - canvas.y), column_of(colour, shade))
        if dice.chance(0.4 * t):
            for _ in range(dice.whole(1, 3)):
                cx = dice.between(0.05, 0.95)
                foot = float(line[0, int(cx * canvas.side)]) + 0.03
                tree(canvas, dice, cx, foot, dice.between(0.1, 0.22) * (0.5 + t), light)
    if dice.chance(0.3):
        shore = dice.between(0.78, 0.88)
        water(canvas, dice, shore, lit((0.25, 0.45, 0.65), light), haze)


def column_of(colour: Colour, shade: np.ndarray) -> np.ndarray:
    """A colour times a field of brightness: [3, side, side]."""
    return np.array(colour, dtype=np.float32).reshape(3, 1, 1) * shade


def water(canvas: Canvas, dice: Dice, shore: float, deep: Colour, bright: Colour) -> None:
    """Water from `shore` to the lower border, with waves that grow towards us."""
    depth = (canvas.y - shore) * (1.0 / (1.0 - shore))
    ripple = wave(
        depth / (0.15 + 0.35 * depth * depth + 0.01) * 2.0
        + 0.35 * wave(canvas.x * dice.between(1.5, 3.5) + canvas.y * 2.0 + dice.unit())
    )
    t = np.clip(0.75 - 0.6 * depth + 0.18 * ripple + 0.2 * canvas.noise(dice, 6, 2) - 0.1, 0.0, 1.0)
    canvas.paint(canvas.inside(shore - canvas.y), canvas.blend(t, deep, bright))


def houses(canvas: Canvas, dice: Dice) -> None:
    """A house in the open: walls, roof, door, windows, chimney, path and trees."""
    ground = dice.between(0.68, 0.82)
    light = sky(canvas, dice, ground)
    if dice.chance(0.5):
        line = ridge(canvas, dice, ground - dice.between(0.05, 0.15), 0.05, 2)
        colour = lit(hsv(dice.pick((0.3, 0.55, 0.65)), 0.35, 0.55), light)
        canvas.paint(canvas.inside(line - canvas.y), colour)
    meadow(canvas, dice, ground, light)
    cx = dice.near(0.5, 0.18)
    half, tall = dice.between(0.19, 0.3), dice.between(0.2, 0.32)
    foot = ground + dice.between(0.02, 0.08)
    if dice.chance(0.5):
        tree(canvas, dice, cx - half - 0.12, foot - 0.02, dice.between(0.3, 0.5), light)
    eaves = foot - tall
    wall = lit(hsv(dice.unit(), dice.near(0.3, 0.3), dice.near(0.85, 0.15)), light)
    roof = lit(
        hsv(dice.pick((0.02, 0.04, 0.6, 0.08, 0.95)), dice.near(0.6, 0.3), dice.near(0.5, 0.2)),
        light,
    )
    rise, over = dice.between(0.14, 0.26), 0.05
    flat = dice.pick((0.0, 0.0, half * 0.6))
    if dice.chance(0.5):
        u, v = canvas.frame(cx + half * 0.55, eaves - rise * 0.6)
        canvas.shape(box(u, v, 0.035, 0.11), mix(roof, (0.2, 0.1, 0.1), 0.4))
        if dice.chance(0.5):
            for k in range(3):
                smoke = disc(u - 0.03 * k * k * 0.5, v + 0.13 + 0.06 * k, 0.025 + 0.012 * k)
                canvas.paint(canvas.inside(smoke, 0.04), (0.95, 0.95, 0.95), 0.7 - 0.15 * k)
    side = canvas.blend(
        smooth((canvas.x - cx) * (0.7 / half) + 0.5), wall, mix(wall, (0.1, 0.05, 0.2), 0.3)
    )
    canvas.shape(box(canvas.x - cx, canvas.y - (foot - tall * 0.5), half, tall * 0.5), side)
    corners = [
        (cx - flat - 0.001, eaves - rise),
        (cx + flat + 0.001, eaves - rise),
        (cx + half + over, eaves + 0.015),
        (cx - half - over, eaves + 0.015),
    ]
    slope = canvas.blend(
        smooth((canvas.y - (eaves - rise)) * (1.0 / rise)), mix(roof, (1.0, 0.9, 0.8), 0.15), roof
    )
    canvas.shape(convex(canvas.x, canvas.y, corners), slope)
    glass = dice.pick(((0.98, 0.86, 0.45), (0.55, 0.75, 0.9), (0.2, 0.25, 0.35)))
    frame = dice.pick(((0.97, 0.97, 0.95), (0.3, 0.2, 0.15)))
    door = cx + half * dice.pick((-0.5, 0.0, 0.5))
    canvas.shape(
        box(canvas.x - door, canvas.y - (foot - tall * 0.28), 0.05, tall * 0.28),
        hsv(dice.unit(), 0.6, dice.between(0.3, 0.6)),
    )
    for place in (-0.5, 0.0, 0.5):
        if cx + half * place != door:
            u, v = canvas.frame(cx + half * place, eaves + tall * 0.45)
            size = min(0.06, half * 0.22)
            canvas.shape(box(u, v, size, size * 1.1), frame)
            canvas.shape(box(u, v, size * 0.68, size * 0.78), glass)
    if dice.chance(0.5):
        path = np.abs(canvas.x - door) - 0.05 - (canvas.y - foot) * 0.35
        canvas.shape(np.maximum(path, foot - canvas.y), lit((0.8, 0.72, 0.58), light), 0.02)
    if dice.chance(0.5):
        tree(
            canvas,
            dice,
            cx + half + dice.between(0.08, 0.14),
            foot + 0.05,
            dice.between(0.22, 0.45),
            light,
        )


def boats(canvas: Canvas, dice: Dice) -> None:
    """The sea with a sailing boat; sometimes an island, a second boat, gulls."""
    horizon = dice.between(0.5, 0.68)
    light = sky(canvas, dice, horizon)
    row = int((horizon - 0.06) * canvas.side)
    air = tuple(float(c) for c in np.minimum(canvas.pixels[:, row, canvas.side // 2], 1.0))
    haze = (air[0], air[1], air[2])
    if dice.chance(0.35):
        line = ridge(canvas, dice, horizon - 0.01, dice.between(0.05, 0.1), 3)
        canvas.paint(canvas.inside(line - canvas.y), mix(lit((0.3, 0.42, 0.4), light), haze, 0.4))
    sea = hsv(dice.near(0.56, 0.08), dice.near(0.7, 0.2), dice.near(0.5, 0.2))
    water(canvas, dice, horizon, lit(sea, light), mix(haze, sea, 0.35))
    for k in range(dice.pick((1, 1, 1, 2))):
        size = dice.between(0.75, 1.15) if k == 0 else dice.between(0.3, 0.5)
        cx = dice.near(0.5, 0.22) if k == 0 else dice.between(0.12, 0.88)
        deck = horizon + (dice.between(0.06, 0.2) if k == 0 else 0.02)
        sailing_boat(canvas, dice, cx, deck, size, light)
    if dice.chance(0.3):
        for _ in range(dice.whole(1, 3)):
            u, v = canvas.frame(dice.unit(), dice.between(0.1, 0.35))
            wing = np.abs(v + np.minimum(np.abs(u), 0.05) * 0.6) - 0.008
            canvas.shape(np.maximum(wing, np.abs(u) - 0.06), (0.2, 0.2, 0.25))


def sailing_boat(
    canvas: Canvas, dice: Dice, cx: float, deck: float, size: float, light: Colour
) -> None:
    """Hull, mast, two sails and a reflection; `size` 1 is about half the picture's width."""
    side = dice.pick((-1.0, 1.0))
    u, v = (canvas.x - cx) * (side / size), (canvas.y - deck) * (1.0 / size)
    hull = lit(hsv(dice.unit(), dice.near(0.6, 0.35), dice.near(0.55, 0.35)), light)
    sail = lit(
        dice.pick(((0.99, 0.98, 0.94), (0.99, 0.98, 0.94), hsv(dice.unit(), 0.7, 0.92))), light
    )
    tall = dice.between(0.32, 0.44)
    shadow = ellipse(u, v - 0.11, 0.26, 0.05)
    canvas.paint(canvas.inside(shadow, 0.08), (0.02, 0.06, 0.12), 0.5)
    canvas.shape(stroke(u, v, (0.0, 0.0), (0.0, -tall - 0.02), 0.01), lit((0.35, 0.25, 0.2), light))
    main = convex(u, v, [(0.02, -tall), (0.23, -0.03), (0.02, -0.03)])
    jib = convex(u, v, [(-0.02, -tall * 0.85), (-0.02, -0.03), (-0.18, -0.03)])
    canvas.shape(main, canvas.blend(smooth(u * 4.0), sail, mix(sail, (0.3, 0.3, 0.5), 0.3)))
    canvas.shape(jib, mix(sail, lit(hsv(dice.unit(), 0.7, 0.9), light), dice.pick((0.1, 0.8))))
    planks = convex(u, v, [(-0.25, 0.0), (0.27, 0.0), (0.19, 0.1), (-0.17, 0.1)])
    canvas.shape(planks, hull)
    canvas.shape(np.maximum(planks, v - 0.025), mix(hull, (1.0, 1.0, 1.0), 0.6))


def nights(canvas: Canvas, dice: Dice) -> None:
    """The night sky with stars and a moon over a town or a range of hills."""
    hue = dice.near(0.65, 0.12)
    top, low = hsv(hue, 0.8, dice.between(0.06, 0.2)), hsv(hue + dice.near(0.0, 0.15), 0.6, 0.5)
    canvas.fill(canvas.blend(smooth(canvas.y * 1.1), top, low))
    if dice.chance(0.35):  # northern lights
        bend = dice.between(0.25, 0.45) + 0.12 * wave(
            canvas.x * dice.between(0.7, 1.6) + dice.unit()
        )
        veil = np.maximum(1.0 - np.abs(canvas.y - bend) * dice.between(3.0, 6.0), 0.0)
        veil *= 0.4 + 0.9 * canvas.noise(dice, 9)
        canvas.glow(veil, hsv(dice.between(0.3, 0.5), 0.75, 0.7))
    else:
        canvas.pixels += 0.1 * (canvas.noise(dice, 3, 3) - 0.4)
    for _ in range(dice.whole(5, 14)):
        u, v = canvas.frame(dice.unit(), dice.between(0.0, 0.75))
        distance = disc(u, v, 0.0)
        light = np.maximum(1.0 - distance * dice.between(26.0, 50.0), 0.0)
        canvas.glow(light * dice.between(0.7, 1.6), (1.0, 0.97, 0.88))
    if dice.chance(0.75):
        u, v = canvas.frame(dice.between(0.15, 0.85), dice.between(0.14, 0.42))
        radius = dice.between(0.08, 0.16)
        halo = np.maximum(1.0 - disc(u, v, radius) * 3.5, 0.0)
        canvas.glow(halo * halo * 0.28, (0.9, 0.9, 0.75))
        moon = disc(u, v, radius)
        if dice.chance(0.6):
            gap = dice.between(0.35, 0.8) * radius * dice.pick((-1.0, 1.0))
            moon = np.maximum(moon, -disc(u - gap, v + radius * 0.15, radius * 0.95))
        face = 0.85 + 0.25 * canvas.noise(dice, 12)
        canvas.shape(moon, column_of((1.0, 0.96, 0.8), face))
    if dice.chance(0.6):
        town(canvas, dice, mix(low, (0.02, 0.02, 0.06), 0.75))
    else:
        for k in range(2):
            line = ridge(canvas, dice, 0.74 + 0.12 * k, 0.07, 3)
            canvas.paint(
                canvas.inside(line - canvas.y), mix(low, (0.01, 0.02, 0.05), 0.6 + 0.25 * k)
            )


def town(canvas: Canvas, dice: Dice, wall: Colour) -> None:
    """A row of dark towers with lit windows along the lower border."""
    left = -dice.between(0.0, 0.1)
    while left < 1.0:
        width, top = dice.between(0.12, 0.24), dice.between(0.5, 0.85)
        u = canvas.x - (left + width * 0.5)
        canvas.shape(
            np.maximum(np.abs(u) - width * 0.5, top - canvas.y),
            mix(wall, (0.0, 0.0, 0.0), dice.between(0.0, 0.5)),
        )
        lamp = dice.pick(((1.0, 0.85, 0.4), (1.0, 0.7, 0.3), (0.8, 0.9, 1.0)))
        y = top + 0.05
        while y < 1.0:
            for place in (-0.26, 0.26):
                if dice.chance(0.55):
                    window = box(u - place * width, canvas.y - y, 0.02, 0.022)
                    canvas.shape(window, lamp)
            y += 0.085
        left += width
