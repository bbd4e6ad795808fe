"""The page of one run: everything about it, from its folder alone."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from msgbench.analysis import scale
from msgbench.analysis.collect import Collection, Dataset, OtherRun, Record, Run
from msgbench.analysis.commands import (
    PATH_PLACEHOLDER,
    changes_of,
    own_copy,
    step_command,
    workflow_command,
)
from msgbench.analysis.estimates import pick
from msgbench.analysis.figures import LOSSES, curve_of, main_protocols, thin
from msgbench.analysis.report.charts import Chart, Series, line_chart
from msgbench.analysis.report.parts import (
    Command,
    Fact,
    Link,
    Site,
    anchor,
    commits,
    distinct,
    files,
    href,
    link,
    versions,
)
from msgbench.analysis.report.pictures import Thumbnail, moments, thumbnail_file
from msgbench.analysis.scale import counted
from msgbench.analysis.tables import METRIC_NAMES, number
from msgbench.config import merge
from msgbench.layout import (
    EVALUATE_JSON,
    LOGS,
    OBSERVATIONS_JSONL,
    RETENTION_JSON,
    SAMPLES_JSON,
    SPEC_JSON,
    STATS_JSONL,
    TRAIN_JSON,
    job_file,
    short,
)
from msgbench.protocols import Protocol, get_protocol
from msgbench.units import format_duration

LOG_LINES = 30
_LOG_BYTES = 1 << 15
_ERROR = "msgbench: error: "
_FILES = (
    SPEC_JSON, TRAIN_JSON, EVALUATE_JSON, RETENTION_JSON, STATS_JSONL, OBSERVATIONS_JSONL, SAMPLES_JSON,
    job_file("train"), job_file("evaluate"),
)  # fmt: skip


@dataclass(frozen=True)
class GridCell:
    """A thumbnail of one scale at one moment."""

    picture: Thumbnail
    href: str
    alt: str


@dataclass(frozen=True)
class PageGrid:
    """Grids of one run: a row a scale, a column a moment."""

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
class RecordLine:
    """One record as a row: what was measured, of what, where and when."""

    id: str
    protocol: str
    version: int
    images: str
    value: str
    exact: str
    std: str
    parts: str
    sample_set: str
    measured: tuple[str, ...]
    commit: str
    dirty: bool
    file: Link


@dataclass(frozen=True)
class PageChart:
    """A chart with its title and what it was made from."""

    title: str
    svg: Markup
    file: Link


@dataclass(frozen=True)
class LogTail:
    """The last lines of a log."""

    file: Link
    lines: tuple[str, ...]


@dataclass(frozen=True)
class RunPage:
    """The page of one run."""

    label: str
    fingerprint: str
    reason: str
    failure: str
    statement: str
    stand_in: bool
    in_tables: bool
    current: bool
    dataset: Link
    facts: tuple[Fact, ...]
    scores: tuple[ScoreLine, ...]
    charts: tuple[PageChart, ...]
    grid: PageGrid | None
    records: tuple[RecordLine, ...]
    spec: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    spec_file: Link
    environment: tuple[Fact, ...]
    versions: tuple[tuple[str, str], ...]
    cost: tuple[Fact, ...]
    attempts: tuple[tuple[str, ...], ...]
    logs: tuple[LogTail, ...]
    commands: tuple[Command, ...]
    files: tuple[Link, ...]


def run_page(
    run: Run, dataset: Dataset, collection: Collection, site: Site, other: OtherRun | None = None
) -> RunPage:
    """Everything about `run`; `other` when no table shows it."""
    page = site.run_page(run)
    spec = run.plan.spec
    origins = list(provenances_of(run))
    departures = (*scale.model_departures(spec), *scale.dataset_departures(dataset))
    return RunPage(
        label=run.label,
        fingerprint=short(run.plan.fingerprint),
        reason=run.reason or "",
        failure=failure_of(run),
        statement=scale.statement(run.plan.tier, departures),
        stand_in=dataset.stand_in,
        in_tables=other is None,
        current=other is None or other.current,
        dataset=site.of_dataset(dataset, page),
        facts=tuple(fact for fact in _facts(run, origins) if fact.lines),
        scores=tuple(_score_lines(run, dataset, page, site)),
        charts=tuple(_charts(run, dataset, page.parent)),
        grid=_grids(run, site, page) if run.grids else None,
        records=tuple(_record_line(record, page.parent) for record in run.records),
        spec=_spec(run),
        spec_file=_existing(SPEC_JSON, run.folder / SPEC_JSON, page.parent),
        environment=_environment(origins),
        versions=versions(origins),
        cost=tuple(_cost(run)),
        attempts=tuple(_attempts(run)),
        logs=tuple(_logs(run, page.parent)),
        commands=_commands(run, dataset, collection, in_tables=other is None),
        files=files(((name, run.folder / name) for name in _FILES), page.parent),
    )


def provenances_of(run: Run) -> Iterator[Mapping[str, Any]]:
    """Where the training and the records of a run come from."""
    if run.train is not None and isinstance(run.train.get("provenance"), dict):
        yield run.train["provenance"]
    for record in run.records:
        if record.provenance:
            yield record.provenance


def failure_of(run: Run) -> str:
    """How the last start of an incomplete run ended, in the words of its job or of its log; empty when unknown."""
    if run.reason is None:
        return ""
    end = (run.job or {}).get("end")
    if isinstance(end, dict) and end.get("sentence"):
        return str(end["sentence"])
    for task in ("evaluate", "train"):
        for line in reversed(log_tail(run.folder / LOGS / f"{task}.log")):
            _, found, sentence = line.partition(_ERROR)
            if found:
                return sentence
    return ""


def log_tail(path: Path, lines: int = LOG_LINES) -> list[str]:
    """The last `lines` lines of a log that are not empty; none when there is no log. Reads 32 kB at most."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def _existing(text: str, path: Path, folder: Path) -> Link:
    return link(text, path, folder) if path.is_file() else Link(text)


