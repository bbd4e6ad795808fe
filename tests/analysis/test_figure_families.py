"""Every figure of config.yaml on records and picture sets made by hand, and what it says when they are not there."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from msgbench.analysis.collect import collect
from msgbench.analysis.figures import COLUMN_INCHES, PNG_DPI, WIDE_INCHES, make_figure, make_figures
from msgbench.analysis.figures.architecture import boxes_of
from msgbench.analysis.figures.make import KINDS
from msgbench.analysis.figures.mosaic import fitted, mosaic
from msgbench.analysis.figures.picture_sets import in_range, pooled
from msgbench.analysis.figures.stability import read_observations
from msgbench.analysis.figures.statistics import read_some
from msgbench.config import ModelSpec
from msgbench.errors import ResultsError
from msgbench.layout import OBSERVATIONS_JSONL, SAMPLES_JSON, TRAIN_JSON
from msgbench.records import read_json, write_json

from ..made_up_tree import tree_in
from .made_up import write_observations, write_pictures

PROGAN, MSG = "celeba-hq-progan-authors", "celeba-hq-msg-progan"
# Figures that are made without any record.
FROM_SPECS = {"figure2", "figure_v1_4"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Records and picture sets of everything that a figure shows, and all figures made of them."""
    tree = tree_in(tmp_path_factory.mktemp("whole"), "smoke")
    tree.complete()
    for name in tree.benchmark.figure_experiments(tree.benchmark.figures):
        if not (tree.folder(name) / TRAIN_JSON).is_file():
            tree.train(name)
        write_pictures(tree, name)
        write_observations(tree, name)
    make_figures(tree.benchmark, tree.layout, list(tree.benchmark.figures))
    return tree


def figures(tree):
    return list(tree.benchmark.figures)


def frame_of(tree, name):
    return pd.read_csv(tree.layout.figure(name, "csv"), keep_default_na=True)


def about(tree, name):
    return read_json(tree.layout.figure(name, "json"))


def test_every_figure_of_both_papers_is_there(whole):
    printed = {(f.paper, f.number) for f in whole.benchmark.figures.values() if f.paper is not None}
    assert printed == {("cvpr2020", n) for n in range(1, 15)} | {
        ("arxiv-v1", n) for n in range(1, 7)
    }
    assert {f.kind for f in whole.benchmark.figures.values()} == set(KINDS)


def test_every_figure_has_its_files_and_says_what_it_is(whole):
    for name, spec in whole.benchmark.figures.items():
        said = about(whole, name)
        assert (said["name"], said["title"], said["figure"]) == (name, spec.title, spec.number)
        assert said["missing"] == [], name
        moving = {"webp"} if spec.kind in ("time_lapse", "interpolation") else set()
        assert set(said["files"]) == {"png", "svg", "csv"} | moving
        folder = whole.layout.figure(name).parent
        assert all((folder / file).stat().st_size > 500 for file in said["files"].values())
        assert said["caption"].endswith(".")
        assert said["alt"].endswith(".")
        assert said["statement"].startswith("smoke tier: ")
        assert (name in FROM_SPECS) == (said["sources"] == [])
        assert all((folder / source).is_file() for source in said["sources"])
        with Image.open(whole.layout.figure(name)) as picture:
            assert picture.size[0] / PNG_DPI <= WIDE_INCHES + 0.01
            assert picture.size[0] / PNG_DPI >= COLUMN_INCHES - 0.01


def test_svg_text_is_text_and_nothing_tells_the_time(whole):
    for name in figures(whole):
        text = whole.layout.figure(name, "svg").read_text()
        assert "dc:date" not in text
        assert "smoke tier" in text


def test_the_same_inputs_give_the_same_bytes(whole):
    names = ["figure5", "figure6", "figure9", "interpolation"]
    folder = whole.layout.figure("figure5").parent
    before = {path: path.read_bytes() for n in names for path in folder.glob(f"{n}.*")}
    make_figures(whole.benchmark, whole.layout, names)
    assert {path: path.read_bytes() for path in before} == before


