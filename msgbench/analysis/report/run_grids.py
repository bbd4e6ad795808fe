"""The grids of a run as thumbnails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msgbench.analysis.collected import Run
from msgbench.analysis.report.parts import Site, href
from msgbench.analysis.report.pictures import Thumbnail, moments, thumbnail_file


@dataclass(frozen=True)
class GridCell:
    """A thumbnail of one scale at one moment."""

    picture: Thumbnail
    href: str
    alt: str


@dataclass(frozen=True)
class PageGrid:
    """Grids of one run: a row a scale, a column a moment."""

    lengths: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GridCell | None, ...]], ...]


def grid_of(run: Run, site: Site, page: Path) -> PageGrid:
    """Some moments of the training, all scales; thumbnails are written beside `page`."""
    by_place = {(grid.cur_nimg, grid.scale): grid for grid in run.grids}
    lengths = moments([grid.cur_nimg for grid in run.grids])
    rows = []
    for size in sorted({grid.scale for grid in run.grids}, reverse=True):
        cells: list[GridCell | None] = []
        for nimg in lengths:
            grid = by_place.get((nimg, size))
            if grid is None:
                cells.append(None)
                continue
            alt = f"{run.label}: samples of {size} x {size} pixels after {nimg:,} images"
            small = site.asset(f"grids/{page.stem}/{grid.path.name}")
            picture = thumbnail_file(grid, small, page.parent)
            cells.append(GridCell(picture, href(grid.path, page.parent), alt))
        rows.append((f"{size} px", tuple(cells)))
    return PageGrid(tuple(f"{nimg:,}" for nimg in lengths), tuple(rows))
