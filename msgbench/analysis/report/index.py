"""The first page: what was run and what held, tables, figures, claims, runs; as data that the template lays out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from msgbench.analysis import fid_protocol, figures_of_all, scale
from msgbench.analysis.collect import Collection, Dataset, Missing, Record, Run
from msgbench.analysis.commands import changes_of, step_command, workflow_command
from msgbench.analysis.estimates import mean
from msgbench.analysis.figures import series_labels
from msgbench.analysis.report.charts import Chart, Series, line_chart
from msgbench.analysis.report.claims import PageClaim, counted_verdicts
from msgbench.analysis.report.figure_files import PageFigure, figures_in
from msgbench.analysis.report.parts import (
    Command,
    Fact,
    Link,
    Site,
    commits,
    distinct,
    emphasised,
    files,
    versions,
)
from msgbench.analysis.report.pictures import Thumbnail, preview
from msgbench.analysis.tables import (
    Row,
    Table,
    column_title,
    number,
    with_interval,
)
from msgbench.analysis.verdicts import RULE, Verdict
from msgbench.config import Tier
from msgbench.data.manifest import PREPARE_JSON
from msgbench.layout import short
from msgbench.protocols import Protocol, get_protocol
from msgbench.records import read_json
from msgbench.units import format_duration


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


@dataclass(frozen=True)
class RunLine:
    """One run in the list of runs."""

    label: str
    page: Link
    fingerprint: str
    reason: str
    dataset: Link
    length: str
    time: str
    rate: str
    device: str
    scores: tuple[tuple[Link, Link] | None, ...]
    """(first, last) score by each protocol of the page; None where it has none."""
    preview: Thumbnail | None
    in_tables: bool


@dataclass(frozen=True)
class DatasetLine:
    """One dataset in the list of datasets."""

    page: Link
    stand_in: bool
    images: str
    reason: str


@dataclass(frozen=True)
class Index:
    """The whole page."""

    tier: str
    title: str
    statement: str
    incomparable: bool
    """Whether no table's scores stand beside the paper's."""
    facts: tuple[Fact, ...]
    held: tuple[str, ...]
    verdicts: tuple[tuple[str, int], ...]
    rule: Markup
    missing: tuple[Missing, ...]
    tables: tuple[PageTable, ...]
    layer_tables: tuple[Link, ...]
    figures: tuple[PageFigure, ...]
    claims: tuple[PageClaim, ...]
    claim_verdicts: tuple[tuple[str, int], ...]
    claim_files: tuple[Link, ...]
    protocols: tuple[Protocol, ...]
    runs: tuple[RunLine, ...]
    datasets: tuple[DatasetLine, ...]
    provenance: tuple[Fact, ...]
    versions: tuple[tuple[str, str], ...]
    commands: tuple[Command, ...]


def index_of(
    collection: Collection,
    tables: Sequence[Table],
    claims: tuple[PageClaim, ...],
    site: Site,
) -> Index:
    """The first page about everything in `collection`."""
    benchmark, layout, page = collection.benchmark, collection.layout, site.index
    protocols = protocols_of(collection)
    origins = list(provenances(collection))
    claims_json = layout.claims_json
    claim_files = (("CSV", claims_json.with_suffix(".csv")), ("Markdown", claims_json.with_suffix(".md")),
                   ("JSON", claims_json))  # fmt: skip
    return Index(
        tier=benchmark.tier,
        title=_title(tables),
        statement=_statement(tables, benchmark.tier),
        incomparable=not any(table.protocol.comparable_with_paper for table in tables),
        facts=_facts(collection, origins, site),
        held=_held(collection, tables),
        verdicts=_verdicts(tables),
        rule=emphasised(RULE),
        missing=collection.missing(),
        tables=tuple(_table(table, collection, site) for table in tables),
        layer_tables=files(
            (
                (path.stem, path)
                for path in sorted(layout.table_csv("x").parent.glob("*.md"))
                if path.stem not in benchmark.tables
            ),
            page.parent,
        ),
        figures=figures_in(layout.figure("x").parent, figures_of_all(benchmark), page.parent),
        claims=claims,
        claim_verdicts=counted_verdicts(claims),
        claim_files=files(claim_files, page.parent) if claims else (),
        protocols=protocols,
        runs=tuple(_runs(collection, protocols, site)),
        datasets=tuple(_dataset(dataset, site) for dataset in all_datasets(collection)),
        provenance=_provenance(origins),
        versions=versions(origins),
        commands=_commands(collection),
    )


def all_datasets(collection: Collection) -> tuple[Dataset, ...]:
    """The datasets of the tables, then other stores that runs outside of them were trained on, each once."""
    found = {dataset.folder: dataset for dataset in collection.datasets.values()}
    for other in collection.others:
        found.setdefault(other.dataset.folder, other.dataset)
    return tuple(found.values())


def _title(tables: Sequence[Table]) -> str:
    """One table's own title, or the names of several: `Table 2; Table 3`."""
    if len(tables) == 1:
        return tables[0].spec.title
    return "; ".join(dict.fromkeys(table.spec.title.partition(":")[0] for table in tables))


