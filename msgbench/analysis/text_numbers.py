"""The numbers of running text and captions beside ours: scores, images shown, sizes of datasets.

A score of the text is that of the table's row with the same key; nothing is computed twice. Sizes are those of the
manifests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from msgbench.analysis.collected import Collection
from msgbench.analysis.estimates import mean
from msgbench.analysis.table_forms import latex_of, lengths_shown, markdown_lines, seeds_shown
from msgbench.analysis.tables import (
    METRIC_NAMES,
    Row,
    Table,
    build_table,
    relative,
    with_interval,
)
from msgbench.protocols import PROTOCOLS
from msgbench.reference import PaperNumber, load_reference

TITLE = "Numbers in running text and captions"
_METRICS = {protocol.metric for protocol in PROTOCOLS.values()}
# What the text calls a dataset, and the key under `datasets`.
_DATASETS = {
    "cifar10": "cifar10", "oxford-flowers": "flowers", "lsun-churches": "churches", "indian-celebs": "indian-celebs",
    "celeba-hq": "celeba-hq", "ffhq": "ffhq", "lsun-bedrooms": "bedrooms",
}  # fmt: skip
_COLUMNS = ["paper", "place", "what", "printed", "origin", "ours", "ours_shown", "verdict", "how", "tier", "sources",
            "note"]  # fmt: skip
_SIZES = ("dataset_size", "dataset_size_collected")


@dataclass(frozen=True)
class TextNumber:
    """One printed number of the text and what stands beside it."""

    paper: PaperNumber
    ours: str
    """For reading; `–` for nothing."""
    value: float | None
    verdict: str
    how: str
    """Where ours comes from: a table's row, or a manifest."""
    sources: tuple[Path, ...]


def text_numbers(collection: Collection) -> list[TextNumber]:
    """Every number of running text that a table or a dataset of the benchmark answers, in the order of the papers."""
    tables = [build_table(collection, name) for name in collection.benchmark.tables_of_all()]
    found = []
    for printed in load_reference():
        if printed.table != "text":
            continue
        if printed.column in _METRICS:
            match = _row_of(tables, printed)
            if match is not None:
                found.append(_score(printed, *match))
        elif printed.column == "real_images":
            match = _row_of(tables, printed)
            if match is not None:
                found.append(_images(printed, *match))
        elif printed.column in _SIZES and _DATASETS.get(printed.row) in collection.datasets:
            found.append(_size(collection, printed))
    return found


def _row_of(tables: list[Table], printed: PaperNumber) -> tuple[Table, Row] | None:
    """The row of a table with the key of a number in the text, in the same metric."""
    for table in tables:
        metric = printed.column if printed.column in _METRICS else table.protocol.metric
        if table.spec.paper != printed.paper or table.protocol.metric != metric:
            continue
        for row in table.rows:
            if row.spec.reference == printed.row:
                return table, row
    return None


def _score(printed: PaperNumber, table: Table, row: Row) -> TextNumber:
    how = f"{table.name}, {row.label}, best {METRIC_NAMES[table.protocol.metric]} by {table.protocol.name}"
    ours = with_interval(row.best, row.interval_of(row.best))
    sources = tuple(record.path for record in row.records)
    return TextNumber(printed, ours, mean(row.best), str(row.verdict), how, sources)


def _images(printed: PaperNumber, table: Table, row: Row) -> TextNumber:
    best = [seed.picked.best for seed in row.seeds if seed.picked]
    lengths = [float(record.cur_nimg or 0) for record in best]
    return TextNumber(
        printed,
        lengths_shown([int(length) for length in lengths]) or "–",
        mean(lengths),
        "not run" if not lengths else "images shown at our best, not a score",
        f"{table.name}, {row.label}, images shown at the best score",
        tuple(record.path for record in best),
    )


def _size(collection: Collection, printed: PaperNumber) -> TextNumber:
    name = _DATASETS[printed.row]
    dataset = collection.datasets[name]
    manifest = dataset.manifest
    if manifest is None:
        reason = dataset.reason or "not prepared"
        return TextNumber(printed, "–", None, f"not run: {reason}", f"dataset {name}", ())
    verdict = (
        f"drawn in place of {name}" if dataset.stand_in else _size_verdict(printed, manifest.count)
    )
    path = dataset.folder / "manifest.json"
    return TextNumber(
        printed,
        f"{manifest.count:,}",
        float(manifest.count),
        verdict,
        f"manifest of {name}",
        (path,),
    )


def _size_verdict(printed: PaperNumber, count: int) -> str:
    """Printed sizes are rounded to one or two digits: 8K for 8,189."""
    if printed.value is None:
        return "not comparable"
    return (
        "as printed, rounded"
        if abs(count - printed.value) <= 0.05 * printed.value
        else "another size"
    )


def text_forms(collection: Collection, folder: Path) -> tuple[str, str, str]:
    """The numbers as CSV, Markdown and LaTeX; sources are relative to `folder`."""
    numbers = text_numbers(collection)
    frame = pd.DataFrame([
        {
            "paper": n.paper.paper, "place": n.paper.place, "what": f"{n.paper.row_label}: {n.paper.column}",
            "printed": n.paper.printed, "origin": n.paper.origin, "ours": n.value, "ours_shown": n.ours,
            "verdict": n.verdict, "how": n.how, "tier": collection.benchmark.tier,
            "sources": " ".join(relative(path, folder) for path in n.sources) or None, "note": n.paper.note or None,
        }
        for n in numbers
    ], columns=_COLUMNS)  # fmt: skip
    heads = ["Paper", "Place", "What", "Printed", "Ours", "Verdict"]
    body = [
        [
            n.paper.paper, n.paper.place, f"{n.paper.row_label}: {n.paper.column.replace('_', ' ')}",
            n.paper.printed, n.ours, n.verdict,
        ]
        for n in numbers
    ]  # fmt: skip
    statement = _statement(collection)
    note = f"Scores are those of the tables, whose rows say how they were measured. {seeds_shown()}"
    lines = [f"### {TITLE}", ""]
    if statement:
        lines += [f"**{statement}**", ""]
    lines += [*markdown_lines(heads, body), "", note]
    caption = ". ".join(filter(None, [TITLE, statement.rstrip("."), note]))
    return (
        frame.to_csv(index=False, lineterminator="\n"),
        "\n".join(lines) + "\n",
        latex_of("text", caption, heads, body),
    )


def _statement(collection: Collection) -> str:
    tier = collection.benchmark.tier
    return "" if tier == "paper" else f"{tier} tier: scaled down; nothing here is a reproduction."
