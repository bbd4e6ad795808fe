"""The networks as a diagram, drawn from the model spec (Figure 2; v1, Figure 4): one column a scale.

Above the generator, from left to right; below the discriminator, from right to left; between them the images that go
from the one to the other, and the real ones in their sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from msgbench.analysis import scale
from msgbench.analysis.figures.drawing import wrapped, write_below
from msgbench.analysis.figures.material import Made, Material
from msgbench.analysis.figures.style import FAINT, INK, STYLE, WIDE_INCHES
from msgbench.config import FigureSpec, ModelSpec
from msgbench.models.channels import BlockChannels, channels, discriminator_channels

_COMBINE = {
    "phi_simple": "concatenate",
    "phi_lin_cat": "1x1 conv of the image, concatenate",
    "phi_cat_lin": "concatenate, 1x1 conv",
}
# Kinds of boxes: what they are, colour of the ground, colour of the edge.
_KINDS = {
    "generator": ("#dbe9f6", "#0072b2"),
    "image": ("#f9ded0", "#d55e00"),
    "combine": ("#fbeec6", "#b97f00"),
    "discriminator": ("#d8efe6", "#009e73"),
    "real": ("#eeeeee", "#6b6b6b"),
    "latent": ("#ffffff", "#1a1a1a"),
}
_ROWS = {"generator": 4.0, "image": 2.95, "combine": 1.9, "discriminator": 0.95, "real": 0.0}
_HALF = 0.32
_NAMES_INCHES = 0.72


@dataclass(frozen=True)
class Box:
    """One part of the networks and where it stands, in columns and rows."""

    kind: str
    text: str
    column: float
    resolution: int
    channels_in: int
    channels_out: int
    operation: str

    @property
    def row(self) -> float:
        return _ROWS.get(self.kind, _ROWS["generator"])


def architecture(material: Material, spec: FigureSpec) -> Made:
    """Generator, discriminator and their connections, as the spec of the figure's experiment has them."""
    (experiment,) = spec.experiments[:1]
    model = material.benchmark.experiment(experiment).model
    boxes = boxes_of(model)
    statement = ""
    if (
        scale.model_departures(material.benchmark.experiment(experiment))
        or material.benchmark.tier != "paper"
    ):
        statement = (
            f"{material.benchmark.tier} tier: networks for {model.resolution} px with {channels(4, model)} to "
            f"{channels(model.resolution, model)} channels; not those of the paper"
        )
    connected = [r for r in model.connected if r != model.resolution]
    listed = ", ".join(map(str, connected)) or "no smaller"
    caption = (
        f"Networks of {experiment}: numbers are channels, of a block of the discriminator those that come in and go "
        f"out. The discriminator looks at the largest image and at those of {listed} px, which enter by "
        f"{model.combine} ({_COMBINE[model.combine]}). Real images are pooled to the same sizes."
    )
    return Made(
        caption,
        f"Diagram of a generator with images at {', '.join(map(str, model.scales))} px and of the discriminator that "
        "they are handed to.",
        _frame(boxes, model), _drawn(boxes, model, statement), statement,
    )  # fmt: skip


def boxes_of(model: ModelSpec) -> list[Box]:
    """Everything that the diagram shows, from the latent to the score."""
    scales = model.scales
    boxes = [
        Box("latent", f"z\n{model.latent_size}", -1, 0, 0, model.latent_size, "latent, normalised")
    ]
    before = model.latent_size
    for column, side in enumerate(scales):
        width = channels(side, model)
        how = "4x4 and 3x3 conv" if column == 0 else "upsample, two 3x3 conv"
        boxes.append(Box("generator", str(width), column, side, before, width, how))
        boxes.append(Box("image", f"{side} px", column, side, width, 3, "ToRGB, 1x1 conv"))
        before = width
    for block in discriminator_channels(model):
        column = scales.index(block.resolution)
        boxes += _discriminator_boxes(model, block, column)
    last = discriminator_channels(model)[-1]
    boxes.append(Box("latent", "score", -1, 0, last.out, 1, "4x4 conv, fully connected"))
    return boxes


