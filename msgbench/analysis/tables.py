"""Tables: the paper's numbers beside ours, one row a method, as CSV and as Markdown.

A table is a pure function of config.yaml, the records and the papers' numbers. The CSV holds every
number in full; the Markdown beside it is for reading.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from msgbench.analysis import scale
from msgbench.analysis.collect import Collection, Record, Run, collect
from msgbench.analysis.elsewhere import beside_elsewhere, measured_elsewhere
from msgbench.analysis.estimates import Picked, mean, pick, standard_deviation
from msgbench.analysis.verdicts import Verdict, value_verdict
from msgbench.config import Benchmark, TableRow, TableSpec
from msgbench.config.sentences import nearest
from msgbench.errors import ResultsError
from msgbench.layout import Layout
from msgbench.protocols import Protocol, get_protocol
from msgbench.records import write_text
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

    @property
    def gpu_hours(self) -> float:
        """Hours of training on a GPU, all seeds."""
        return sum(run.seconds for run in self.runs if run.on_gpu) / 3600

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


def make_table(benchmark: Benchmark, layout: Layout, table: str, out: Path) -> Path:
    """Write the table as CSV to `out` and as Markdown beside it (suffix .md); returns `out`."""
    shown = [table] if table in benchmark.tables else []
    built = build_table(collect(benchmark, layout, shown), table)
    write_text(out, table_frame(built, out.parent).to_csv(index=False, lineterminator="\n"))
    write_text(out.with_suffix(".md"), table_markdown(built))
    return out


def _row(collection: Collection, table: str, index: int, protocol: Protocol) -> Row:
    spec = collection.benchmark.tables[table].rows[index]
    paper = _paper_number(collection.benchmark.tables[table], table, index, protocol)
    printed = _described(collection.benchmark.tables[table], table, spec)
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


def _described(table: TableSpec, name: str, spec: TableRow) -> dict[str, Printed]:
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


def _beside(table: Table, row: Row, name: str) -> Record | None:
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


def table_frame(table: Table, folder: Path) -> pd.DataFrame:
    """The CSV's content; record links are relative to `folder`. Empty cells are what does not exist."""
    return pd.DataFrame([_frame_row(table, row, folder) for row in table.rows])


def _frame_row(table: Table, row: Row, folder: Path) -> dict[str, object]:
    protocol, tier = table.protocol, table.collection.benchmark.tier
    dataset = row.spec.real_images
    if row.runs:
        dataset = row.runs[0].plan.spec.dataset.name
    cells: dict[str, object] = {
        "table": table.name,
        "row": row.spec.reference or row.spec.label,
        "method": row.label,
        "experiment": row.spec.experiment,
        "dataset": dataset,
    }
    cells |= {
        f"paper_{column}": row.printed[column].printed if column in row.printed else None
        for column in table.columns
    }
    cells |= {
        f"paper_{protocol.metric}": row.paper.printed,
        "paper_origin": row.paper.origin,
        "paper_place": row.paper.place,
        "ours_best_mean": mean(row.best),
        "ours_best_sd": standard_deviation(row.best),
        "ours_final_mean": mean(row.final),
        "ours_final_sd": standard_deviation(row.final),
    }
    by_seed = {seed.run.plan.seed: seed.picked for seed in row.seeds}
    for seed in table.seeds:
        picked = by_seed.get(seed)
        cells |= {
            f"ours_best_seed{seed}": picked.best.table_value if picked else None,
            f"ours_final_seed{seed}": picked.final.table_value if picked else None,
            # Text, so that a missing seed does not turn whole numbers into 4000.0.
            f"images_at_best_seed{seed}": str(picked.best.cur_nimg) if picked else None,
            f"hours_at_best_seed{seed}": _hours_at_best(row, seed) if picked else None,
        }
    evaluations = {seed.picked.evaluations for seed in row.seeds if seed.picked}
    cells |= {
        "evaluations_per_run": " ".join(str(number) for number in sorted(evaluations)) or None,
        "verdict": str(row.verdict),
        "tier": tier,
        "scaled_down": None if row.spec.quoted else _scaled_down(table, row),
        "protocol": f"{protocol.name} v{protocol.version}",
        "extractor": protocol.extractor,
        "comparable_with_paper": "yes" if protocol.comparable_with_paper else "no",
    }
    for name in table.spec.also:
        also = [pick(run.of(name)) for run in row.runs if run.gap(name) is None]
        if row.real is not None:
            beside_it = _beside(table, row, name)
            best = final = [beside_it.table_value] if beside_it else []
        else:
            best = [picked.best.table_value for picked in also if picked]
            final = [picked.final.table_value for picked in also if picked]
        cells |= {f"{name}_best_mean": mean(best), f"{name}_final_mean": mean(final)}
    trained = [run for run in row.runs if run.train is not None]
    beside = [record for run in row.runs for name in table.spec.also for record in run.of(name)]
    if row.real is not None:
        beside = [r for n in table.spec.also if (r := _beside(table, row, n))]
    cells |= {
        "gpu_hours": round(row.gpu_hours, 4) if trained else None,
        "cpu_hours": round(row.cpu_hours, 4) if trained else None,
        "runs": " ".join(run.run_id for run in row.runs) or None,
        "records": " ".join(relative(record.path, folder) for record in row.records) or None,
        "records_beside": " ".join(dict.fromkeys(relative(r.path, folder) for r in beside)) or None,
    }
    return cells


