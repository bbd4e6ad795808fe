"""The page of one run: everything about it, from its folder alone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgbench.analysis import scale
from msgbench.analysis.collected import Collection, Dataset, OtherRun, Run
from msgbench.analysis.commands import (
    PATH_PLACEHOLDER,
    changes_of,
    own_copy,
    step_command,
    workflow_command,
)
from msgbench.analysis.report.origins import measuring_seconds
from msgbench.analysis.report.parts import (
    Command,
    Fact,
    Link,
    Site,
    commits,
    distinct,
    files,
    link_if_there,
    versions,
)
from msgbench.analysis.report.run_charts import PageChart, run_charts
from msgbench.analysis.report.run_grids import PageGrid, grid_of
from msgbench.analysis.report.run_logs import LogTail, failure_of, log_tails
from msgbench.analysis.report.run_scores import RecordLine, ScoreLine, record_line, score_lines
from msgbench.analysis.scale import counted
from msgbench.config import merge
from msgbench.layout import (
    EVALUATE_JSON,
    OBSERVATIONS_JSONL,
    RETENTION_JSON,
    SAMPLES_JSON,
    SPEC_JSON,
    STATS_JSONL,
    TRAIN_JSON,
    job_file,
    short,
)
from msgbench.units import format_duration

_FILES = (
    SPEC_JSON, TRAIN_JSON, EVALUATE_JSON, RETENTION_JSON, STATS_JSONL, OBSERVATIONS_JSONL, SAMPLES_JSON,
    job_file("train"), job_file("evaluate"),
)  # fmt: skip


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
        scores=tuple(score_lines(run, dataset, page, site)),
        charts=tuple(run_charts(run, dataset, page.parent)),
        grid=grid_of(run, site, page) if run.grids else None,
        records=tuple(record_line(record, page.parent) for record in run.records),
        spec=_spec(run),
        spec_file=link_if_there(SPEC_JSON, run.folder / SPEC_JSON, page.parent),
        environment=_environment(origins),
        versions=versions(origins),
        cost=tuple(_cost(run)),
        attempts=tuple(_attempts(run)),
        logs=tuple(log_tails(run, page.parent)),
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
    if seconds := measuring_seconds([run]):
        yield Fact("Measuring", (format_duration(seconds),))


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
