"""Figures: scores and losses over the images shown, as PNG with the plotted numbers as CSV beside it.

A figure is first a `Plot`, plain data; the picture and the CSV are both made from it, so they cannot
differ. Sized for one column of a paper; colours are told apart with any colour vision (Okabe and Ito),
and every series has a marker of its own.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from msgbench.analysis import fid_protocol, figures_of, figures_of_table
from msgbench.analysis.collect import Collection, Dataset, Run, collect
from msgbench.analysis.tables import METRIC_NAMES, Row, Table, build_table, number
from msgbench.config import Benchmark
from msgbench.config.sentences import nearest
from msgbench.errors import ResultsError
from msgbench.layout import Layout
from msgbench.protocols import Protocol, get_protocol
from msgbench.records import atomic_file, write_text

COLUMN_INCHES = 3.5
# About: a letter of a legend or of a tick, and what stands before an entry of a legend.
_LETTER_INCHES, _LEGEND_HANDLE_INCHES = 0.055, 0.4
PNG_DPI = 300
MOST_POINTS = 240

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[str | tuple[float, tuple[float, ...]], ...] = (
    "-",
    (0.0, (5.0, 1.5)),
    (0.0, (1.0, 1.0)),
)
INK, FAINT, RULE = "#1a1a1a", "#6b6b6b", "#dcdcdc"

LOSSES = (
    ("loss_d", "critic loss"),
    ("loss_g", "generator loss"),
    ("gradient_penalty", "gradient penalty"),
    ("r1", "R1"),
)
# Losses that some methods do not have: a panel only where a run reports one.
_SOME = ("gradient_penalty", "r1")

# Keys are a closed set of literals to the type checker, which it cannot infer for a module's dict.
_STYLE: dict[Any, Any] = {
    "font.size": 8.0, "axes.titlesize": 8.0, "axes.labelsize": 8.0, "xtick.labelsize": 7.0, "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK, "xtick.color": FAINT, "ytick.color": FAINT,
    "axes.titlecolor": INK, "axes.titlelocation": "left", "svg.fonttype": "none", "svg.hashsalt": "msgbench",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}  # fmt: skip

Role = Literal[
    "run", "mean", "level", "printed", "printed level", "control", "untrained", "real images"
]
CONTROL = "pixel-Gaussian control"
# Levels that carry their name on the axes: colour, dashes, and where the name stands.
_NAMED_LEVELS: dict[Role, tuple[str, tuple[float, ...], str]] = {
    "control": (INK, (6, 2, 1, 2), "bottom"),
    "untrained": (FAINT, (1, 2), "top"),
    "real images": (FAINT, (4, 2), "top"),
}


@dataclass(frozen=True)
class Series:
    """One line, or one marked value, of a panel."""

    label: str
    role: Role
    slot: int
    """Decides colour and marker; -1 for what belongs to no method."""
    y: tuple[float, ...]
    x: tuple[float, ...] = ()
    """Empty for a level, which holds at every x."""
    run: str = ""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    ticks: tuple[str, ...] = ()
    """Names of the places 0, 1, ... on the x axis of a panel of categories."""
    note: str = ""
    """What stands in a panel that has nothing to show."""


@dataclass(frozen=True)
class Plot:
    """A figure as data."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    heights: tuple[float, ...] = field(default=())
    """Inches of each panel."""
    legend: bool = True


@dataclass(frozen=True)
class Curve:
    """One run's score over the images shown, and the levels to see it against."""

    protocol: str
    metric: str
    extractor: str
    direction: str
    run: str
    points: tuple[tuple[int, float], ...]
    """(images shown, score), the untrained generator's at 0."""
    control: float | None
    real: float | None
    """Score of the real images; None for what compares with them."""


