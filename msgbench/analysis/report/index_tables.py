"""The tables of the first page: rows with links to their records, and each table's curves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from msgbench.analysis import scale
from msgbench.analysis.collected import Collection
from msgbench.analysis.estimates import mean
from msgbench.analysis.figures import series_labels
from msgbench.analysis.report.charts import Chart, Series, line_chart
from msgbench.analysis.report.parts import Link, Site, files
from msgbench.analysis.tables import Row, Table, column_title, number, with_interval
from msgbench.analysis.verdicts import Verdict
from msgbench.protocols import Protocol


@dataclass(frozen=True)
class TableLine:
    """One row of a table on the page."""

    method: str
    run: Link
    """The page of its first run; plain text for a row without runs."""
    described: tuple[str, ...]
    paper: str
    origin: str
    note: str
    best: Link
    final: Link
    by_seed: tuple[tuple[int, Link, Link], ...]
    """(seed, best, final) where there are several seeds."""
    at_images: str
    picked_from: str
    difference: str
    verdict: Verdict


@dataclass(frozen=True)
class PageTable:
    """One table on the page."""

    name: str
    title: str
    metric: str
    protocol: Protocol
    heads: tuple[str, ...]
    lines: tuple[TableLine, ...]
    verdicts: tuple[tuple[str, int], ...]
    measured: int
    """Rows with a score of ours, of those that are not quoted."""
    own_rows: int
    ours_range: str
    paper_range: str
    statement: str
    not_comparable: str
    """Why its scores do not stand beside the paper's; shown where the protocol says that they do not."""
    chart: Markup
    chart_lines: tuple[tuple[str, int], ...]
    """(label, colour) of the chart's lines."""
    files: tuple[Link, ...]

    @property
    def head(self) -> str:
        """Its title up to the colon, which two tables may share."""
        return self.title.partition(":")[0]


def kinds_of_verdicts(tables: Iterable[Table]) -> tuple[tuple[str, int], ...]:
    """(kind of verdict, number of rows) over all rows, in order of first use."""
    kinds = Counter(row.verdict.kind for table in tables for row in table.rows)
    return tuple(kinds.items())


def page_table(table: Table, collection: Collection, site: Site) -> PageTable:
    """One table, its scores linked to their records."""
    csv = collection.layout.table_csv(table.name)
    folder = site.index.parent
    own = [row for row in table.rows if not row.spec.quoted]
    chart, lines = _chart(table)
    named = (("CSV", csv), ("Markdown", csv.with_suffix(".md")), ("LaTeX", csv.with_suffix(".tex")))
    return PageTable(
        name=table.name,
        title=table.spec.title,
        metric=table.metric,
        protocol=table.protocol,
        heads=tuple(column_title(column) for column in table.columns),
        lines=tuple(_table_line(table, row, site) for row in table.rows),
        verdicts=kinds_of_verdicts([table]),
        measured=sum(bool(row.best) for row in own),
        own_rows=len(own),
        ours_range=_range(mean(row.best) for row in own if row.runs),
        paper_range=_range(row.paper.value for row in own if row.runs),
        statement=table.statement,
        not_comparable=scale.not_comparable(table.protocol).replace("'", "’"),
        chart=chart,
        chart_lines=lines,
        files=files(named, folder),
    )


def _range(values: Iterable[float | None]) -> str:
    """Smallest to largest; empty for none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = number(min(known)), number(max(known))
    return low if low == high else f"{low}–{high}"


def _table_line(table: Table, row: Row, site: Site) -> TableLine:
    page = site.index
    picked = [(seed.run.plan.seed, seed.picked) for seed in row.seeds if seed.picked]
    best, final = (Link(with_interval(v, row.interval_of(v))) for v in (row.best, row.final))
    if row.real is not None:
        best = final = site.score(row.real, page)
    elif len(picked) == 1:
        best, final = site.score(picked[0][1].best, page), site.score(picked[0][1].final, page)
    by_seed = [(seed, site.score(p.best, page), site.score(p.final, page)) for seed, p in picked]
    difference = row.difference if table.protocol.comparable_with_paper else None
    return TableLine(
        method=row.label,
        run=site.of_run(row.runs[0], page, row.label) if row.runs else Link(row.label),
        described=tuple(row.printed[c].printed if c in row.printed else "" for c in table.columns),
        paper=row.paper.printed,
        origin=row.paper.origin,
        note=row.paper.note,
        best=best,
        final=final,
        by_seed=tuple(by_seed) if len(by_seed) > 1 else (),
        at_images=", ".join(dict.fromkeys(f"{p.best.cur_nimg:,}" for _, p in picked)),
        picked_from=", ".join(str(n) for n in sorted({p.evaluations for _, p in picked})),
        difference="" if difference is None else f"{difference:+.2f}",
        verdict=row.verdict,
    )


def _chart(table: Table) -> tuple[Markup, tuple[tuple[str, int], ...]]:
    """The table's score over the images shown, a colour a row: each seed, and their mean where there are several."""
    rows = [row for row in table.rows if row.spec.experiment is not None]
    labels = series_labels(table, rows)
    longest = max(
        (run.plan.spec.schedule.total_nimg for row in rows for run in row.runs), default=0
    )
    unit, factor = ("millions", 1e6) if longest >= 1_000_000 else ("thousands", 1e3)
    series: list[Series] = []
    for slot, (row, label) in enumerate(zip(rows, labels, strict=True)):
        curves = [
            {r.cur_nimg: r.value for r in run.of(table.protocol.name) if r.cur_nimg is not None}
            for run in row.runs
        ]
        curves = [curve for curve in curves if curve]
        several = len(curves) > 1
        for curve in curves:
            series.append(_line(label, curve, factor, slot, faint=several))
        if several:
            common = [n for n in curves[0] if all(n in curve for curve in curves)]
            means = {n: math.fsum(c[n] for c in curves) / len(curves) for n in common}
            series.append(_line(f"{label}, mean", means, factor, slot, faint=False))
    shown = tuple((s.label.removesuffix(", mean"), s.slot) for s in series if not s.faint)
    y_label = f"{table.metric}, {table.protocol.direction} is better"
    alt = f"{y_label}, over the real images shown: {', '.join(label for label, _ in shown)}"
    chart = Chart(table.spec.title, f"real images shown ({unit})", table.metric, tuple(series), alt)
    return line_chart(chart), shown


def _line(label: str, points: Mapping[int, float], factor: float, slot: int, faint: bool) -> Series:
    xs = tuple(nimg / factor for nimg in points)
    return Series(label, tuple(points.values()), xs, slot, faint)