def _discriminator_boxes(model: ModelSpec, block: BlockChannels, column: int) -> list[Box]:
    side, top = block.resolution, block.resolution == model.resolution
    found = []
    if top:
        found.append(
            Box("combine", "FromRGB", column, side, 3, block.activation, "FromRGB, 1x1 conv")
        )
    elif side in model.connected:
        sum_in = block.activation + 3
        name = model.combine.replace("phi_", "φ ").replace("_", "-")
        found.append(
            Box("combine", name, column, side, sum_in, block.combined, _COMBINE[model.combine])
        )
    statistic = "MinBatchStd, " if block.mbstd else ""
    pooled = "" if column == 0 else ", average pooling"
    into = block.combined + int(block.mbstd)
    text = f"{into}→{block.out}"
    how = f"{statistic}3x3 conv, {'4x4 conv' if column == 0 else '3x3 conv'}{pooled}"
    found.append(Box("discriminator", text, column, side, into, block.out, how))
    if side in model.connected:
        found.append(Box("real", f"{side} px", column, side, 3, 3, "real images, pooled"))
    return found


def _frame(boxes: Sequence[Box], model: ModelSpec) -> pd.DataFrame:
    """Every box as a row: network, resolution, channels in and out, operation."""
    return pd.DataFrame(
        {
            "part": box.kind, "resolution": box.resolution or None, "channels_in": box.channels_in or None,
            "channels_out": box.channels_out, "operation": box.operation,
            "enters_discriminator": box.resolution in model.connected if box.kind == "image" else None,
        }
        for box in boxes
    ).astype({"resolution": "Int64", "channels_in": "Int64"})  # fmt: skip


def _drawn(boxes: Sequence[Box], model: ModelSpec, statement: str) -> Figure:
    said = wrapped(statement, WIDE_INCHES)
    foot = 0.12 * len(said)
    columns = len(model.scales)
    height = 2.85 + foot
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDE_INCHES, height))
        axes = figure.add_axes((0.005, foot / height, 0.99, 1 - foot / height))
        # The names of the rows take inches, the boxes what is left.
        right, boxes_from = columns - 0.4, -1.4
        left = right - (right - boxes_from) / (1 - _NAMES_INCHES / WIDE_INCHES)
        axes.set_xlim(left, right)
        axes.set_ylim(-0.5, 4.5)
        axes.set_axis_off()
        small = 7.0 if columns <= 6 else 5.6
        for box in boxes:
            score = box.text == "score"
            row = _ROWS["discriminator"] if score else box.row
            _box(axes, box.kind, box.text, box.column, row, small)
        for row, text in (
            (4.0, "generator"), (2.95, "its images"), (1.9, "combine"), (0.95, "discriminator"), (0.0, "real images"),
        ):  # fmt: skip
            axes.text(left + 0.05, row, text, fontsize=6.5, color=FAINT, va="center", ha="left")
        _arrows(axes, model)
        write_below(figure, said)
        return figure


def _box(axes: Axes, kind: str, text: str, column: float, row: float, size: float) -> None:
    ground, edge = _KINDS[kind]
    width = 0.76 if kind != "latent" else 0.62
    axes.add_patch(
        FancyBboxPatch(
            (column - width / 2, row - _HALF), width, 2 * _HALF,
            boxstyle="round,pad=0,rounding_size=0.08", facecolor=ground, edgecolor=edge, linewidth=0.8,
        )
    )  # fmt: skip
    axes.text(column, row, text, ha="center", va="center", fontsize=size, color=INK)


def _arrows(axes: Axes, model: ModelSpec) -> None:
    """What is handed on: right in the generator, down with the images, left in the discriminator, real images up."""
    g, i, c, d, r = (_ROWS[k] for k in ("generator", "image", "combine", "discriminator", "real"))
    columns = len(model.scales)

    def arrow(x0: float, y0: float, x1: float, y1: float, colour: str = FAINT) -> None:
        axes.add_patch(
            FancyArrowPatch(
                (x0, y0), (x1, y1), arrowstyle="-|>", mutation_scale=6, linewidth=0.8, color=colour,
                shrinkA=0, shrinkB=0,
            )
        )  # fmt: skip

    arrow(-0.69, g, -0.38, g)
    for column, side in enumerate(model.scales):
        arrow(column, g - _HALF, column, i + _HALF)
        if column + 1 < columns:
            arrow(column + 0.38, g, column + 0.62, g)
            arrow(column + 0.62, d, column + 0.38, d)
        if side in model.connected:
            arrow(column, i - _HALF, column, c + _HALF, _KINDS["image"][1])
            arrow(column, c - _HALF, column, d + _HALF)
            # Real images take the way of generated ones, around D, into the same function.
            axes.plot(
                [column + 0.38, column + 0.5, column + 0.5], [r, r, c], color=FAINT, linewidth=0.8
            )
            arrow(column + 0.5, c, column + 0.38, c)
    arrow(-0.38, d, -0.69, d)