def plot_frame(plot: Plot) -> pd.DataFrame:
    """The plotted numbers, one point a row: panel, series, role, run, x, y (x is empty for a level)."""
    rows = []
    for panel in plot.panels:
        for series in panel.series:
            xs: Sequence[float | None] = series.x or [None] * len(series.y)
            rows += [
                (panel.name, series.label, series.role, series.run, x, y)
                for x, y in zip(xs, series.y, strict=True)
            ]
    frame = pd.DataFrame(rows, columns=["panel", "series", "role", "run", "x", "y"])
    labels = {panel.name: (panel.x_label, panel.y_label) for panel in plot.panels}
    frame["x_label"] = [labels[name][0] for name in frame["panel"]]
    frame["y_label"] = [labels[name][1] for name in frame["panel"]]
    return frame


def make_figure(benchmark: Benchmark, layout: Layout, name: str, out: Path) -> Path:
    """Write the figure as PNG to `out` and the plotted numbers beside it (suffix .csv); returns `out`.

    Raises ResultsError when `figures_of(benchmark)` has no such figure.
    """
    shown = [table for table in benchmark.tables if name in figures_of_table(benchmark, table)]
    plot = build_plot(collect(benchmark, layout, shown), name)
    write_text(out.with_suffix(".csv"), plot_frame(plot).to_csv(index=False, lineterminator="\n"))
    save_png(plot, out, PNG_DPI)
    return out


def save_png(plot: Plot, out: Path, dpi: int) -> None:
    """Write the picture of `plot` to `out`; the same plot gives the same bytes."""
    with atomic_file(out) as file, matplotlib.rc_context(_STYLE):
        draw(plot).savefig(file, format="png", dpi=dpi, metadata={"Software": None})


def build_plot(collection: Collection, name: str) -> Plot:
    """The data of the figure called `name`; ResultsError when there is no such figure."""
    benchmark = collection.benchmark
    for table_name in benchmark.tables:
        if name not in figures_of_table(benchmark, table_name):
            continue
        table = build_table(collection, table_name)
        if name == f"{table_name}-losses":
            return _losses(table, name)
        protocol = fid_protocol(benchmark, table_name)
        if name == f"{table_name}-fid" and protocol is not None:
            return _scores(table, name, get_protocol(protocol))
        return _scores(table, name, table.protocol)
    known = figures_of(benchmark)
    raise ResultsError(f"figure {name}: no such figure{nearest(name, known)}")


def _scores(table: Table, name: str, protocol: Protocol) -> Plot:
    """One protocol's score over the images shown; the paper's levels for the table's own protocol."""
    metric = METRIC_NAMES[protocol.metric]
    y_label = f"{metric}, {_way(protocol)}"
    rows = [row for row in table.rows if row.spec.experiment is not None]
    labels = series_labels(table, rows)
    unit, factor = _image_unit(run for row in rows for run in row.runs)
    series: list[Series] = []
    for slot, row in enumerate(rows):
        series += _score_series(row, protocol, labels[slot], slot, factor)
    for row in table.rows:
        if row.spec.real_images is None:
            continue
        real = table.collection.datasets[row.spec.real_images].of(protocol.name)
        if real is not None:
            series.append(Series("real images", "level", -1, (real.value,)))
    if protocol.metric == "fid":
        series += _control_levels(table, rows, protocol)
    own = protocol.name == table.protocol.name
    printed = _printed(table, rows, labels) if own else ()
    caption = (
        f"{metric} by {protocol.extractor}, protocol {protocol.name} version {protocol.version} "
        f"({protocol.num_fake:,} images a point)."
    )
    if own and protocol.comparable_with_paper:
        series += printed
        caption += " Marks on the right edge: the paper's printed numbers."
    elif own and printed:
        caption += (
            " The paper's numbers are made by another protocol and stand on a scale of their own."
        )
    ours = Panel(
        "ours", f"{metric} by {protocol.extractor}", f"real images shown ({unit})", y_label,
        tuple(series), note="" if series else "nothing measured yet",
    )  # fmt: skip
    panels, heights = [ours], [2.5]
    if own and printed and not protocol.comparable_with_paper:
        panels.append(_printed_panel(printed, metric))
        ticks = panels[-1].ticks
        upright = _LETTER_INCHES * max(map(len, ticks), default=0) if _crowded(ticks) else 0.0
        heights.append(1.45 + upright)
    return Plot(name, table.spec.title, caption, tuple(panels), tuple(heights))


