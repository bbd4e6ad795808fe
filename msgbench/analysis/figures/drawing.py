"""From a plot to a matplotlib figure, and to bytes. No global state is touched; the same plot gives the same bytes."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from msgbench.analysis.figures.plots import Panel, Plot, Role, Series
from msgbench.analysis.figures.style import (
    COLUMN_INCHES,
    DASHES,
    FAINT,
    INK,
    MARKERS,
    PNG_DPI,
    RULE,
    STRENGTHS,
    STYLE,
    WIDE_INCHES,
    colour_of_slot,
)
from msgbench.analysis.tables import number
from msgbench.records import atomic_file

# About: a letter of a legend or of a tick, and what stands before an entry of a legend.
_LETTER_INCHES, _LEGEND_HANDLE_INCHES = 0.055, 0.45
_SMALL_LETTER_INCHES, _LINE_INCHES = 0.048, 0.12
_ROW_INCHES = 1.9
# Axes narrower than this have fewer ticks.
_NARROW_INCHES = 2.0
# Around the axes of a panel: tick labels and the name of y, of x, and the title.
_LEFT_INCHES, _FOOT_INCHES, _HEAD_INCHES, _NAME_INCHES = 0.66, 0.4, 0.2, 0.16

# Levels that carry their name on the axes: colour, dashes, and where the name stands.
_NAMED_LEVELS: dict[Role, tuple[str, tuple[float, ...], str]] = {
    "control": (INK, (6, 2, 1, 2), "bottom"),
    "untrained": (FAINT, (1, 2), "top"),
    "real images": (FAINT, (4, 2), "top"),
}


def draw(plot: Plot) -> Figure:
    """The plot as a matplotlib figure, one column of a paper wide, or both where panels stand side by side.

    Margins are inches of their own, not those of a layout engine: axes of one figure and of others stand under each
    other, and laying out costs nothing.
    """
    with matplotlib.rc_context(STYLE):
        width = COLUMN_INCHES if plot.columns == 1 else WIDE_INCHES
        rows = [plot.panels[i : i + plot.columns] for i in range(0, len(plot.panels), plot.columns)]
        heights = plot.heights or (_ROW_INCHES,) * len(rows)
        names = _legend_entries(plot)
        columns = _legend_columns(names, width)
        said = wrapped(plot.statement, width)
        top = 0.133 * math.ceil(len(names) / columns) + 0.08 if names else 0.0
        unnamed_rows = sum(_is_unnamed(plot, rows, index) for index in range(len(rows)))
        total = top + sum(heights) - _NAME_INCHES * unnamed_rows + _LINE_INCHES * len(said) + 0.03
        figure = Figure(figsize=(width, total))
        each, right = width / plot.columns, _right(plot.panels)
        places: list[Axes] = []
        for index, (panels, full) in enumerate(zip(rows, heights, strict=True)):
            unnamed = _is_unnamed(plot, rows, index)
            height = full - _NAME_INCHES * unnamed
            foot = _FOOT_INCHES - _NAME_INCHES * unnamed + _upright(panels, each)
            for column, panel in enumerate(panels):
                left, bottom = column * each + _LEFT_INCHES, total - top - height + foot
                size = (each - _LEFT_INCHES - right, height - foot - _HEAD_INCHES)
                axes = figure.add_axes(
                    (left / width, bottom / total, size[0] / width, size[1] / total)
                )
                _draw_panel(panel, axes, size)
                if unnamed:
                    axes.set_xlabel("")
                if column and panel.y_label == panels[column - 1].y_label:
                    axes.set_ylabel("")
                places.append(axes)
            top += height
        if plot.same_y and places:
            limits = [axes.get_ylim() for axes in places]
            for axes in places:
                axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        if names:
            handles = _handles(places)
            figure.legend(
                [handles[name] for name in names], names, loc="upper left", ncols=columns, frameon=False,
                handlelength=2.4, columnspacing=1.2, borderaxespad=0.2, borderpad=0.2, labelspacing=0.35,
                bbox_to_anchor=(0, 1),
            )  # fmt: skip
        write_below(figure, said)
        return figure


def _is_unnamed(plot: Plot, rows: Sequence[Sequence[Panel]], index: int) -> bool:
    """Whether the x axis of a row of panels is named by the last one, which is equal."""
    last = index + 1 == len(rows)
    return plot.columns == 1 and not last and rows[index][0].x_label == rows[-1][0].x_label


def _right(panels: Sequence[Panel]) -> float:
    """Inches at the right edge: for the paper's numbers where they stand there."""
    named = any(s.role == "printed" and not s.x for panel in panels for s in panel.series)
    return 0.55 if named else 0.14


