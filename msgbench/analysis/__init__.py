"""From records to tables, figures and the report; runs on a laptop, never imports torch.

Everything here is a function of config.yaml and of the records below results/: nothing is measured.
This module imports no plotting library, so that the workflow can ask `figures_of` cheaply.
"""

from __future__ import annotations

from msgbench.config import Benchmark
from msgbench.protocols import get_protocol

# The experiment that docs/first-training.md is about.
FIRST_TRAINING = "cifar10-first-training"


def figures_of(benchmark: Benchmark) -> tuple[str, ...]:
    """Names of the figures of a benchmark: `<table>`, `<table>-fid` and `<table>-losses` for each table.

    `<table>` plots the table's own score over the images shown; a table whose score is not FID but
    that measures FID beside it has `<table>-fid` too.
    """
    names: list[str] = []
    for name, table in benchmark.tables.items():
        names.append(name)
        if fid_protocol(benchmark, name) not in (None, table.protocol):
            names.append(f"{name}-fid")
        names.append(f"{name}-losses")
    return tuple(names)


def fid_protocol(benchmark: Benchmark, table: str) -> str | None:
    """The first FID protocol that a table measures; None when it measures none."""
    spec = benchmark.tables[table]
    for protocol in (spec.protocol, *spec.also):
        if get_protocol(protocol).metric == "fid":
            return protocol
    return None
