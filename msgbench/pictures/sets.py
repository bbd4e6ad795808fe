"""The picture sets, one small function each: from a generator to tiles and how they lie.

Seeds are written down here and nowhere chosen by looking. Pixels are those that are measured: no picture is stretched
to its own range. Where the authors' scripts name seeds, layers or a truncation, these are theirs (msg-stylegan-tf).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msgbench.errors import ConfigError
from msgbench.models.styles import mix_styles
from msgbench.pictures.source import Pixels, Source
from msgbench.sampling import latents

# Of latents and noise, by index, as measurements draw them; the pictures are therefore among the measured images.
SEED = 2020

# Figure 9: one latent a number, drawn by NumPy's RandomState(number).randn.
MIXING_SOURCES = (3, 12, 42, 30, 33)
MIXING_DESTINATIONS = (3333, 121, 28, 24, 35, 534)
COARSE, MIDDLE, FINE = range(0, 4), range(4, 8), range(8, 18)
MIXING_ROWS = (COARSE, COARSE, COARSE, MIDDLE, MIDDLE, FINE)
# Figure 1: several latents of one RandomState, truncated.
SCALES_SEED, SCALES_PSI = 3, 0.6
NOISE_DRAWS = 8


@dataclass(frozen=True)
class PictureSet:
    """Tiles of one size and how they lie: `tiles` uint8 [rows * columns, R, R, 3], row by row."""

    name: str
    title: str
    tiles: Pixels
    rows: int
    columns: int
    row_labels: Sequence[str]
    column_labels: Sequence[str]
    how: dict[str, Any]
    """Seeds, layers, truncation, noise: everything that decides the tiles beside the generator."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """What stands beside the tiles in the npz file: raw scales, deviations."""


def grid(source: Source, rows: int = 6, columns: int = 6) -> PictureSet:
    """The first images of every measurement, uncurated, without truncation (Figures 3, 4, 7, 12, 13, 14)."""
    count = rows * columns
    z = latents(range(count), source.latent_size, SEED)
    tiles = source.scales(z, source.noise(count, SEED))[-1]
    how = {"latents": _by_index(count), "noise": _by_index(count), "psi": None}
    labels = [str(row * columns) for row in range(rows)]
    return PictureSet("grid", "uncurated samples", tiles, rows, columns, labels, [], how)


def scales(source: Source, rows: int = 4) -> PictureSet:
    """All scales of the same latents, each enlarged to the highest by repeating pixels (Figures 1, 10, 11)."""
    z = by_random_state(SCALES_SEED, rows, source.latent_size)
    psi = SCALES_PSI if source.styled else None
    images = source.scales(z, source.noise(rows, SEED), psi)
    side = images[-1].shape[1]
    tiles = np.stack([enlarged(x[row], side) for row in range(rows) for x in images])
    labels = [f"{x.shape[1]} px" for x in images]
    how = {"latents": f"RandomState({SCALES_SEED}).randn", "noise": _by_index(rows), "psi": psi}
    raw = {f"scale_{x.shape[1]:04d}": x for x in images}
    return PictureSet("scales", "all scales of the same latents", tiles, rows, len(images),
                      [str(row) for row in range(rows)], labels, how, raw)  # fmt: skip


def interpolation(source: Source, rows: int = 4, steps: int = 9) -> PictureSet:
    """From one latent to the next along the sphere, with the same noise in each row."""
    ends = latents(range(2 * rows), source.latent_size, SEED)
    parts = torch.linspace(0, 1, steps)
    z = torch.stack(
        [spherical(ends[2 * r], ends[2 * r + 1], float(t)) for r in range(rows) for t in parts]
    )
    noise = [n.repeat_interleave(steps, dim=0) for n in source.noise(rows, SEED)]
    tiles = source.scales(z, noise)[-1]
    how = {"latents": _by_index(2 * rows), "path": "on the sphere", "steps": steps, "noise": _by_index(rows),
           "psi": None}  # fmt: skip
    labels = [f"{2 * r} to {2 * r + 1}" for r in range(rows)], [f"{float(t):g}" for t in parts]
    return PictureSet("interpolation", "between two latents", tiles, rows, steps, *labels, how)


def mixing(source: Source) -> PictureSet:
    """Styles of the sources (columns) in the destinations (rows) at coarse, middle or fine layers (Figure 9).

    The first row and column show the sources and destinations themselves. Raises ConfigError for a generator without
    styles. A smaller generator has no fine layers, and so no such row.
    """
    num_layers = len(source.G.noise_resolutions)
    layers = [[k for k in row if k < num_layers] for row in MIXING_ROWS]
    kept = [index for index, row in enumerate(layers) if row]
    seeds = [MIXING_DESTINATIONS[index] for index in kept]
    columns = torch.cat([by_random_state(s, 1, source.latent_size) for s in MIXING_SOURCES])
    rows = torch.cat([by_random_state(s, 1, source.latent_size) for s in seeds])
    fixed = source.noise(1, SEED)

    def mixed(row: int) -> Pixels:
        def draw(part: slice) -> list[Tensor]:
            styles = columns[part].to(source.device)
            target = rows[row : row + 1].to(source.device).expand(len(styles), -1)
            noise = [n.expand(len(styles), -1, -1, -1) for n in fixed]
            return mix_styles(source.G, target, styles, layers[kept[row]], noise)

        return source.drawn(len(columns), draw)[-1]

    def plain(z: Tensor) -> Pixels:
        return source.scales(z, [n.expand(len(z), -1, -1, -1) for n in fixed])[-1]

    body = [mixed(row) for row in range(len(kept))]  # first: it refuses a generator without styles
    top, left = plain(columns), plain(rows)
    corner = np.full_like(top[:1], 255)
    lines = [np.concatenate([corner, top])]
    lines += [np.concatenate([left[row : row + 1], body[row]]) for row in range(len(kept))]
    how = {
        "latents": "RandomState(seed).randn", "sources": list(MIXING_SOURCES), "destinations": seeds,
        "layers": [layers[index] for index in kept], "psi": 1.0, "noise": "one draw for all tiles", "noise_seed": SEED,
    }  # fmt: skip
    names = {0: "coarse", 4: "middle", 8: "fine"}
    labels = ["", *(f"{seed}, {names[layers[i][0]]}" for seed, i in zip(seeds, kept, strict=True))]
    return PictureSet("mixing", "styles of the columns in the rows", np.concatenate(lines), len(lines),
                      1 + len(MIXING_SOURCES), labels, ["", *map(str, MIXING_SOURCES)], how)  # fmt: skip


def noise_draws(source: Source, rows: int = 3) -> PictureSet:
    """The same latents under several draws of the noise, and each pixel's deviation over them (Figure 8).

    The last column is that deviation in units of [-1, 1], times 255 and clamped: the same scale for every generator.
    """
    z = latents(range(rows), source.latent_size, SEED)
    drawn = [source.scales(z, source.noise(rows, SEED + k))[-1] for k in range(NOISE_DRAWS)]
    stack = np.stack(drawn).astype(np.float32) / 127.5
    deviation = (stack - stack[0]).std(axis=0)  # exactly 0 where nothing differs
    shown = np.clip(deviation * 255 + 0.5, 0, 255).astype(np.uint8)
    tiles = np.concatenate(
        [np.stack([*(d[row] for d in drawn), shown[row]]) for row in range(rows)]
    )
    how = {
        "latents": _by_index(rows),
        "noise": f"seeds {SEED} to {SEED + NOISE_DRAWS - 1}, by index",
        "psi": None,
    }
    labels = [*(f"noise {k}" for k in range(NOISE_DRAWS)), "deviation"]
    return PictureSet("noise", "the same latents under other noise", tiles, rows, NOISE_DRAWS + 1,
                      [str(r) for r in range(rows)], labels, how, {"deviation": deviation})  # fmt: skip


def time_lapse(sources: Sequence[Source], rows: int = 2) -> list[PictureSet]:
    """The same latents at several moments of one training, a set for each scale (Figure 5).

    A generator that grows has one image at every moment: the largest so far, at full size.
    """
    first = sources[0]
    z = latents(range(rows), first.latent_size, SEED)
    moments = [source.scales(z, source.noise(rows, SEED)) for source in sources]
    labels = [f"{source.meta.cur_nimg / 1000:g} kimg" for source in sources]
    found = []
    for scale, side in enumerate(x.shape[1] for x in moments[0]):
        tiles = np.concatenate([np.stack([m[scale][row] for m in moments]) for row in range(rows)])
        how = {"latents": _by_index(rows), "noise": _by_index(rows), "psi": None, "scale": side,
               "cur_nimg": [source.meta.cur_nimg for source in sources]}  # fmt: skip
        found.append(PictureSet(f"time-lapse-{side:04d}px", "the same latents during training", tiles, rows,
                                len(sources), [str(r) for r in range(rows)], labels, how))  # fmt: skip
    return found


def depths(source: Source, rows: int = 4) -> PictureSet:
    """What each resolution of a grown generator shows of the same latents, through its own ToRGB (v1, Figure 3).

    Nothing fades, and smaller images are enlarged by repeating pixels. Raises ConfigError for a generator that is
    trained at all scales at once.
    """
    if source.lod is None:
        raise ConfigError(
            f"{source.snapshot}: has no depths, it makes images of all scales at once"
        )
    z = latents(range(rows), source.latent_size, SEED)
    side, deepest = source.meta.model.resolution, len(source.G.scales) - 1
    drawn = []
    for lod in range(deepest, -1, -1):
        with source.at_lod(lod):
            drawn.append(source.scales(z, source.noise(rows, SEED))[-1])
    tiles = np.stack([x[row] for row in range(rows) for x in drawn])
    labels = [f"{scale} px" for scale in source.G.scales]
    raw = {
        f"scale_{scale:04d}": x[:, :: side // scale, :: side // scale]
        for scale, x in zip(source.G.scales, drawn, strict=True)
    }
    how = {"latents": _by_index(rows), "noise": _by_index(rows), "psi": None, "fading": "none"}
    return PictureSet("depths", "the same latents at every depth", tiles, rows, len(drawn),
                      [str(row) for row in range(rows)], labels, how, raw)  # fmt: skip


def beside(sources: Sequence[Source], rows: int = 6) -> PictureSet:
    """The same latents and no truncation in several generators, a column each (Figure 7, StyleGAN and MSG-StyleGAN).

    Raises ConfigError when the generators take latents of other sizes, or make images of other sizes.
    """
    first = sources[0]
    for other in sources[1:]:
        for what in ("latent_size", "resolution"):
            ours, theirs = (getattr(s.meta.model, what) for s in (first, other))
            if ours != theirs:
                raise ConfigError(
                    f"{other.snapshot}: has {what} {theirs}, {first.snapshot} has {ours}; they cannot stand beside "
                    "each other"
                )
    z = latents(range(rows), first.latent_size, SEED)
    drawn = [source.scales(z, source.noise(rows, SEED))[-1] for source in sources]
    tiles = np.concatenate([np.stack([d[row] for d in drawn]) for row in range(rows)])
    how = {"latents": _by_index(rows), "noise": _by_index(rows), "psi": None}
    return PictureSet("beside", "the same latents in several generators", tiles, rows, len(sources),
                      [str(r) for r in range(rows)], [s.meta.experiment for s in sources], how)  # fmt: skip


SETS: dict[str, Callable[[Source], PictureSet]] = {
    "grid": grid,
    "scales": scales,
    "interpolation": interpolation,
    "mixing": mixing,
    "noise": noise_draws,
    "depths": depths,
}


def by_random_state(seed: int, count: int, latent_size: int) -> Tensor:
    """Latents float32 [count, latent_size] as the authors' scripts draw them: RandomState(seed).randn."""
    return torch.from_numpy(
        np.random.RandomState(seed).randn(count, latent_size).astype(np.float32)
    )


def spherical(start: Tensor, end: Tensor, t: float) -> Tensor:
    """The point at part `t` of the great circle from `start` to `end` (the generator normalises its length)."""
    a, b = (v / v.norm() for v in (start, end))
    angle = torch.acos((a * b).sum().clamp(-1, 1))
    if float(angle) < 1e-6:
        return a
    weights = torch.sin((1 - t) * angle), torch.sin(t * angle)
    return (weights[0] * a + weights[1] * b) / torch.sin(angle)


def enlarged(image: Pixels, side: int) -> Pixels:
    """uint8 [r, r, 3] -> [side, side, 3] by repeating pixels."""
    times = side // image.shape[0]
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _by_index(count: int) -> str:
    return f"seed {SEED}, indices 0 to {count - 1}"