def _upright(panels: Sequence[Panel], width: float) -> float:
    """Inches more below a row of panels, where names of categories stand upright."""
    crowded = [panel.ticks for panel in panels if _crowded(panel.ticks, width)]
    return _LETTER_INCHES * max((len(tick) for ticks in crowded for tick in ticks), default=0)


def wrapped(text: str, width: float) -> list[str]:
    """`text` in lines that fit a figure of `width` inches in small type."""
    return textwrap.wrap(text, math.floor(width / _SMALL_LETTER_INCHES))


def write_below(figure: Figure, lines: Sequence[str]) -> None:
    """The sentence of scale in the lower left corner of a figure."""
    if lines:
        figure.text(
            0.012, 0.02 / figure.get_figheight(), "\n".join(lines), fontsize=6, color=FAINT, ha="left",
            va="bottom", linespacing=1.15,
        )  # fmt: skip


def _legend_entries(plot: Plot) -> list[str]:
    """What the legend names, once each, in the order in which it is first drawn."""
    if not plot.legend:
        return []
    found = {
        series.label
        for panel in plot.panels
        for series in panel.series
        if series.role in ("run", "mean", "level") or (series.role == "printed" and series.x)
    }
    order = dict.fromkeys(s.label for panel in plot.panels for s in panel.series)
    return [label for label in order if label in found]


def _legend_columns(entries: Collection[str], width: float) -> int:
    """As many columns as the longest entry leaves room for, three a paper's column at most."""
    longest = max(map(len, entries), default=1)
    room = math.floor(width / (_LEGEND_HANDLE_INCHES + _LETTER_INCHES * longest))
    return max(1, min(round(3 * width / COLUMN_INCHES), room))


def _handles(places: Sequence[Axes]) -> dict[str, Artist]:
    found: dict[str, Artist] = {}
    for axes in places:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return found


def _crowded(ticks: Sequence[str], width: float) -> bool:
    """Whether names on an axis would run into each other side by side."""
    return _LETTER_INCHES * sum(len(tick) + 2 for tick in ticks) > width


def _draw_panel(panel: Panel, axes: Axes, size: tuple[float, float]) -> None:
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    if panel.y_label != panel.title:
        axes.set_ylabel(panel.y_label)
    axes.spines[["top", "right"]].set_visible(False)
    for start, end in panel.spans:
        axes.axvspan(start, end, color=RULE, alpha=0.55, linewidth=0, zorder=0)
    # Where there is a mean, the seeds are its faint background.
    with_mean = {series.label for series in panel.series if series.role == "mean"}
    named: set[str] = set()
    for series in panel.series:
        _draw_series(series, axes, series.label in with_mean, series.label not in named)
        if series.role in ("run", "mean") and not (
            series.role == "run" and series.label in with_mean
        ):
            named.add(series.label)
    _set_scales(panel, axes, size[0] > _NARROW_INCHES)
    _name_printed(panel, axes, size[1])
    if panel.ticks:
        axes.set_xticks(range(len(panel.ticks)), panel.ticks)
        if _crowded(panel.ticks, size[0]):
            axes.tick_params(axis="x", labelrotation=90, labelsize=6.5)
        axes.set_xlim(-0.5, len(panel.ticks) - 0.5)
        axes.margins(y=0.25)
        axes.grid(visible=False, axis="x")
    if panel.note:
        axes.text(
            0.5, 0.5, panel.note, transform=axes.transAxes, ha="center", va="center", color=FAINT
        )
        if not panel.series:
            axes.set_xticks([])
            axes.set_yticks([])


