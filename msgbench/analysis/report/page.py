"""What the page says, as data: the template only lays it out.

Text is plain and is escaped by the template; the figures' SVG is the only markup, made by us.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from msgbench.analysis import fid_protocol, figures_of, scale
from msgbench.analysis.collect import Collection, Dataset, Missing, OtherRun, Record, Run
from msgbench.analysis.commands import (
    PATH_PLACEHOLDER,
    changes_of,
    own_copy,
    step_command,
    workflow_command,
)
from msgbench.analysis.estimates import pick
from msgbench.analysis.figures import (
    Plot,
    build_plot,
    curve_of,
    curves_plot,
    losses_plot,
    main_protocols,
    series_labels,
    svg,
)
from msgbench.analysis.report.pictures import Thumbnail, contact_sheet, grid_thumbnail, moments
from msgbench.analysis.scale import counted
from msgbench.analysis.tables import (
    METRIC_NAMES,
    Row,
    Table,
    build_table,
    column_title,
    number,
    relative,
    with_interval,
)
from msgbench.analysis.verdicts import RULE, Verdict
from msgbench.config import Tier, merge
from msgbench.data.manifest import IMAGES_NPY, PREPARE_JSON
from msgbench.layout import (
    EVALUATE_JSON,
    MANIFEST_JSON,
    REAL_JSON,
    RETENTION_JSON,
    SPEC_JSON,
    STATS_JSONL,
    TRAIN_JSON,
    short,
)
from msgbench.protocols import Protocol, get_protocol
from msgbench.records import read_json
from msgbench.units import format_duration


@dataclass(frozen=True)
class Link:
    """Text that points at a file of the results folder; plain text when `href` is empty."""

    text: str
    href: str = ""


@dataclass(frozen=True)
class Fact:
    """A term and what is to say about it."""

    term: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TableLine:
    """One row of a table on the page."""

    method: str
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
    statement: str
    not_comparable: str
    """Why its scores do not stand beside the paper's; shown where the protocol says that they do not."""
    files: tuple[Link, ...]


@dataclass(frozen=True)
class PageFigure:
    """One figure on the page."""

    name: str
    title: str
    svg: Markup
    caption: str
    files: tuple[Link, ...]


@dataclass(frozen=True)
class PageRun:
    """One run on the page."""

    label: str
    fingerprint: str
    reason: str
    length: str
    time: str
    rate: str
    device: str
    attempts: str
    deleted: str
    """How many snapshots were deleted after measuring."""
    scores: tuple[tuple[Link, Link] | None, ...]
    """(first, last) score by each protocol of the page; None where it has none."""
    files: tuple[Link, ...]


@dataclass(frozen=True)
class GridCell:
    """A thumbnail of one scale at one moment."""

    picture: Thumbnail
    href: str
    alt: str


@dataclass(frozen=True)
class PageGrid:
    """Grids of one run: a row a scale, a column a moment."""

    label: str
    lengths: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GridCell | None, ...]], ...]


@dataclass(frozen=True)
class ScoreLine:
    """One protocol's scores of a run, beside what they are seen against."""

    protocol: Protocol
    untrained: Link
    best: Link
    final: Link
    control: Link
    real: Link


@dataclass(frozen=True)
class PageOther:
    """A run that no table shows."""

    label: str
    fingerprint: str
    reason: str
    statement: str
    stand_in: bool
    facts: tuple[Fact, ...]
    scores: tuple[ScoreLine, ...]
    figures: tuple[PageFigure, ...]
    grid: PageGrid | None
    command: Command
    files: tuple[Link, ...]


@dataclass(frozen=True)
class PageDataset:
    """One dataset on the page."""

    name: str
    stand_in: bool
    reason: str
    facts: tuple[Fact, ...]
    sheet: Thumbnail | None
    files: tuple[Link, ...]


