"""Grids of uncurated samples (Figures 3, 4, 12, 13, 14; v1, Figure 5), and generators beside each other (Figure 7)."""

from __future__ import annotations

from msgbench.analysis.figures.material import Made, Material, images_shown
from msgbench.analysis.figures.mosaic import Block, lay_out, tile_frame
from msgbench.analysis.figures.picture_sets import Lacking, PictureSet, Pixels, read_set
from msgbench.analysis.figures.style import COLUMN_INCHES, WIDE_INCHES, method_title
from msgbench.config import FigureSpec

# Columns of each grid, by how many stand side by side.
_COLUMNS = {1: 6, 2: 6, 3: 4}
_ROWS = 6


def samples(material: Material, spec: FigureSpec) -> Made:
    """The first images of every measurement of each experiment: random, uncurated, not truncated."""
    return _grids(material, spec, _COLUMNS.get(len(spec.experiments), 4), "")


def beside(material: Material, spec: FigureSpec) -> Made:
    """The same latents, not truncated, in several generators: the same place shows the same latent."""
    return _grids(
        material,
        spec,
        _COLUMNS.get(len(spec.experiments), 4),
        "the same latents in the same places, ",
    )


def sets_of(
    material: Material, spec: FigureSpec, name: str
) -> tuple[dict[str, PictureSet], tuple[str, ...]]:
    """The picture sets `name` of a figure's experiments, and a sentence for each that there is not."""
    found, missing = {}, []
    for experiment in spec.experiments:
        run = material.first_run_of(experiment)
        drawn = read_set(run, name)
        if isinstance(drawn, Lacking):
            missing.append(f"{run.label}: {drawn.reason}")
        else:
            found[experiment] = drawn
    return found, tuple(missing)


def title_of(material: Material, experiment: str) -> str:
    """What stands above the pictures of one experiment: dataset and method."""
    spec = material.benchmark.experiment(experiment)
    return f"{spec.dataset.name}, {method_title(spec.method)}"


def moments_of(found: dict[str, PictureSet]) -> str:
    """After how many images the generators were drawn."""
    each = dict.fromkeys(images_shown(drawn.cur_nimg) for drawn in found.values())
    return f"After {' and '.join(each)} images shown."


def _grids(material: Material, spec: FigureSpec, columns: int, what: str) -> Made:
    found, missing = sets_of(material, spec, "grid")
    titles = {e: title_of(material, e) for e in spec.experiments}
    caption = f"Random samples, uncurated, not truncated; {what}by index from one seed."
    if not found:
        return Made(caption, "", missing=missing)
    blocks = [
        Block(titles[e], _first(drawn, columns), columns, nimg=drawn.cur_nimg)
        for e, drawn in found.items()
    ]
    alone = len(spec.experiments) == 1
    statement = material.statement(found)
    figure, _ = lay_out(
        blocks, COLUMN_INCHES if alone else WIDE_INCHES, min(3, len(spec.experiments)), statement
    )
    names = "; ".join(titles[e] for e in found)
    return Made(
        f"{caption} {moments_of(found)}",
        f"Grids of {columns * _ROWS} generated images each: {names}.",
        tile_frame(blocks),
        figure,
        statement,
        missing,
        tuple(drawn.manifest for drawn in found.values()),
    )


def _first(drawn: PictureSet, columns: int) -> list[Pixels]:
    """The first tiles, so many in a row, as many rows as there are."""
    return list(drawn.tiles[: columns * _ROWS])
