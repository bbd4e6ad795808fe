"""`msgbench bench results`: what tables, claims, figures and the report cost, on made-up records of all experiments.

Every experiment of the tables, five seeds each, in the paper tier; the records are written first and not timed. Nothing
that is made of them is a result, and all of it is deleted at the end.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgbench.analysis import figures_of_all
from msgbench.analysis.claims.forms import make_claims
from msgbench.analysis.collect import collect
from msgbench.analysis.figures import make_figures
from msgbench.analysis.report import make_report
from msgbench.analysis.table_forms import make_table
from msgbench.bench.record import Measured
from msgbench.config import Benchmark, load_benchmark
from msgbench.console import Progress
from msgbench.layout import Layout
from msgbench.synthetic import write_results

SEEDS = (0, 1, 2, 3, 4)


def made_up_benchmark(config: Path, every_kimg: float | None = None) -> Benchmark:
    """The benchmark of `config` in the paper tier with five seeds, its datasets said to be there.

    `every_kimg` is how often a run writes statistics; None: as published.
    """
    datasets = {
        name: {"path": "made-up", "accept_terms": True}
        for name in load_benchmark(config, {}).datasets
    }
    defaults: dict[str, Any] = {"seeds": list(SEEDS)}
    if every_kimg is not None:
        defaults["training"] = {"stats_kimg": every_kimg}
    return load_benchmark(config, {"tier": "paper", "datasets": datasets, "defaults": defaults})


def bench_results(config: Path) -> Measured:
    """Time tables, claims, figures and the report on made-up records."""
    benchmark = made_up_benchmark(config)
    with tempfile.TemporaryDirectory(prefix="msgbench-results-") as folder:
        layout = Layout(Path(folder), benchmark.tier)
        with Progress("made-up records", 1, "benchmarks") as progress:
            write_results(benchmark, layout)
            progress.advance(1)
        figures = figures_of_all(benchmark)
        steps: list[tuple[str, Callable[[], object]]] = [
            ("read everything once", lambda: collect(benchmark, layout)),
            *(
                (f"table {name}", _table(benchmark, layout, name))
                for name in benchmark.tables_of_all()
            ),
            ("claims", lambda: make_claims(benchmark, layout)),
            ("figures", lambda: make_figures(benchmark, layout, figures)),
            ("report", lambda: make_report(benchmark, layout)),
        ]
        timed: list[tuple[str, float, float]] = []
        for name, step in steps:
            began, cpu = time.monotonic(), time.process_time()
            step()
            timed.append((name, time.monotonic() - began, time.process_time() - cpu))
    return Measured.of(
        "results",
        "msgbench bench results --out FOLDER",
        {"experiments": len(benchmark.table_experiments()), "seeds": len(SEEDS)},
        [
            {"step": name, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}
            for name, seconds, cpu in timed
        ],
        "cpu",
    )


def _table(benchmark: Benchmark, layout: Layout, name: str) -> Callable[[], object]:
    return lambda: make_table(benchmark, layout, name, layout.table_csv(name))
