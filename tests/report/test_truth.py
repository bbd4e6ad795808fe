"""A benchmark with failed, missing and half-finished runs: every page says so, and nothing looks better than it is."""

from __future__ import annotations

import re

import pytest

from msgbench.analysis.claims.forms import make_claims
from msgbench.analysis.report import make_report
from msgbench.analysis.report.charts import Bin, Chart, Series, histogram, line_chart, ticks
from msgbench.analysis.report.dataset_pages import read_summary
from msgbench.errors import ResultsError
from msgbench.layout import short
from msgbench.records import read_json, write_json

from .reading import Page, pages_in

LR1, LR3, LR5, LR10 = (
    f"cifar10-msg-progan-lr{rate}" for rate in ("0.001", "0.003", "0.005", "0.01")
)


@pytest.fixture(scope="module")
def broken(results_tree, tmp_path_factory):
    """One run complete, one failed in training, one stopped half-way, one half measured; claims and a figure."""
    tree = results_tree(tmp_path_factory.mktemp("broken"), "smoke")
    tree.dataset()
    tree.real()
    for experiment in (LR3, LR10):
        tree.train(experiment)
        tree.grids(experiment)
        tree.evaluate(experiment)
    half = tree.folder(LR10)
    evaluation = read_json(half / "evaluate.json")
    last = tree.lengths(LR10)[-1]
    evaluation["records"] = [r for r in evaluation["records"] if r["cur_nimg"] < last]
    write_json(half / "evaluate.json", evaluation)

    tree.stats(LR1, until=800)
    failed = tree.plan(LR1)
    (failed / "logs").mkdir()
    (failed / "logs" / "train.log").write_text(
        "train: 800 images\nmsgbench: error: loss_d is nan after 840 images, at scale 32\n"
    )
    stopped = tree.plan(LR5)
    (stopped / "jobs").mkdir()
    write_json(
        stopped / "jobs" / "train.json",
        {"end": {"state": "OUT_OF_MEMORY", "sentence": "job 12 ran out of memory", "written": "2026-01-02T03:04:05Z"}},
    )  # fmt: skip
    write_json(
        tree.layout.figure("figure6", "json"),
        {"name": "figure6", "title": "Image stability", "paper": "cvpr2020", "figure": "6", "table": None,
         "caption": "What changes.", "alt": "Curves.", "statement": "", "missing": ["cifar10-progan has no run"],
         "files": {}, "sources": []},
    )  # fmt: skip
    make_claims(tree.benchmark, tree.layout)
    make_report(tree.benchmark, tree.layout)
    return tree, pages_in(tree.layout.report_html.parent)


def run_page(tree, pages: dict[str, Page], experiment: str) -> Page:
    return pages[f"runs/{experiment}-{short(tree.run(experiment).fingerprint)}-seed0.html"]


def test_the_first_page_counts_only_what_is_complete(broken):
    _, pages = broken
    words = pages["index.html"].words
    assert "2 of 4 trained, 4 experiments" in words
    assert "1 of 4 planned runs are trained and measured." in words
    # The row of the half measured run has no score.
    assert re.search(r"robustness to learning rate on CIFAR-10 2 of 5 IS", words)
    assert "What is missing" in words
    assert "All failures and everything that is missing, with reasons" in words


def test_every_failure_has_its_reason_and_its_last_words(broken):
    tree, pages = broken
    words = pages["missing.html"].words
    total = f"{tree.lengths(LR1)[-1]:,}"
    for said in (
        "Runs: 3 without a complete result",
        f"{LR1}, seed 0 not trained to the end, 800 of {total} images were shown "
        "loss_d is nan after 840 images, at scale 32",
        f"{LR5}, seed 0 planned, not trained job 12 ran out of memory",
        f"{LR10}, seed 0 trained, 3 of 4 snapshots measured by is2k_small not recorded attempts: finished",
        "Image stability cifar10-progan has no run",
        "Datasets: 0 not prepared or not measured",
    ):
        assert said in words, said
    assert f"{LR3}, seed 0" not in words


def test_pages_of_incomplete_runs_show_what_there_is(broken):
    tree, pages = broken
    failed = run_page(tree, pages, LR1).words
    assert "Last end: loss_d is nan after 840 images, at scale 32" in failed
    assert "critic loss" in failed  # its curve so far
    assert "Not known before the training is finished." in failed
    assert "msgbench: error: loss_d is nan" in failed  # the end of the log
    stopped = run_page(tree, pages, LR5).words
    assert "Last end: job 12 ran out of memory" in stopped
    half = run_page(tree, pages, LR10)
    assert "Not complete: trained, 3 of 4 snapshots measured by is2k_small." in half.words
    assert sum("record-is2k_small-" in name for name in half.attributes("id")) == 3
    whole = run_page(tree, pages, LR3).words
    assert "Not complete" not in whole


