"""The pages of the report: valid, complete without scripts or network, truthful about what is missing."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from msgbench.analysis import FIRST_TRAINING, figures_of
from msgbench.analysis.figures import make_figures
from msgbench.analysis.report import make_report
from msgbench.analysis.scale import counted
from msgbench.analysis.table_forms import make_table
from msgbench.analysis.tables import number
from msgbench.errors import ResultsError
from msgbench.layout import short
from msgbench.protocols import get_protocol
from msgbench.records import read_json, write_json

from .reading import Page, pages_in

LR3 = "cifar10-msg-progan-lr0.003"
FIVE = "cifar10-five-minutes"


def everything(tree) -> Page:
    """Tables, figures and the page, as the workflow makes them."""
    layout = tree.layout
    for name in tree.benchmark.tables:
        make_table(tree.benchmark, layout, name, layout.table_csv(name))
    make_figures(tree.benchmark, layout, figures_of(tree.benchmark))
    return page(tree)


def page(tree) -> Page:
    """The first page."""
    return Page(make_report(tree.benchmark, tree.layout))


def page_of_run(tree, experiment: str, seed: int = 0) -> Page:
    fingerprint = short(tree.run(experiment, seed).fingerprint)
    folder = tree.layout.report_html.parent / "runs"
    return Page(folder / f"{experiment}-{fingerprint}-seed{seed}.html")


@pytest.fixture
def smoke(make_tree):
    """A complete smoke tier that the test may change."""
    return make_tree("smoke").complete(grids=True)


@pytest.fixture(scope="session")
def whole(tmp_path_factory, results_tree):
    """A complete smoke tier and its page, only to be read."""
    tree = results_tree(tmp_path_factory.mktemp("whole"), "smoke").complete(grids=True)
    return tree, everything(tree)


def check_links(pages: dict[str, Page], results: Path) -> int:
    """Every link of every page leads to a file below `results`, and to a place that is there; returns how many."""
    checked = 0
    by_path = {page.path.resolve(): page for page in pages.values()}
    for name, found in pages.items():
        ids = found.attributes("id")
        assert len(ids) == len(set(ids)), name
        assert all(label in ids for label in found.attributes("aria-labelledby")), name
        for href in (*found.attributes("href"), *found.attributes("src")):
            parts = urlsplit(href)
            if parts.scheme == "data":
                continue
            assert not parts.scheme, (name, href)
            assert not parts.netloc, (name, href)
            target = found.target(href)
            assert target.is_file(), (name, href)
            assert target.is_relative_to(results.resolve()), (name, href)
            if parts.fragment:
                assert parts.fragment in by_path[target].attributes("id"), (name, href)
            checked += 1
    return checked


def test_ids_are_unique_and_every_link_leads_somewhere(whole):
    tree, found = whole
    pages = pages_in(found.path.parent)
    assert len(pages) == 3 + 4 + 1  # index, protocols, missing; runs; dataset
    # At least 4 runs with 4 protocols of 4 snapshots, 4 scales x 4 moments of grids, and the numbers of the index.
    assert check_links(pages, tree.layout.root) > 4 * 16 * 2 + 30


def test_nothing_comes_from_outside_and_scripts_are_the_report_s_own(whole):
    _, first = whole
    for name, found in pages_in(first.path.parent).items():
        scripts = [attrs for tag, attrs in found.tags if tag == "script"]
        assert [found.target(attrs["src"]) for attrs in scripts] == [
            (first.path.parent / "assets" / "report.js").resolve()
        ], name
        assert all(not a.startswith("on") for _, attrs in found.tags for a in attrs), name
        assert "http" not in found.html.replace("http-equiv", ""), name
        assert all(attrs.get("alt") for tag, attrs in found.tags if tag == "img"), name
    for name in ("style.css", "report.js"):
        text = (first.path.parent / "assets" / name).read_text()
        text = text.replace("http://www.w3.org/2000/svg", "")
        for word in ("@import", "url(", "http:", "https:", "fetch(", "XMLHttpRequest", "innerHTML"):
            assert word not in text, (name, word)


def test_pages_say_what_they_are_without_the_script(whole):
    """Nothing is hidden until a script shows it, and nothing that only a script can work is on a page."""
    for name, found in pages_in(whole[1].path.parent).items():
        tags = {tag for tag, _ in found.tags}
        assert not tags & {"button", "input", "dialog", "template", "noscript"}, name
        assert not any("hidden" in attrs for _, attrs in found.tags), name


def test_the_first_screen_of_a_scaled_tier_is_loud(whole):
    _, found = whole
    head = found.words.split("What was run")[0]
    assert "smoke tier: scaled down; nothing here is a reproduction." in head
    assert "4,000 images drawn by msgbench in place of cifar10" in head
    for word in ("reproduced", "better", "worse"):
        assert f'class="verdict {word}"' not in found.html
    assert found.words.count("Scores by small-cifar10-v1 do not compare with the paper’s") == 1


def test_the_first_screen_tells_of_every_table_and_claim(whole):
    tree, found = whole
    summary = found.words.split("What was run", 1)[1].split("Run it again")[0]
    title = tree.benchmark.tables["table3"].title
    assert re.search(rf"{re.escape(title)} 5 of 5 IS [\d.]+ 7.92–8.63 5 scaled", summary)
    assert "The claims are not assessed yet" in summary


def test_the_page_tells_what_was_run_and_what_it_gave(whole):
    tree, words = whole[0], whole[1].words
    total = tree.benchmark.experiment(LR3).schedule.total_nimg
    assert "4 of 4 trained, 4 experiments" in words
    assert f"{4 * total:,} in all" in words
    assert "0123456789ab" in words
    (dataset,) = (
        page for name, page in pages_in(whole[1].path.parent).items() if "datasets/" in name
    )
    run = page_of_run(tree, LR3)
    assert "Imaginary CPU 2.0 GHz" in words
    assert "2026-01-02 03:04 UTC" in words
    assert "2:24 training, all runs together" in words  # 4 x 36 s
    assert "4 of 4 runs end with a lower FID (fid2k_small) than their untrained generator." in words
    last = 300 - 200 * (1 - math.exp(-total / 2000))  # as the fixture writes the records
    assert (
        f"lr 0.003: FID from 300.00 (untrained) to {last:.2f}; pixel-Gaussian control 180.00."
        in words
    )
    assert words.count("pixel-Gaussian control 180.00") == 4  # a sentence a method
    version = get_protocol("fid2k_small").version
    assert f"the pixel-Gaussian control fid2k_small version {version} FID 180.00" in dataset.words
    assert (
        "--protocols is2k_small,is2k_small_1split,fid2k_small,kid2k_small --tier smoke"
        in dataset.words
    )
    for printed in ("11.34", "8.63", "8.24", "8.33", "7.92"):
        assert printed in words
    assert "snakemake --cores 2 table3 --config tier=smoke" in words
    assert f"msgbench plan {LR3} --seed 0 --set tier=smoke" in run.words
    assert "stand-in, drawn by msgbench" in words
    assert "torch 2.13.0" in words
    assert "torch 2.13.0" in run.words
    assert "0:36 on cpu" in run.words
    assert "Core-hours 0.01" in run.words  # 36 s on one thread


def test_a_number_leads_to_its_record_its_run_its_spec_and_its_commit(whole):
    tree, found = whole
    record = tree.folder(LR3) / "metrics" / "is2k_small" / f"{tree.lengths(LR3)[-1]:010d}.json"
    (row,) = [line for line in found.html.split("<tr>") if ">0.003</td>" in line]
    href = row.split('<td class="number ours"><a href="')[1].split('"')[0]
    assert f">{read_json(record)['value']:.2f}</a>" in row
    run = page_of_run(tree, LR3)
    assert found.target(href) == run.path.resolve()
    (shown,) = [
        line
        for line in run.html.split("<tr id=")
        if line.startswith(f'"{urlsplit(href).fragment}"')
    ]
    assert repr(read_json(record)["value"]) in shown
    assert "0123456789ab" in shown
    assert run.target(shown.split('<a href="')[1].split('"')[0]) == record.resolve()
    leads = {run.target(href) for href in run.attributes("href")}
    assert (tree.folder(LR3) / "spec.json").resolve() in leads
    assert (found.path.parent / "datasets" / "cifar10.html").resolve() in leads


def test_the_page_of_a_run_has_everything_about_it(whole):
    tree, _ = whole
    found = page_of_run(tree, LR3)
    assert re.findall(r"<h2[^>]*>([^<]*)<", found.html) == [
        "What it is", "Scores", "Curves", "Grids over time", "Records", "Spec", "Environment", "Cost", "Attempts",
        "End of the log", "Run it again",
    ]  # fmt: skip
    charts = [attrs["data-y"] for tag, attrs in found.tags if tag == "svg"]
    assert charts == [
        "FID", "IS", "critic loss", "generator loss", "gradient penalty", "images per second",
    ]  # fmt: skip
    spec = tree.run(LR3).spec
    assert f"lr {spec.optimizer.lr}" in found.words
    assert f"total_kimg {spec.training.total_kimg}" in found.words
    pictures = [attrs["src"] for tag, attrs in found.tags if tag == "img"]
    assert len(pictures) == 4 * len(tree.lengths(LR3))
    assert all(found.target(src).is_file() for src in pictures)
    assert f"0 {spec.schedule.total_nimg:,} 0:36 cpu laptop finished" in found.words


def test_an_empty_results_folder_has_a_page_too(make_tree):
    tree = make_tree("smoke")
    found = page(tree)
    assert "0 of 4 trained" in found.words
    assert found.words.count("not planned") >= 8
    assert "no records yet" in found.words
    assert [attrs for tag, attrs in found.tags if tag == "img"] == []
    run = page_of_run(tree, LR3)
    for sentence in (
        "Not complete: not planned.",
        "No grids yet.",
        "No records yet.",
        "There is no log.",
    ):
        assert sentence in run.words
    pages = pages_in(found.path.parent)
    assert "4 without a complete result" in pages["missing.html"].words
    assert "not prepared" in pages["datasets/cifar10.html"].words
    check_links(pages, tree.layout.root)


def test_a_partial_benchmark_names_what_is_missing(make_tree):
    tree = make_tree("smoke")
    tree.dataset()
    tree.train(LR3)
    tree.grids(LR3)
    tree.evaluate(LR3)
    tree.stats("cifar10-msg-progan-lr0.001", until=800)
    tree.plan("cifar10-msg-progan-lr0.001")
    found = everything(tree)
    assert "1 of 4 planned runs are trained and measured." in found.words
    assert "What is missing" in found.words
    assert "run cifar10-msg-progan-lr0.001, seed 0 : not trained to the end, 800 of" in found.words
    assert "real images of cifar10 : prepared, not measured" in found.words


def test_the_paper_tier_has_verdicts_and_no_statement(make_tree):
    tree = make_tree("paper")
    tree.dataset()
    tree.real(value=11.24)
    for experiment in tree.benchmark.table_experiments():
        for seed in (0, 1, 2):
            tree.train(experiment, seed, device="NVIDIA H200")
            tree.evaluate(experiment, seed, scores=lambda protocol, nimg, s=seed: 8.3 + s / 10)
    found = everything(tree)
    assert found.html.count('<span class="verdict reproduced">reproduced</span>') == 5
    assert "5 reproduced" in found.words
    assert "scaled down" not in found.words
    assert "NVIDIA H200" in found.words
    assert "8.40 ± 0.10" in found.words
    assert found.words.count("seed 2:") == 8  # best and final of four rows


def test_without_other_runs_none_is_listed(whole):
    assert "in no table" not in whole[1].words.replace("Runs “in no table”", "")


@pytest.fixture
def beside(tmp_path, results_tree):
    """A complete smoke tier, and beside its table a run on real images and the start of another one."""
    tree = results_tree(tmp_path, "smoke").complete()
    own = results_tree(tmp_path, "smoke", {"datasets": {"cifar10": {"path": "/data/cifar-10"}}})
    own.dataset()
    own.real(control=66.6)
    own.train(FIVE, seconds=301.0)
    own.grids(FIVE)
    own.evaluate(FIVE)
    tree.plan(FIRST_TRAINING)
    tree.stats(FIRST_TRAINING, until=9600)
    return tree, own


def test_runs_of_no_table_have_a_page_and_change_nothing_else(beside):
    tree, own = beside
    found = everything(tree)
    run = page_of_run(own, FIVE)
    assert "in no table" in run.words
    assert short(own.run(FIVE).fingerprint) in run.words
    threads = own.run(FIVE).spec.training.num_threads
    assert f"5:01 on cpu, {counted(threads, 'thread')}, 40.0 images/s" in run.words
    assert "66.60" in run.words
    assert "smoke tier: scaled down (" in run.words
    assert (
        f"snakemake --cores 2 {FIVE} --config tier=smoke 'datasets={{cifar10: {{path: PATH}}}}'"
        in run.words
    )
    assert "PATH is your copy of cifar10" in run.words
    (store,) = {run.target(href) for href in run.attributes("href") if "datasets/" in href}
    assert "50,000 of 32 x 32 pixels" in Page(store).words
    begun = page_of_run(tree, FIRST_TRAINING)
    assert "not trained to the end, 9,600 of 100,000 images were shown" in begun.words
    assert "an earlier one" not in begun.words + run.words
    record = own.folder(FIVE) / "metrics" / "fid2k_small" / f"{own.lengths(FIVE)[-1]:010d}.json"
    assert f"{number(read_json(record)['value'])}</a>" in run.html
    check_links(pages_in(found.path.parent), tree.layout.root)
    # Tables and the first screen know the table's runs alone.
    assert (
        found.words.count("in no table") == 2 + 1
    )  # two lines of the list of runs, and what that means
    assert "4 of 4 planned runs are trained and measured." in found.words
    assert "What is missing" not in found.words
    for path in (own.folder(FIVE), tree.folder(FIRST_TRAINING)):
        shutil.rmtree(path)
    assert FIVE not in everything(tree).words
    # Pages of runs that are gone are gone.
    assert not run.path.exists()
    csv = tree.layout.table_csv("table3")
    assert FIVE not in csv.read_text()


def test_an_earlier_spec_is_called_so(beside, tmp_path, results_tree):
    tree, own = beside
    changed = {"tiers": {"smoke": {"experiments": {FIVE: {"optimizer": {"lr": 0.01}}}}}}
    later = results_tree(tmp_path, "smoke", changed)
    assert later.run(FIVE).fingerprint != tree.run(FIVE).fingerprint
    page(later)
    assert (
        "Its spec is an earlier one; config.yaml has changed since." in page_of_run(own, FIVE).words
    )


NASTY = "</style></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


def nasty_everywhere(tree) -> None:
    """Markup in every text that comes from a file: records, provenance, logs, jobs, titles, claims, figures."""
    folder = tree.folder(LR3)
    path = folder / "train.json"
    train = read_json(path)
    train["attempts"] = [
        {**train["attempts"][0], "ended": NASTY, "device": NASTY, "host": NASTY}
    ] * 2
    train["provenance"] = {
        "commit": NASTY, "dirty": True, "host": NASTY, "cpu": NASTY, "platform": NASTY, "device": NASTY,
        "written": NASTY, "versions": {NASTY: NASTY},
    }  # fmt: skip
    write_json(path, train)
    record_path = folder / "metrics" / "is2k_small" / f"{0:010d}.json"
    record = read_json(record_path)
    record["extractor"] = {"name": NASTY, "sha256": NASTY}
    record["provenance"] = train["provenance"]
    record["parts"] = {NASTY: 1.0}
    record["sample_set"]["checksum"] = NASTY
    write_json(record_path, record)
    for name in ("train.log", f"{NASTY.replace('/', '_')}.log"):
        (folder / "logs").mkdir(exist_ok=True)
        (folder / "logs" / name).write_text(
            f"{NASTY}\n{NASTY}\x1b[31m \udcff\n", errors="surrogateescape"
        )
    table = tree.benchmark.tables["table3"]
    tree.benchmark.tables["table3"] = table.model_copy(update={"title": NASTY})
    store = tree.dataset()
    real = read_json(store / "real.json")
    real["floors"] = [{**real["records"][0], "floor": NASTY}]
    write_json(store / "real.json", real)
    (store / "sheets").mkdir()
    picture = store / "sheets" / f"{NASTY.replace('/', '_')}#?%.png"
    shutil.copy(next(folder.glob("grids/*.png")), picture)
    (store / "summary.csv").write_text(
        "quantity,outcome,from,below,photographs,kept\n"
        f'outcome,"{NASTY.replace(chr(34), chr(34) * 2)}",,,5,5\n'
        f'"{NASTY.replace(chr(34), chr(34) * 2)}",,0,,5,2\n'
    )
    claim = dict.fromkeys(
        ("id", "paper", "place", "quote", "title", "test", "verdict", "reason"), NASTY
    )
    evidence = [{"what": NASTY, "value": 1.0, "unit": NASTY, "source": NASTY}]
    write_json(tree.layout.claims_json, {"claims": [{**claim, "evidence": evidence}]})
    figures = tree.layout.figure("x").parent
    write_json(
        figures / "nasty.json",
        {"name": NASTY, "title": NASTY, "paper": NASTY, "figure": NASTY, "table": NASTY, "caption": NASTY,
         "alt": NASTY, "statement": NASTY, "missing": [NASTY], "files": {}, "sources": [NASTY]},
    )  # fmt: skip


def test_hostile_strings_stay_text(smoke):
    nasty_everywhere(smoke)
    found = page(smoke)
    pages = pages_in(found.path.parent)
    for name, each in pages.items():
        assert [tag for tag, _ in each.tags].count("script") == 1, name  # the report's own
        assert all(not a.startswith("on") for _, attrs in each.tags for a in attrs), name
        assert "'&49" not in each.words, name  # and is no template
        assert {"x"} & set(each.attributes("src")) == set(), name
    plain = " ".join(NASTY.split())
    run, dataset = page_of_run(smoke, LR3), pages["datasets/cifar10.html"]
    for each, least in ((found, 12), (run, 12), (dataset, 3), (pages["missing.html"], 2)):
        assert each.words.count(plain) >= least, each.path
    check_links(pages, smoke.layout.root)


def test_strange_folder_names_are_quoted_in_links(make_tree, tmp_path):
    tree = make_tree("smoke").complete(grids=True)
    everything(tree)
    moved = tmp_path / "a #1 & 100% <b>"
    shutil.move(tmp_path / "results", moved)
    assert check_links(pages_in(moved / "smoke" / "report"), moved / "smoke") > 150


def test_the_same_records_give_the_same_page(whole):
    tree, found = whole
    assert page(tree).html == found.html


def test_wrong_records_stop_the_page(smoke):
    path = smoke.folder(LR3) / "train.json"
    write_json(path, {**read_json(path), "schema": "other"})
    with pytest.raises(ResultsError, match="schema is 'other'"):
        page(smoke)


def test_deleted_snapshots_are_told_and_their_scores_stay(smoke):
    folder = smoke.folder(LR3)
    train = read_json(folder / "train.json")
    last = train["snapshots"][-1]
    last_file = folder / last["file"]
    last_file.parent.mkdir(parents=True)
    last_file.write_bytes(b"kept")
    deleted = [
        {
            "file": entry["file"], "cur_nimg": entry["cur_nimg"], "kimg": entry["cur_nimg"] / 1000,
            "sha256": entry["sha256"], "bytes": 1, "why": "evaluation.keep is final", "measured_by": ["is2k_small/1"],
            "written": "2026-01-02T03:04:05Z",
        }
        for entry in train["snapshots"][:-1]
    ]  # fmt: skip
    page(smoke)
    before = page_of_run(smoke, LR3).words
    write_json(
        folder / "retention.json", {"schema": "msgbench.retention/1", "run": "", "deleted": deleted}
    )
    page(smoke)
    found = page_of_run(smoke, LR3)
    count = len(train["snapshots"])
    said = f"{count - 1} of {count} snapshots deleted after measuring"
    assert said in found.words
    assert any(href.endswith("retention.json") for href in found.attributes("href"))
    without = found.words.replace(said, f"{count} taken").replace("retention.json · ", "")
    assert without == before
