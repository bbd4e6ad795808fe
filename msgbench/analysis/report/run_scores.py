"""The scores of a run: by protocol beside what they are seen against, and each record as a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgbench.analysis.collected import Dataset, Run
from msgbench.analysis.estimates import pick
from msgbench.analysis.report.parts import Link, Site, anchor, link
from msgbench.analysis.score_records import Record
from msgbench.analysis.tables import number
from msgbench.protocols import Protocol, get_protocol


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


def score_lines(run: Run, dataset: Dataset, page: Path, site: Site) -> Iterator[ScoreLine]:
    """The protocols of the run's spec by which it has records, in that order."""
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


def record_line(record: Record, folder: Path) -> RecordLine:
    """One record; its file is linked from a page in `folder`."""
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