def _statement(tables: Iterable[Table], tier: Tier) -> str:
    """What is scaled down in any of `tables`, each way once; every table says its own."""
    departures = (departure for table in tables for departure in table.departures)
    return scale.statement(tier, tuple(dict.fromkeys(departures)))


def _facts(
    collection: Collection, origins: list[Mapping[str, Any]], site: Site
) -> tuple[Fact, ...]:
    runs = collection.runs
    trained = [run for run in runs if run.train is not None]
    shown = sum(int(run.train["cur_nimg"]) for run in trained if run.train is not None)
    records = sum(len(run.records) for run in runs)
    seconds = sum(run.seconds for run in trained)
    experiments = len({run.plan.experiment for run in runs})
    written = sorted(str(origin["written"]) for origin in origins if origin.get("written"))
    return (
        Fact("Tier", (collection.benchmark.tier,)),
        Fact("Runs", (f"{len(trained)} of {len(runs)} trained, {experiments} experiments",)),
        Fact("Images shown", (f"{shown:,} in all",)),
        Fact(
            "Time",
            (
                f"{format_duration(seconds)} training, all runs together",
                f"{format_duration(_measuring_seconds(runs))} measuring {records:,} scores",
            ),
        ),
        *_dataset_facts(collection, site),
        Fact("Commit", commits(origins)),
        Fact("Machine", _machines(origins)),
        Fact("Date", (_span(written[0], written[-1]) if written else "no records yet",)),
    )


def _measuring_seconds(runs: Iterable[Run]) -> float:
    """Time spent on measuring: the scores of one sample set share the time it took to generate it."""
    longest: dict[tuple[str, int | None, str], float] = {}
    for run in runs:
        for record in run.records:
            seconds = record.provenance.get("seconds")
            if isinstance(seconds, int | float):
                key = (run.run_id, record.cur_nimg, record.extractor)
                longest[key] = max(longest.get(key, 0.0), float(seconds))
    return sum(longest.values())


def _span(first: str, last: str) -> str:
    """First and last moment of records: `2026-01-02 03:04 to 05:06 UTC`; times are in UTC."""
    (day, start), (last_day, end) = ((m[:10], m[11:16]) for m in (first, last))
    if day != last_day:
        return f"{day} {start} to {last_day} {end} UTC"
    return f"{day} {start} UTC" if start == end else f"{day} {start} to {end} UTC"


def _dataset_facts(collection: Collection, site: Site) -> Iterator[Fact]:
    """The datasets by what they are: the published images, drawn stand-ins, not prepared."""
    groups: dict[str, list[Dataset]] = {}
    for dataset in collection.datasets.values():
        kind = "drawn by msgbench as stand-ins" if dataset.stand_in else "as published"
        groups.setdefault(kind if dataset.manifest else "not prepared", []).append(dataset)
    for kind, datasets in groups.items():
        yield Fact(
            "Datasets",
            (f"{len(datasets)} {kind}",),
            tuple(site.of_dataset(dataset, site.index) for dataset in datasets),
        )