@dataclass(frozen=True)
class Command:
    """How to make one thing again."""

    what: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The whole page."""

    tier: str
    title: str
    statement: str
    facts: tuple[Fact, ...]
    held: tuple[str, ...]
    verdicts: tuple[tuple[str, int], ...]
    rule: Markup
    missing: tuple[Missing, ...]
    tables: tuple[PageTable, ...]
    figures: tuple[PageFigure, ...]
    protocols: tuple[Protocol, ...]
    extractors: dict[str, str]
    """Name -> sha256 of the weights that the records state."""
    runs: tuple[PageRun, ...]
    grids: tuple[PageGrid, ...]
    others: tuple[PageOther, ...]
    datasets: tuple[PageDataset, ...]
    provenance: tuple[Fact, ...]
    versions: tuple[tuple[str, str], ...]
    commands: tuple[Command, ...]


def page_of(collection: Collection, folder: Path) -> Page:
    """The page about everything in `collection`; links are relative to `folder`, the page's own."""
    benchmark = collection.benchmark
    shown = benchmark.tables_of_all()
    tables = [build_table(collection, name) for name in shown]
    protocols = _protocols(collection)
    origins = list(_provenances(collection))
    return Page(
        tier=benchmark.tier,
        title=_title(tables),
        statement=_statement(tables, benchmark.tier),
        facts=_facts(collection, origins),
        held=_held(collection, tables),
        verdicts=_verdicts(tables),
        rule=_emphasised(RULE),
        missing=collection.missing(),
        tables=tuple(_table(table, collection, folder) for table in tables),
        figures=tuple(_figure(name, collection, folder) for name in figures_of(benchmark, shown)),
        protocols=protocols,
        extractors=_extractors(collection),
        runs=tuple(_run(run, protocols, folder) for run in collection.runs),
        grids=tuple(_grids(run, folder) for run in collection.runs if run.grids),
        others=tuple(
            _other(other, folder, changes_of(collection.benchmark)) for other in collection.others
        ),
        datasets=tuple(_dataset(dataset, folder) for dataset in collection.datasets.values()),
        provenance=_provenance(origins),
        versions=_versions(origins),
        commands=_commands(collection),
    )


def _title(tables: Sequence[Table]) -> str:
    """One table's own title, or the names of several: `Table 2; Table 3`."""
    if len(tables) == 1:
        return tables[0].spec.title
    return "; ".join(dict.fromkeys(table.spec.title.partition(":")[0] for table in tables))


def _statement(tables: Iterable[Table], tier: Tier) -> str:
    """What is scaled down in any of `tables`, each way once; every table says its own."""
    departures = (departure for table in tables for departure in table.departures)
    return scale.statement(tier, tuple(dict.fromkeys(departures)))


def _emphasised(text: str) -> Markup:
    """`*word*` as emphasis; everything else escaped."""
    parts = text.split("*")
    marked = [Markup("<em>{}</em>").format(p) if i % 2 else p for i, p in enumerate(parts)]
    return Markup("").join(marked)


def _link(text: str, path: Path, folder: Path) -> Link:
    """A link to `path` from a page in `folder`."""
    return Link(text, quote(relative(path, folder)))


def _files(named: Iterable[tuple[str, Path]], folder: Path) -> tuple[Link, ...]:
    """Links to those of the files that exist."""
    return tuple(_link(text, path, folder) for text, path in named if path.is_file())


# ---- the first screen


def _facts(collection: Collection, origins: list[Mapping[str, Any]]) -> tuple[Fact, ...]:
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
        Fact("Datasets", tuple(_dataset_line(d) for d in collection.datasets.values())),
        Fact("Commit", _commits(origins)),
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


def _dataset_line(dataset: Dataset) -> str:
    images = f"{dataset.manifest.count:,} images" if dataset.manifest else "not prepared"
    kind = ", drawn by msgbench as a stand-in" if dataset.stand_in else ""
    return f"{dataset.spec.name}: {images}{kind}"


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
    several = len(list(tables)) > 1
    for table in tables:
        if not several:  # else the tables say it, row by row
            sentences += _learned(table)
        prefix = f"{table.spec.title.partition(':')[0]}: " if several else ""
        sentences += [prefix + sentence for sentence in _spread(table)]
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


# ---- tables and figures


