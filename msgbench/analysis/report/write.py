"""From data to files: the pages of a report, its style sheet and script, and the removal of pages that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from msgbench.analysis.collect import collect
from msgbench.analysis.report.claims import claims_in
from msgbench.analysis.report.dataset_pages import dataset_page
from msgbench.analysis.report.figure_files import copy_pictures
from msgbench.analysis.report.further_pages import missing_page, protocol_lines
from msgbench.analysis.report.index import all_datasets, index_of
from msgbench.analysis.report.parts import Site, href, others_of, site_of, write_unsynced
from msgbench.analysis.report.run_pages import run_page
from msgbench.analysis.tables import build_table
from msgbench.config import Benchmark
from msgbench.console import Progress
from msgbench.layout import Layout

_FOLDER = Path(__file__).parent
_ASSETS = ("style.css", "report.js")
# Folders of pages inside the report: what lies there under these suffixes is made by this module alone.
_PAGE_FOLDERS = ("runs", "datasets")


@dataclass
class _Writer:
    """Writes pages; remembers which."""

    site: Site
    tier: str
    environment: Environment
    written: set[Path] = field(default_factory=set)

    def page(self, out: Path, template: str, content: Mapping[str, Any]) -> None:
        folder = out.parent
        around = {
            "tier": self.tier,
            "home": href(self.site.index, folder),
            "assets": {name: href(self.site.asset(name), folder) for name in _ASSETS},
            "pages": {
                "protocols": href(self.site.protocols, folder),
                "missing": href(self.site.missing, folder),
            },
        }
        html = self.environment.get_template(template).render(**around, **content)
        write_unsynced(out, html.encode())
        self.written.add(out)


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def make_report(benchmark: Benchmark, layout: Layout) -> Path:
    """Write the report of a tier from the records that exist; returns its first page, which is written last.

    Raises ResultsError for broken or foreign records. What is missing is named on the pages.
    """
    collection = collect(benchmark, layout)
    out = layout.report_html
    site = site_of(collection, out.parent)
    writer = _Writer(site, benchmark.tier, _environment())
    for name in _ASSETS:
        write_unsynced(site.asset(name), (_FOLDER / "assets" / name).read_bytes())
    copy_pictures(layout.figure("x").parent, layout.report_figures)
    tables = [build_table(collection, name) for name in benchmark.tables_of_all()]
    claims = claims_in(collection, site)
    index = index_of(collection, tables, claims, site)
    others = others_of(collection)
    runs = [*collection.runs, *(other.run for other in collection.others)]
    with Progress("report", len(runs) + len(site.stores), "pages") as progress:
        for run in runs:
            other = others.get(run.folder)
            dataset = other.dataset if other else collection.datasets[run.plan.spec.dataset.name]
            about = run_page(run, dataset, collection, site, other)
            writer.page(site.run_page(run), "run.html.j2", {"page": about})
            progress.advance(1)
        for dataset in all_datasets(collection):
            held = dataset_page(dataset, collection, site)
            writer.page(site.dataset_page(dataset), "dataset.html.j2", {"page": held})
            progress.advance(1)
    lines = protocol_lines(collection, tables, site)
    writer.page(site.protocols, "protocols.html.j2", {"lines": lines})
    missing = missing_page(collection, tables, index.figures, claims, site)
    writer.page(site.missing, "missing.html.j2", {"page": missing})
    for name in _PAGE_FOLDERS:
        for page in (site.folder / name).glob("*.html"):
            if page not in writer.written:
                page.unlink()
    writer.page(out, "index.html.j2", {"page": index, "incomplete": missing.anything})
    return out
