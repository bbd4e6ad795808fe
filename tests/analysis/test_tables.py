"""table3.csv and its Markdown: the paper beside ours, complete, partial, and in the paper tier."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from msgbench.analysis import figures_of
from msgbench.analysis.collect import collect
from msgbench.analysis.estimates import Interval
from msgbench.analysis.table_forms import make_table, table_frame, table_latex, table_markdown
from msgbench.analysis.tables import Table, build_table, number, with_interval
from msgbench.config import TableSpec
from msgbench.errors import ResultsError
from msgbench.records import read_json, write_json

LR3 = "cifar10-msg-progan-lr0.003"


def make(tree, table="table3"):
    out = make_table(tree.benchmark, tree.layout, table, tree.layout.table_csv(table))
    frame = pd.read_csv(out, dtype=str, keep_default_na=False).set_index("row", drop=False)
    return frame, out.with_suffix(".md").read_text()


def test_smoke_table_as_a_whole(make_tree):
    tree = make_tree("smoke").complete()
    frame, markdown = make(tree)
    assert list(frame.row) == [
        "real-images", "msg-progan-lr0.003", "msg-progan-lr0.001", "msg-progan-lr0.005", "msg-progan-lr0.01",
    ]  # fmt: skip
    assert list(frame.paper_is) == ["11.34", "8.63", "8.24", "8.33", "7.92"]
    assert list(frame.paper_real_images) == ["-", "12M", "12M", "12M", "12M"]
    assert list(frame.paper_learning_rate) == ["-", "0.003", "0.001", "0.005", "0.01"]
    assert set(frame.verdict) == {"scaled"}
    assert set(frame.comparable_with_paper) == {"no"}
    assert set(frame.protocol) == {"is2k_small v1"}
    for sentence in frame.scaled_down:
        assert sentence.startswith("smoke tier: scaled down (")
        assert sentence.endswith("; nothing here is a reproduction")
        assert "images drawn by msgbench in place of cifar10" in sentence
        assert "scored by small-cifar10-v1 on 2,000 images" in sentence
    row = frame.loc["msg-progan-lr0.003"]
    total = tree.benchmark.experiment(LR3).schedule.total_nimg
    assert f"{total:,} real images shown instead of 12M" in row.scaled_down
    assert "channels instead of 512" in row.scaled_down
    assert (row.experiment, row.dataset, row.method) == (LR3, "cifar10", "MSG-ProGAN")
    assert row.cpu_hours == "0.01"  # 36 s on one thread
    assert row.gpu_hours == "0.0"
    assert row.evaluations_per_run == str(len(tree.lengths(LR3)) - 1)
    assert row.images_at_best_seed0 == str(total)
    assert markdown.count("| scaled |") == 5
    assert "Scores by small-cifar10-v1 do not compare with the paper's" in markdown


def test_every_number_is_that_of_the_record_it_links_to(make_tree):
    tree = make_tree("smoke").complete()
    # Falls at the end: the best is not the final one.
    peak = tree.lengths(LR3)[2]
    tree.evaluate(LR3, scores=lambda protocol, nimg: 5.0 - abs(nimg - peak) / 1e4)
    frame, _ = make(tree)
    row = frame.loc["msg-progan-lr0.003"]
    best, final = row.records.split(" ")
    folder = tree.layout.table_csv("table3").parent
    assert read_json(folder / best)["value"] == float(row.ours_best_seed0) == 5.0
    assert read_json(folder / final)["value"] == float(row.ours_final_seed0) < 5.0
    assert row.images_at_best_seed0 == str(peak)
    real = frame.loc["real-images"]
    stated = {
        r["protocol"]["name"]: r["value"] for r in read_json(folder / real.records)["records"]
    }
    assert float(real.ours_best_mean) == stated["is2k_small"]


def test_nothing_run_is_a_table_of_reasons(make_tree):
    frame, markdown = make(make_tree("smoke"))
    assert frame.loc["real-images"].verdict == "not run: not prepared"
    assert set(frame.verdict[1:]) == {"not run: not planned"}
    assert set(frame.ours_best_mean) == {""}
    assert set(frame.records) == {""}
    assert set(frame.cpu_hours) == {""}
    assert list(frame.paper_is) == ["11.34", "8.63", "8.24", "8.33", "7.92"]
    assert "- cifar10-msg-progan-lr0.01, seed 0: not run: not planned" in markdown


def test_a_partial_benchmark_tells_what_is_there(make_tree):
    tree = make_tree("smoke")
    tree.dataset()
    tree.train(LR3)
    tree.evaluate(LR3)
    tree.train("cifar10-msg-progan-lr0.001")
    frame, _ = make(tree)
    assert frame.loc["real-images"].verdict == "not run: prepared, not measured"
    assert frame.loc["msg-progan-lr0.003"].verdict == "scaled"
    assert frame.loc["msg-progan-lr0.001"].verdict == "not run: trained, not measured"
    assert frame.loc["msg-progan-lr0.001"].cpu_hours == "0.01"  # the time was spent
    assert frame.loc["msg-progan-lr0.005"].verdict == "not run: not planned"


@pytest.fixture
def paper(make_tree):
    """The paper tier, complete, with IS near the printed numbers; (experiment, seed) -> offset is settable."""
    tree = make_tree("paper")

    def complete(offsets):
        tree.dataset()
        tree.real(value=11.24)
        for experiment, (base, seeds) in offsets.items():
            for seed, offset in enumerate(seeds):
                tree.train(experiment, seed, device="NVIDIA H200", seconds=7200.0)
                tree.evaluate(experiment, seed, scores=lambda p, n, v=base + offset: v - (n == 0))
        return make(tree)

    return complete


def test_paper_tier_verdicts(paper):
    frame, markdown = paper({
        LR3: (8.63, (-0.1, 0.0, 0.1)),
        "cifar10-msg-progan-lr0.001": (5.0, (-0.1, 0.0, 0.1)),
        "cifar10-msg-progan-lr0.005": (9.9, (-0.1, 0.0, 0.1)),
        "cifar10-msg-progan-lr0.01": (7.92, (0.0, 0.1)),
    })  # fmt: skip
    assert list(frame.verdict) == [
        "reproduced",
        "reproduced",
        "worse",
        "better",
        "inconclusive (2 seeds)",
    ]
    row = frame.loc["msg-progan-lr0.003"]
    assert float(row.ours_best_mean) == pytest.approx(8.63)
    assert float(row.ours_best_sd) == pytest.approx(0.1)
    assert [float(row[f"ours_best_seed{seed}"]) for seed in (0, 1, 2)] == pytest.approx(
        [8.53, 8.63, 8.73]
    )
    assert (row.gpu_hours, row.cpu_hours) == ("6.0", "0.0")
    assert float(row.difference) == pytest.approx(0.0, abs=1e-9)
    # Three values: the bootstrap's interval is at most their range.
    assert 8.53 <= float(row.ours_best_low) < 8.63 < float(row.ours_best_high) <= 8.73
    assert float(frame.loc["msg-progan-lr0.001"].difference) == pytest.approx(5.0 - 8.24)
    percent = frame.loc["msg-progan-lr0.001"].difference_percent
    assert float(percent) == pytest.approx(100 * (5.0 - 8.24) / 8.24)
    assert frame.loc["msg-progan-lr0.01"].ours_best_low == ""  # two seeds have no interval
    assert row.scaled_down == ""
    assert row.comparable_with_paper == "yes"
    assert frame.loc["msg-progan-lr0.01"].ours_best_seed2 == ""
    assert len(row.runs.split(" ")) == 3
    assert "scaled down" not in markdown
    assert "8.63 ± 0.10 [8.53, 8.73]" in markdown
    reason = "left out: datasets.cifar10.path is not set"
    assert f"- cifar10-msg-progan-lr0.01, seed 2: not run: {reason}" in markdown


def measured_energy(tree, seed, *joule):
    """Writes into train.json of LR3's run that its attempts took so much; None: not measured."""
    path = tree.folder(LR3, seed) / "train.json"
    train = read_json(path)
    attempt = train["attempts"][0]
    train["attempts"] = [{**attempt, "energy_joule": value} for value in joule]
    write_json(path, train)


