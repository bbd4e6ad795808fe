"""All scales of the same latents (Figures 1, 10, 11; v1, Figure 1), every depth of a grown generator (v1, Figure 3).

Measured beside them: how far each scale is from the next larger one, pooled (mean squared, in [-1, 1]).
"""

from __future__ import annotations

import itertools

import numpy as np

from msgbench.analysis.figures.material import Made, Material
from msgbench.analysis.figures.mosaic import Block, lay_out, tile_frame
from msgbench.analysis.figures.picture_sets import PictureSet, in_range, pooled
from msgbench.analysis.figures.samples import moments_of, sets_of, title_of
from msgbench.analysis.figures.style import COLUMN_INCHES, WIDE_INCHES
from msgbench.analysis.tables import number
from msgbench.config import FigureSpec

# Up to so many scales are shown one column wide; more need both.
_NARROW = 5


def scales(material: Material, spec: FigureSpec) -> Made:
    """One latent a row, all scales of a generator that makes them at once."""
    return _rows_of_scales(
        material,
        spec,
        "scales",
        "One latent a row: what the generator makes at every scale, enlarged by repeating pixels.",
    )


def depths(material: Material, spec: FigureSpec) -> Made:
    """One latent a row, what each depth of a trained growing generator shows through its own ToRGB."""
    return _rows_of_scales(
        material,
        spec,
        "depths",
        "One latent a row: what every depth of the trained generator shows through its own ToRGB, nothing fading.",
    )


def _rows_of_scales(material: Material, spec: FigureSpec, name: str, caption: str) -> Made:
    found, missing = sets_of(material, spec, name)
    if not found:
        return Made(caption, "", missing=missing)
    blocks, differences = [], {}
    for experiment, drawn in found.items():
        sides = _sides(drawn)
        differences[experiment] = _differences(drawn)
        under = [f"to next {number(value)}" for value in differences[experiment]]
        blocks.append(
            Block(
                title_of(material, experiment), list(drawn.tiles), drawn.columns,
                column_labels=drawn.column_labels, under=under, nimg=drawn.cur_nimg, resolutions=sides,
            )
        )  # fmt: skip
    narrow = max(block.columns for block in blocks) <= _NARROW
    side_by_side = min(2, len(blocks)) if narrow else 1
    width = COLUMN_INCHES if narrow and side_by_side == 1 else WIDE_INCHES
    statement = material.statement(found)
    figure, _ = lay_out(blocks, width, side_by_side, statement)
    frame = tile_frame(blocks)
    frame["difference_to_next"] = [
        values[column] if column < len(values) else None
        for block, values in zip(blocks, differences.values(), strict=True)
        for column in (index % block.columns for index in range(len(block.tiles)))
    ]
    measured = (
        "Under each column: mean squared difference from the next larger one, pooled, in [-1, 1]."
    )
    names = "; ".join(block.title for block in blocks)
    return Made(
        f"{caption} {measured} {moments_of(found)}",
        f"Rows of the same generated image at {', '.join(blocks[0].column_labels)}: {names}.",
        frame, figure, statement, missing, tuple(drawn.manifest for drawn in found.values()),
    )  # fmt: skip


def _sides(drawn: PictureSet) -> list[int]:
    """Resolutions of the columns."""
    return [int(label.split()[0]) for label in drawn.column_labels]


def _differences(drawn: PictureSet) -> list[float]:
    """Mean squared difference of each scale from the next larger one, over all rows; one fewer than scales."""
    raw = [in_range(drawn.arrays[f"scale_{side:04d}"]) for side in _sides(drawn)]
    return [
        float(np.mean((small - pooled(large)) ** 2))
        for small, large in itertools.pairwise(raw)
        if large.shape[1] == 2 * small.shape[1]
    ]
