"""The report: one HTML page that opens from disk, without network and without scripts.

Everything the page shows stands inside it; everything it links to lies below the same results folder,
linked relatively, so that the folder can be zipped, moved and opened elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from msgbench.analysis.collect import collect
from msgbench.analysis.report.page import page_of
from msgbench.config import Benchmark
from msgbench.layout import Layout
from msgbench.records import write_text

_FOLDER = Path(__file__).parent


def make_report(benchmark: Benchmark, layout: Layout, out: Path) -> Path:
    """Write the page to `out` from the records that exist; returns `out`.

    Raises ResultsError for broken or foreign records. Missing runs are named on the page.
    """
    page = page_of(collect(benchmark, layout), out.parent)
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((_FOLDER / "style.css").read_text(encoding="utf-8"))  # our own file
    html = environment.get_template("page.html.j2").render(page=page, style=style)
    write_text(out, html)
    return out