def _facts(run: Run, origins: list[Mapping[str, Any]]) -> Iterator[Fact]:
    spec = run.plan.spec
    total = spec.schedule.total_nimg
    shown = f"{int(run.train['cur_nimg']):,} of " if run.train is not None else ""
    yield Fact("Method", (spec.method,))
    yield Fact("Seed", (str(run.plan.seed),))
    yield Fact("Length", (f"{shown}{total:,} real images",))
    yield Fact("Training", (_training_line(run),))
    yield Fact("Snapshots", (_snapshots(run),) if run.train is not None else ())
    yield Fact("Scores", (f"{len(run.records):,} records",))
    yield Fact("Commit", commits(origins))


def _snapshots(run: Run) -> str:
    taken = len((run.train or {})["snapshots"])
    if run.deleted:
        return f"{len(run.deleted)} of {taken} snapshots deleted after measuring"
    return f"{taken} taken"


def _training_line(run: Run) -> str:
    """How long a training took, on what, how fast."""
    if run.train is None:
        return "not finished"
    rate = run.train.get("images_per_second")
    speed = f", {rate:.1f} images/s" if isinstance(rate, int | float) else ""
    threads = counted(run.plan.spec.training.num_threads, "thread")
    return f"{format_duration(run.seconds)} on {', '.join(run.devices)}, {threads}{speed}"


def _score_lines(run: Run, dataset: Dataset, page: Path, site: Site) -> Iterator[ScoreLine]:
    for name in run.plan.spec.evaluation.protocols:
        records = run.of(name)
        if not records:
            continue
        untrained = next((r for r in records if r.cur_nimg == 0), None)
        picked = pick(records)
        found = (
            untrained,
            picked.best if picked else None,
            picked.final if picked else records[-1],
            dataset.control(name),
            dataset.of(name),
        )
        links = [site.score(r, page) if r is not None else Link("–") for r in found]
        yield ScoreLine(get_protocol(name), *links)


def _record_line(record: Record, folder: Path) -> RecordLine:
    content, origin = record.content, record.provenance
    drawn = content.get("sample_set")
    drawn = drawn if isinstance(drawn, dict) else {}
    checksum = str(drawn.get("checksum") or "")
    count = drawn.get("count")
    sample_set = f"{count:,} images" if isinstance(count, int) else ""
    seconds = origin.get("seconds")
    when = str(origin.get("written") or "")
    took = f", {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    if len(when) == len("2026-01-02T03:04:05Z"):
        when = f"{when[:10]} {when[11:19]} UTC"
    measured = (f"{when}{took}", f"{origin.get('device') or ''} {origin.get('host') or ''}".strip())
    commit = str(origin.get("commit") or "")[:12] or "not a git checkout"
    return RecordLine(
        id=anchor(record),
        protocol=record.protocol,
        version=record.version,
        images="" if record.cur_nimg is None else f"{record.cur_nimg:,}",
        value=number(record.table_value),
        exact=repr(record.table_value),
        std="" if record.std is None else number(record.std),
        parts=", ".join(f"{name} {number(value)}" for name, value in record.parts.items()),
        sample_set=sample_set + (f", sha256 {checksum[:12]}" if checksum else ""),
        measured=tuple(line for line in measured if line),
        commit=commit,
        dirty=bool(origin.get("dirty")),
        file=link(record.path.name, record.path, folder),
    )


def _charts(run: Run, dataset: Dataset, folder: Path) -> Iterator[PageChart]:
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
            _existing(EVALUATE_JSON, run.folder / EVALUATE_JSON, folder),
        )
    if run.stats.empty:
        return
    stated = _existing(STATS_JSONL, run.folder / STATS_JSONL, folder)
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


