"""The first page: what was run and what held, tables, figures, claims, runs; as data that the template lays out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from msgbench.analysis import figures_of_all, scale
from msgbench.analysis.collected import Collection, Dataset, Missing
from msgbench.analysis.commands import changes_of, step_command, workflow_command
from msgbench.analysis.report.claims import PageClaim, counted_verdicts
from msgbench.analysis.report.figure_files import PageFigure, figures_in
from msgbench.analysis.report.held import held
from msgbench.analysis.report.index_runs import DatasetLine, RunLine, dataset_line, run_lines
from msgbench.analysis.report.index_tables import PageTable, kinds_of_verdicts, page_table
from msgbench.analysis.report.origins import facts_of, provenance_facts, provenances
from msgbench.analysis.report.parts import Command, Fact, Link, Site, emphasised, files, versions
from msgbench.analysis.tables import Table
from msgbench.analysis.verdicts import RULE
from msgbench.config import Tier
from msgbench.protocols import Protocol, get_protocol


@dataclass(frozen=True)
class Index:
    """The whole page."""

    tier: str
    title: str
    statement: str
    incomparable: bool
    """Whether no table's scores stand beside the paper's."""
    facts: tuple[Fact, ...]
    held: tuple[str, ...]
    verdicts: tuple[tuple[str, int], ...]
    rule: Markup
    missing: tuple[Missing, ...]
    tables: tuple[PageTable, ...]
    layer_tables: tuple[Link, ...]
    figures: tuple[PageFigure, ...]
    claims: tuple[PageClaim, ...]
    claim_verdicts: tuple[tuple[str, int], ...]
    claim_files: tuple[Link, ...]
    protocols: tuple[Protocol, ...]
    runs: tuple[RunLine, ...]
    datasets: tuple[DatasetLine, ...]
    provenance: tuple[Fact, ...]
    versions: tuple[tuple[str, str], ...]
    commands: tuple[Command, ...]


def index_of(
    collection: Collection,
    tables: Sequence[Table],
    claims: tuple[PageClaim, ...],
    site: Site,
) -> Index:
    """The first page about everything in `collection`."""
    benchmark, layout, page = collection.benchmark, collection.layout, site.index
    protocols = protocols_of(collection)
    origins = list(provenances(collection))
    claims_json = layout.claims_json
    claim_files = (("CSV", claims_json.with_suffix(".csv")), ("Markdown", claims_json.with_suffix(".md")),
                   ("JSON", claims_json))  # fmt: skip
    return Index(
        tier=benchmark.tier,
        title=_title(tables),
        statement=_statement(tables, benchmark.tier),
        incomparable=not any(table.protocol.comparable_with_paper for table in tables),
        facts=facts_of(collection, origins, site),
        held=held(collection, tables),
        verdicts=kinds_of_verdicts(tables),
        rule=emphasised(RULE),
        missing=collection.missing(),
        tables=tuple(page_table(table, collection, site) for table in tables),
        layer_tables=files(
            (
                (path.stem, path)
                for path in sorted(layout.table_csv("x").parent.glob("*.md"))
                if path.stem not in benchmark.tables
            ),
            page.parent,
        ),
        figures=figures_in(layout.figure("x").parent, figures_of_all(benchmark), page.parent),
        claims=claims,
        claim_verdicts=counted_verdicts(claims),
        claim_files=files(claim_files, page.parent) if claims else (),
        protocols=protocols,
        runs=tuple(run_lines(collection, protocols, site)),
        datasets=tuple(dataset_line(dataset, site) for dataset in all_datasets(collection)),
        provenance=provenance_facts(origins),
        versions=versions(origins),
        commands=_commands(collection),
    )


def all_datasets(collection: Collection) -> tuple[Dataset, ...]:
    """The datasets of the tables, then other stores that runs outside of them were trained on, each once."""
    found = {dataset.folder: dataset for dataset in collection.datasets.values()}
    for other in collection.others:
        found.setdefault(other.dataset.folder, other.dataset)
    return tuple(found.values())


def _title(tables: Sequence[Table]) -> str:
    """One table's own title, or the names of several: `Table 2; Table 3`."""
    if len(tables) == 1:
        return tables[0].spec.title
    return "; ".join(dict.fromkeys(table.spec.title.partition(":")[0] for table in tables))


def _statement(tables: Iterable[Table], tier: Tier) -> str:
    """What is scaled down in any of `tables`, each way once; every table says its own."""
    departures = (departure for table in tables for departure in table.departures)
    return scale.statement(tier, tuple(dict.fromkeys(departures)))


def protocols_of(collection: Collection) -> tuple[Protocol, ...]:
    """The protocols of the tables of `all`."""
    names: list[str] = []
    for name in collection.benchmark.tables_of_all():
        table = collection.benchmark.tables[name]
        names += [table.protocol, *table.also]
    return tuple(get_protocol(name) for name in dict.fromkeys(names))


def _commands(collection: Collection) -> tuple[Command, ...]:
    benchmark = collection.benchmark
    changes = changes_of(benchmark)
    commands = [
        Command("Tables, figures and this page", (workflow_command("all", changes),)),
        *(
            Command(table.title, (workflow_command(name, changes),))
            for name, table in benchmark.tables.items()
        ),
    ]
    shown = benchmark.tables_of_all()
    again = [step_command(f"table {name}", changes) for name in shown]
    again.append(step_command("figure", changes))
    again.append(step_command("claims", changes))
    commands.append(
        Command(
            "Tables, figures and this page, from the records",
            (*again, step_command("report", changes)),
        )
    )
    return tuple(commands)
