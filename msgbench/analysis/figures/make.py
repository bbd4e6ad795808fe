"""From names of figures to files: PNG, SVG, the plotted numbers as CSV, and a JSON: what it is, and what it lacks.

Runs on records and picture sets alone. What cannot be drawn yet has only its JSON, which says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgbench.analysis import figures_of, figures_of_table
from msgbench.analysis.collected import Collection
from msgbench.analysis.figures.architecture import architecture
from msgbench.analysis.figures.curves import (
    fid_over_hours,
    fid_over_images,
    losses,
    scores_over_images,
)
from msgbench.analysis.figures.drawing import draw, png_bytes, svg_bytes
from msgbench.analysis.figures.interpolation import interpolation
from msgbench.analysis.figures.learning_rates import learning_rates
from msgbench.analysis.figures.material import Made, Material, gather
from msgbench.analysis.figures.plots import Plot, plot_frame
from msgbench.analysis.figures.samples import beside, samples
from msgbench.analysis.figures.scales import depths, scales
from msgbench.analysis.figures.stability import stability, synchronisation
from msgbench.analysis.figures.styles import mixing, noise
from msgbench.analysis.figures.time_lapse import time_lapse
from msgbench.analysis.tables import Table, build_table
from msgbench.config import Benchmark, FigureSpec
from msgbench.config.sentences import nearest
from msgbench.console import Progress
from msgbench.errors import ResultsError
from msgbench.layout import STATS_JSONL, Layout
from msgbench.records import atomic_file, write_json, write_text

FIGURE_SCHEMA = "msgbench.figure/1"
LIST_SCHEMA = "msgbench.figures/1"

KINDS: dict[str, Callable[[Material, FigureSpec], Made]] = {
    "scales": scales,
    "samples": samples,
    "beside": beside,
    "mixing": mixing,
    "noise": noise,
    "depths": depths,
    "interpolation": interpolation,
    "time_lapse": time_lapse,
    "stability": stability,
    "synchronisation": synchronisation,
    "architecture": architecture,
    "learning_rates": learning_rates,
}


def make_figures(benchmark: Benchmark, layout: Layout, names: Sequence[str]) -> list[Path]:
    """Write the figures `names` below `layout`; returns the JSON of each.

    Raises ResultsError when there is no figure of a name, or for a broken record or picture set; figures before it
    are written.
    """
    known = (*figures_of(benchmark), *benchmark.figures)
    for name in names:
        if name not in known:
            raise ResultsError(f"figure {name}: no such figure{nearest(name, known)}")
    tables = _tables_of(benchmark, names)
    own = [benchmark.figures[name] for name in names if name in benchmark.figures]
    material = gather(
        benchmark, layout, tables, dict.fromkeys(e for f in own for e in f.experiments)
    )
    built = {table: build_table(material.collection, table) for table in tables}
    written = []
    with Progress("figures", len(names), "figures") as progress:
        for name in names:
            if name in benchmark.figures:
                spec = benchmark.figures[name]
                made = KINDS[spec.kind](material, spec)
                about: dict[str, Any] = {
                    "title": spec.title, "paper": spec.paper, "figure": spec.number, "table": spec.table,
                }  # fmt: skip
            else:
                table = built[_table_of(benchmark, name)]
                plot = table_plot(table, name)
                made = _made_of(material, table, name, plot)
                about = {"title": plot.title, "paper": None, "figure": None, "table": table.name}
            written.append(_write(layout, name, about, made))
            progress.advance(1, name)
    return written


def make_figure(benchmark: Benchmark, layout: Layout, name: str) -> Path:
    """Write one figure below `layout`; returns its JSON. Raises as `make_figures`."""
    return make_figures(benchmark, layout, [name])[0]


def write_list(layout: Layout, written: Iterable[Path]) -> Path:
    """Write which figures were made together; returns the list."""
    out = layout.figures_json
    write_json(out, {"schema": LIST_SCHEMA, "figures": [path.stem for path in written]})
    return out


def build_plot(collection: Collection, name: str) -> Plot:
    """The data of the table's figure called `name`; ResultsError when there is no such figure."""
    known = figures_of(collection.benchmark)
    if name not in known:
        raise ResultsError(f"figure {name}: no such figure{nearest(name, known)}")
    return table_plot(build_table(collection, _table_of(collection.benchmark, name)), name)


def table_plot(table: Table, name: str) -> Plot:
    """The data of one of a table's figures."""
    match name.removeprefix(table.name):
        case "-fid":
            return fid_over_images(table, name)
        case "-hours":
            return fid_over_hours(table, name)
        case "-losses":
            return losses(table, name)
        case _:
            return scores_over_images(table, name)


def _table_of(benchmark: Benchmark, name: str) -> str:
    """The table that a figure of tables belongs to."""
    return next(table for table in benchmark.tables if name in figures_of_table(benchmark, table))


def _tables_of(benchmark: Benchmark, names: Sequence[str]) -> list[str]:
    """The tables that the figures `names` need, in the order of config.yaml."""
    needed = {
        benchmark.figures[name].table if name in benchmark.figures else _table_of(benchmark, name)
        for name in names
    }
    return [table for table in benchmark.tables if table in needed]


def _made_of(material: Material, table: Table, name: str, plot: Plot) -> Made:
    """A table's figure with what is said about it."""
    statement = material.statement(table.spec.experiments)
    plot = replace(plot, statement=statement)
    runs = [run for row in table.rows for run in row.runs]
    if name.endswith("-losses"):
        shown = {s.run for panel in plot.panels for s in panel.series}
        sources = [run.folder / STATS_JSONL for run in runs if run.run_id in shown]
        missing = tuple(
            f"{run.label}: {run.reason or 'no statistics'}"
            for run in runs
            if run.run_id not in shown
        )
    else:
        sources = [record.path for row in table.rows for record in row.records]
        missing = table.not_run
    lines = dict.fromkeys(s.label for panel in plot.panels for s in panel.series if s.role == "run")
    alt = f"{plot.panels[0].y_label} over {plot.panels[0].x_label}: {', '.join(lines) or 'nothing yet'}."
    return Made(plot.caption, alt, plot_frame(plot), draw(plot), statement, missing, tuple(sources))


def _write(layout: Layout, name: str, about: dict[str, Any], made: Made) -> Path:
    """Write the files of one figure, its JSON last; files of an earlier one that it no longer has are removed."""
    contents: dict[str, bytes] = {}
    if made.figure is not None and made.frame is not None:
        contents["png"] = png_bytes(made.figure)
        contents["svg"] = svg_bytes(made.figure)
        contents["csv"] = made.frame.to_csv(index=False, lineterminator="\n").encode()
    if made.animation is not None:
        contents["webp"] = made.animation
    for suffix in ("png", "svg", "csv", "webp"):
        path = layout.figure(name, suffix)
        if suffix not in contents:
            path.unlink(missing_ok=True)
        elif suffix == "csv":
            write_text(path, contents[suffix].decode())
        else:
            with atomic_file(path) as file:
                file.write(contents[suffix])
    out = layout.figure(name, "json")
    folder = out.parent
    sources = dict.fromkeys(Path(os.path.relpath(path, folder)).as_posix() for path in made.sources)
    content = {
        "schema": FIGURE_SCHEMA, "name": name, **about, "caption": made.caption, "alt": made.alt,
        "statement": made.statement, "missing": list(made.missing),
        "files": {suffix: layout.figure(name, suffix).name for suffix in contents},
        "sources": list(sources),
    }  # fmt: skip
    write_json(out, content)
    return out