def _grids(run: Run, site: Site, page: Path) -> PageGrid:
    by_place = {(grid.cur_nimg, grid.scale): grid for grid in run.grids}
    lengths = moments([grid.cur_nimg for grid in run.grids])
    rows = []
    for size in sorted({grid.scale for grid in run.grids}, reverse=True):
        cells: list[GridCell | None] = []
        for nimg in lengths:
            grid = by_place.get((nimg, size))
            if grid is None:
                cells.append(None)
                continue
            alt = f"{run.label}: samples of {size} x {size} pixels after {nimg:,} images"
            small = site.asset(f"grids/{page.stem}/{grid.path.name}")
            picture = thumbnail_file(grid, small, page.parent)
            cells.append(GridCell(picture, href(grid.path, page.parent), alt))
        rows.append((f"{size} px", tuple(cells)))
    return PageGrid(tuple(f"{nimg:,}" for nimg in lengths), tuple(rows))


def _spec(run: Run) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The resolved experiment as groups of (setting, value)."""
    content = run.plan.spec.model_dump(mode="json")
    plain = {key: value for key, value in content.items() if not isinstance(value, dict)}
    groups = {"experiment": plain} | {k: v for k, v in content.items() if isinstance(v, dict)}
    return tuple(
        (name, tuple((key, _plainly(value)) for key, value in group.items()))
        for name, group in groups.items()
    )


def _plainly(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _environment(origins: list[Mapping[str, Any]]) -> tuple[Fact, ...]:
    facts = (
        Fact("Device", distinct(origins, "device")),
        Fact("CPU", distinct(origins, "cpu")),
        Fact("Host", distinct(origins, "host")),
        Fact("Platform", distinct(origins, "platform")),
        Fact("Commit", commits(origins) if origins else ()),
    )
    return tuple(fact for fact in facts if fact.lines)


def _cost(run: Run) -> Iterator[Fact]:
    if run.train is None:
        return
    train = run.train
    yield Fact("Training time", (format_duration(run.seconds),))
    if run.on_gpu:
        yield Fact("GPU-hours", (f"{run.gpu_seconds / 3600:.4g}",))
        energy = run.energy_joule
        stated = "not recorded" if energy is None else f"{energy / 3.6e6:.4g} kWh"
        yield Fact("Energy of the GPUs", (stated,))
    else:
        hours = run.seconds * run.plan.spec.training.num_threads / 3600
        yield Fact("Core-hours", (f"{hours:.4g}",))
        yield Fact("Energy", ("not recorded on a CPU",))
    rate, memory = train.get("images_per_second"), train.get("peak_memory_mb")
    if isinstance(rate, int | float):
        yield Fact("Images per second", (f"{rate:.1f}",))
    if isinstance(memory, int | float):
        yield Fact("Peak memory", (f"{memory:,.0f} MB",))
    longest: dict[tuple[int | None, str], float] = {}
    for record in run.records:
        seconds = record.provenance.get("seconds")
        if isinstance(seconds, int | float):
            key = (record.cur_nimg, record.extractor)
            longest[key] = max(longest.get(key, 0.0), float(seconds))
    if longest:
        yield Fact("Measuring", (f"{format_duration(sum(longest.values()))}",))


def _attempts(run: Run) -> Iterator[tuple[str, ...]]:
    """From, to, time, device, host and end of each attempt."""
    for attempt in (run.train or {}).get("attempts", []):
        if not isinstance(attempt, dict):
            continue
        start, end, seconds = (attempt.get(k) for k in ("start_nimg", "end_nimg", "seconds"))
        yield (
            f"{start:,}" if isinstance(start, int) else "",
            f"{end:,}" if isinstance(end, int) else "",
            format_duration(float(seconds)) if isinstance(seconds, int | float) else "",
            str(attempt.get("device") or ""),
            str(attempt.get("host") or ""),
            str(attempt.get("ended") or ""),
        )


def _logs(run: Run, folder: Path) -> Iterator[LogTail]:
    for path in sorted((run.folder / LOGS).glob("*.log")):
        if lines := log_tail(path):
            yield LogTail(link(path.name, path, folder), tuple(lines))


def _commands(
    run: Run, dataset: Dataset, collection: Collection, in_tables: bool
) -> tuple[Command, ...]:
    """How to make the run again: through the workflow, and step by step."""
    changes = changes_of(collection.benchmark)
    experiment = run.plan.experiment
    spec = run.plan.spec.dataset
    title = "This run, trained and measured"
    if not in_tables and not spec.is_stand_in and not _names_path(changes, spec.name):
        changes = merge(dict(changes), own_copy(spec.name))
        title += f"; {PATH_PLACEHOLDER} is your copy of {spec.name}"
    whole = Command(title, (workflow_command(experiment, changes),))
    folder, store = shlex.quote(str(run.folder)), shlex.quote(str(dataset.folder))
    steps = (
        step_command(f"plan {shlex.quote(experiment)} --seed {run.plan.seed}", changes),
        f"msgbench train {folder} --store {store}",
        f"msgbench evaluate {folder} --store {store}",
    )
    return (whole, Command("The same, step by step, with its dataset prepared", steps))


def _names_path(changes: Mapping[str, Any], dataset: str) -> bool:
    return bool(changes.get("datasets", {}).get(dataset, {}).get("path"))
