"""Published records and the walkthrough made from them: true to the records, no local names, real images only."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msgbench.analysis import FIRST_TRAINING
from msgbench.analysis.first_training import make_walkthrough
from msgbench.analysis.in_step import require_walkthrough
from msgbench.analysis.published import CROP_COLUMNS, CROP_ROWS, MOST_LOSSES, Published, publish
from msgbench.analysis.report.pictures import GAP, TILE
from msgbench.analysis.tables import number
from msgbench.errors import ResultsError
from msgbench.layout import REAL_JSON, record_file
from msgbench.records import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent.parent
OWN_COPY = {"datasets": {"cifar10": {"path": "/home/somebody/cifar-10"}}}
PROTOCOLS = ("is2k_small", "is2k_small_1split", "fid2k_small", "kid2k_small")


@pytest.fixture
def tree(make_tree):
    """The first training on real images, trained and measured."""
    tree = make_tree("smoke", OWN_COPY)
    tree.dataset()
    tree.real()
    tree.train(FIRST_TRAINING, seconds=1207.0)
    tree.grids(FIRST_TRAINING)
    tree.evaluate(FIRST_TRAINING)
    return tree


def published(tree) -> Path:
    (out,) = publish(tree.benchmark, tree.layout, FIRST_TRAINING)
    assert out == tree.layout.published_json(FIRST_TRAINING)
    return out


@pytest.fixture
def walkthrough(tree, tmp_path):
    """(tree, published JSON, page)."""
    records = published(tree)
    return tree, records, make_walkthrough(records, tmp_path / "docs" / "first-training.md")


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    below = page.split(f"## {heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    lines = table[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_number_is_that_of_its_record(walkthrough):
    tree, _, path = walkthrough
    page, folder = path.read_text(), tree.folder(FIRST_TRAINING)
    rows = rows_of(page, "Numbers")
    lengths = tree.lengths(FIRST_TRAINING)
    assert [row[0] for row in rows[:-2]] == ["0 (untrained)", *(f"{n:,}" for n in lengths[1:])]
    for nimg, row in zip(lengths, rows[:-2], strict=True):
        values = [read_json(folder / record_file(p, nimg))["value"] for p in PROTOCOLS]
        assert row[2:] == [number(value) for value in values]
    real = read_json(
        tree.layout.dataset_dir("cifar10", tree.benchmark.dataset("cifar10").fingerprint)
        / REAL_JSON
    )
    controls = {r["protocol"]["name"]: number(r["value"]) for r in real["controls"]}
    assert rows[-2] == ["pixel-Gaussian control", "", *(controls[p] for p in PROTOCOLS)]
    images = {r["protocol"]["name"]: number(r["value"]) for r in real["records"]}
    assert rows[-1] == ["real images", "", *(images.get(p, "–") for p in PROTOCOLS)]
    assert set(images) == {"is2k_small", "is2k_small_1split"}

    assert "\nWhat 20 minutes 7 seconds of training on 1 thread of a CPU give: " in page
    facts = dict(rows_of(page, "What was trained"))
    train = read_json(folder / "train.json")
    total = tree.lengths(FIRST_TRAINING)[-1]
    assert facts["Training time"] == "20:07 (1,207 s), 40.0 images/s"
    assert facts["Images shown"] == f"{total:,} in batches of 16"
    assert train["seconds"] == 1207.0
    assert facts["Hardware"] == "Imaginary CPU 2.0 GHz"
    assert "instead of 12M" in facts["Smaller than the paper"]
    assert "channels instead of 512" in facts["Smaller than the paper"]
    origin = dict(rows_of(page, "Where it comes from"))
    assert train["fingerprint"] in origin["Spec"]
    assert "0123456789ab" in origin["Commit"]
    assert f"{'e' * 64}" in origin["Extractor"]
    assert "torch 2.13.0" in origin["Versions"]


def test_the_page_says_that_it_is_scaled_down_and_how_to_make_it(walkthrough):
    _, _, path = walkthrough
    page = path.read_text()
    assert "**Scaled down; nothing here is a reproduction of the paper.**" in page
    assert "compare only with scores by it, never with the paper's" in page
    command = (
        "snakemake --cores 2 first_training --config tier=smoke 'datasets={cifar10: {path: PATH}}'"
    )
    assert f"\n    {command}\n" in page


@pytest.mark.parametrize(("control", "side"), [(180.0, "below"), (20.0, "not below")])
def test_the_page_says_on_which_side_of_the_control_it_ended(tree, tmp_path, control, side):
    tree.real(control=control)
    page = make_walkthrough(published(tree), tmp_path / "p.md").read_text()
    folder, end = tree.folder(FIRST_TRAINING), tree.lengths(FIRST_TRAINING)[-1]
    start, last = (read_json(folder / record_file("fid2k_small", n))["value"] for n in (0, end))
    assert (
        f"FID goes from {number(start)} (untrained) to {number(last)}, {100 * last / start:.1f} % of the untrained "
        f"generator's and {side} the pixel-Gaussian control's {number(control)}."
    ) in page


def test_nothing_local_is_published(walkthrough):
    tree, records, path = walkthrough
    for text in (records.read_text(), path.read_text()):
        for word in ("laptop", "/home", "somebody", str(tree.layout.results), "Linux-6.1"):
            assert word not in text
        assert "Imaginary CPU 2.0 GHz" in text
    # Links are relative and lead to files.
    links = re.findall(r"\]\(([^)]+)\)", path.read_text())
    assert len(links) > 20
    for link in links:
        assert not link.startswith(("/", "http"))
        assert (path.parent / link).is_file(), link


def test_the_same_records_give_the_same_files(walkthrough, tmp_path):
    _, records, path = walkthrough
    before = {file: file.read_bytes() for file in path.with_suffix("").iterdir()}
    text = path.read_text()
    make_walkthrough(records, path)
    assert path.read_text() == text
    assert {file: file.read_bytes() for file in path.with_suffix("").iterdir()} == before


def test_publishing_again_changes_nothing_and_leaves_nothing_old(walkthrough):
    tree, records, path = walkthrough
    content = records.read_bytes()
    old = [records.with_suffix("") / "old.png", path.with_suffix("") / "old.png"]
    for file in old:
        file.write_bytes(b"")
    assert published(tree).read_bytes() == content
    make_walkthrough(records, path)
    assert not any(file.exists() for file in old)


def test_pictures_are_enlarged_pixel_by_pixel_and_small(walkthrough):
    """The tree's grids are noise, which is the largest that a PNG can become."""
    tree, records, path = walkthrough
    folder = path.with_suffix("")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 600_000
    assert sum(file.stat().st_size for file in records.with_suffix("").iterdir()) < 350_000
    end = tree.lengths(FIRST_TRAINING)[-1]
    grid = tree.folder(FIRST_TRAINING) / "grids" / f"grid-{end:010d}-0008px.png"
    with Image.open(grid) as picture:
        whole = np.asarray(picture)
    with Image.open(folder / f"samples-{end:010d}-0008px.png") as picture:
        shown = np.asarray(picture)
    step = TILE + GAP
    assert shown.shape == (CROP_ROWS * step - GAP, CROP_COLUMNS * step - GAP, 4)
    tile = shown[step : step + TILE, 3 * step : 3 * step + TILE, :3]
    assert (tile == whole[8:16, 24:32].repeat(8, 0).repeat(8, 1)).all()
    with Image.open(folder / f"grid-{end:010d}-0032px.png") as picture:
        assert picture.size == (6 * 32 * 3, 6 * 32 * 3)