def _table(table: Table, collection: Collection, folder: Path) -> PageTable:
    csv = collection.layout.table_csv(table.name)
    return PageTable(
        name=table.name,
        title=table.spec.title,
        metric=table.metric,
        protocol=table.protocol,
        heads=tuple(column_title(column) for column in table.columns),
        lines=tuple(_table_line(table, row, folder) for row in table.rows),
        statement=table.statement,
        not_comparable=scale.not_comparable(table.protocol).replace("'", "’"),
        files=_files((("CSV", csv), ("Markdown", csv.with_suffix(".md"))), folder),
    )


def _table_line(table: Table, row: Row, folder: Path) -> TableLine:
    picked = [(seed.run.plan.seed, seed.picked) for seed in row.seeds if seed.picked]
    best, final = (Link(with_interval(v, row.interval_of(v))) for v in (row.best, row.final))
    if row.real is not None:
        best = final = _score(row.real, folder)
    elif len(picked) == 1:
        best, final = _score(picked[0][1].best, folder), _score(picked[0][1].final, folder)
    by_seed = [(seed, _score(p.best, folder), _score(p.final, folder)) for seed, p in picked]
    return TableLine(
        method=row.label,
        described=tuple(row.printed[c].printed if c in row.printed else "" for c in table.columns),
        paper=row.paper.printed,
        origin=row.paper.origin,
        note=row.paper.note,
        best=best,
        final=final,
        by_seed=tuple(by_seed) if len(by_seed) > 1 else (),
        at_images=", ".join(f"{p.best.cur_nimg:,}" for _, p in picked),
        picked_from=", ".join(str(n) for n in sorted({p.evaluations for _, p in picked})),
        verdict=row.verdict,
    )


def _score(record: Record, folder: Path) -> Link:
    return _link(number(record.value), record.path, folder)


def _figure(name: str, collection: Collection, folder: Path) -> PageFigure:
    plot = build_plot(collection, name)
    picture = collection.layout.figure(name)
    return PageFigure(
        name=name,
        title=plot.title,
        svg=Markup(svg(plot, f"figure-{name}")),  # drawn by us; its text is escaped by matplotlib
        caption=plot.caption,
        files=_files((("PNG", picture), ("CSV", picture.with_suffix(".csv"))), folder),
    )


def _protocols(collection: Collection) -> tuple[Protocol, ...]:
    names: list[str] = []
    for name in collection.benchmark.tables_of_all():
        table = collection.benchmark.tables[name]
        names += [table.protocol, *table.also]
    return tuple(get_protocol(name) for name in dict.fromkeys(names))


def _extractors(collection: Collection) -> dict[str, str]:
    found = {}
    for record in _records(collection):
        extractor = record.content.get("extractor")
        if isinstance(extractor, dict) and isinstance(extractor.get("sha256"), str):
            found[record.extractor] = str(extractor["sha256"])
    return found


# ---- runs, grids, datasets


def _run(run: Run, protocols: tuple[Protocol, ...], folder: Path) -> PageRun:
    train = run.train or {}
    total = run.plan.spec.schedule.total_nimg
    rate = train.get("images_per_second")
    attempts = [str(attempt.get("ended")) for attempt in train.get("attempts", [])]
    names = (SPEC_JSON, TRAIN_JSON, EVALUATE_JSON, RETENTION_JSON, STATS_JSONL)
    return PageRun(
        label=run.label,
        fingerprint=short(run.plan.fingerprint),
        reason=run.reason or "",
        length=f"{total:,}",
        time=format_duration(run.seconds) if run.train is not None else "",
        rate=f"{rate:.1f}" if isinstance(rate, int | float) else "",
        device=", ".join(run.devices),
        attempts=f"{len(attempts)} attempts: {', '.join(attempts)}" if len(attempts) > 1 else "",
        deleted=_deleted(run),
        scores=tuple(_ends(run, protocol, folder) for protocol in protocols),
        files=_files(((name.partition(".")[0], run.folder / name) for name in names), folder),
    )


