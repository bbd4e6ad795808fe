"""Curves of a table: its score over the images shown, FID over the hours of training, losses; and those of one run.

One panel a dataset, since scores of different images do not compare. A method has the same colour in every figure; what
a table varies of it (connections, combine function, learning rate) is told apart by strength, dashes and marker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from msgbench.analysis import fid_protocol
from msgbench.analysis.collected import Dataset, Run
from msgbench.analysis.figures.plots import Panel, Plot, Role, Series, images_axis
from msgbench.analysis.figures.statistics import MOST_POINTS, Statistics, read_some
from msgbench.analysis.figures.style import STRENGTHS, method_title, slot_of
from msgbench.analysis.tables import METRIC_NAMES, Row, Table
from msgbench.config import ExperimentSpec
from msgbench.layout import STATS_JSONL
from msgbench.protocols import Protocol, get_protocol

CONTROL = "pixel-Gaussian control"
# From here on an axis of scores is logarithmic: what happens at the end would be a flat line.
_WIDE_RANGE = 4.0

LOSSES = (
    ("loss_d", "critic loss"),
    ("loss_g", "generator loss"),
    ("gradient_penalty", "gradient penalty"),
    ("r1", "R1"),
)
# Losses that some methods do not have: a panel only where a run reports one.
_SOME = ("gradient_penalty", "r1")


@dataclass(frozen=True)
class Line:
    """A row of a table as a line: its name and look."""

    row: Row
    label: str
    slot: int
    variant: int

    @property
    def dataset(self) -> str:
        return self.row.runs[0].plan.spec.dataset.name


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


def lines_of(table: Table) -> list[Line]:
    """The trained rows of a table, each with the colour of its method."""
    rows = [row for row in table.rows if row.runs]
    labels = _labels(rows)
    keys = [(row.runs[0].plan.spec.method, row.runs[0].plan.spec.dataset.name) for row in rows]
    found = []
    for index, (row, label, key) in enumerate(zip(rows, labels, keys, strict=True)):
        # The last of several is the method itself: all scales, its own combine function.
        variant = keys[index + 1 :].count(key)
        found.append(Line(row, label, slot_of(key[0]), variant))
    return found


def series_labels(table: Table, rows: Sequence[Row]) -> list[str]:
    """A name for each row that stands by itself: its learning rate where that tells the rows apart."""
    rates = _rates([row.runs[0].plan.spec for row in rows])
    return rates or [row.spec.experiment or "" for row in rows]


def _labels(rows: Sequence[Row]) -> list[str]:
    """A short name for each row's line: what tells it apart from the others of its dataset."""
    specs = [row.runs[0].plan.spec for row in rows]
    keys = [(spec.method, spec.dataset.name) for spec in specs]
    if len(set(keys)) == len(keys):
        return [method_title(spec.method) for spec in specs]
    return _rates(specs) or [row.label for row in rows]


def _rates(specs: Sequence[ExperimentSpec]) -> list[str]:
    """The learning rates of one method, where no two rows have the same; else nothing."""
    rates = [f"lr {spec.optimizer.lr:g}" for spec in specs]
    return rates if len(set(rates)) == len(rates) and len({s.method for s in specs}) == 1 else []


def scores_over_images(table: Table, name: str) -> Plot:
    """The table's own score over the images shown, with the paper's numbers where they compare."""
    return _scores(table, name, table.protocol)


def fid_over_images(table: Table, name: str) -> Plot:
    """FID over the images shown, of a table whose own score is another one."""
    return _scores(table, name, _fid(table))


def fid_over_hours(table: Table, name: str) -> Plot:
    """FID over the time of training: GPU-hours, every GPU counted; core-hours where all of it ran on a CPU."""
    protocol = _fid(table)
    lines = lines_of(table)
    trained = [run for line in lines for run in line.row.runs if run.train is not None]
    on_gpu = any(run.on_gpu for run in trained) or not trained
    ends = [_hours(run, run.plan.spec.schedule.total_nimg, on_gpu) or 0.0 for run in trained]
    unit, factor = ("hours", 1.0) if max(ends, default=1.0) >= 1 else ("minutes", 60.0)
    unit = f"GPU-{unit}" if on_gpu else f"core-{unit} of a CPU"

    def place(run: Run, nimg: int) -> float | None:
        hours = _hours(run, nimg, on_gpu)
        return None if hours is None else hours * factor

    panels = _panels(table, lines, protocol, f"training time ({unit})", place)
    caption = f"{_made_by(protocol)} Time of training alone, without measuring."
    if on_gpu:
        caption += " GPU-hours count every GPU of a run."
    on_cpu = sum(not run.on_gpu for run in trained) if on_gpu else 0
    if on_cpu:
        caption += f" Not shown: {on_cpu} runs on a CPU."
    title = f"{table.spec.title}: FID over training time"
    return Plot(name, title, caption + _bands(lines), panels)


