"""The report page: valid, complete without scripts or network, truthful about what is missing."""

from __future__ import annotations

import base64
import io
import math
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from msgbench.analysis import FIRST_TRAINING, figures_of
from msgbench.analysis.collect import Grid
from msgbench.analysis.figures import make_figures
from msgbench.analysis.report import make_report
from msgbench.analysis.report.pictures import GAP, TILE, contact_sheet, grid_thumbnail, moments
from msgbench.analysis.scale import counted
from msgbench.analysis.table_forms import make_table
from msgbench.analysis.tables import number
from msgbench.errors import ResultsError
from msgbench.layout import short
from msgbench.records import read_json, write_json

LR3 = "cifar10-msg-progan-lr0.003"
FIVE = "cifar10-five-minutes"
VOID = {"meta", "img", "br", "link", "input", "hr", "path", "use"}


class Page(HTMLParser):
    """Collects what the tests ask about; fails on tags that are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.html = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(self.html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag, f"</{tag}> at line {self.getpos()[0]}"

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.tags if attrs.get(name) is not None]


def everything(tree) -> Page:
    """Tables, figures and the page, as the workflow makes them."""
    layout = tree.layout
    for name in tree.benchmark.tables:
        make_table(tree.benchmark, layout, name, layout.table_csv(name))
    make_figures(tree.benchmark, layout, figures_of(tree.benchmark))
    return page(tree)


def page(tree) -> Page:
    return Page(make_report(tree.benchmark, tree.layout, tree.layout.report_html))


@pytest.fixture
def smoke(make_tree):
    """A complete smoke tier that the test may change."""
    return make_tree("smoke").complete(grids=True)


@pytest.fixture(scope="session")
def whole(tmp_path_factory, results_tree):
    """A complete smoke tier and its page, only to be read."""
    tree = results_tree(tmp_path_factory.mktemp("whole"), "smoke").complete(grids=True)
    return tree, everything(tree)


def test_ids_are_unique_and_every_link_leads_somewhere(whole):
    _, found = whole
    ids = found.attributes("id")
    assert len(ids) == len(set(ids)) > 10
    local = 0
    for href in found.attributes("href") + found.attributes("xlink:href"):
        parts = urlsplit(href)
        assert not parts.scheme
        assert not parts.netloc
        if parts.path:
            target = found.path.parent / unquote(parts.path)
            assert target.is_file(), href
            assert not Path(unquote(parts.path)).is_absolute()
            local += 1
        if parts.fragment:
            assert parts.fragment in ids, href
    # 5 scores of the table at least, 4 scales x 4 runs of grids, 8 files of tables and figures.
    assert local > 29
    for name in found.attributes("aria-labelledby"):
        assert name in ids


def test_nothing_comes_from_outside_and_nothing_runs(whole):
    _, found = whole
    assert "script" not in {tag for tag, _ in found.tags}
    assert all(not name.startswith("on") for _, attrs in found.tags for name in attrs)
    assert all(source.startswith("data:image/png;base64,") for source in found.attributes("src"))
    assert "link" not in {tag for tag, _ in found.tags}
    for word in ("@import", "url(http", "http://", "https://"):
        assert word not in found.html.replace("http://www.w3.org/", ""), word
    assert all(attrs.get("alt") for tag, attrs in found.tags if tag == "img")


def test_the_first_screen_of_a_scaled_tier_is_loud(whole):
    _, found = whole
    head = found.html[: found.html.index("<main>")]
    assert "smoke tier: scaled down (" in head
    assert "nothing here is a reproduction" in head
    for word in ("reproduced", "better", "worse"):
        assert f'class="verdict {word}"' not in found.html
    assert found.words.count("Scores by small-cifar10-v1 do not compare with the paper’s") == 1


def test_the_page_tells_what_was_run_and_what_it_gave(whole):
    tree, words = whole[0], whole[1].words
    total = tree.benchmark.experiment(LR3).schedule.total_nimg
    assert "4 of 4 trained, 4 experiments" in words
    assert f"{4 * total:,} in all" in words
    assert "0123456789ab" in words
    assert "Imaginary CPU 2.0 GHz" in words
    assert "2026-01-02 03:04 UTC" in words
    assert "2:24 training, all runs together" in words  # 4 x 36 s
    assert "4 of 4 runs end with a lower FID (fid2k_small) than their untrained generator." in words
    last = 300 - 200 * (1 - math.exp(-total / 2000))  # as the fixture writes the records
    assert (
        f"lr 0.003: FID from 300.00 (untrained) to {last:.2f}; pixel-Gaussian control 180.00."
        in words
    )
    # A sentence a method, and the level in two figures.
    assert words.count("pixel-Gaussian control 180.00") == 6
    assert "FID 180.00 by fid2k_small" in words  # in the section of the dataset
    assert "--protocols is2k_small,is2k_small_1split,fid2k_small,kid2k_small --tier smoke" in words
    for printed in ("11.34", "8.63", "8.24", "8.33", "7.92"):
        assert printed in words
    assert "snakemake --cores 2 table3 --config tier=smoke" in words
    assert f"msgbench plan {LR3} --seed 0 --set tier=smoke" in words
    assert "stand-in, drawn by msgbench" in words
    assert "torch 2.13.0" in words


def test_a_number_links_to_the_record_that_states_it(whole):
    tree, found = whole
    record = tree.folder(LR3) / "metrics" / "is2k_small" / f"{tree.lengths(LR3)[-1]:010d}.json"
    (row,) = [line for line in found.html.split("<tr>") if ">0.003</td>" in line]
    href = row.split('<td class="number ours"><a href="')[1].split('"')[0]
    assert (found.path.parent / href).resolve() == record.resolve()
    assert f">{read_json(record)['value']:.2f}</a>" in row


def test_an_empty_results_folder_has_a_page_too(make_tree):
    found = page(make_tree("smoke"))
    assert "0 of 4 trained" in found.words
    assert found.words.count("not planned") >= 8
    assert "No grids yet." in found.words
    assert "no records yet" in found.words
    assert found.attributes("src") == []


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


def test_without_other_runs_there_is_no_such_section(whole):
    assert "Other runs" not in whole[1].words


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


def test_runs_of_no_table_have_a_section_and_change_nothing_else(beside):
    tree, own = beside
    found = everything(tree)
    section = found.words.split("Runs of experiments that are in no table", 1)[1]
    section = section.split("Datasets", 1)[0]
    assert f"{FIVE}, seed 0" in section
    assert short(own.run(FIVE).fingerprint) in section
    threads = own.run(FIVE).spec.training.num_threads
    assert f"5:01 on cpu, {counted(threads, 'thread')}, 40.0 images/s" in section
    assert "66.60" in section
    assert "smoke tier: scaled down (" in section
    assert (
        f"snakemake --cores 2 {FIVE} --config tier=smoke 'datasets={{cifar10: {{path: PATH}}}}'"
        in section
    )
    assert "PATH is your copy of cifar10" in section
    assert "cifar10: 50,000 images" in section
    assert f"{FIRST_TRAINING}, seed 0" in section
    assert "not trained to the end, 9,600 of 100,000 images were shown" in section
    assert "an earlier one" not in section
    record = own.folder(FIVE) / "metrics" / "fid2k_small" / f"{own.lengths(FIVE)[-1]:010d}.json"
    assert f"{number(read_json(record)['value'])}</a>" in found.html
    ids = found.attributes("id")
    assert len(ids) == len(set(ids))
    # Tables and the first screen know the table's runs alone.
    assert "4 of 4 planned runs are trained and measured." in found.words
    assert "What is missing" not in found.words
    for path in (own.folder(FIVE), tree.folder(FIRST_TRAINING)):
        shutil.rmtree(path)
    assert "Other runs" not in everything(tree).words
    csv = tree.layout.table_csv("table3")
    assert FIVE not in csv.read_text()


def test_an_earlier_spec_is_called_so(beside, tmp_path, results_tree):
    tree, own = beside
    changed = {"tiers": {"smoke": {"experiments": {FIVE: {"optimizer": {"lr": 0.01}}}}}}
    later = results_tree(tmp_path, "smoke", changed)
    assert later.run(FIVE).fingerprint != tree.run(FIVE).fingerprint
    words = page(later).words
    assert words.count("an earlier one; config.yaml has changed since") == 1
    assert short(own.run(FIVE).fingerprint) in words


NASTY = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


def test_hostile_strings_stay_text(smoke):
    folder = smoke.folder(LR3)
    path = folder / "train.json"
    train = read_json(path)
    train["attempts"] = [{**train["attempts"][0], "ended": NASTY, "device": NASTY}] * 2
    train["provenance"] = {
        "commit": NASTY, "dirty": True, "host": NASTY, "cpu": NASTY, "platform": NASTY, "device": NASTY,
        "written": NASTY, "versions": {NASTY: NASTY},
    }  # fmt: skip
    write_json(path, train)
    record_path = folder / "metrics" / "is2k_small" / f"{0:010d}.json"
    record = read_json(record_path)
    record["extractor"] = {"name": NASTY, "sha256": NASTY}
    write_json(record_path, record)
    table = smoke.benchmark.tables["table3"]
    smoke.benchmark.tables["table3"] = table.model_copy(update={"title": NASTY})
    found = everything(smoke)
    assert "script" not in {tag for tag, _ in found.tags}
    assert all(not name.startswith("on") for _, attrs in found.tags for name in attrs)
    assert found.words.count(NASTY) >= 6
    assert "'&49" not in found.words  # and is no template


def test_strange_folder_names_are_quoted_in_links(make_tree, tmp_path):
    tree = make_tree("smoke").complete(grids=True)
    everything(tree)
    moved = tmp_path / "a #1 & 100% <b>"
    shutil.move(tmp_path / "results", moved)
    found = Page(moved / "smoke" / "report" / "index.html")
    for href in found.attributes("href"):
        if urlsplit(href).path:
            assert (found.path.parent / unquote(urlsplit(href).path)).is_file()


def test_the_same_records_give_the_same_page(whole):
    tree, found = whole
    assert page(tree).html == found.html


def test_wrong_records_stop_the_page(smoke):
    path = smoke.folder(LR3) / "train.json"
    write_json(path, {**read_json(path), "schema": "other"})
    with pytest.raises(ResultsError, match="schema is 'other'"):
        page(smoke)


# ---- pictures


def pixels_of(thumbnail):
    data = base64.b64decode(thumbnail.uri.partition(",")[2])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (thumbnail.width, thumbnail.height)
        return np.asarray(picture)


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("scale", [4, 8, 16, 32, 64])
def test_low_resolutions_are_enlarged_without_a_change(tmp_path, scale):
    rng = np.random.default_rng(scale)
    grid = rng.integers(0, 256, (6 * scale, 6 * scale, 3), np.uint8)
    shown = pixels_of(grid_thumbnail(Grid(0, scale, save(tmp_path / "g.png", grid))))
    assert shown.shape == (2 * TILE + GAP, 4 * TILE + 3 * GAP, 4)
    step, factor = TILE + GAP, TILE // scale
    for row, column in [(0, 0), (1, 3)]:
        tile = shown[row * step : row * step + TILE, column * step : column * step + TILE]
        image = grid[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
        assert (tile[..., :3] == image.repeat(factor, 0).repeat(factor, 1)).all()
        assert (tile[..., 3] == 255).all()
    assert (shown[TILE : TILE + GAP, :, 3] == 0).all()


def test_high_resolutions_are_averaged(tmp_path):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    shown = pixels_of(grid_thumbnail(Grid(0, 128, save(tmp_path / "g.png", stripes))))
    assert shown.shape == (2 * TILE + GAP, 2 * TILE + GAP, 4)
    assert (shown[:TILE, :TILE, :3] == 100).all()


def test_a_picture_that_is_no_grid_is_refused(tmp_path):
    path = save(tmp_path / "g.png", np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(ResultsError, match="is 10x10 pixels, no grid of images of 4 pixels"):
        grid_thumbnail(Grid(0, 4, path))
    path.write_text("no picture")
    with pytest.raises(ResultsError, match="cannot be read as a picture"):
        grid_thumbnail(Grid(0, 4, path))


def test_contact_sheet(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    shown = pixels_of(contact_sheet(tmp_path / "images.npy"))
    step = TILE + GAP
    assert shown.shape == (3 * step - GAP, 16 * step - GAP, 4)
    assert (shown[step : step + TILE : 2, :TILE:2, :3] == images[16]).all()
    np.save(tmp_path / "few.npy", images[:3])
    assert pixels_of(contact_sheet(tmp_path / "few.npy")).shape == (TILE, 3 * step - GAP, 4)
    assert contact_sheet(tmp_path / "none.npy") is None
    np.save(tmp_path / "flat.npy", images.reshape(100, -1))
    with pytest.raises(ResultsError, match="no RGB images"):
        contact_sheet(tmp_path / "flat.npy")


@pytest.mark.parametrize(
    ("lengths", "most", "chosen"),
    [
        ([0, 1, 2], 6, [0, 1, 2]),
        ([], 6, []),
        (list(range(11)), 6, [0, 2, 4, 6, 8, 10]),
        (list(range(100)), 3, [0, 50, 99]),
        ([5, 5, 1], 6, [1, 5]),
    ],
)
def test_moments_keep_the_first_and_the_last(lengths, most, chosen):
    assert moments(lengths, most) == chosen


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
    before = page(smoke).words
    write_json(
        folder / "retention.json", {"schema": "msgbench.retention/1", "run": "", "deleted": deleted}
    )
    found = page(smoke)
    count = len(train["snapshots"])
    said = f"{count - 1} of {count} snapshots deleted after measuring"
    assert said in found.words
    assert any(href.endswith("retention.json") for href in found.attributes("href"))
    without = found.words.replace(f"{said} ", "").replace("retention , ", "")
    assert without == before