def _deleted(run: Run) -> str:
    if not run.deleted or run.train is None:
        return ""
    taken = len(run.train["snapshots"])
    return f"{len(run.deleted)} of {taken} snapshots deleted after measuring"


def _ends(run: Run, protocol: Protocol, folder: Path) -> tuple[Link, Link] | None:
    records = run.of(protocol.name)
    return (_score(records[0], folder), _score(records[-1], folder)) if records else None


def _grids(run: Run, folder: Path) -> PageGrid:
    by_place = {(grid.cur_nimg, grid.scale): grid for grid in run.grids}
    lengths = moments([grid.cur_nimg for grid in run.grids])
    rows = []
    for size in sorted({grid.scale for grid in run.grids}):
        cells: list[GridCell | None] = []
        for nimg in lengths:
            grid = by_place.get((nimg, size))
            if grid is None:
                cells.append(None)
                continue
            alt = f"{run.label}: samples of {size} x {size} pixels after {nimg:,} images"
            href = quote(relative(grid.path, folder))
            cells.append(GridCell(grid_thumbnail(grid), href, alt))
        rows.append((f"{size} px", tuple(cells)))
    return PageGrid(run.label, tuple(f"{nimg:,}" for nimg in lengths), tuple(rows))


def _other(other: OtherRun, folder: Path, changes: Mapping[str, Any]) -> PageOther:
    """A run that no table shows, with everything about it in one place."""
    run, spec = other.run, other.run.plan.spec
    train = run.train or {}
    origins = [train["provenance"]] if isinstance(train.get("provenance"), dict) else []
    origins += [record.provenance for record in run.records]
    facts = [
        Fact("Length", (f"{spec.schedule.total_nimg:,} real images",)),
        Fact("Dataset", (_dataset_line(other.dataset),)),
        Fact("Training", (_training_line(run),)),
        Fact("Machine", _distinct(origins, "cpu")),
        Fact("Commit", _commits(origins)),
    ]
    if not other.current:
        facts.append(Fact("Spec", ("an earlier one; config.yaml has changed since",)))
    plots = []
    total = spec.schedule.total_nimg
    if run.records:
        shown = main_protocols(spec.evaluation.protocols)
        curves = [curve_of(run, other.dataset, protocol) for protocol in shown]
        plots.append(curves_plot("scores", run.label, curves, total))
    if not run.stats.empty:
        plots.append(losses_plot("losses", run.label, run.run_id, run.stats, total))
    departures = (*scale.model_departures(spec), *scale.dataset_departures(other.dataset))
    names = (SPEC_JSON, TRAIN_JSON, EVALUATE_JSON, STATS_JSONL)
    return PageOther(
        label=run.label,
        fingerprint=short(run.plan.fingerprint),
        reason=run.reason or "",
        statement=scale.statement(run.plan.tier, departures),
        stand_in=other.dataset.stand_in,
        facts=tuple(fact for fact in facts if fact.lines),
        scores=tuple(_score_lines(other, folder)),
        figures=tuple(_other_figure(plot, run) for plot in plots),
        grid=_grids(run, folder) if run.grids else None,
        command=_other_command(run, changes),
        files=_files(((name.partition(".")[0], run.folder / name) for name in names), folder),
    )


def _training_line(run: Run) -> str:
    """How long a training took, on what, how fast."""
    if run.train is None:
        return "not finished"
    rate = run.train.get("images_per_second")
    speed = f", {rate:.1f} images/s" if isinstance(rate, int | float) else ""
    threads = counted(run.plan.spec.training.num_threads, "thread")
    return f"{format_duration(run.seconds)} on {', '.join(run.devices)}, {threads}{speed}"


def _score_lines(other: OtherRun, folder: Path) -> Iterator[ScoreLine]:
    for name in other.run.plan.spec.evaluation.protocols:
        records = other.run.of(name)
        if not records:
            continue
        untrained = next((r for r in records if r.cur_nimg == 0), None)
        picked = pick(records)
        found = (
            untrained,
            picked.best if picked else None,
            picked.final if picked else records[-1],
            other.dataset.control(name),
            other.dataset.of(name),
        )
        links = [_score(r, folder) if r is not None else Link("–") for r in found]
        yield ScoreLine(get_protocol(name), *links)