def _held(collection: Collection, tables: Sequence[Table]) -> tuple[str, ...]:
    runs = collection.runs
    complete = [run for run in runs if run.reason is None]
    sentences = [f"{len(complete)} of {len(runs)} planned runs are trained and measured."]
    for name in dict.fromkeys(fid_protocol(collection.benchmark, t.name) for t in tables):
        if name is None:
            continue
        ends = [
            (run, records[0], records[-1]) for run in complete if len(records := run.of(name)) > 1
        ]
        ends = [(run, first, last) for run, first, last in ends if first.cur_nimg == 0]
        if ends:
            lower = sum(last.value < first.value for _, first, last in ends)
            sentences.append(
                f"{lower} of {len(ends)} runs end with a lower FID ({name}) than their untrained generator."
            )
    if len(tables) == 1:  # else the tables say it, row by row
        sentences += [*_learned(tables[0]), *_spread(tables[0])]
    return tuple(sentences)


def _learned(table: Table) -> Iterator[str]:
    """For each method, FID at the start and at the end beside the control's."""
    name = fid_protocol(table.collection.benchmark, table.name)
    if name is None:
        return
    rows = [row for row in table.rows if row.spec.experiment is not None]
    for row, label in zip(rows, series_labels(table, rows), strict=True):
        measured = [run.of(name) for run in row.runs if run.gap(name) is None]
        ends = [(records[0].value, records[-1].value) for records in measured]
        if not ends or any(records[0].cur_nimg != 0 for records in measured):
            continue
        first, last = (sum(values) / len(ends) for values in zip(*ends, strict=True))
        dataset = table.collection.datasets[row.runs[0].plan.spec.dataset.name]
        control = dataset.control(name)
        beside = "not measured" if control is None else number(control.value)
        yield (
            f"{label}: FID from {number(first)} (untrained) to {number(last)}; "
            f"pixel-Gaussian control {beside}."
        )


def _spread(table: Table) -> Iterator[str]:
    """The range of the methods' best scores, where there are several."""
    rows = [row for row in table.rows if row.spec.experiment is not None and row.best]
    if len(rows) < 2:
        return
    means = [sum(row.best) / len(row.best) for row in rows]
    printed = [row.paper.value for row in rows if row.paper.value is not None]
    best = (
        f"Best {table.metric} by {table.protocol.extractor} of {len(rows)} methods: {number(min(means))} to "
        f"{number(max(means))}."
    )
    if not printed:
        yield best
        return
    yield (
        f"{best} The paper prints {number(min(printed))} to {number(max(printed))} by Inception"
        + ("." if table.protocol.comparable_with_paper else "; the two do not compare.")
    )


def _verdicts(tables: Iterable[Table]) -> tuple[tuple[str, int], ...]:
    kinds = Counter(row.verdict.kind for table in tables for row in table.rows)
    return tuple(kinds.items())


def _table(table: Table, collection: Collection, site: Site) -> PageTable:
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
        verdicts=_verdicts([table]),
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


def protocols_of(collection: Collection) -> tuple[Protocol, ...]:
    """The protocols of the tables of `all`."""
    names: list[str] = []
    for name in collection.benchmark.tables_of_all():
        table = collection.benchmark.tables[name]
        names += [table.protocol, *table.also]
    return tuple(get_protocol(name) for name in dict.fromkeys(names))


def _runs(collection: Collection, protocols: tuple[Protocol, ...], site: Site) -> Iterator[RunLine]:
    for run in collection.runs:
        yield _run(run, collection.datasets[run.plan.spec.dataset.name], protocols, site, True)
    for other in collection.others:
        yield _run(other.run, other.dataset, protocols, site, False)