def test_figures_and_claims_without_result_say_why(broken):
    _, pages = broken
    index = pages["index.html"]
    assert (
        "Image stability Figure 6 of CVPR 2020 What changes. not run cifar10-progan has no run"
        in index.words
    )
    assert "At 256 px MSG-GAN has the better FID than its baseline not assessed" in index.words
    assert "figure-figure6" in index.attributes("id")
    # A verdict is a link from the first screen to the claim with its quote.
    assert "#claim-better-fid-256" in index.attributes("href")
    quotes = re.findall(r"<blockquote>(.*?)</blockquote>", index.html)
    assert len(quotes) > 30
    assert 'class="verdict reproduced"' not in index.html


def test_outcomes_of_photographs_are_shown(results_tree, tmp_path):
    tree = results_tree(tmp_path, "smoke").complete()
    store = tree.dataset()
    (store / "summary.csv").write_text(
        "quantity,outcome,from,below,photographs,kept\n"
        "outcome,kept,,,7,7\noutcome,no face,,,1200,0\n"
        "sharpness,,0,0.5,3,0\nsharpness,,0.5,,9,7\nclipped,,0,,0,0\n"
    )
    (store / "outcomes.csv").write_text("photograph,outcome\n")
    make_report(tree.benchmark, tree.layout)
    found = Page(tree.layout.report_html.parent / "datasets" / "cifar10.html")
    assert "kept 7 no face 1,200" in found.words
    charts = [attrs for tag, attrs in found.tags if tag == "svg"]
    assert [chart["aria-label"] for chart in charts] == ["Sharpness: 0: 3 (0), 0.5: 9 (7)"]
    assert any(
        found.target(href) == (store / "outcomes.csv").resolve()
        for href in found.attributes("href")
    )
    (store / "summary.csv").write_text("quantity,outcome\nsharpness,\n")
    with pytest.raises(ResultsError, match=r"summary\.csv: line 2 is no line of a summary"):
        read_summary(store / "summary.csv")


def test_points_of_a_chart_are_where_their_numbers_are():
    chart = line_chart(Chart("t", "x", "y", (Series("a", (1.0, 2.0, 3.0), (0.0, 5.0, 10.0)),)))
    drawn = re.search(r'points="([^"]*)" data-label="a" data-points="([^"]*)"', chart)
    assert drawn is not None
    assert drawn[2] == "0,1 5,2 10,3"
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in drawn[1].split())
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.06)
    assert y1 == pytest.approx((y0 + y2) / 2, abs=0.06)
    assert y0 > y2  # upwards is less on a page


def test_a_wide_range_is_drawn_logarithmically_and_levels_have_names():
    series = (Series("a", (1.0, 10.0, 100.0), (0.0, 1.0, 2.0)), Series("real 50", (50.0,), slot=-1))
    chart = line_chart(Chart("t", "x", "y", series))
    drawn = re.search(r'points="([^"]*)" data-label="a"', chart)
    assert drawn is not None
    ys = [float(pair.split(",")[1]) for pair in drawn[1].split()]
    assert ys[1] == pytest.approx((ys[0] + ys[2]) / 2, abs=0.11)
    assert ">real 50</text>" in chart


def test_charts_without_numbers_are_empty_and_names_are_escaped():
    assert line_chart(Chart("t", "x", "y", ())) == ""
    assert line_chart(Chart("t", "x", "y", (Series("a", (float("nan"),), (1.0,)),))) == ""
    assert histogram("t", [Bin("0", 0, 0)]) == ""
    nasty = '"><script>alert(1)</script>'
    chart = line_chart(
        Chart(nasty, nasty, nasty, (Series(nasty, (1.0, 2.0), (0.0, 1.0)), Series(nasty, (1.5,))))
    )
    bars = histogram(nasty, [Bin(nasty, 2, 1)])
    assert "<script" not in chart + bars
    assert '">' + "<" not in (chart + bars).replace('"><', "")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.003, 0.0101, [0.004, 0.006, 0.008, 0.01]),
        (5, 5, [5]),
        (-7, 3, [-6, -4, -2, 0, 2]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)
