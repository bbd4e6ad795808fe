"""Tables: the paper's numbers beside ours, one row a method.

A table is a pure function of config.yaml, the records and the papers' numbers; table_forms.py writes it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgbench.analysis import scale
from msgbench.analysis.collected import Collection, Run
from msgbench.analysis.elsewhere import beside_elsewhere, measured_elsewhere
from msgbench.analysis.estimates import (
    Interval,
    Picked,
    generator,
    interval,
    mean,
    pick,
    standard_deviation,
)
from msgbench.analysis.score_records import Record
from msgbench.analysis.verdicts import Verdict, value_verdict
from msgbench.config import TableRow, TableSpec
from msgbench.config.sentences import nearest
from msgbench.errors import ResultsError
from msgbench.protocols import Protocol, get_protocol
from msgbench.reference import PaperNumber, Printed, cell, printed_value

METRIC_NAMES = {"is": "IS", "fid": "FID", "kid": "KID", "prc": "F-score"}
# Columns of the papers' tables that describe a row; the score's column is the metric.
_DESCRIBING = ("dataset_size", "real_images", "gpus", "training_time", "learning_rate")
_COLUMN_TITLES = {
    "dataset_size": "Size", "real_images": "# Real images", "gpus": "GPUs",
    "training_time": "Training time", "learning_rate": "Learning rate",
}  # fmt: skip


@dataclass(frozen=True)
class SeedResult:
    """The score of one seed, or why there is none."""

    run: Run
    picked: Picked | None
    reason: str | None


@dataclass(frozen=True)
class Row:
    """One row of a table: a method of the paper, or the real images."""

    spec: TableRow
    label: str
    """The method's name as printed, or as config.yaml calls the row."""
    printed: dict[str, Printed]
    """The describing cells that the paper prints, by column."""
    paper: PaperNumber
    """The score that the paper prints."""
    seeds: tuple[SeedResult, ...]
    """One entry a planned seed; empty for real images."""
    real: Record | None
    """The one score of a row without runs: of real images, or of images from elsewhere; None for a method."""
    departures: tuple[str, ...]
    verdict: Verdict

    @property
    def best(self) -> list[float]:
        """Our best score of each seed that has one (the score itself for real images)."""
        if self.real is not None:
            return [self.real.table_value]
        return [seed.picked.best.table_value for seed in self.seeds if seed.picked]

    @property
    def final(self) -> list[float]:
        """Our final score of each seed that has one (the score itself for real images)."""
        if self.real is not None:
            return [self.real.table_value]
        return [seed.picked.final.table_value for seed in self.seeds if seed.picked]

    @property
    def records(self) -> tuple[Record, ...]:
        """The records behind `best` and `final`, each once."""
        if self.real is not None:
            return (self.real,)
        picked = [seed.picked for seed in self.seeds if seed.picked]
        found = {r.path: r for p in picked for r in (p.best, p.final)}
        return tuple(found.values())

    @property
    def runs(self) -> tuple[Run, ...]:
        """The planned runs of the row."""
        return tuple(seed.run for seed in self.seeds)

    def interval_of(self, values: Sequence[float]) -> Interval | None:
        """The interval of the mean of `best` or `final`; None for too few seeds, and for what has none."""
        return None if self.real is not None else interval(values, generator("interval"))

    @property
    def difference(self) -> float | None:
        """Our mean best score minus the printed one; None where one is missing."""
        ours = mean(self.best)
        return None if ours is None or self.paper.value is None else ours - self.paper.value

    @property
    def difference_percent(self) -> float | None:
        """`difference` in percent of the printed score."""
        difference, printed = self.difference, self.paper.value
        return None if difference is None or not printed else 100 * difference / printed

    @property
    def gpu_hours(self) -> float:
        """Hours of training, each counted for every GPU in use, all seeds."""
        return sum(run.gpu_seconds for run in self.runs) / 3600

    @property
    def energy_kwh(self) -> float | None:
        """What the GPUs took for training, all seeds; None when it was not measured for all of it."""
        trained = [run for run in self.runs if run.train is not None]
        joule = [run.energy_joule for run in trained]
        known = [value for value in joule if value is not None]
        return sum(known) / 3.6e6 if trained and len(known) == len(joule) else None

    @property
    def cpu_hours(self) -> float:
        """Core-hours of training on a CPU (time x threads of the spec), all seeds."""
        return (
            sum(r.seconds * r.plan.spec.training.num_threads for r in self.runs if not r.on_gpu)
            / 3600
        )