def test_no_figure_imports_torch(whole):
    code = (
        "import sys; from msgbench.analysis.figures import make_figures; "
        "assert not {'torch', 'torchvision', 'safetensors'} & set(sys.modules), 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_made_yet_is_a_json_that_says_why(tmp_path):
    tree = tree_in(tmp_path, "smoke")
    make_figures(tree.benchmark, tree.layout, figures(tree))
    for name, spec in tree.benchmark.figures.items():
        said = about(tree, name)
        if name in FROM_SPECS:
            assert set(said["files"]) == {"png", "svg", "csv"}
            continue
        assert said["files"] == {}
        assert not tree.layout.figure(name).exists()
        wanted = [f"{experiment}, seed 0: not planned" for experiment in spec.experiments]
        assert sorted(said["missing"]) == sorted(wanted)


def test_one_missing_run_leaves_the_others_and_a_reason(whole, tmp_path):
    tree = tree_in(tmp_path, "smoke")
    for name in ("flowers-msg-stylegan", "churches-msg-stylegan"):
        tree.train(name)
        write_pictures(tree, name)
    tree.train("indian-celebs-msg-stylegan")
    said = read_json(make_figure(tree.benchmark, tree.layout, "figure3"))
    assert set(said["files"]) == {"png", "svg", "csv"}
    assert said["missing"] == ["indian-celebs-msg-stylegan, seed 0: trained, not measured"]
    assert set(frame_of(tree, "figure3").panel) == {
        "flowers, MSG-StyleGAN",
        "churches, MSG-StyleGAN",
    }


def test_a_figure_that_is_gone_takes_its_old_files_with_it(tmp_path):
    tree = tree_in(tmp_path, "smoke")
    tree.train("celeba-hq-msg-stylegan")
    folder = write_pictures(tree, "celeba-hq-msg-stylegan")
    make_figure(tree.benchmark, tree.layout, "interpolation")
    assert tree.layout.figure("interpolation", "webp").is_file()
    (folder / SAMPLES_JSON).unlink()
    said = read_json(make_figure(tree.benchmark, tree.layout, "interpolation"))
    assert said["files"] == {}
    left = {path.name for path in tree.layout.figure("interpolation").parent.iterdir()}
    assert left == {"interpolation.json"}


def test_tiles_of_the_csv_are_those_of_the_picture_set(whole):
    tiles = np.load(whole.folder("celeba-msg-progan") / "samples" / "grid.npz")["tiles"]
    frame = frame_of(whole, "figure12")
    assert len(frame) == 36
    assert frame.mean_green.to_numpy() == pytest.approx(tiles[..., 1].mean(axis=(1, 2)), abs=1e-3)
    assert frame.deviation.to_numpy() == pytest.approx(tiles.std(axis=(1, 2, 3)), abs=1e-3)
    assert set(frame.images_shown) == {240}


def test_generators_beside_each_other_show_the_same_places(whole):
    frame = frame_of(whole, "figure7")
    left, right = (part for _, part in frame.groupby("panel"))
    assert len(left) == len(right) == 36
    assert set(frame.panel) == {"ffhq, StyleGAN", "ffhq, MSG-StyleGAN"}


def test_differences_of_neighbouring_scales_by_hand(whole):
    arrays = np.load(whole.folder("flowers-msg-stylegan") / "samples" / "scales.npz")
    small, large = (arrays[f"scale_{side:04d}"].astype(float) / 127.5 - 1 for side in (4, 8))
    means = sum(large[:, y::2, x::2] for y in (0, 1) for x in (0, 1)) / 4
    frame = frame_of(whole, "figure10")
    first = frame[frame.column == 0].difference_to_next
    assert first.to_numpy() == pytest.approx(np.mean((small - means) ** 2))
    assert frame[frame.column == 3].difference_to_next.isna().all()
    assert list(frame.resolution[:4]) == [4, 8, 16, 32]


def test_scales_that_show_one_image_differ_by_nothing():
    large = np.random.default_rng(0).integers(0, 2, (2, 8, 8, 3)) * 2.0 - 1
    assert pooled(large.repeat(2, axis=1).repeat(2, axis=2)) == pytest.approx(large)
    assert in_range(np.array([0, 255], np.uint8)).tolist() == [-1.0, 1.0]


def test_colour_and_brightness_during_training_are_told_apart(whole):
    """BT.601 luma of the difference, and what is left of it."""
    folder = whole.folder(MSG) / "samples"
    sets = [np.load(folder / f"time-lapse-{side:04d}px.npz")["tiles"] for side in (4, 8, 16, 32)]
    lengths = whole.lengths(MSG)
    colour, brightness = np.zeros(len(lengths)), np.zeros(len(lengths))
    for small, large in itertools.pairwise(sets):
        d = in_range(small) - pooled(in_range(large))
        luma = d[..., :1] * 0.299 + d[..., 1:2] * 0.587 + d[..., 2:] * 0.114
        each = (luma**2).mean(axis=(1, 2, 3)), ((d - luma) ** 2).mean(axis=(1, 2, 3))
        brightness += each[0].reshape(2, -1).mean(axis=0) / 3
        colour += each[1].reshape(2, -1).mean(axis=0) / 3
    frame = frame_of(whole, "figure5")
    plotted = frame[frame.panel == "difference of neighbouring scales"]
    for name, wanted in (("colour", colour), ("brightness", brightness)):
        part = plotted[plotted.row_label == name]
        assert list(part.images_shown) == lengths
        assert part.value.to_numpy() == pytest.approx(wanted)


def test_moving_pictures_have_a_frame_a_moment_and_return(whole):
    with Image.open(whole.layout.figure("figure5", "webp")) as picture:
        assert picture.n_frames == len(whole.lengths(MSG)) == 4
    with Image.open(whole.layout.figure("interpolation", "webp")) as picture:
        assert picture.n_frames == 9 + 7  # there, and back without the ends


def test_noise_says_how_far_pixels_move(whole):
    frame = frame_of(whole, "figure8")
    for experiment in whole.benchmark.figures["figure8"].experiments:
        deviation = np.load(whole.folder(experiment) / "samples" / "noise.npz")["deviation"]
        title = next(t for t in frame.panel.unique() if ("MSG" in t) == ("msg" in experiment))
        part = frame[frame.panel == title]
        assert part[part.row == 1].latents_mean_deviation.iloc[0] == pytest.approx(
            deviation[1].mean()
        )
        assert title.endswith(f"mean deviation {deviation.mean():.2f}")


def test_mixing_has_sources_at_the_top_and_levels_at_the_side(whole):
    frame = frame_of(whole, "figure9")
    assert len(frame) == 36
    rows = frame[frame.column == 0].row_label.fillna("")
    assert list(rows) == [
        "",
        "coarse, seed 3333",
        "coarse, seed 121",
        "coarse, seed 28",
        "middle, seed 24",
        "middle, seed 35",
    ]
    assert "no such row" in about(whole, "figure9")["caption"]


def test_pixels_stay_squares_when_enlarged_and_are_averaged_when_made_smaller():
    tile = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    assert np.array_equal(fitted(tile, 8), tile.repeat(4, axis=0).repeat(4, axis=1))
    assert fitted(tile, 1).ravel() == pytest.approx(tile.mean(axis=(0, 1)), abs=1)
    picture = mosaic([tile] * 5, 2, 8 / PNG_DPI)
    assert picture.shape == (3 * 8 + 2 * 6, 2 * 8 + 6, 3)
    assert (picture[-8:, -8:] == 255).all()  # the place that no tile fills


def test_pictures_of_another_run_are_refused(tmp_path):
    tree = tree_in(tmp_path, "smoke")
    tree.train("celeba-hq-msg-stylegan")
    path = write_pictures(tree, "celeba-hq-msg-stylegan") / SAMPLES_JSON
    content = read_json(path)
    content["sources"][0]["run"] = "other/00000000/seed0"
    write_json(path, content)
    with pytest.raises(
        ResultsError, match=r"samples\.json: is of run 'other/00000000/seed0', its folder of"
    ):
        make_figure(tree.benchmark, tree.layout, "figure4")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("samples.json", b"{", "not valid JSON"),
        ("samples.json", b'{"schema": "x"}', "schema is 'x', 'msgbench.pictures/1' is needed"),
        ("samples.json", b'{"schema": "msgbench.pictures/1"}', "is no complete manifest of picture sets"),
        ("samples/interpolation.npz", b"PK", "draw the pictures again"),
    ],
)  # fmt: skip
def test_broken_pictures_are_one_sentence(tmp_path, file, content, said):
    tree = tree_in(tmp_path, "smoke")
    tree.train("celeba-hq-msg-stylegan")
    path = write_pictures(tree, "celeba-hq-msg-stylegan") / file
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=said) as error:
        make_figure(tree.benchmark, tree.layout, "interpolation")
    assert str(path) in str(error.value)