def losses(table: Table, name: str) -> Plot:
    """Training losses over the images shown, one panel a loss."""
    lines = lines_of(table)
    several = len({line.dataset for line in lines}) > 1
    stated = []
    for index, line in enumerate(lines):
        label = f"{line.label}, {line.dataset}" if several else line.label
        # In a panel of all datasets these are what differs in one colour.
        others = sum(other.slot == line.slot for other in lines[:index])
        variant = others % len(STRENGTHS) if several else line.variant
        for run in line.row.runs:
            read = read_some(run.folder / STATS_JSONL)
            stated.append(_Stated(label, line.slot, variant, run.run_id, read))
    panels, caption = _loss_panels(stated, images_axis(_longest(lines)))
    title = f"{table.spec.title}: losses"
    return Plot(name, title, caption + _bands(lines), panels, (1.5,) * len(panels))


def _longest(lines: Sequence[Line]) -> int:
    """Images that the longest training shows."""
    runs = [run for line in lines for run in line.row.runs]
    return max((run.plan.spec.schedule.total_nimg for run in runs), default=0)


def _fid(table: Table) -> Protocol:
    name = fid_protocol(table.collection.benchmark, table.name)
    return table.protocol if name is None else get_protocol(name)


def _scores(table: Table, name: str, protocol: Protocol) -> Plot:
    lines = lines_of(table)
    label, factor = images_axis(_longest(lines))
    panels = _panels(table, lines, protocol, label, lambda _, nimg: nimg / factor)
    caption = _made_by(protocol)
    if any(series.role == "printed" for panel in panels for series in panel.series):
        caption += " Dotted lines: the paper's printed numbers."
    return Plot(name, table.spec.title, caption + _bands(lines), panels)


def _made_by(protocol: Protocol) -> str:
    return (
        f"{METRIC_NAMES[protocol.metric]} by {protocol.extractor}, protocol {protocol.name} version "
        f"{protocol.version} ({protocol.num_fake:,} images a point)."
    )


def _bands(lines: Sequence[Line]) -> str:
    most = max((len(line.row.runs) for line in lines), default=1)
    return " Line: mean over seeds; band: smallest to largest of them." if most > 1 else ""


def _panels(
    table: Table,
    lines: Sequence[Line],
    protocol: Protocol,
    x_label: str,
    place: Callable[[Run, int], float | None],
) -> tuple[Panel, ...]:
    """A panel a dataset: each row's score by `protocol`, at the `place` of a snapshot on the x axis."""
    metric = METRIC_NAMES[protocol.metric]
    own = protocol.name == table.protocol.name and protocol.comparable_with_paper
    datasets = list(dict.fromkeys(line.dataset for line in lines)) or [""]
    panels = []
    for dataset in datasets:
        series: list[Series] = []
        for line in lines:
            if line.dataset == dataset:
                series += _score_series(line, protocol, place)
                if own and line.row.paper.value is not None:
                    series.append(
                        Series(f"{line.label}, paper", "printed", line.slot, (line.row.paper.value,),
                               variant=line.variant)
                    )  # fmt: skip
        measured = any(one.role == "run" for one in series)
        wide = _is_wide(series)
        series += _levels(table, dataset, protocol, own)
        title = f"{metric} by {protocol.extractor}"
        panels.append(
            Panel(
                dataset or "ours",
                title if len(datasets) == 1 else f"{dataset}: {title}",
                x_label,
                f"{metric}, {protocol.direction} is better",
                tuple(series) if measured else (),
                note="" if measured else "nothing measured yet",
                log_y=protocol.metric == "fid" and wide,
            )
        )
    return tuple(panels)


def _is_wide(series: Iterable[Series]) -> bool:
    values = [y for one in series for y in one.y]
    return bool(values) and min(values) > 0 and max(values) / min(values) > _WIDE_RANGE


def _levels(table: Table, dataset: str, protocol: Protocol, own: bool) -> list[Series]:
    """What holds at every x: the score of the real images, and of the control that FID is seen against."""
    levels = []
    for row in table.rows:
        if row.spec.real_images == dataset:
            real = table.collection.datasets[dataset].of(protocol.name)
            if real is not None:
                levels.append(Series("real images", "level", -1, (real.value,)))
            if own and row.paper.value is not None:
                levels.append(Series("real images, paper", "printed", -1, (row.paper.value,)))
    if protocol.metric == "fid" and dataset:
        record = table.collection.datasets[dataset].control(protocol.name)
        if record is not None and record.version == protocol.version:
            levels.append(Series(CONTROL, "control", -1, (record.value,)))
    return levels