def _control_levels(table: Table, rows: Sequence[Row], protocol: Protocol) -> list[Series]:
    """The level of each dataset's control; the dataset is named where there are several."""
    specs = [table.collection.benchmark.experiment(row.spec.experiment or "") for row in rows]
    names = list(dict.fromkeys(spec.dataset.name for spec in specs))
    levels = []
    for name in names:
        record = table.collection.datasets[name].control(protocol.name)
        if record is not None and record.version == protocol.version:
            label = CONTROL if len(names) == 1 else f"{CONTROL} of {name}"
            levels.append(Series(label, "control", -1, (record.value,)))
    return levels


def curves_plot(name: str, title: str, curves: Sequence[Curve], longest: int) -> Plot:
    """The scores of one run of `longest` images: a panel a curve, each with its levels."""
    unit, factor = _unit(longest)
    panels = []
    for curve in curves:
        metric = METRIC_NAMES[curve.metric]
        xs, ys = zip(*curve.points, strict=True) if curve.points else ((), ())
        series = [Series(title, "run", 0, tuple(ys), tuple(x / factor for x in xs), curve.run)]
        untrained = dict(curve.points).get(0)
        levels: tuple[tuple[str, Role, float | None], ...] = (
            ("untrained", "untrained", untrained),
            (CONTROL, "control", curve.control),
            ("real images", "real images", curve.real),
        )
        series += [Series(lab, role, -1, (y,)) for lab, role, y in levels if y is not None]
        panels.append(
            Panel(
                curve.protocol, f"{metric} by {curve.extractor}", f"real images shown ({unit})",
                f"{metric}, {curve.direction} is better", tuple(series) if curve.points else (),
                note="" if curve.points else "nothing measured yet",
            )
        )  # fmt: skip
    names = ", ".join(curve.protocol for curve in curves)
    caption = f"Scores of the averaged generator by the protocols {names}."
    return Plot(name, title, caption, tuple(panels), (2.0,) * len(panels), legend=False)


def curve_of(run: Run, dataset: Dataset, protocol: Protocol) -> Curve:
    """One run's score by `protocol`, from its records and those of its dataset."""
    levels = [dataset.control(protocol.name), dataset.of(protocol.name)]
    control, real = (r.value if r and r.version == protocol.version else None for r in levels)
    points = [(r.cur_nimg, r.value) for r in run.of(protocol.name) if r.cur_nimg is not None]
    return Curve(
        protocol.name, protocol.metric, protocol.extractor, protocol.direction, run.run_id,
        tuple(points), control, real,
    )  # fmt: skip


def main_protocols(names: Iterable[str]) -> tuple[Protocol, ...]:
    """What a run's curves show of its protocols: the first FID, then the first Inception Score."""
    protocols = [get_protocol(name) for name in names]
    firsts = [next((p for p in protocols if p.metric == metric), None) for metric in ("fid", "is")]
    return tuple(protocol for protocol in firsts if protocol is not None) or tuple(protocols[:1])


def losses_plot(name: str, title: str, run: str, stats: pd.DataFrame, longest: int) -> Plot:
    """The losses of one run of `longest` images; `stats` has the column `cur_nimg`."""
    panels, caption = _loss_panels([(title, 0, run, stats)], _unit(longest))
    return Plot(name, f"{title}: losses", caption, panels, (1.5,) * len(panels), legend=False)


