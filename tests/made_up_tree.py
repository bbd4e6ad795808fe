"""A synthetic results tree for several rooms: the files that the other rooms write, without training anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from msgbench.config import load_benchmark, merge
from msgbench.layout import Layout
from msgbench.synthetic import ResultsTree

ROOT = Path(__file__).resolve().parent.parent


def tree_in(
    folder: Path,
    tier: str,
    overrides: dict[str, Any] | None = None,
    tables: tuple[str, ...] = ("table3",),
) -> ResultsTree:
    """An empty results tree in `folder` for `tables` of the repository's config.yaml in `tier`."""
    # Full-length statistics would cost most of the tests' time.
    sparse = {"defaults": {"training": {"stats_kimg": 100}}} if tier != "smoke" else {}
    layers = merge(merge(sparse, overrides or {}), {"tier": tier})
    benchmark = load_benchmark(ROOT / "config.yaml", layers)
    shown = {name: table for name, table in benchmark.tables.items() if name in tables}
    benchmark = replace(benchmark, tables=shown)
    return ResultsTree(benchmark, Layout(folder / "results", tier))


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., ResultsTree]:
    """A function (tier, overrides) -> ResultsTree in the test's own folder."""

    def make(
        tier: str = "smoke",
        overrides: dict[str, Any] | None = None,
        tables: tuple[str, ...] = ("table3",),
    ) -> ResultsTree:
        return tree_in(tmp_path, tier, overrides, tables)

    return make
