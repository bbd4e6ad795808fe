"""Robustness to the learning rate (Table 3): scores over the images shown, and the best over the rate."""

from __future__ import annotations

from msgbench.analysis.estimates import pick
from msgbench.analysis.figures.curves import scores_over_images
from msgbench.analysis.figures.drawing import draw
from msgbench.analysis.figures.material import Made, Material
from msgbench.analysis.figures.plots import Panel, Plot, Series, plot_frame
from msgbench.analysis.tables import METRIC_NAMES, Row, build_table
from msgbench.config import FigureSpec


def learning_rates(material: Material, spec: FigureSpec) -> Made:
    """The curves of every rate, the best and final score over the rate, and the paper's numbers beside them."""
    assert spec.table is not None, "checked when the configuration was resolved"
    table = build_table(material.collection, spec.table)
    rows = [row for row in table.rows if row.spec.experiment in spec.experiments]
    shown = {row.spec.experiment for row in rows}
    missing = (
        *(f"{name}: is no row of {spec.table}" for name in spec.experiments if name not in shown),
        *(f"{seed.run.label}: {seed.reason}" for row in rows for seed in row.seeds if seed.reason),
    )
    metric, protocol = METRIC_NAMES[table.protocol.metric], table.protocol
    curves = scores_over_images(table, "").panels
    ours = Panel(
        "over the rate", f"{metric} over the learning rate", "learning rate",
        f"{metric}, {protocol.direction} is better",
        tuple(_over_rate(rows, protocol.name)), log_x=True,
    )  # fmt: skip
    panels = [*curves, ours] if ours.series else [*curves]
    printed = _printed(rows)
    caption = (
        f"{metric} by {protocol.extractor}, protocol {protocol.name}. Best and final snapshot of each learning rate; "
        "the band of several seeds is from the smallest to the largest."
    )
    if printed is not None and protocol.comparable_with_paper and ours.series:
        panels[-1] = Panel(
            ours.name, ours.title, ours.x_label, ours.y_label, (*ours.series, printed), log_x=True
        )
        caption += " Open markers: the paper's printed scores."
    elif printed is not None:
        panels.append(
            Panel("paper", "Paper, by Inception: not comparable", "learning rate", f"{metric}, printed",
                  (printed,), log_x=True)
        )  # fmt: skip
    if not ours.series:
        return Made(caption, "", missing=missing)
    statement = material.statement(spec.experiments)
    heights = (1.9, *[1.5] * (len(panels) - 1))
    plot = Plot("", spec.title, caption, tuple(panels), heights, statement=statement)
    return Made(
        caption,
        f"{metric} of {len(rows)} learning rates over the images shown, and the best of each over the rate.",
        plot_frame(plot), draw(plot), statement, missing,
        tuple(record.path for row in rows for record in row.records),
    )  # fmt: skip


def _over_rate(rows: list[Row], protocol: str) -> list[Series]:
    """Best and final score over the rate: mean over seeds, and a bar from the smallest to the largest."""
    by_rate = sorted(rows, key=_rate)
    found = []
    for name, variant in (("best snapshot", 0), ("final snapshot", 1)):
        points = []
        for row in by_rate:
            picked = [pick(run.of(protocol)) for run in row.runs]
            scores = [(p.best if variant == 0 else p.final).value for p in picked if p]
            if scores:
                points.append((_rate(row), sum(scores) / len(scores), min(scores), max(scores)))
        if not points:
            continue
        xs, means, lows, highs = map(tuple, zip(*points, strict=True))
        if lows != highs:
            found.append(Series(name, "band", -1, lows, xs, variant=variant, high=highs))
        found.append(Series(name, "mean", -1, means, xs, variant=variant))
    return found


def _printed(rows: list[Row]) -> Series | None:
    points = [(_rate(row), row.paper.value) for row in sorted(rows, key=_rate)]
    known = [(rate, value) for rate, value in points if value is not None]
    if not known:
        return None
    xs, ys = map(tuple, zip(*known, strict=True))
    return Series("paper", "printed", -1, ys, xs)


def _rate(row: Row) -> float:
    return row.runs[0].plan.spec.optimizer.lr
