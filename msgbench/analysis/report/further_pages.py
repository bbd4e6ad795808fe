"""The pages beside those of runs and datasets: the protocols, and what failed or is missing and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgbench.analysis.collected import Collection
from msgbench.analysis.report.claims import PageClaim
from msgbench.analysis.report.figure_files import PageFigure
from msgbench.analysis.report.index import all_datasets, protocols_of
from msgbench.analysis.report.origins import records_of
from msgbench.analysis.report.parts import Link, Site
from msgbench.analysis.report.run_logs import failure_of, log_tail
from msgbench.analysis.tables import Table
from msgbench.layout import LOGS
from msgbench.protocols import PROTOCOLS, Protocol, get_protocol

_LAST_LINES = 5


@dataclass(frozen=True)
class ProtocolLine:
    """A protocol with the tables that it makes and the weights that it was run with."""

    protocol: Protocol
    tables: tuple[Link, ...]
    records: int
    sha256: str


@dataclass(frozen=True)
class MissingRun:
    """A run without a complete result."""

    run: Link
    reason: str
    failure: str
    attempts: str
    last_lines: tuple[str, ...]


@dataclass(frozen=True)
class MissingPage:
    """What failed and what is missing, and why."""

    runs: tuple[MissingRun, ...]
    datasets: tuple[tuple[Link, str], ...]
    scores: tuple[tuple[Link, tuple[str, ...]], ...]
    figures: tuple[tuple[Link, tuple[str, ...]], ...]
    claims: tuple[tuple[Link, str, str], ...]
    left_out: tuple[str, ...]

    @property
    def anything(self) -> bool:
        return any((self.runs, self.datasets, self.scores, self.figures, self.claims))


def protocol_lines(
    collection: Collection, tables: Sequence[Table], site: Site
) -> tuple[ProtocolLine, ...]:
    """Every protocol of the tables, and every other one that a record was made by."""
    counts: dict[str, int] = {}
    weights: dict[str, str] = {}
    for record in (*records_of(collection), *(r for o in collection.others for r in o.run.records)):
        counts[record.protocol] = counts.get(record.protocol, 0) + 1
        extractor = record.content.get("extractor")
        if isinstance(extractor, dict) and isinstance(extractor.get("sha256"), str):
            weights[record.extractor] = extractor["sha256"]
    shown = [protocol.name for protocol in protocols_of(collection)]
    names = dict.fromkeys([*shown, *(n for n in counts if n in PROTOCOLS)])
    return tuple(
        ProtocolLine(
            protocol,
            tuple(
                Link(t.spec.title.partition(":")[0], f"{site.index.name}#table-{t.name}")
                for t in tables
                if name in (t.spec.protocol, *t.spec.also)
            ),
            counts.get(name, 0),
            weights.get(protocol.extractor, ""),
        )
        for name in names
        for protocol in (get_protocol(name),)
    )


def missing_page(
    collection: Collection,
    tables: Sequence[Table],
    figures: Sequence[PageFigure],
    claims: Sequence[PageClaim],
    site: Site,
) -> MissingPage:
    """Everything that has no result, with its reason."""
    page, index = site.missing, site.index.name
    return MissingPage(
        runs=tuple(_runs(collection, site)),
        datasets=tuple(
            (site.of_dataset(dataset, page), dataset.reason)
            for dataset in all_datasets(collection)
            if dataset.reason
        ),
        scores=tuple(
            (Link(table.spec.title, f"{index}#table-{table.name}"), table.not_run)
            for table in tables
            if table.not_run
        ),
        figures=tuple(
            (Link(figure.title, f"{index}#figure-{figure.name}"), figure.missing)
            for figure in figures
            if figure.missing
        ),
        claims=tuple(
            (Link(claim.title, f"{index}#claim-{claim.id}"), claim.verdict, claim.reason)
            for claim in claims
            if claim.verdict.startswith("not ")
        ),
        left_out=tuple(collection.benchmark.left_out_sentences()),
    )


def _runs(collection: Collection, site: Site) -> Iterator[MissingRun]:
    for run in (*collection.runs, *(other.run for other in collection.others)):
        if run.reason is None:
            continue
        logs = sorted((run.folder / LOGS).glob("*.log"), key=lambda path: path.stat().st_mtime)
        attempts = [str(a.get("ended")) for a in (run.train or {}).get("attempts", [])]
        yield MissingRun(
            run=site.of_run(run, site.missing),
            reason=run.reason,
            failure=failure_of(run),
            attempts=", ".join(attempts),
            last_lines=tuple(log_tail(logs[-1], _LAST_LINES)) if logs else (),
        )