def _other_figure(plot: Plot, run: Run) -> PageFigure:
    prefix = (
        f"other-{run.plan.experiment}-{short(run.plan.fingerprint)}-{run.plan.seed}-{plot.name}"
    )
    return PageFigure(prefix, plot.title, Markup(svg(plot, prefix)), plot.caption, ())


def _other_command(run: Run, changes: Mapping[str, Any]) -> Command:
    dataset = run.plan.spec.dataset
    title = "This run, trained and measured"
    if not dataset.is_stand_in and not _names_path(changes, dataset.name):
        changes = merge(dict(changes), own_copy(dataset.name))
        title += f"; {PATH_PLACEHOLDER} is your copy of {dataset.name}"
    return Command(title, (workflow_command(run.plan.experiment, changes),))


def _names_path(changes: Mapping[str, Any], dataset: str) -> bool:
    return bool(changes.get("datasets", {}).get(dataset, {}).get("path"))


def _dataset(dataset: Dataset, folder: Path) -> PageDataset:
    manifest = dataset.manifest
    facts = [Fact("Recipe", (f"{dataset.spec.source}, {dataset.spec.split} split",))]
    if manifest is not None:
        source = manifest.source
        facts += [
            Fact(
                "Images",
                (f"{manifest.count:,} of {manifest.resolution} x {manifest.resolution} pixels",),
            ),
            Fact("Mean (R, G, B)", (", ".join(f"{value:.4f}" for value in manifest.mean),)),
            Fact("Deviation", (", ".join(f"{value:.4f}" for value in manifest.std),)),
            Fact("Mirrored", ("with probability 1/2" if dataset.spec.mirror else "no",)),
            Fact(
                "Read from",
                (source.form, *(f"{f.name} sha256 {f.sha256[:12]}" for f in source.files)),
            ),
            Fact("Content", (f"fingerprint {manifest.fingerprint[:12]}",)),
        ]
        if not manifest.complete:
            facts.append(
                Fact(
                    "Complete",
                    (f"no: {source.count:,} of {source.expected_count:,} published images",),
                )
            )
    for record in dataset.real:
        facts.append(
            Fact(
                f"{METRIC_NAMES[record.metric]} of the images",
                (f"{number(record.value)} by {record.protocol}",),
            )
        )
    if dataset.controls:
        lines = [
            f"{METRIC_NAMES[record.metric]} {number(record.value)} by {record.protocol}"
            for record in dataset.controls
        ]
        facts.append(Fact("Pixel-Gaussian control", tuple(lines)))
    if dataset.floors:
        lines = [
            f"{METRIC_NAMES[record.metric]} {number(record.value)} by {record.protocol}, {record.content['floor']}"
            for record in dataset.floors
        ]
        facts.append(Fact("Real against real (the floor)", tuple(lines)))
    names = (MANIFEST_JSON, REAL_JSON)
    return PageDataset(
        name=dataset.spec.name,
        stand_in=dataset.stand_in,
        reason=dataset.reason or "",
        facts=tuple(facts),
        sheet=contact_sheet(dataset.folder / IMAGES_NPY),
        files=_files(((name, dataset.folder / name) for name in names), folder),
    )


# ---- where it comes from


def _records(collection: Collection) -> Iterator[Record]:
    for run in collection.runs:
        yield from run.records
    for dataset in collection.datasets.values():
        yield from (*dataset.real, *dataset.controls)


def _provenances(collection: Collection) -> Iterator[Mapping[str, Any]]:
    """The provenance of every record, training and dataset."""
    for run in collection.runs:
        if run.train is not None and isinstance(run.train.get("provenance"), dict):
            yield run.train["provenance"]
    for record in _records(collection):
        yield record.provenance
    for dataset in collection.datasets.values():
        path = dataset.folder / PREPARE_JSON
        if path.is_file():
            content = read_json(path)
            origin = content.get("provenance") if isinstance(content, dict) else None
            if isinstance(origin, dict):
                yield origin


