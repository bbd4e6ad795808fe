"""Line charts and histograms as SVG inside a page: a few kilobytes each, in the colours of the page's scheme.

Not the figures of the analysis room, which are files for papers: these are drawn a few a page for hundreds of runs,
and the script of the report reads their numbers for the reader who points at them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 18, 48
SLOTS = 6
# From here on an axis of positive values is logarithmic: what happens at the end would be a flat line.
_WIDE_RANGE = 8.0


@dataclass(frozen=True)
class Series:
    """One line, or a level where `x` is empty; `slot` -1 for what belongs to no method."""

    label: str
    y: tuple[float, ...]
    x: tuple[float, ...] = ()
    slot: int = 0
    faint: bool = False


@dataclass(frozen=True)
class Chart:
    """Axes with lines; `alt` says in words what they show."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    alt: str = ""


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram: `part` of `count` is filled."""

    label: str
    count: int
    part: int


def number_of(value: float) -> str:
    """`value` in at most five digits, for axes and for the script."""
    return f"{value:.5g}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, at most about `most`: 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten from `low` to `high`; the powers alone where there are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) < 5 else (1,)
    return [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]


def line_chart(chart: Chart) -> Markup:
    """`chart` as an `<svg>`; empty when it has no numbers."""
    lines = [s for s in chart.series if s.y and all(map(math.isfinite, (*s.x, *s.y)))]
    ys = [y for s in lines for y in s.y]
    xs = [x for s in lines for x in s.x]
    if not ys or not xs:
        return Markup("")
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > _WIDE_RANGE
    low, high = _span(ys, logarithmic)
    right = max(xs) if max(xs) > min(xs) else min(xs) + 1
    left = min(xs)

    def px(x: float) -> float:
        return _LEFT + (x - left) / (right - left) * (WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        share = (
            math.log(y / low) / math.log(high / low) if logarithmic else (y - low) / (high - low)
        )
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    parts = [
        Markup(
            '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" data-x="{}" data-y="{}">'
        ).format(WIDTH, HEIGHT, chart.alt or chart.title, chart.x_label, chart.y_label)
    ]
    for y in _log_ticks(low, high) if logarithmic else ticks(low, high):
        parts.append(_row(py(y), number_of(y)))
    for x in ticks(left, right, 6):
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                px(x), HEIGHT - _BOTTOM + 18, number_of(x)
            )
        )
    parts.append(
        Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(
            WIDTH - _RIGHT, HEIGHT - 6, chart.x_label
        )
    )
    for series in lines:
        points = list(zip(series.x, series.y, strict=True)) if series.x else []
        level = [(left, series.y[0]), (right, series.y[0])]
        drawn = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in points or level)
        slot = f"s{series.slot % SLOTS}" if series.slot >= 0 else "none"
        dashes = f" d{series.slot // SLOTS % 3}" if series.slot >= SLOTS else ""
        classes = f"{slot}{dashes}{' faint' if series.faint else ''}{'' if points else ' level'}"
        stated = " ".join(f"{number_of(x)},{number_of(y)}" for x, y in points or level[:1])
        parts.append(
            Markup('<polyline class="{}" points="{}" data-label="{}" data-points="{}"/>').format(
                classes, drawn, series.label, stated
            )
        )
        if not points:
            parts.append(
                Markup('<text class="level" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                    WIDTH - _RIGHT, py(series.y[0]) - 4, series.label
                )
            )
        if 0 < len(points) <= 12 and not series.faint:
            parts += [
                Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(
                    slot, px(x), py(y)
                )
                for x, y in points
            ]
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _span(ys: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    """Lowest and highest value of the axis."""
    low, high = min(ys), max(ys)
    if logarithmic:
        return low / 1.1, high * 1.1
    if low == high:
        return low - 1, high + 1
    room = 0.05 * (high - low)
    return (0.0 if 0 <= low <= room else low - room), high + room


def _row(y: float, text: str) -> Markup:
    return Markup(
        '<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
    ).format(_LEFT, WIDTH - _RIGHT, y, y, _LEFT - 6, y + 4.5, text)


def histogram(title: str, bins: Sequence[Bin]) -> Markup:
    """Bars of counts, the filled part in another colour, as an `<svg>`; empty when there is nothing to count."""
    most = max((one.count for one in bins), default=0)
    if not most:
        return Markup("")
    height, base = 180, 140
    width = (WIDTH - 20) / len(bins)
    said = ", ".join(f"{one.label}: {one.count} ({one.part})" for one in bins if one.count)
    parts = [
        Markup('<svg class="chart bars" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, height, f"{title}: {said}"
        )
    ]
    for place, one in enumerate(bins):
        x = 10 + place * width
        for count, name in ((one.count, "all"), (one.part, "part")):
            tall = count / most * (base - 20)
            parts.append(
                Markup(
                    '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
                    "<title>{}</title></rect>"
                ).format(
                    name, x + 1, base - tall, max(1.0, width - 2), tall, f"{one.label}: {count:,}"
                )
            )
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                x + width / 2, base + 16, escape(one.label)
            )
        )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)
