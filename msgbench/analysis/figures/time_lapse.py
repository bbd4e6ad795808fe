"""The same latents at several moments of a training, at every scale (Figure 5; v1, Figure 6), still and moving.

Measured beside them: how far neighbouring scales are from each other in colour and in brightness at each moment.
"""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from msgbench.analysis.figures.drawing import make_logarithmic
from msgbench.analysis.figures.material import Made, Material, images_shown
from msgbench.analysis.figures.mosaic import Block, animated, frame_of, lay_out, tile_frame
from msgbench.analysis.figures.picture_sets import (
    Lacking,
    PictureSet,
    enlarged,
    in_range,
    pooled,
    read_sets,
)
from msgbench.analysis.figures.samples import title_of
from msgbench.analysis.figures.style import (
    COLUMN_INCHES,
    MARKERS,
    PALETTE,
    RULE,
    STYLE,
    WIDE_INCHES,
)
from msgbench.config import FigureSpec

_PLOT_INCHES = 1.5
_FRAME_MILLISECONDS = 700
# Of red, green and blue in brightness (ITU-R BT.601), as observers weigh them; what is left is colour.
_LUMA = np.array([0.299, 0.587, 0.114])
# Up to so many moments are shown one column wide.
_NARROW = 5


def time_lapse(material: Material, spec: FigureSpec) -> Made:
    """Rows: scales; columns: moments of one training. Below: how far the scales agree in colour and brightness."""
    caption = "The same latents during training, one scale a row, enlarged by repeating pixels."
    (experiment,) = spec.experiments[:1]
    run = material.first_run_of(experiment)
    sets = read_sets(run, "time-lapse-")
    if isinstance(sets, Lacking):
        return Made(caption, "", missing=(f"{run.label}: {sets.reason}",))
    sets = sorted(sets, key=lambda drawn: drawn.tiles.shape[1])
    lengths = [int(nimg) for nimg in sets[0].how["cur_nimg"]]
    blocks = _blocks(sets, lengths, title_of(material, experiment))
    several = len(sets) > 1
    statement = material.statement([experiment])
    narrow = len(lengths) <= _NARROW
    figure, foot = lay_out(
        blocks, WIDE_INCHES if len(blocks) > 1 or not narrow else COLUMN_INCHES,
        len(blocks) if narrow else 1, statement, below=_PLOT_INCHES * several,
    )  # fmt: skip
    frame = tile_frame(blocks)
    frame["images_shown"] = [lengths[column] for column in frame["column"]]
    frame["resolution"] = [sets[row].tiles.shape[1] for row in frame["row"]]
    if several:
        agreement = _agreement(sets)
        _plot(figure, foot - _PLOT_INCHES, lengths, agreement)
        frame = pd.concat([frame, _agreement_frame(lengths, agreement)], ignore_index=True)
        caption += (
            " Below: mean squared difference between each scale and the next larger one, pooled, in [-1, 1], mean over "
            "scales and latents; brightness is BT.601 luma, colour the rest."
        )
    side = max(drawn.tiles.shape[1] for drawn in sets)
    frames = [
        frame_of(
            [enlarged(d.tile(row, column), side) for row in range(sets[0].rows) for d in sets],
            len(sets),
        )
        for column in range(len(lengths))
    ]
    titles = [f"{images_shown(nimg)} images shown" for nimg in lengths]
    return Made(
        f"{caption} Moments: {', '.join(map(images_shown, lengths))} images shown.",
        f"One generated image at {len(sets)} scales and {len(lengths)} moments of training.",
        frame, figure, statement, sources=(sets[0].manifest,),
        animation=animated(frames, titles, _FRAME_MILLISECONDS) if len(lengths) > 1 else None,
    )  # fmt: skip


def _blocks(sets: list[PictureSet], lengths: list[int], title: str) -> list[Block]:
    """One block a latent: scales down, moments across."""
    labels = [f"{drawn.tiles.shape[1]} px" for drawn in sets]
    return [
        Block(
            f"{title}, latent {latent}",
            [drawn.tile(latent, column) for drawn in sets for column in range(drawn.columns)],
            len(lengths), row_labels=labels, column_labels=[images_shown(nimg) for nimg in lengths],
        )
        for latent in range(sets[0].rows)
    ]  # fmt: skip


def _agreement(sets: list[PictureSet]) -> dict[str, NDArray[np.float64]]:
    """Mean squared difference of neighbouring scales at each moment, float64 [moments], in colour and in brightness."""
    colour, brightness = [], []
    for small, large in itertools.pairwise(sets):
        difference = in_range(small.tiles) - pooled(in_range(large.tiles))
        luma = difference @ _LUMA
        chroma = difference - luma[..., None]
        shape = (small.rows, small.columns, -1)
        brightness.append((luma**2).reshape(shape).mean(axis=(0, 2)))
        colour.append((chroma**2).mean(axis=-1).reshape(shape).mean(axis=(0, 2)))
    return {"colour": np.mean(colour, axis=0), "brightness": np.mean(brightness, axis=0)}


def _agreement_frame(lengths: list[int], agreement: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"panel": "difference of neighbouring scales", "row_label": name, "images_shown": nimg, "value": value}
        for name, values in agreement.items()
        for nimg, value in zip(lengths, values.tolist(), strict=True)
    )  # fmt: skip


def _plot(
    figure: Figure, bottom: float, lengths: list[int], agreement: dict[str, NDArray[np.float64]]
) -> None:
    width, height = figure.get_size_inches()
    with matplotlib.rc_context(STYLE):
        left, right, foot, head = 0.62, 0.08, 0.36, 0.12
        axes: Axes = figure.add_axes(
            (left / width, (bottom + foot) / height, (width - left - right) / width,
             (_PLOT_INCHES - foot - head) / height)
        )  # fmt: skip
        for index, (name, values) in enumerate(agreement.items()):
            axes.plot(
                range(len(lengths)), values, marker=MARKERS[index], markersize=3.2, linewidth=1.2,
                color=PALETTE[(1, 0)[index]], label=name,
            )  # fmt: skip
        if all(values.min() > 0 for values in agreement.values()):
            make_logarithmic(axes)
        axes.set_xticks(range(len(lengths)), [images_shown(nimg) for nimg in lengths])
        axes.set_xlabel("real images shown")
        axes.set_ylabel("mean squared\ndifference")
        axes.grid(axis="y", color=RULE, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="best", handlelength=1.6)
