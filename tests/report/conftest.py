"""Results trees for the page."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from msgbench.analysis.claims.forms import make_claims
from msgbench.analysis.report import make_report
from msgbench.bench.results import made_up_benchmark
from msgbench.layout import Layout, grid_file
from msgbench.synthetic import write_results

from ..made_up_tree import ROOT, make_tree, tree_in

__all__ = ["make_tree"]


@pytest.fixture(scope="session")
def results_tree():
    """The function (folder, tier, overrides) -> ResultsTree."""
    return tree_in


@pytest.fixture(scope="session")
def whole_size(tmp_path_factory):
    """The report of every experiment of the tables with five seeds, of made-up records: (first page, seconds)."""
    benchmark = made_up_benchmark(ROOT / "config.yaml", every_kimg=100)
    layout = Layout(tmp_path_factory.mktemp("whole-size"), benchmark.tier)
    tree = write_results(benchmark, layout)
    noise = np.random.default_rng(0)
    for experiment in benchmark.table_experiments():
        for seed in benchmark.experiment(experiment).seeds:
            # One grid a run, of noise: no picture is larger.
            path = tree.folder(experiment, seed) / grid_file(tree.lengths(experiment)[-1], 32)
            path.parent.mkdir()
            Image.fromarray(noise.integers(0, 256, (192, 192, 3), np.uint8)).save(path)
    make_claims(benchmark, layout)
    began = time.process_time()
    index = make_report(benchmark, layout)
    return index, time.process_time() - began
