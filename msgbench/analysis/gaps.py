"""What is missing of a run or a dataset, in words; None where nothing is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgbench.analysis.score_records import Record
from msgbench.analysis.stats_lines import read_stats
from msgbench.config import Benchmark, RunSpec
from msgbench.layout import EVALUATE_JSON, METRICS, SPEC_JSON, STATS_JSONL
from msgbench.protocols import get_protocol


def run_reason(
    folder: Path,
    plan: RunSpec,
    train: Mapping[str, Any] | None,
    records: tuple[Record, ...],
) -> str | None:
    """Why the run in `folder` is not trained and measured by every protocol of its spec; None when it is."""
    if not (folder / SPEC_JSON).is_file():
        left_out = plan.spec.dataset.left_out
        return "not planned" if left_out is None else f"left out: {left_out}"
    RunSpec.read(folder)  # refuses a spec that was edited by hand
    if train is None:
        total = plan.spec.schedule.total_nimg
        stats = read_stats(folder / STATS_JSONL)
        if stats.empty:
            return "planned, not trained"
        reached = int(stats["cur_nimg"].iloc[-1])
        return f"not trained to the end, {reached:,} of {total:,} images were shown"
    if not (folder / EVALUATE_JSON).is_file():
        started = sum(1 for _ in (folder / METRICS).rglob("*.json"))
        return "trained, not measured" + (f" to the end ({started} records)" if started else "")
    return _first_gap(plan, train, records)


def _first_gap(plan: RunSpec, train: Mapping[str, Any], records: tuple[Record, ...]) -> str | None:
    """The first protocol of the present config that has no complete measurement, in words."""
    for name in plan.spec.evaluation.protocols:
        gap = protocol_gap(train, records, name)
        if gap is not None:
            return gap
    return None


def protocol_gap(train: Mapping[str, Any], records: Iterable[Record], name: str) -> str | None:
    """What is missing of one protocol's measurements of a finished training; None when nothing is."""
    version = get_protocol(name).version
    found = [record for record in records if record.protocol == name]
    if not found:
        return f"trained, not measured by {name}"
    old = {record.version for record in found} - {version}
    if old:
        return f"trained, measured by version {min(old)} of {name}; version {version} is needed"
    wanted = {int(snapshot["cur_nimg"]) for snapshot in train["snapshots"]}
    absent = wanted - {record.cur_nimg for record in found}
    if absent:
        return f"trained, {len(wanted) - len(absent)} of {len(wanted)} snapshots measured by {name}"
    return None


def real_gap(benchmark: Benchmark, dataset: str, records: Iterable[Record]) -> str | None:
    """What is missing of the scores that the tables' real-images rows need."""
    found = {(record.protocol, record.version) for record in records}
    for table in benchmark.tables.values():
        if not any(row.real_images == dataset for row in table.rows):
            continue
        for name in (table.protocol, *table.also):
            protocol = get_protocol(name)
            # FID and KID compare with these very images.
            if protocol.metric == "is" and (name, protocol.version) not in found:
                return f"prepared, not measured by version {protocol.version} of {name}"
    return None
