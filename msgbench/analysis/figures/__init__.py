"""Figures, as PNG and SVG with the plotted numbers as CSV: curves of tables, and every figure of both papers.

Everything is a function of config.yaml, records and picture sets; nothing is measured, and torch is not imported.
A figure of curves is first a `Plot`, plain data, and a figure of pictures is tiles: picture and CSV are made from
the same.
"""

from msgbench.analysis.figures.curves import (
    CONTROL,
    LOSSES,
    Curve,
    curve_of,
    curves_plot,
    losses_plot,
    main_protocols,
    series_labels,
    thin,
)
from msgbench.analysis.figures.drawing import draw, save_png, svg_bytes
from msgbench.analysis.figures.make import build_plot, make_figure, make_figures, write_list
from msgbench.analysis.figures.plots import Panel, Plot, Series, plot_frame
from msgbench.analysis.figures.statistics import MOST_POINTS
from msgbench.analysis.figures.style import COLUMN_INCHES, PALETTE, PNG_DPI, WIDE_INCHES

__all__ = [
    "COLUMN_INCHES",
    "CONTROL",
    "LOSSES",
    "MOST_POINTS",
    "PALETTE",
    "PNG_DPI",
    "WIDE_INCHES",
    "Curve",
    "Panel",
    "Plot",
    "Series",
    "build_plot",
    "curve_of",
    "curves_plot",
    "draw",
    "losses_plot",
    "main_protocols",
    "make_figure",
    "make_figures",
    "plot_frame",
    "save_png",
    "series_labels",
    "svg_bytes",
    "thin",
    "write_list",
]