def test_stability_is_what_was_observed(whole):
    frame = frame_of(whole, "figure6")
    lines = read_observations(whole.folder(MSG) / OBSERVATIONS_JSONL)
    part = frame[(frame.panel == "celeba-hq, MSG-ProGAN") & (frame.series == "16 px")]
    assert list(part.x) == [line.cur_nimg for line in lines[1:]]
    assert list(part.y) == [line.change[16] for line in lines[1:]]
    assert "every 8 and 16 images here" in about(whole, "figure6")["caption"]


def test_the_first_version_s_distance_is_that_of_the_whole_grid(whole):
    """36 images of 3 x 8 x 8 values whose mean squared change is m are sqrt(36 * 192 * m) apart."""
    frame = frame_of(whole, "figure_v1_2")
    lines = read_observations(whole.folder(PROGAN) / OBSERVATIONS_JSONL)
    part = frame[frame.panel == "8 px"]
    assert part.y.to_numpy() == pytest.approx(
        [math.sqrt(36 * 3 * 64 * line.change[8]) for line in lines[1:]]
    )


def test_several_seeds_observed_have_a_mean_and_a_band(tmp_path):
    tree = tree_in(tmp_path, "smoke", {"tiers": {"smoke": {"defaults": {"seeds": [0, 1, 2]}}}})
    for seed in (0, 1, 2):
        tree.train(MSG, seed)
        write_observations(tree, MSG, seed)
    make_figure(tree.benchmark, tree.layout, "synchronisation")
    frame = frame_of(tree, "synchronisation")
    frame = frame[frame.series == "4 px"]
    # (seed + 1) / (k + 4) at look k
    band, mean = frame[frame.role == "band"], frame[frame.role == "mean"]
    assert mean.y.to_numpy() == pytest.approx([2 / (k + 4) for k in range(10)])
    assert band.y.to_numpy() == pytest.approx([1 / (k + 4) for k in range(10)])
    assert band.y_high.to_numpy() == pytest.approx([3 / (k + 4) for k in range(10)])
    assert "band" in about(tree, "synchronisation")["caption"]


