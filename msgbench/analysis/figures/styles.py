"""What only generators with styles have: mixing (Figure 9) and the noise inputs (Figure 8)."""

from __future__ import annotations

import numpy as np

from msgbench.analysis.figures.material import Made, Material
from msgbench.analysis.figures.mosaic import Block, lay_out, tile_frame
from msgbench.analysis.figures.picture_sets import PictureSet
from msgbench.analysis.figures.samples import moments_of, sets_of, title_of
from msgbench.analysis.figures.style import WIDE_INCHES
from msgbench.analysis.tables import number
from msgbench.config import FigureSpec

_NOISE_ROWS = 2


def mixing(material: Material, spec: FigureSpec) -> Made:
    """Source 1 in the first column, source 2 in the first row, styles of source 2 at some layers of source 1."""
    caption = (
        "Styles mixed: first column source 1, first row source 2; a row takes the styles of source 2 at its coarse "
        "(4 and 8 px), middle (16 and 32 px) or fine layers (from 64 px on). One draw of the noise, not truncated."
    )
    found, missing = sets_of(material, spec, "mixing")
    if not found:
        return Made(caption, "", missing=missing)
    blocks = [
        Block(
            title_of(material, experiment), list(drawn.tiles), drawn.columns,
            row_labels=["", *(_by_level(label) for label in drawn.row_labels[1:])],
            column_labels=["", *(f"seed {label}" for label in drawn.column_labels[1:])],
            nimg=drawn.cur_nimg,
        )
        for experiment, drawn in found.items()
    ]  # fmt: skip
    lacks_fine = not any(label.startswith("fine") for block in blocks for label in block.row_labels)
    if lacks_fine:
        caption += " Generators of 32 px and less have no fine layers, and so no such row."
    statement = material.statement(found)
    figure, _ = lay_out(
        blocks, _MIXING_INCHES if len(blocks) == 1 else WIDE_INCHES, len(blocks), statement
    )
    return Made(
        f"{caption} {moments_of(found)}",
        f"A table of {blocks[0].rows - 1} by {blocks[0].columns - 1} images with mixed styles.",
        tile_frame(blocks), figure, statement, missing, tuple(d.manifest for d in found.values()),
    )  # fmt: skip


_MIXING_INCHES = 4.6


def noise(material: Material, spec: FigureSpec) -> Made:
    """Each generator's images of the same latents under several draws of the noise, and each pixel's deviation."""
    caption = (
        "The same latents under several draws of the per-pixel noise. Last column: standard deviation of each pixel "
        "and channel over the draws, in [-1, 1], black 0 and white 1; the mean over pixels stands above."
    )
    found, missing = sets_of(material, spec, "noise")
    if not found:
        return Made(caption, "", missing=missing)
    blocks, deviations = [], []
    for experiment, drawn in found.items():
        rows = min(_NOISE_ROWS, drawn.rows)
        mean = _deviation(drawn)
        labels = [
            *(label.removeprefix("noise ") for label in drawn.column_labels[:-1]),
            "deviation",
        ]
        blocks.append(
            Block(
                f"{title_of(material, experiment)}: mean deviation {number(mean)}",
                list(drawn.tiles[: rows * drawn.columns]), drawn.columns, column_labels=labels,
                row_labels=[f"latent {label}" for label in drawn.row_labels[:rows]], nimg=drawn.cur_nimg,
            )
        )  # fmt: skip
        each = drawn.arrays["deviation"].reshape(drawn.rows, -1).mean(axis=1)
        deviations += [float(each[row]) for row in range(rows) for _ in range(drawn.columns)]
    statement = material.statement(found)
    figure, _ = lay_out(blocks, WIDE_INCHES, 1, statement)
    frame = tile_frame(blocks)
    frame["latents_mean_deviation"] = deviations
    return Made(
        f"{caption} {moments_of(found)}",
        "Rows of one image under different noise, and where its pixels differ: "
        f"{'; '.join(block.title for block in blocks)}.",
        frame, figure, statement, missing, tuple(d.manifest for d in found.values()),
    )  # fmt: skip


def _by_level(label: str) -> str:
    """`3333, coarse` as `coarse, seed 3333`."""
    seed, _, level = label.partition(", ")
    return f"{level}, seed {seed}" if level else label


def _deviation(drawn: PictureSet) -> float:
    """Mean over pixels and latents of the deviation over noise draws, in units of [-1, 1]."""
    return float(np.mean(drawn.arrays["deviation"]))
