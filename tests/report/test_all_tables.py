"""The page, the tables and the figures of the whole config.yaml, complete and empty."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from msgbench.analysis import figures_of
from msgbench.analysis.figures import build_plot
from msgbench.analysis.report import make_report
from msgbench.analysis.table_forms import make_table
from msgbench.config import load_benchmark

from .reading import Page

ROOT = Path(__file__).resolve().parents[2]
ALL = tuple(load_benchmark(ROOT / "config.yaml").tables)


def written(tree) -> Page:
    return Page(make_report(tree.benchmark, tree.layout))


@pytest.fixture(scope="module")
def whole(results_tree, tmp_path_factory):
    """Everything that smoke makes, as records without meaning."""
    tree = results_tree(tmp_path_factory.mktemp("whole"), "smoke", None, ALL).complete()
    for name in tree.benchmark.tables_of_all():
        make_table(tree.benchmark, tree.layout, name, tree.layout.table_csv(name))
    return tree


def test_the_page_shows_every_table_of_all_and_says_what_is_scaled(whole) -> None:
    page = written(whole)
    words = " ".join(page.text)
    for name in whole.benchmark.tables_of_all():
        assert whole.benchmark.tables[name].title in words
    assert "without PixNorm" not in words
    assert "35 of 35 planned runs are trained and measured." in words
    assert "32 px instead of 256" in words
    assert "connections at 4 px stand for 4, 8" in words
    assert "connections at 16 px stand for 64, 128, 256, 512" in words
    # One sentence a table, not one a row.
    assert words.count("pixel-Gaussian control") < len(whole.benchmark.table_experiments())


def test_no_two_sections_have_one_name_in_the_navigation(whole) -> None:
    html = written(whole).path.read_text(encoding="utf-8")
    nav = html[html.index('<nav aria-label="Sections">') : html.index("</nav>")]
    names = re.findall(r'<a href="[^"]+">([^<]+)</a>', nav)
    assert "Table 3" in names
    assert "Table 1 of the first version: IS" in names
    assert "Table 1 of the first version: FID" in names
    assert len(set(names)) == len(names)


def test_quoted_rows_have_the_paper_s_number_and_a_verdict_of_their_own(whole) -> None:
    frame = pd.read_csv(whole.layout.table_csv("v1-table1"), dtype=str).set_index("row")
    assert frame.verdict["cifar10-lr-gan"] == "quoted"
    assert frame.paper_is["cifar10-lr-gan"] == "7.17"
    assert frame.paper_origin["cifar10-lr-gan"] == "quoted"
    assert frame.ours_best_mean.notna().sum() == 3
    assert list(pd.read_csv(whole.layout.table_csv("table4"), dtype=str).paper_fid) == [
        "14.20", "10.84", "9.17", "9.74", "8.36", "9.49",
    ]  # fmt: skip


def test_every_figure_has_the_rows_that_are_trained(whole) -> None:
    from msgbench.analysis.collect import collect

    benchmark = whole.benchmark
    collection = collect(benchmark, whole.layout)
    for table in benchmark.tables_of_all():
        for name in figures_of(benchmark, [table]):
            plot = build_plot(collection, name)
            series = [series for panel in plot.panels for series in panel.series]
            runs = {one.run for one in series if one.role == "run"}
            assert len(runs) == len(set(benchmark.tables[table].experiments)), name


def test_nothing_made_yet_is_a_page_too(results_tree, tmp_path) -> None:
    tree = results_tree(tmp_path, "paper", None, ALL)
    words = " ".join(written(tree).text)
    assert "0 of 105 planned runs are trained and measured." in words
    for name in tree.benchmark.tables:
        make_table(tree.benchmark, tree.layout, name, tree.layout.table_csv(name))
    frame = pd.read_csv(tree.layout.table_csv("v1-techniques"), dtype=str)
    assert set(frame.verdict.str.partition(":")[0]) == {"not run"}