@dataclass(frozen=True)
class Table:
    """A table with its rows resolved against the records."""

    name: str
    spec: TableSpec
    protocol: Protocol
    columns: tuple[str, ...]
    """The describing columns that the paper's table has."""
    rows: tuple[Row, ...]
    collection: Collection

    @property
    def metric(self) -> str:
        """`IS`, `FID` or `KID`."""
        return METRIC_NAMES[self.protocol.metric]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed that a row has, in order."""
        return tuple(sorted({run.plan.seed for row in self.rows for run in row.runs}))

    @property
    def statement(self) -> str:
        """The sentence about the scale of the whole table; empty for a full-size one."""
        return scale.statement(self.collection.benchmark.tier, self.departures)

    @property
    def departures(self) -> tuple[str, ...]:
        """The ways in which the rows and their protocol are scaled down, each once."""
        return scale.table_departures([row.departures for row in self.rows], self.protocol)

    @property
    def not_run(self) -> tuple[str, ...]:
        """Every score of the table that is missing, with its reason, as a sentence."""
        found = []
        for row in self.rows:
            if row.spec.real_images is not None and row.real is None:
                found.append(f"{row.label} ({row.spec.real_images}): {row.verdict}")
            found += [
                f"{seed.run.label}: not run: {seed.reason}" for seed in row.seeds if seed.reason
            ]
        return tuple(found)


def build_table(collection: Collection, name: str) -> Table:
    """The table called `name` of the collection's benchmark.

    Raises ResultsError when there is no such table.
    """
    tables = collection.benchmark.tables
    if name not in tables:
        raise ResultsError(f"tables.{name}: no such table{nearest(name, tables)}")
    spec = tables[name]
    protocol = get_protocol(spec.protocol)
    rows = [_row(collection, name, index, protocol) for index in range(len(spec.rows))]
    columns = tuple(c for c in _DESCRIBING if any(c in row.printed for row in rows))
    return Table(name, spec, protocol, columns, tuple(rows), collection)


def _row(collection: Collection, table: str, index: int, protocol: Protocol) -> Row:
    spec = collection.benchmark.tables[table].rows[index]
    paper = _paper_number(collection.benchmark.tables[table], table, index, protocol)
    printed = described(collection.benchmark.tables[table], table, spec)
    if spec.quoted:
        label = spec.label or paper.row_label
        return Row(spec, label, printed, paper, (), None, (), Verdict("quoted"))
    if spec.real_images is not None:
        return _real_row(collection, spec, paper, printed, protocol)
    if spec.record is not None:
        return _record_row(collection, table, spec, paper, printed, protocol)
    assert spec.experiment is not None
    return _method_row(collection, spec, spec.experiment, paper, printed, protocol)


def _paper_number(table: TableSpec, name: str, index: int, protocol: Protocol) -> PaperNumber:
    """The score that the paper prints for a row; a dash for a row that it does not have."""
    spec = table.rows[index]
    numbers = table.numbers or name
    if spec.reference is None:
        return PaperNumber(
            paper=table.paper, table=numbers, row="", row_label=spec.label or "", column=protocol.metric,
            printed="-", unit=METRIC_NAMES[protocol.metric], origin="own", place="", note="not in the paper",
        )  # fmt: skip
    # Resolving the configuration refused every other reference.
    return cell(numbers, spec.reference, protocol.metric, table.paper)


def described(table: TableSpec, name: str, spec: TableRow) -> dict[str, Printed]:
    """The cells that describe a row, by column, as far as the paper prints them."""
    printed = {}
    for column in _DESCRIBING:
        try:
            printed[column] = printed_value(
                table.numbers or name, spec.reference or "", column, table.paper
            )
        except KeyError:
            continue
    return printed


def _real_row(
    collection: Collection,
    spec: TableRow,
    paper: PaperNumber,
    printed: dict[str, Printed],
    protocol: Protocol,
) -> Row:
    assert spec.real_images is not None
    dataset = collection.datasets[spec.real_images]
    record = dataset.of(protocol.name)
    if record is not None and record.version != protocol.version:
        record = None
    departures = scale.dataset_departures(dataset)
    verdict = value_verdict(
        tier=collection.benchmark.tier,
        departures=departures,
        comparable=protocol.comparable_with_paper,
        direction=protocol.direction,
        printed=paper.value,
        values=[record.table_value] if record else [],
        planned=None,
        reason=None if record else dataset.reason or f"not measured by {protocol.name}",
    )
    label = spec.label or paper.row_label
    return Row(spec, label, printed, paper, (), record, departures, verdict)


def _record_row(
    collection: Collection,
    table: str,
    spec: TableRow,
    paper: PaperNumber,
    printed: dict[str, Printed],
    protocol: Protocol,
) -> Row:
    """A row of images or a generator from elsewhere; it has no training of ours, and so no verdict."""
    assert spec.record is not None
    record, doubt = measured_elsewhere(collection, table, spec.record, protocol)
    origin = "measured from elsewhere, no training of ours"
    verdict = Verdict("not comparable", f"{origin}; {doubt}" if doubt else origin)
    label = spec.label or paper.row_label
    return Row(spec, label, printed, paper, (), record, (), verdict)


def record_beside(table: Table, row: Row, name: str) -> Record | None:
    """The score by another protocol of a row without runs, where it has one of the present version."""
    protocol = get_protocol(name)
    if row.spec.record is not None:
        return beside_elsewhere(table.collection, table.name, row.spec.record, protocol)
    record = table.collection.datasets[row.spec.real_images or ""].of(name)
    return record if record is not None and record.version == protocol.version else None


def _method_row(
    collection: Collection,
    spec: TableRow,
    experiment: str,
    paper: PaperNumber,
    printed: dict[str, Printed],
    protocol: Protocol,
) -> Row:
    seeds = []
    for run in collection.runs_of(experiment):
        reason = run.gap(protocol.name)
        picked = pick(run.of(protocol.name)) if reason is None else None
        if reason is None and picked is None:
            reason = "trained, no snapshot after 0 images was measured"
        seeds.append(SeedResult(run, picked, reason))
    plan = collection.benchmark.experiment(experiment)
    departures = scale.training_departures(
        plan,
        collection.datasets[plan.dataset.name],
        printed,
        collection.benchmark.published.get(experiment),
        in_paper=spec.reference is not None,
    )
    reasons = [seed.reason for seed in seeds if seed.reason]
    verdict = value_verdict(
        tier=collection.benchmark.tier,
        departures=departures,
        comparable=protocol.comparable_with_paper,
        direction=protocol.direction,
        printed=paper.value,
        values=[seed.picked.best.table_value for seed in seeds if seed.picked],
        planned=len(seeds),
        reason="; ".join(dict.fromkeys(reasons)) or None,
    )
    label = spec.label or paper.row_label
    return Row(spec, label, printed, paper, tuple(seeds), None, departures, verdict)


def column_title(column: str) -> str:
    """A describing column's name for people."""
    return _COLUMN_TITLES[column]


def with_interval(values: Sequence[float], found: Interval | None) -> str:
    """`4.12 ± 0.08 [4.05, 4.20]` where there is an interval, else each value: `4.12, 4.20`; `–` for nothing."""
    middle, deviation = mean(values), standard_deviation(values)
    if middle is None:
        return "–"
    if found is None or deviation is None:
        return ", ".join(map(number, values))
    return f"{number(middle)} ± {number(deviation)} [{number(found.low)}, {number(found.high)}]"


def number(value: float) -> str:
    """A score as people read it: two digits behind the point as in the paper, more for small ones."""
    if 0 < abs(value) < 0.0995:
        return f"{value:.2g}"
    return f"{value:.2f}"


def relative(path: Path, folder: Path) -> str:
    """`path` as a link from a file in `folder`, so that results/ can be moved as a whole."""
    return Path(os.path.relpath(path, folder)).as_posix()
