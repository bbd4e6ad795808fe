"""A plot as plain data: the picture and the CSV are both made from it, so they cannot differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Role = Literal["run", "mean", "band", "level", "printed", "control", "untrained", "real images"]


@dataclass(frozen=True)
class Series:
    """One line, band, or marked value of a panel."""

    label: str
    role: Role
    slot: int
    """Decides the colour (style.py); -1 for what belongs to no method."""
    y: tuple[float, ...]
    x: tuple[float, ...] = ()
    """Empty for a level, which holds at every x."""
    run: str = ""
    variant: int = 0
    """Which variant of its method, 0 the method itself: strength of the colour, dashes, marker."""
    high: tuple[float, ...] = ()
    """Of a band: its upper edge, `y` being the lower one."""
    colour: str = ""
    """In place of the slot's, for what is no method: a resolution."""


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
    log_x: bool = False
    log_y: bool = False
    spans: tuple[tuple[float, float], ...] = ()
    """Stretches of the x axis with a grey ground: what they mean stands in the caption."""


@dataclass(frozen=True)
class Plot:
    """A figure of curves as data."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    heights: tuple[float, ...] = ()
    """Inches of each row of panels."""
    legend: bool = True
    columns: int = 1
    """Panels side by side: 1 is one column of a paper wide, more are both."""
    same_y: bool = False
    """Whether all panels have the same y axis."""
    statement: str = ""
    """The sentence of scale, written below the panels; empty for a figure at full size."""


def plot_frame(plot: Plot) -> pd.DataFrame:
    """The plotted numbers, one point a row: panel, series, role, run, x, y, y_high and the axes' labels.

    `x` is empty for a level, `y_high` for all but a band, whose lower edge is `y`.
    """
    rows = []
    for panel in plot.panels:
        for series in panel.series:
            xs: Sequence[float | None] = series.x or [None] * len(series.y)
            highs: Sequence[float | None] = series.high or [None] * len(series.y)
            rows += [
                (panel.name, series.label, series.role, series.run, x, y, high)
                for x, y, high in zip(xs, series.y, highs, strict=True)
            ]
    columns = ["panel", "series", "role", "run", "x", "y", "y_high"]
    frame = pd.DataFrame(rows, columns=columns)
    labels = {panel.name: (panel.x_label, panel.y_label) for panel in plot.panels}
    frame["x_label"] = [labels[name][0] for name in frame["panel"]]
    frame["y_label"] = [labels[name][1] for name in frame["panel"]]
    return frame


def images_axis(longest: int) -> tuple[str, float]:
    """The name of an axis of images shown that reaches `longest`, and its unit in images."""
    if longest < 1000:
        return "real images shown", 1.0
    unit, factor = ("millions", 1e6) if longest >= 1_000_000 else ("thousands", 1e3)
    return f"real images shown ({unit})", factor