def test_energy_is_in_kwh_and_only_where_all_of_it_was_measured(paper, make_tree):
    paper({LR3: (8.63, (-0.1, 0.0))})
    tree = make_tree("paper")  # the same folder
    assert made_row(tree).energy_kwh is None
    measured_energy(tree, 0, 3.6e6, 1.8e6)
    assert made_row(tree).energy_kwh is None  # of one seed of two
    measured_energy(tree, 1, 7.2e6)
    assert made_row(tree).energy_kwh == pytest.approx(3.5)
    measured_energy(tree, 1, 7.2e6, None)
    assert made_row(tree).energy_kwh is None


def test_core_hours_count_every_thread(make_tree):
    tree = make_tree("smoke", {"tiers": {"smoke": {"defaults": {"training": {"num_threads": 3}}}}})
    tree.dataset()
    tree.train(LR3, seconds=7200.0)
    row = made_row(tree)
    assert (row.cpu_hours, row.gpu_hours) == (pytest.approx(6.0), 0.0)


def made_row(tree):
    """LR3's row of Table 3 by the records that are there."""
    table = build_table(collect(tree.benchmark, tree.layout), "table3")
    return next(row for row in table.rows if row.spec.experiment == LR3)


def test_a_cut_dataset_makes_the_paper_tier_scaled(make_tree):
    tree = make_tree("paper")
    tree.dataset(count=20_000)
    tree.real(value=11.24)
    frame, _ = make(tree)
    assert frame.loc["real-images"].verdict == "scaled"
    assert (
        "20,000 of the 50,000 published images of cifar10" in frame.loc["real-images"].scaled_down
    )


def test_another_learning_rate_than_printed_is_said(make_tree):
    tree = make_tree("paper", {"experiments": {LR3: {"optimizer": {"lr": 0.002}}}})
    frame, _ = make(tree)
    assert "learning rate 0.002 instead of 0.003" in frame.loc["msg-progan-lr0.003"].scaled_down
    assert frame.loc["msg-progan-lr0.001"].scaled_down == ""