def _score_series(
    line: Line, protocol: Protocol, place: Callable[[Run, int], float | None]
) -> list[Series]:
    """The curve of each seed, and their mean and band where there are several."""
    series = []
    curves: list[dict[int, tuple[float, float]]] = []
    for run in line.row.runs:
        points = {}
        for record in run.of(protocol.name):
            x = None if record.cur_nimg is None else place(run, record.cur_nimg)
            if x is not None and record.cur_nimg is not None:
                points[record.cur_nimg] = (x, record.value)
        if points:
            xs, ys = zip(*points.values(), strict=True)
            look = (line.slot, tuple(ys), tuple(xs), run.run_id, line.variant)
            series.append(Series(line.label, "run", *look))
            curves.append(points)
    return series + spread(line.label, line.slot, line.variant, curves)


def spread(
    label: str, slot: int, variant: int, curves: Sequence[dict[int, tuple[float, float]]]
) -> list[Series]:
    """Mean and band, smallest to largest, of several seeds' (x, y) by images shown; nothing for a single one."""
    if len(curves) < 2:
        return []
    common = [nimg for nimg in curves[0] if all(nimg in curve for curve in curves)]
    xs = tuple(math.fsum(c[n][0] for c in curves) / len(curves) for n in common)
    values = [[curve[nimg][1] for curve in curves] for nimg in common]
    means = tuple(math.fsum(ys) / len(ys) for ys in values)
    low, high = tuple(map(min, values)), tuple(map(max, values))
    return [
        Series(label, "band", slot, low, xs, variant=variant, high=high),
        Series(label, "mean", slot, means, xs, variant=variant),
    ]


def _hours(run: Run, nimg: int, on_gpu: bool) -> float | None:
    """Hours of training at `nimg` images, each counted for every GPU, or for every thread where nothing ran on one."""
    seconds = 0.0 if nimg == 0 else run.seconds_at(nimg)
    if seconds is None or run.train is None or run.on_gpu != on_gpu:
        return None
    each = run.gpu_seconds / run.seconds if on_gpu and run.seconds else 1.0
    return seconds * (each if on_gpu else run.plan.spec.training.num_threads) / 3600


class _Stated(NamedTuple):
    """What one run stated of its losses, and how it is drawn."""

    label: str
    slot: int
    variant: int
    run: str
    read: Statistics


def _loss_panels(
    stated: Sequence[_Stated], axis: tuple[str, float]
) -> tuple[tuple[Panel, ...], str]:
    """A panel a loss, with mean and band where several runs have one label, and the caption."""
    panels = []
    thinned = 1
    for column, title in LOSSES:
        series: list[Series] = []
        curves: dict[tuple[str, int, int], list[dict[int, tuple[float, float]]]] = {}
        for one in stated:
            if column not in one.read.frame:
                continue
            means, step = thin(one.read.frame[["cur_nimg", column]])
            thinned = max(thinned, step)
            xs = tuple((means["cur_nimg"] / axis[1]).tolist())
            ys = tuple(means[column].astype(float).tolist())
            series.append(Series(one.label, "run", one.slot, ys, xs, one.run, one.variant))
            points = zip(means["cur_nimg"], xs, ys, strict=True)
            curves.setdefault((one.label, one.slot, one.variant), []).append(
                {round(nimg): (x, y) for nimg, x, y in points}
            )
        for look, several in curves.items():
            series += spread(*look, several)
        trained = any(not one.read.frame.empty for one in stated)
        if not series and (column == "r1" or (trained and column in _SOME)):
            continue
        panels.append(
            Panel(
                column, title, axis[0], title, tuple(series),
                note="" if series else "no statistics yet",
            )
        )  # fmt: skip
    caption = "Losses of training, from stats.jsonl of each run"
    every = max((one.read.every for one in stated), default=1)
    if thinned > 1:
        caption += f"; each point is the mean of up to {thinned} lines"
        caption += f", of which one in {every} was read" if every > 1 else ""
    return tuple(panels), f"{caption}."


def thin(stats: pd.DataFrame, most: int = MOST_POINTS) -> tuple[pd.DataFrame, int]:
    """At most `most` rows, each the mean of so many rows of `stats`, and how many that is."""
    points = stats.dropna()
    step = max(1, math.ceil(len(points) / most))
    return points.groupby(pd.RangeIndex(len(points)) // step).mean(), step


def curves_plot(name: str, title: str, curves: Sequence[Curve], longest: int) -> Plot:
    """The scores of one run of `longest` images: a panel a curve, each with its levels."""
    label, factor = images_axis(longest)
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
                curve.protocol, f"{metric} by {curve.extractor}", label,
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
    stated = [_Stated(title, 0, 0, run, Statistics(stats))]
    panels, caption = _loss_panels(stated, images_axis(longest))
    return Plot(name, f"{title}: losses", caption, panels, (1.5,) * len(panels), legend=False)