def _hours_at_best(row: Row, seed: int) -> float | None:
    """Hours of training until the best snapshot of one seed, measuring not counted."""
    for result in row.seeds:
        if result.run.plan.seed == seed and result.picked:
            seconds = result.run.seconds_at(result.picked.best.cur_nimg)
            return None if seconds is None else round(seconds / 3600, 4)
    return None


def _scaled_down(table: Table, row: Row) -> str | None:
    departures = (*row.departures, *scale.protocol_departures(table.protocol))
    return scale.statement(table.collection.benchmark.tier, departures) or None


def table_markdown(table: Table) -> str:
    """The table for reading: the paper's number beside ours, the statement of scale above it."""
    protocol = table.protocol
    ours = f"{table.metric} ours, {protocol.name}"
    heads = [
        "Method", *map(column_title, table.columns), f"{table.metric} paper",
        f"{ours}, best", "final", "at images", "best of", "Verdict",
    ]  # fmt: skip
    lines = [f"### {table.spec.title}", ""]
    if table.statement:
        lines += [f"**{table.statement}.**", ""]
    lines += [_line(heads), _line(["---"] * len(heads))]
    for row in table.rows:
        picked = [seed.picked for seed in row.seeds if seed.picked]
        described = [row.printed[c].printed if c in row.printed else "" for c in table.columns]
        lines.append(
            _line([
                row.label,
                *described,
                row.paper.printed,
                with_deviation(row.best),
                with_deviation(row.final),
                ", ".join(f"{p.best.cur_nimg:,}" for p in picked),
                ", ".join(str(n) for n in sorted({p.evaluations for p in picked})),
                str(row.verdict),
            ])
        )  # fmt: skip
    lines += [
        "",
        f"Protocol {protocol.name} version {protocol.version}: {protocol.title}, extractor {protocol.extractor}. "
        f"{'Higher' if protocol.direction == 'higher' else 'Lower'} is better. `best` and `final` are means over seeds "
        "of each run's best and last measured snapshot; `best of` is how many snapshots the best was picked from.",
    ]
    if not protocol.comparable_with_paper:
        lines.append(scale.not_comparable(protocol))
    if table.not_run:
        lines += ["", *(f"- {sentence}" for sentence in table.not_run)]
    return "\n".join(lines) + "\n"


def column_title(column: str) -> str:
    """A describing column's name for people."""
    return _COLUMN_TITLES[column]


def _line(cells: Sequence[str]) -> str:
    # A pipe would end the cell.
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def with_deviation(values: Sequence[float]) -> str:
    """`4.12`, `4.12 ± 0.08` over several seeds, `–` for nothing."""
    middle, deviation = mean(values), standard_deviation(values)
    if middle is None:
        return "–"
    text = number(middle)
    return text if deviation is None else f"{text} ± {number(deviation)}"


def number(value: float) -> str:
    """A score as people read it: two digits behind the point as in the paper, more for small ones."""
    if 0 < abs(value) < 0.0995:
        return f"{value:.2g}"
    return f"{value:.2f}"


def relative(path: Path, folder: Path) -> str:
    """`path` as a link from a file in `folder`, so that results/ can be moved as a whole."""
    return Path(os.path.relpath(path, folder)).as_posix()