def _score_series(
    row: Row, protocol: Protocol, label: str, slot: int, factor: float
) -> list[Series]:
    """The curve of each seed, and their mean where there are several."""
    series = []
    curves: list[dict[int, float]] = []
    for run in row.runs:
        points = {r.cur_nimg: r.value for r in run.of(protocol.name) if r.cur_nimg is not None}
        if points:
            xs = tuple(nimg / factor for nimg in points)
            series.append(Series(label, "run", slot, tuple(points.values()), xs, run.run_id))
            curves.append(points)
    if len(curves) > 1:
        common = [nimg for nimg in curves[0] if all(nimg in curve for curve in curves)]
        ys = tuple(math.fsum(c[nimg] for c in curves) / len(curves) for nimg in common)
        series.append(Series(label, "mean", slot, ys, tuple(nimg / factor for nimg in common)))
    return series


def _printed(table: Table, rows: Sequence[Row], labels: Sequence[str]) -> tuple[Series, ...]:
    """The paper's printed scores: one mark a method, one level for real images."""
    marks = [
        Series(f"{label}, paper", "printed", slot, (row.paper.value,))
        for slot, (row, label) in enumerate(zip(rows, labels, strict=True))
        if row.paper.value is not None
    ]
    levels = [
        Series("real images, paper", "printed level", -1, (row.paper.value,))
        for row in table.rows
        if row.spec.real_images is not None and row.paper.value is not None
    ]
    return (*marks, *levels)


def _printed_panel(printed: Sequence[Series], metric: str) -> Panel:
    """The paper's numbers on axes of their own, one place a method."""
    series: list[Series] = []
    ticks: list[str] = []
    for mark in printed:
        if mark.role == "printed":
            series.append(Series(mark.label, "printed", mark.slot, mark.y, (float(len(ticks)),)))
            ticks.append(mark.label.removesuffix(", paper"))
        else:
            series.append(mark)
    title = "Paper, by Inception: not comparable"
    return Panel("paper", title, "", f"{metric}, printed", tuple(series), tuple(ticks))


def _losses(table: Table, name: str) -> Plot:
    """Training losses over the images shown, one panel a loss."""
    rows = [row for row in table.rows if row.spec.experiment is not None]
    labels = series_labels(table, rows)
    stated = [
        (labels[slot], slot, run.run_id, run.stats)
        for slot, row in enumerate(rows)
        for run in row.runs
    ]
    panels, caption = _loss_panels(stated, _image_unit(run for row in rows for run in row.runs))
    return Plot(name, f"{table.spec.title}: losses", caption, panels, (1.5,) * len(panels))


def _loss_panels(
    stated: Sequence[tuple[str, int, str, pd.DataFrame]], unit: tuple[str, float]
) -> tuple[tuple[Panel, ...], str]:
    """A panel a loss for the (label, slot, run, statistics) of runs, and the caption."""
    panels = []
    thinned = 1
    for column, title in LOSSES:
        series = []
        for label, slot, run, stats in stated:
            if column not in stats:
                continue
            means, step = thin(stats[["cur_nimg", column]])
            thinned = max(thinned, step)
            xs = tuple(float(x) / unit[1] for x in means["cur_nimg"])
            series.append(Series(label, "run", slot, tuple(map(float, means[column])), xs, run))
        trained = any(not stats.empty for *_, stats in stated)
        if not series and (column == "r1" or (trained and column in _SOME)):
            continue
        panels.append(
            Panel(
                column, title, f"real images shown ({unit[0]})", title, tuple(series),
                note="" if series else "no statistics yet",
            )
        )  # fmt: skip
    caption = "Losses of training, from stats.jsonl of each run"
    caption += f"; each point is the mean of up to {thinned} lines." if thinned > 1 else "."
    return tuple(panels), caption