def test_a_training_of_one_epoch_has_no_change_and_says_so(tmp_path):
    tree = tree_in(tmp_path, "smoke")
    for name in (PROGAN, MSG):
        tree.train(name)
    write_observations(tree, PROGAN)
    one = {
        "cur_nimg": 8,
        "epoch": 0,
        "previous_nimg": None,
        "change": {},
        "synchronisation": {"4": 1.0},
    }
    write_observations(tree, MSG, lines=[one])
    said = read_json(make_figure(tree.benchmark, tree.layout, "figure6"))
    assert said["missing"] == [f"{MSG}, seed 0: its training is shorter than two epochs"]
    assert set(frame_of(tree, "figure6").panel) == {"celeba-hq, ProGAN"}


def test_observations_of_a_killed_training(tmp_path):
    path = tmp_path / OBSERVATIONS_JSONL
    line = {"cur_nimg": 8, "change": {"4": 0.5}, "synchronisation": {}}
    path.write_text(
        json.dumps(line) + "\n" + json.dumps({**line, "change": {"4": 0.25}}) + '\n{"cur'
    )
    (found,) = read_observations(path)  # the later of two, and no half line
    assert found.change == {4: 0.25}
    path.write_text('{"cur_nimg": 8}\n' + json.dumps(line) + "\n")
    with pytest.raises(ResultsError, match="line 1 is no observation of a training"):
        read_observations(path)
    assert read_observations(tmp_path / "absent") == []