def _run(
    run: Run, dataset: Dataset, protocols: tuple[Protocol, ...], site: Site, in_tables: bool
) -> RunLine:
    train, page = run.train or {}, site.index
    rate = train.get("images_per_second")
    last = max(run.grids, key=lambda grid: (grid.cur_nimg, grid.scale), default=None)
    return RunLine(
        label=run.label,
        page=site.of_run(run, page),
        fingerprint=short(run.plan.fingerprint),
        reason=run.reason or "",
        dataset=site.of_dataset(dataset, page),
        length=f"{run.plan.spec.schedule.total_nimg:,}",
        time=format_duration(run.seconds) if run.train is not None else "",
        rate=f"{rate:.1f}" if isinstance(rate, int | float) else "",
        device=", ".join(run.devices),
        scores=tuple(_ends(run, protocol, site) for protocol in protocols),
        preview=None if last is None else preview(last),
        in_tables=in_tables,
    )


def _ends(run: Run, protocol: Protocol, site: Site) -> tuple[Link, Link] | None:
    records = run.of(protocol.name)
    if not records:
        return None
    return site.score(records[0], site.index), site.score(records[-1], site.index)


def _dataset(dataset: Dataset, site: Site) -> DatasetLine:
    manifest = dataset.manifest
    side = manifest.resolution if manifest else 0
    return DatasetLine(
        page=site.of_dataset(dataset, site.index),
        stand_in=dataset.stand_in,
        images=f"{manifest.count:,} of {side} x {side} px" if manifest else "",
        reason=dataset.reason or "",
    )


def records_of(collection: Collection) -> Iterator[Record]:
    for run in collection.runs:
        yield from run.records
    for dataset in collection.datasets.values():
        yield from (*dataset.real, *dataset.controls)


def provenances(collection: Collection) -> Iterator[Mapping[str, Any]]:
    """The provenance of every record, training and dataset."""
    for run in collection.runs:
        if run.train is not None and isinstance(run.train.get("provenance"), dict):
            yield run.train["provenance"]
    for record in records_of(collection):
        yield record.provenance
    for dataset in collection.datasets.values():
        path = dataset.folder / PREPARE_JSON
        if path.is_file():
            content = read_json(path)
            origin = content.get("provenance") if isinstance(content, dict) else None
            if isinstance(origin, dict):
                yield origin


def _machines(origins: list[Mapping[str, Any]]) -> tuple[str, ...]:
    hardware = [d for d in distinct(origins, "device") if d != "cpu"] + list(
        distinct(origins, "cpu")
    )
    hosts = distinct(origins, "host")
    return (*hardware, *(f"host {host}" for host in hosts)) or ("no records yet",)


def _provenance(origins: list[Mapping[str, Any]]) -> tuple[Fact, ...]:
    facts = [
        Fact("Records", (f"{len(origins):,} with provenance",)),
        Fact("Commits", commits(origins)),
        Fact("Hosts", distinct(origins, "host")),
        Fact("Devices", distinct(origins, "device")),
        Fact("CPUs", distinct(origins, "cpu")),
        Fact("Platforms", distinct(origins, "platform")),
    ]
    return tuple(fact for fact in facts if fact.lines)


def _commands(collection: Collection) -> tuple[Command, ...]:
    benchmark = collection.benchmark
    changes = changes_of(benchmark)
    commands = [
        Command("Tables, figures and this page", (workflow_command("all", changes),)),
        *(
            Command(table.title, (workflow_command(name, changes),))
            for name, table in benchmark.tables.items()
        ),
    ]
    shown = benchmark.tables_of_all()
    again = [step_command(f"table {name}", changes) for name in shown]
    again.append(step_command("figure", changes))
    again.append(step_command("claims", changes))
    commands.append(
        Command(
            "Tables, figures and this page, from the records",
            (*again, step_command("report", changes)),
        )
    )
    return tuple(commands)