def thin(stats: pd.DataFrame, most: int = MOST_POINTS) -> tuple[pd.DataFrame, int]:
    """At most `most` rows, each the mean of so many rows of `stats`, and how many that is."""
    points = stats.dropna()
    step = max(1, math.ceil(len(points) / most))
    return points.groupby(pd.RangeIndex(len(points)) // step).mean(), step


def series_labels(table: Table, rows: Sequence[Row]) -> list[str]:
    """A short name for each row's line: its learning rate where that tells the rows apart."""
    experiments = [row.spec.experiment or "" for row in rows]
    specs = [table.collection.benchmark.experiment(name) for name in experiments]
    rates = [f"lr {spec.optimizer.lr:g}" for spec in specs]
    if len(set(rates)) == len(rates) and len({spec.method for spec in specs}) == 1:
        return rates
    return experiments


def _way(protocol: Protocol) -> str:
    return f"{protocol.direction} is better"


def _image_unit(runs: Iterable[Run]) -> tuple[str, float]:
    """Unit of the x axis and its size in images."""
    return _unit(max((run.plan.spec.schedule.total_nimg for run in runs), default=0))


def _unit(longest: int) -> tuple[str, float]:
    return ("millions", 1e6) if longest >= 1_000_000 else ("thousands", 1e3)


def draw(plot: Plot) -> Figure:
    """The plot as a matplotlib figure of one column's width; no global state is touched."""
    with matplotlib.rc_context(_STYLE):
        entries = _legend_entries(plot.panels[0]) if plot.panels and plot.legend else set[str]()
        columns = _legend_columns(entries)
        legend = 0.22 * math.ceil(len(entries) / columns)
        figure = Figure(figsize=(COLUMN_INCHES, sum(plot.heights) + legend), layout="constrained")
        # A grid of one column; `squeeze` off keeps it a 2-d array also for one panel.
        grid = figure.subplots(
            len(plot.panels), 1, squeeze=False, gridspec_kw={"height_ratios": plot.heights}
        )
        for panel, axes in zip(plot.panels, grid[:, 0], strict=True):
            _draw_panel(panel, axes)
        for panel, axes in zip(plot.panels[:-1], grid[:-1, 0], strict=True):
            if panel.x_label == plot.panels[-1].x_label:
                axes.set_xlabel("")  # the last of equal axes names them all
        handles, labels = grid[0, 0].get_legend_handles_labels()
        if plot.legend and handles:
            figure.legend(
                handles,
                labels,
                loc="outside upper left",
                ncols=columns,
                frameon=False,
                handlelength=1.8,
            )
        return figure


def _legend_entries(panel: Panel) -> set[str]:
    return {series.label for series in panel.series if series.role in ("run", "mean", "level")}


def _legend_columns(entries: Set[str]) -> int:
    """As many columns as the longest entry leaves room for, three at most."""
    longest = max(map(len, entries), default=1)
    return max(
        1, min(3, math.floor(COLUMN_INCHES / (_LEGEND_HANDLE_INCHES + _LETTER_INCHES * longest)))
    )


def _crowded(ticks: Sequence[str]) -> bool:
    """Whether names on an axis would run into each other side by side."""
    return _LETTER_INCHES * sum(len(tick) + 2 for tick in ticks) > COLUMN_INCHES


def _draw_panel(panel: Panel, axes: Axes) -> None:
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    if panel.y_label != panel.title:
        axes.set_ylabel(panel.y_label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    # Where there is a mean, the seeds are its faint background.
    with_mean = {series.label for series in panel.series if series.role == "mean"}
    named: set[str] = set()
    for series in panel.series:
        _draw_series(series, axes, series.label in with_mean, series.label not in named)
        if series.role != "run" or series.label not in with_mean:
            named.add(series.label)
    if panel.ticks:
        axes.set_xticks(range(len(panel.ticks)), panel.ticks)
        if _crowded(panel.ticks):
            axes.tick_params(axis="x", labelrotation=90, labelsize=6.5)
        axes.set_xlim(-0.5, len(panel.ticks) - 0.5)
        axes.margins(y=0.25)
        axes.grid(False)
    if panel.note:
        axes.text(
            0.5, 0.5, panel.note, transform=axes.transAxes, ha="center", va="center", color=FAINT
        )
        axes.set_xticks([])
        axes.set_yticks([])


def _draw_series(series: Series, axes: Axes, behind: bool, named: bool) -> None:
    # An underscore keeps a label out of the legend.
    label = series.label if named else "_"
    colour = PALETTE[series.slot % len(PALETTE)] if series.slot >= 0 else FAINT
    marker = MARKERS[series.slot % len(MARKERS)]
    match series.role:
        case "level":
            axes.axhline(series.y[0], color=colour, linewidth=1, linestyle=(0, (4, 2)), label=label)
        case "control" | "untrained" | "real images":
            ink, dashes, place = _NAMED_LEVELS[series.role]
            axes.axhline(series.y[0], color=ink, linewidth=0.9, linestyle=(0, dashes), label="_")
            axes.annotate(
                f"{series.label} {number(series.y[0])}", (1, series.y[0]), xycoords=("axes fraction", "data"),
                ha="right", va=place, fontsize=6.5, color=ink, xytext=(0, 2 if place == "bottom" else -2),
                textcoords="offset points",
            )  # fmt: skip
            axes.margins(y=0.12)
        case "printed level":
            axes.axhline(series.y[0], color=colour, linewidth=0.8, linestyle=(0, (1, 2)), label="_")
            axes.annotate(
                f"real images {series.y[0]:g}", (1, series.y[0]), xycoords=("axes fraction", "data"),
                ha="right", va="top", fontsize=6.5, color=colour, xytext=(0, -2), textcoords="offset points",
            )  # fmt: skip
        case "printed" if series.x:
            axes.plot(series.x, series.y, marker, color=colour, markersize=5, label="_")
            axes.annotate(
                f"{series.y[0]:.2f}", (series.x[0], series.y[0]), ha="left", va="center", fontsize=7,
                xytext=(5, 0), textcoords="offset points",
            )  # fmt: skip
        case "printed":
            axes.plot(
                [1], series.y, marker, color=colour, markersize=6, markerfacecolor="none", clip_on=False,
                transform=axes.get_yaxis_transform(), label="_",
            )  # fmt: skip
        case "run" | "mean":
            dense = len(series.x) > 30
            axes.plot(
                series.x, series.y, color=colour, label="_" if behind and series.role == "run" else label,
                linewidth=0.5 if behind and series.role == "run" else 1.2,
                alpha=0.5 if behind and series.role == "run" else 1,
                linestyle=DASHES[series.slot // len(PALETTE) % len(DASHES)] if series.slot >= 0 else "-",
                marker="" if behind and series.role == "run" else marker,
                markersize=3.2, markevery=max(1, len(series.x) // 8) if dense else 1,
            )  # fmt: skip


def svg(plot: Plot, prefix: str) -> str:
    """The figure as an `<svg>` element for a page: transparent, colours as CSS variables.

    Its ids begin with `prefix`, so that several fit on one page. The page defines `--ink`, `--faint`,
    `--rule` and `--series-0`, `--series-1`, ... for each colour scheme.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        draw(plot).savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A style sheet inside would hold for the whole page, and the page's own font fits it better.
    for part in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"font-family: [^;\"]*;\s*"):
        text = re.sub(part, "", text, flags=re.DOTALL)
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*" height="[^"]*" ', r"<svg \1", text)
    # Only what is referred to needs an id; the others would clash with those of other figures.
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    text = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text
    )
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    colours = {INK: "--ink", FAINT: "--faint", RULE: "--rule"}
    colours |= {colour: f"--series-{slot}" for slot, colour in enumerate(PALETTE)}
    for colour, variable in colours.items():
        text = text.replace(colour, f"var({variable})")
    return text