def _set_scales(panel: Panel, axes: Axes, wide: bool) -> None:
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    if panel.log_x:
        axes.set_xscale("log")
        xs = sorted({x for series in panel.series for x in series.x})
        axes.set_xticks(xs, [f"{x:g}" for x in xs])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
    else:
        whole = all(x == int(x) for series in panel.series for x in series.x)
        axes.xaxis.set_major_locator(MaxNLocator(6 if wide else 4, integer=whole))
    if panel.log_y and any(min(series.y, default=1) > 0 for series in panel.series):
        make_logarithmic(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))


def make_logarithmic(axes: Axes) -> None:
    """A logarithmic y axis with its numbers written out, powers of ten alone where there are many."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 100:
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
    else:
        axes.yaxis.set_major_locator(LogLocator(10, numticks=6))
    # Not matplotlib's own, which writes formulas that stay text here.
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_series(series: Series, axes: Axes, behind: bool, named: bool) -> None:
    # An underscore keeps a label out of the legend.
    label = series.label if named else "_"
    colour = series.colour or colour_of_slot(series.slot)
    strength = STRENGTHS[series.variant % len(STRENGTHS)]
    dashes = DASHES[series.variant % len(DASHES)]
    match series.role:
        case "level":
            axes.axhline(series.y[0], color=colour, linewidth=1, linestyle=(0, (4, 2)), label=label)
        case "control" | "untrained" | "real images":
            ink, dashed, place = _NAMED_LEVELS[series.role]
            axes.axhline(series.y[0], color=ink, linewidth=0.9, linestyle=(0, dashed), label="_")
            axes.annotate(
                f"{series.label} {number(series.y[0])}", (1, series.y[0]), xycoords=("axes fraction", "data"),
                ha="right", va=place, fontsize=6.5, color=ink, xytext=(0, 2 if place == "bottom" else -2),
                textcoords="offset points",
            )  # fmt: skip
            axes.margins(y=0.12)
        case "printed" if series.x:
            axes.plot(
                series.x, series.y, _marker(series), color=colour, markersize=5, markerfacecolor="none",
                linestyle="", label=label,
            )  # fmt: skip
        case "printed":
            axes.axhline(
                series.y[0], color=colour, alpha=strength, linewidth=0.8, linestyle=(0, (1, 2)), label="_"
            )  # fmt: skip
        case "band":
            axes.fill_between(
                series.x, series.y, series.high, color=colour, alpha=0.18 * strength, linewidth=0, label="_"
            )  # fmt: skip
        case "run" if behind:
            axes.plot(
                series.x, series.y, color=colour, alpha=0.4 * strength, linewidth=0.4, label="_"
            )
        case "run" | "mean":
            dense = len(series.x) > 30
            axes.plot(
                series.x, series.y, color=colour, alpha=strength, label=label, linewidth=1.2,
                linestyle=dashes, marker=_marker(series), markersize=3.2,
                markevery=max(1, len(series.x) // 8) if dense else 1,
            )  # fmt: skip


def _marker(series: Series) -> str:
    """A marker of the method's own; its variants have others."""
    return MARKERS[(max(series.slot, 0) + series.variant) % len(MARKERS)]


def _name_printed(panel: Panel, axes: Axes, height: float) -> None:
    """The paper's numbers at the right edge, beside their lines, none over another."""
    printed = [series for series in panel.series if series.role == "printed" and not series.x]
    if not printed:
        return
    low, high = axes.get_ylim()
    scale = math.log if axes.get_yscale() == "log" else float
    room = 7.5 / 72 / height  # of a line of small type, in heights of the axes
    least = -math.inf
    for series in sorted(printed, key=lambda s: s.y[0]):
        at = (scale(series.y[0]) - scale(low)) / (scale(high) - scale(low))
        least = at = max(at, least + room)
        axes.annotate(
            f"paper {series.y[0]:.2f}", (1.01, at), xycoords="axes fraction", ha="left", va="center",
            fontsize=6, color=colour_of_slot(series.slot) if series.slot >= 0 else FAINT,
        )  # fmt: skip


def png_bytes(figure: Figure, dpi: int = PNG_DPI) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG: text stays text, no date, and the same ids every time."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def save_png(plot: Plot, out: Path, dpi: int) -> None:
    """Write the picture of `plot` to `out`; the same plot gives the same bytes."""
    with atomic_file(out) as file:
        file.write(png_bytes(draw(plot), dpi))
