"""From one latent to the next along the sphere, still and moving."""

from __future__ import annotations

from msgbench.analysis.figures.material import Made, Material
from msgbench.analysis.figures.mosaic import Block, animated, frame_of, lay_out, tile_frame
from msgbench.analysis.figures.samples import moments_of, sets_of, title_of
from msgbench.analysis.figures.style import WIDE_INCHES
from msgbench.config import FigureSpec

_FRAME_MILLISECONDS = 120


def interpolation(material: Material, spec: FigureSpec) -> Made:
    """Rows from one latent to another; the moving picture shows all rows at once, there and back."""
    caption = "From one latent to another along the sphere, the noise fixed in each row."
    found, missing = sets_of(material, spec, "interpolation")
    if not found:
        return Made(caption, "", missing=missing)
    blocks = [
        Block(
            title_of(material, experiment), list(drawn.tiles), drawn.columns,
            row_labels=drawn.row_labels, column_labels=drawn.column_labels, nimg=drawn.cur_nimg,
        )
        for experiment, drawn in found.items()
    ]  # fmt: skip
    statement = material.statement(found)
    figure, _ = lay_out(blocks, WIDE_INCHES, 1, statement)
    steps = min(drawn.columns for drawn in found.values())
    there = [
        frame_of(
            [d.tile(row, step) for d in found.values() for row in range(d.rows)],
            max(d.rows for d in found.values()),
        )
        for step in range(steps)
    ]
    frames = [*there, *reversed(there[1:-1])]
    return Made(
        f"{caption} {moments_of(found)}",
        f"Rows of {steps} generated images that change from one to another.",
        tile_frame(blocks), figure, statement, missing, tuple(d.manifest for d in found.values()),
        animated(frames, [""] * len(frames), _FRAME_MILLISECONDS),
    )  # fmt: skip