def test_the_diagram_has_the_channels_of_tables_6_and_7():
    boxes = boxes_of(ModelSpec(family="progan", resolution=1024))
    generator = {b.resolution: b.channels_out for b in boxes if b.kind == "generator"}
    assert generator == {
        4: 512,
        8: 512,
        16: 512,
        32: 512,
        64: 256,
        128: 128,
        256: 64,
        512: 32,
        1024: 16,
    }
    # Table 7: 17 channels enter block 1, 36 block 2, 68 block 3, and 516 the last.
    into = {
        b.resolution: (b.channels_in, b.channels_out) for b in boxes if b.kind == "discriminator"
    }
    assert into[1024] == (17, 32)
    assert into[512] == (36, 64)
    assert into[256] == (68, 128)
    assert into[4] == (516, 512)
    assert sum(b.kind == "real" for b in boxes) == 9


def test_only_connected_scales_enter_the_discriminator():
    boxes = boxes_of(ModelSpec(family="progan", resolution=32, connections="coarse"))
    assert {b.resolution for b in boxes if b.kind == "combine"} == {4, 8, 32}
    assert {b.text for b in boxes if b.kind == "combine" and b.resolution == 32} == {"FromRGB"}


def test_learning_rates_are_best_and_final_of_each_row(whole):
    frame = frame_of(whole, "learning-rates")
    part = frame[frame.panel == "over the rate"]
    assert list(part[part.series == "best snapshot"].x) == [0.001, 0.003, 0.005, 0.01]
    run = collect(whole.benchmark, whole.layout).runs_of("cifar10-msg-progan-lr0.005")[0]
    best = max(record.value for record in run.of("is2k_small"))
    assert part[(part.series == "best snapshot") & (part.x == 0.005)].y.item() == best
    paper = frame[frame.panel == "paper"]
    assert list(paper.y) == [8.24, 8.63, 8.33, 7.92]
    assert "not comparable" in whole.layout.figure("learning-rates", "svg").read_text()


def test_hostile_names_stay_text(tmp_path):
    nasty = "<script>alert('$\\frac{')</script> & $x_1$"
    tree = tree_in(tmp_path, "smoke", {"figures": {"figure4": {"title": nasty}}})
    for name in tree.benchmark.figures["figure4"].experiments:
        tree.train(name)
        write_pictures(tree, name)
    path = tree.folder("celeba-hq-msg-stylegan") / SAMPLES_JSON
    said = read_json(make_figure(tree.benchmark, tree.layout, "figure4"))
    assert said["title"] == nasty
    content = read_json(path)
    for entry in content["pictures"]:
        entry["row_labels"] = [nasty] * entry["rows"]
    write_json(path, content)
    make_figure(tree.benchmark, tree.layout, "interpolation")
    assert "<script" not in tree.layout.figure("interpolation", "svg").read_text()
    assert nasty in set(frame_of(tree, "interpolation").row_label)


def stats_file(path: Path, count: int) -> Path:
    lines = [json.dumps({"cur_nimg": 8 * k, "loss_d": float(k), "note": "x"}) for k in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_of_a_long_training_evenly_taken_lines_are_read(tmp_path):
    path = stats_file(tmp_path / "stats.jsonl", 12_000)
    frame, every = read_some(path)
    assert every == 5
    assert len(frame) == 2400
    assert list(frame.cur_nimg[:2]) == [32, 72]
    assert frame.cur_nimg.iloc[-1] == 8 * 11_999
    assert list(frame.columns) == ["cur_nimg", "loss_d"]


def test_of_a_short_training_or_one_that_states_lengths_again_all_lines_are_read(tmp_path):
    short = read_some(stats_file(tmp_path / "short.jsonl", 2400))
    assert (short.every, len(short.frame)) == (1, 2400)
    path = stats_file(tmp_path / "long.jsonl", 12_000)
    with path.open("a") as file:  # resumed: the last half once more
        file.writelines(
            json.dumps({"cur_nimg": 8 * k, "loss_d": -1.0}) + "\n" for k in range(6000, 12_000)
        )
    again = read_some(path)
    assert (again.every, len(again.frame)) == (1, 12_000)
    assert again.frame.loss_d.iloc[-1] == -1.0


def test_a_broken_line_of_a_long_file_is_named_where_it_stands(tmp_path):
    path = stats_file(tmp_path / "stats.jsonl", 12_000)
    lines = path.read_text().splitlines()
    lines[4] = "{"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResultsError, match=r"stats\.jsonl: line 5 is not valid JSON"):
        read_some(path)