def test_mini_is_scaled_even_with_inception(make_tree):
    tree = make_tree("mini")
    tree.dataset()
    tree.real(value=11.24)
    frame, _ = make(tree)
    assert frame.loc["real-images"].verdict == "scaled"
    assert frame.loc["real-images"].comparable_with_paper == "yes"


def test_the_same_records_give_the_same_bytes(make_tree):
    tree = make_tree("smoke").complete()
    out = tree.layout.table_csv("table3")
    make(tree)
    first = out.read_bytes(), out.with_suffix(".md").read_bytes()
    make(tree)
    assert (out.read_bytes(), out.with_suffix(".md").read_bytes()) == first


def test_unknown_table(make_tree):
    tree = make_tree("smoke")
    with pytest.raises(ResultsError) as caught:
        make(tree, "table4")
    assert str(caught.value) == "tables.table4: no such table; did you mean 'table3'?"


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.63, "8.63"), (116.417, "116.42"), (0.0, "0.00"), (0.0123, "0.012"), (-0.05, "-0.05")],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_fewer_than_three_seeds_are_shown_as_points():
    assert with_interval([], None) == "–"
    assert with_interval([4.0], None) == "4.00"
    assert with_interval([4.0, 5.0], None) == "4.00, 5.00"
    assert with_interval([4.0, 5.0, 6.0], Interval(4.1, 5.9)) == "5.00 ± 1.00 [4.10, 5.90]"


def brought(tree, name: str, **table: object) -> Table:
    """A table of the tree's benchmark as if config.yaml had it."""
    spec = TableSpec.model_validate({"title": "Any: thing", "protocol": "is2k_small", **table})
    benchmark = replace(tree.benchmark, tables={**tree.benchmark.tables, name: spec})
    return build_table(collect(benchmark, tree.layout, [name]), name)


def test_quoted_rows_show_the_paper_s_number_and_nothing_of_ours(make_tree) -> None:
    full = make_tree("smoke").complete()
    rows = [
        {"reference": "cifar10-lr-gan", "quoted": True},
        {"reference": "cifar10-msg-gan", "label": "ours", "experiment": LR3},
    ]
    table = brought(full, "v1", paper="arxiv-v1", numbers="table1", rows=rows)
    quoted, ours = table.rows
    assert (quoted.label, quoted.paper.printed, quoted.paper.origin) == (
        "LR-GAN [29]",
        "7.17",
        "quoted",
    )
    assert str(quoted.verdict) == "quoted"
    assert (quoted.best, quoted.final, quoted.runs, quoted.departures) == ([], [], (), ())
    assert (ours.label, ours.paper.printed, len(ours.best)) == ("ours", "7.63", 1)
    frame = table_frame(table, full.layout.root)
    assert frame["paper_is"].tolist() == ["7.17", "7.63"]
    assert frame["ours_best_mean"].isna().tolist() == [True, False]
    assert "| LR-GAN [29] | 7.17 | – | – |  |  |  |  |  | quoted |" in table_markdown(table)


def test_a_row_that_the_paper_does_not_have_has_a_dash(make_tree) -> None:
    full = make_tree("smoke").complete()
    table = brought(full, "own", rows=[{"label": "a row of ours", "experiment": LR3}])
    (row,) = table.rows
    assert (row.label, row.paper.printed, row.paper.value) == ("a row of ours", "-", None)
    assert str(row.verdict) == "scaled"
    assert table_frame(table, full.layout.root)["row"].tolist() == ["a row of ours"]


def test_a_table_outside_all_is_made_when_asked_for_and_needs_nothing_of_all(make_tree) -> None:
    tree = make_tree("smoke")
    tree.train(LR3)
    tree.evaluate(LR3)
    rows = [{"label": "a", "experiment": LR3}]
    table = brought(tree, "aside", in_all=False, rows=rows)
    assert len(table.rows[0].best) == 1
    benchmark = table.collection.benchmark
    assert "aside" not in benchmark.tables_of_all()
    assert benchmark.table_experiments(["aside"]) == (LR3,)
    assert set(figures_of(benchmark, ["aside"])) == {"aside", "aside-losses"}
    assert "aside" not in figures_of(benchmark, benchmark.tables_of_all())


def test_latex_is_escaped_and_has_a_row_for_each(make_tree) -> None:
    full = make_tree("smoke").complete()
    rows = [{"label": r"50 % of a_b & {c} \\ φ", "experiment": LR3}]
    text = table_latex(brought(full, "own", rows=rows))
    assert r"50 \% of a\_b \& \{c\} \textbackslash{}\textbackslash{} $\phi$ & " in text
    assert text.count("&") - text.count(r"\&") == 2 * (
        len(text.split(r"\toprule")[1].split(r"\\")[0].split("&")) - 1
    )
    assert "smoke tier: scaled down" in text
    assert r"\label{tab:own}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