def _distinct(origins: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(origin[key]) for origin in origins if origin.get(key)))


def _commits(origins: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for origin in origins:
        commit = str(origin["commit"])[:12] if origin.get("commit") else "not a git checkout"
        counts[commit + (" with local changes" if origin.get("dirty") else "")] += 1
    if len(counts) <= 1:
        return tuple(counts) or ("no records yet",)
    return tuple(
        f"{commit} ({count} record{'s' if count > 1 else ''})"
        for commit, count in counts.most_common()
    )


def _machines(origins: list[Mapping[str, Any]]) -> tuple[str, ...]:
    hardware = [d for d in _distinct(origins, "device") if d != "cpu"] + list(
        _distinct(origins, "cpu")
    )
    hosts = _distinct(origins, "host")
    return (*hardware, *(f"host {host}" for host in hosts)) or ("no records yet",)


def _provenance(origins: list[Mapping[str, Any]]) -> tuple[Fact, ...]:
    facts = [
        Fact("Records", (f"{len(origins):,} with provenance",)),
        Fact("Commits", _commits(origins)),
        Fact("Hosts", _distinct(origins, "host")),
        Fact("Devices", _distinct(origins, "device")),
        Fact("CPUs", _distinct(origins, "cpu")),
        Fact("Platforms", _distinct(origins, "platform")),
    ]
    return tuple(fact for fact in facts if fact.lines)


def _versions(origins: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Library -> every version that a record was made with."""
    found: dict[str, dict[str, None]] = {}
    for origin in origins:
        versions = origin.get("versions")
        if isinstance(versions, dict):
            for name, version in versions.items():
                found.setdefault(str(name), {})[str(version)] = None
    return tuple((name, ", ".join(versions)) for name, versions in sorted(found.items()))


def _dataset_command(dataset: Dataset, collection: Collection) -> Command:
    """Prepare a dataset, and measure its images and its control by what they were measured by."""
    name, folder = dataset.spec.name, shlex.quote(str(dataset.folder))
    tier = collection.benchmark.tier
    lines = [
        step_command(
            f"prepare {shlex.quote(name)} --store {folder}", changes_of(collection.benchmark)
        )
    ]
    measured = dict.fromkeys(r.protocol for r in (*dataset.real, *dataset.controls))
    if measured:
        out = shlex.quote(str(dataset.folder / REAL_JSON))
        lines.append(
            f"msgbench evaluate --real {folder} --protocols {','.join(measured)} --tier {tier} --out {out}"
            + (" --mirror" if dataset.spec.mirror else "")
        )
    return Command(f"Dataset {name}", tuple(lines))


def _commands(collection: Collection) -> tuple[Command, ...]:
    benchmark = collection.benchmark
    changes = changes_of(benchmark)
    commands = [
        Command("Tables, figures and this page", (workflow_command("all", changes),)),
        *(
            Command(table.title, (workflow_command(name, changes),))
            for name, table in benchmark.tables.items()
        ),
        *(_dataset_command(dataset, collection) for dataset in collection.datasets.values()),
    ]
    for run in collection.runs:
        store = collection.datasets[run.plan.spec.dataset.name].folder
        folder, store_arg = shlex.quote(str(run.folder)), f"--store {shlex.quote(str(store))}"
        commands.append(
            Command(
                f"Run {run.label}",
                (
                    step_command(
                        f"plan {shlex.quote(run.plan.experiment)} --seed {run.plan.seed}", changes
                    ),
                    f"msgbench train {folder} {store_arg}",
                    f"msgbench evaluate {folder} {store_arg}",
                ),
            )
        )
    shown = benchmark.tables_of_all()
    again = [step_command(f"table {name}", changes) for name in shown]
    again += [step_command(f"figure {name}", changes) for name in figures_of(benchmark, shown)]
    commands.append(
        Command(
            "Tables, figures and this page, from the records",
            (*again, step_command("report", changes)),
        )
    )
    return tuple(commands)