def test_losses_are_thinned_means(walkthrough):
    tree, records, _ = walkthrough
    content = Published.read(records)
    assert 0 < len(content.losses["cur_nimg"]) <= MOST_LOSSES
    lines = (tree.folder(FIRST_TRAINING) / "stats.jsonl").read_text().splitlines()
    first = [json.loads(line)["loss_d"] for line in lines[: content.losses_lines]]
    # Published with seven digits.
    assert content.losses["loss_d"][0] == pytest.approx(sum(first) / len(first), rel=1e-6)


def test_drawn_images_are_not_published(make_tree):
    tree = make_tree("smoke")
    tree.dataset()
    tree.real()
    tree.train(FIRST_TRAINING)
    tree.evaluate(FIRST_TRAINING)
    with pytest.raises(ResultsError) as caught:
        published(tree)
    assert str(caught.value) == (
        f"{FIRST_TRAINING}: its images are drawn by msgbench in place of cifar10, which is not published; name your "
        "copy at datasets.cifar10.path"
    )
    assert not tree.layout.published_json(FIRST_TRAINING).exists()


def test_an_unfinished_run_is_not_published(make_tree):
    tree = make_tree("smoke", OWN_COPY)
    tree.dataset()
    with pytest.raises(ResultsError, match=r"seed 0: cannot be published, it is not planned$"):
        published(tree)
    tree.train(FIRST_TRAINING)
    tree.evaluate(FIRST_TRAINING)
    with pytest.raises(
        ResultsError, match=r"the control of cifar10 is not measured by is2k_small$"
    ):
        published(tree)


def test_other_pictures_and_broken_records_are_refused(walkthrough, tmp_path):
    _, records, path = walkthrough
    picture = next(iter(sorted(records.with_suffix("").iterdir())))
    sound = picture.read_bytes()
    picture.write_bytes(sound + b"\0")
    with pytest.raises(ResultsError, match=r"is not the picture that .*\.json lists$"):
        make_walkthrough(records, path)
    picture.unlink()
    with pytest.raises(ResultsError, match="cannot be read"):
        make_walkthrough(records, path)
    content = read_json(records)
    write_json(records, {**content, "schema": "other"})
    with pytest.raises(ResultsError) as caught:
        make_walkthrough(records, path)
    assert str(caught.value) == (
        f"{records}: are no valid published records (schema has a wrong value); "
        "make them with `msgbench publish`"
    )
    other = tmp_path / "README.md"
    other.write_text("# A page\n")
    with pytest.raises(ResultsError) as caught:
        make_walkthrough(other, path)
    assert str(caught.value) == (
        f"{other}: are no valid published records (it is not JSON); make them with `msgbench publish`"
    )
    with pytest.raises(ResultsError) as caught:
        make_walkthrough(tmp_path, path)
    assert str(caught.value) == f"{tmp_path}: cannot be read (Is a directory)"
    with pytest.raises(
        ResultsError, match="no such published records; make them with `msgbench publish`"
    ):
        make_walkthrough(tmp_path / "none.json", path)


def test_the_page_of_the_repository_is_that_of_its_published_records():
    """After a change of the page: `msgbench walkthrough results/published/... --out docs/first-training.md`."""
    page = ROOT / "docs" / "first-training.md"
    records = ROOT / "results" / "published" / f"{FIRST_TRAINING}.json"
    assert page.exists() == records.exists()
    if page.exists():
        require_walkthrough(records, page)
