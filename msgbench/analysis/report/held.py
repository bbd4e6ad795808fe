"""What held, in sentences: which runs are complete, what they learned, how far methods lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgbench.analysis import fid_protocol
from msgbench.analysis.collected import Collection
from msgbench.analysis.figures import series_labels
from msgbench.analysis.tables import Table, number


def held(collection: Collection, tables: Sequence[Table]) -> tuple[str, ...]:
    """Sentences about the runs of `tables`; about what a table's methods learned where there is one table."""
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
