"""The curves of a run: scores and what the training stated, over the images shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from msgbench.analysis.collected import Dataset, Run
from msgbench.analysis.figures import LOSSES, curve_of, main_protocols, thin
from msgbench.analysis.report.charts import Chart, Series, line_chart
from msgbench.analysis.report.parts import Link, link_if_there
from msgbench.analysis.tables import METRIC_NAMES, number
from msgbench.layout import EVALUATE_JSON, STATS_JSONL


@dataclass(frozen=True)
class PageChart:
    """A chart with its title and what it was made from."""

    title: str
    svg: Markup
    file: Link


def run_charts(run: Run, dataset: Dataset, folder: Path) -> Iterator[PageChart]:
    """Charts that have points; their sources are linked from a page in `folder`."""
    spec = run.plan.spec
    total = spec.schedule.total_nimg
    unit, factor = ("millions", 1e6) if total >= 1_000_000 else ("thousands", 1e3)
    x_label = f"real images shown ({unit})"
    for protocol in main_protocols(spec.evaluation.protocols) if run.records else ():
        curve = curve_of(run, dataset, protocol)
        metric = METRIC_NAMES[protocol.metric]
        levels = (("pixel-Gaussian control", curve.control), ("real images", curve.real))
        series = [
            Series(protocol.name, tuple(y for _, y in curve.points), tuple(x / factor for x, _ in curve.points)),
            *(Series(f"{label} {number(y)}", (y,), slot=-1) for label, y in levels if y is not None),
        ]  # fmt: skip
        title = f"{metric} by {protocol.extractor}, {protocol.direction} is better"
        yield from _chart(
            Chart(title, x_label, metric, tuple(series), _alt(title, curve.points)),
            link_if_there(EVALUATE_JSON, run.folder / EVALUATE_JSON, folder),
        )
    if run.stats.empty:
        return
    stated = link_if_there(STATS_JSONL, run.folder / STATS_JSONL, folder)
    for column, title in (*LOSSES, ("images_per_second", "images per second")):
        if column not in run.stats:
            continue
        means, step = thin(run.stats[["cur_nimg", column]])
        xs, ys = means["cur_nimg"].tolist(), means[column].astype(float).tolist()
        more = f" (means of {step} lines)" if step > 1 else ""
        series = [Series(title, tuple(ys), tuple(x / factor for x in xs))]
        points = list(zip(xs, ys, strict=True))
        yield from _chart(
            Chart(title + more, x_label, title, tuple(series), _alt(title, points)), stated
        )


def _chart(chart: Chart, file: Link) -> Iterator[PageChart]:
    svg = line_chart(chart)
    if svg:
        yield PageChart(chart.title, svg, file)


def _alt(title: str, points: Iterable[tuple[float, float]]) -> str:
    found = list(points)
    if not found:
        return f"{title}: no numbers"
    (first, start), (last, end) = found[0], found[-1]
    return f"{title}: {number(start)} after {first:,.0f} images, {number(end)} after {last:,.0f}"
