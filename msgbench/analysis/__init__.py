"""From records to tables, figures and the report; runs on a laptop, never imports torch.

Everything here is a function of config.yaml and of the records below results/: nothing is measured.
This module imports no plotting library, so that the workflow can ask `figures_of` cheaply.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgbench.config import Benchmark
from msgbench.protocols import get_protocol

# The experiment that docs/first-training.md is about.
FIRST_TRAINING = "cifar10-first-training"


def figures_of(benchmark: Benchmark, tables: Iterable[str] | None = None) -> tuple[str, ...]:
    """Names of the figures of `tables` (None: of all, also those outside the target `all`)."""
    chosen = benchmark.tables if tables is None else tables
    return tuple(figure for table in chosen for figure in figures_of_table(benchmark, table))


def figures_of_table(benchmark: Benchmark, name: str) -> tuple[str, ...]:
    """Names of the figures of one table: `<table>`, `<table>-fid`, `<table>-hours` and `<table>-losses`.

    `<table>` plots the table's own score over the images shown; a table whose score is not FID but
    that measures FID beside it has `<table>-fid` too. `<table>-hours` is FID over the time of training.
    """
    fid = fid_protocol(benchmark, name)
    found = [name]
    if fid not in (None, benchmark.tables[name].protocol):
        found.append(f"{name}-fid")
    if fid is not None:
        found.append(f"{name}-hours")
    return (*found, f"{name}-losses")


def figures_of_all(benchmark: Benchmark) -> tuple[str, ...]:
    """Names of all figures that the target `all` makes: those of its tables, then the papers' own."""
    return (*figures_of(benchmark, benchmark.tables_of_all()), *benchmark.figures_of_all())


def fid_protocol(benchmark: Benchmark, table: str) -> str | None:
    """The first FID protocol that a table measures; None when it measures none."""
    spec = benchmark.tables[table]
    for protocol in (spec.protocol, *spec.also):
        if get_protocol(protocol).metric == "fid":
            return protocol
    return None
