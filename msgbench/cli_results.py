"""Commands that make things from records: tables, claims, figures, report, published pages. cli.py registers them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msgbench.cli_options import (
    DEFAULT_CONFIG,
    CheckOption,
    ConfigOption,
    LogOption,
    SetOption,
    benchmark_of,
    layout_of,
)
from msgbench.errors import ConfigError


def table(
    name: Annotated[
        str, typer.Argument(help="Name under `tables`; or parameters (by scales), or text.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Make a table of the paper from the records that exist: CSV, Markdown, LaTeX."""
    from msgbench.analysis.own_tables import make_any_table
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = benchmark_of(config, set_)
    layout = layout_of(benchmark)
    say(f"{name}: {make_any_table(benchmark, layout, name)}")


def claims(
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Test every claim of the papers against the records that exist: quote, numbers, verdict."""
    from msgbench.analysis.claims import make_claims
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = benchmark_of(config, set_)
    say(f"claims: {make_claims(benchmark, layout_of(benchmark))}")


def figure(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of figures; without any: those of `all`.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Draw figures as PNG and SVG, and write the plotted numbers beside each."""
    from msgbench.analysis import figures_of_all
    from msgbench.analysis.figures import make_figures, write_list
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = benchmark_of(config, set_)
    layout = layout_of(benchmark)
    written = make_figures(benchmark, layout, names or figures_of_all(benchmark))
    for path in written:
        say(f"{path.stem}: {path}")
    if not names:
        say(f"figures: {write_list(layout, written)}")


def report(
    zip_: Annotated[
        Path | None,
        typer.Option("--zip", help="Also pack the tier's results for a reviewer into this file."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Write the pages that a reviewer opens."""
    from msgbench.analysis.report import make_report, zip_results
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = benchmark_of(config, set_)
    layout = layout_of(benchmark)
    if zip_ is not None and zip_.suffix.lower() != ".zip":
        raise ConfigError(f"--zip: {str(zip_)!r} is not allowed; allowed: a file name with .zip")
    say(f"report: {make_report(benchmark, layout)}")
    if zip_ is not None:
        count = zip_results(layout, zip_)
        bound = [
            d.name for d in benchmark.datasets.values() if d.accept_terms and not d.is_stand_in
        ]
        say(f"report: {count} files in {zip_}, without images, snapshots and states")
        if bound:
            say(
                f"report: it shows small pictures of {', '.join(bound)}, whose terms of use you accepted: pass it on "
                "as they allow"
            )


def publish(
    experiment: Annotated[str, typer.Argument(help="Name under `experiments`.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Copy the records and small pictures of an experiment's runs to results/published, without local names."""
    from msgbench.analysis.published import publish as publish_runs
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = benchmark_of(config, set_)
    layout = layout_of(benchmark)
    for out in publish_runs(benchmark, layout, experiment):
        say(f"{experiment}: {out}")


def walkthrough(
    published: Annotated[Path, typer.Argument(help="Published records, made by `publish`.")],
    out: Annotated[Path, typer.Option(help="The Markdown file to write.")],
    check: CheckOption = False,
    log: LogOption = None,
) -> None:
    """Write a page about one training, with its pictures beside it, from published records."""
    from msgbench.console import log_to, say

    log_to(log)
    if check:
        from msgbench.analysis.in_step import require_walkthrough

        require_walkthrough(published, out)
        say(f"walkthrough: {out} is what {published} gives")
        return
    from msgbench.analysis.first_training import make_walkthrough

    say(f"walkthrough: {make_walkthrough(published, out)}")


def results_table(
    readme: Annotated[
        Path,
        typer.Option(help="The Markdown file with the two marks that the table stands between."),
    ] = Path("README.md"),
    check: CheckOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    log: LogOption = None,
) -> None:
    """Write the result table of README.md from all published records."""
    from msgbench.console import log_to, say

    log_to(log)
    benchmark = benchmark_of(config, set_)
    folder = layout_of(benchmark).published
    if check:
        from msgbench.analysis.in_step import require_result_table

        require_result_table(benchmark, folder, readme)
        say(f"results-table: {readme} is what {folder} gives")
        return
    from msgbench.analysis.result_table import write_result_table

    write_result_table(benchmark, folder, readme)
    say(f"results-table: {readme}")
