"""Figures: the CSV holds exactly what is drawn, and the paper's numbers share no axis with others'."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from msgbench.analysis import figures_of
from msgbench.analysis.collect import collect
from msgbench.analysis.figures import (
    COLUMN_INCHES,
    MOST_POINTS,
    PALETTE,
    PNG_DPI,
    Panel,
    Plot,
    Series,
    build_plot,
    curve_of,
    curves_plot,
    draw,
    losses_plot,
    main_protocols,
    make_figure,
    plot_frame,
    svg_bytes,
)
from msgbench.errors import ResultsError
from msgbench.layout import REAL_JSON, TRAIN_JSON
from msgbench.records import read_json, write_json

from ..made_up_tree import tree_in

LR3 = "cifar10-msg-progan-lr0.003"


def plot_of(tree, name="table3"):
    return build_plot(collect(tree.benchmark, tree.layout), name)


def drawn_points(plot):
    """(panel, x, y, upper edge) of everything that matplotlib was given; x is None for what spans the axis."""
    figure = draw(plot)
    found = []
    for panel, axes in zip(plot.panels, figure.axes, strict=True):
        for line in axes.get_lines():
            xs, ys = line.get_xdata(), line.get_ydata()
            spans = line.get_transform() == axes.get_yaxis_transform()
            if spans:
                found.append((panel.name, None, float(ys[0]), None))
            else:
                points = zip(xs, ys, strict=True)
                found += [(panel.name, float(x), float(y), None) for x, y in points]
        for collection in axes.collections:
            # The outline of a band: its lower edge there, its upper edge back.
            edge = collection.get_paths()[0].vertices
            count = (len(edge) - 3) // 2
            low, high = edge[1 : count + 1], edge[count + 2 : -1][::-1]
            found += [
                (panel.name, float(x), float(y), float(top))
                for (x, y), (_, top) in zip(low, high, strict=True)
            ]
    return found


def key(point):
    return [(part is not None, part or 0.0) for part in point[1:]], point[0]


@pytest.mark.parametrize("name", ["table3", "table3-fid", "table3-hours", "table3-losses"])
@pytest.mark.parametrize("tier", ["smoke", "paper"])
def test_the_csv_is_what_is_drawn(make_tree, tier, name):
    tree = make_tree(tier).complete()
    out = make_figure(tree.benchmark, tree.layout, name)
    # As text: pandas' own reading of floats may differ in the last digit.
    frame = pd.read_csv(out.with_suffix(".csv"), dtype=str, keep_default_na=False)
    stated = [
        (r.panel, *(float(part) if part else None for part in (r.x, r.y, r.y_high)))
        for r in frame.itertuples(index=False)
    ]
    drawn = drawn_points(plot_of(tree, name))
    assert len(drawn) > 10
    assert sorted(drawn, key=key) == sorted(stated, key=key)
    bands = frame[frame.role == "band"]
    assert bool(len(bands)) == (tier == "paper")  # its seeds are three


def test_names(make_tree):
    assert figures_of(make_tree("smoke").benchmark) == (
        "table3", "table3-fid", "table3-hours", "table3-losses",
    )  # fmt: skip
    tree = make_tree("smoke")
    with pytest.raises(
        ResultsError, match=r"^figure table4: no such figure; did you mean 'table3'\?$"
    ):
        make_figure(tree.benchmark, tree.layout, "table4")


def test_scores_are_the_records(make_tree):
    tree = make_tree("smoke").complete()
    plot = plot_of(tree, "table3-fid")
    (panel,) = plot.panels
    series = {s.label: s for s in panel.series}
    records = collect(tree.benchmark, tree.layout).runs_of(LR3)[0].of("fid2k_small")
    assert series["lr 0.003"].y == tuple(r.value for r in records)
    assert series["lr 0.003"].x == tuple(r.cur_nimg / 1000 for r in records)
    assert panel.x_label == "real images shown (thousands)"
    assert panel.y_label == "FID, lower is better"


def test_small_scores_never_share_an_axis_with_the_papers(make_tree):
    (panel,) = plot_of(make_tree("smoke").complete()).panels
    assert panel.title == "IS by small-cifar10-v1"
    assert {s.role for s in panel.series} == {"run", "level"}


def test_comparable_scores_carry_the_papers_marks_on_their_axis(make_tree):
    (panel,) = plot_of(make_tree("paper").complete()).panels
    printed = {s.label: s.y[0] for s in panel.series if s.role.startswith("printed")}
    assert printed == {
        "lr 0.003, paper": 8.63, "lr 0.001, paper": 8.24, "lr 0.005, paper": 8.33, "lr 0.01, paper": 7.92,
        "real images, paper": 11.34,
    }  # fmt: skip
    assert panel.x_label == "real images shown (millions)"


def test_several_seeds_have_a_mean_and_a_band(make_tree):
    tree = make_tree("paper")
    tree.dataset()
    for seed in (0, 1, 2):
        tree.train(LR3, seed)
        tree.evaluate(LR3, seed, scores=lambda protocol, nimg, s=seed: nimg / 1e6 + s**2)
    plot = plot_of(tree)
    (panel,) = plot.panels
    by_role = {s.role: s for s in panel.series}
    mean, band = by_role["mean"], by_role["band"]
    # Of 0, 1 and 4 above the line.
    assert mean.y == pytest.approx([x + 5 / 3 for x in mean.x])
    assert band.y == pytest.approx(band.x)
    assert band.high == pytest.approx([x + 4 for x in band.x])
    assert sum(s.role == "run" for s in panel.series) == 3
    assert "band: smallest to largest" in plot.caption


def test_a_single_seed_has_a_line_and_no_band(make_tree):
    plot = plot_of(make_tree("smoke").complete())
    assert not {"mean", "band"} & {s.role for s in plot.panels[0].series}
    assert "band" not in plot.caption


def test_time_counts_every_gpu(make_tree):
    """Three hours to the end on two GPUs, of which the snapshots state their part."""
    tree = make_tree("paper")
    tree.dataset()
    for seed, gpus in ((0, 1), (1, 2)):
        path = tree.train(LR3, seed, device="NVIDIA A", seconds=3 * 3600.0) / TRAIN_JSON
        content = read_json(path)
        last = content["snapshots"][-1]["cur_nimg"]
        for snapshot in content["snapshots"]:
            snapshot["seconds"] = 3 * 3600 * snapshot["cur_nimg"] / last
        write_json(path, {**content, "gpu_seconds": gpus * 3 * 3600.0})
        tree.evaluate(LR3, seed)
    plot = plot_of(tree, "table3-hours")
    (panel,) = plot.panels
    assert panel.x_label == "training time (GPU-hours)"
    first, second = (s for s in panel.series if s.role == "run")
    assert first.x == pytest.approx([3 * n / 12 for n in range(13)])
    assert second.x == pytest.approx([6 * n / 12 for n in range(13)])
    records = collect(tree.benchmark, tree.layout).runs_of(LR3)[0].of("fid50k_full")
    assert first.y == tuple(record.value for record in records)


def test_a_method_has_one_colour_in_every_table(tmp_path):
    tree = tree_in(
        tmp_path, "smoke", None, ("table3", "table1", "table2", "table4", "table5")
    ).complete()
    found = {}
    for name in tree.benchmark.tables:
        for panel in plot_of(tree, name).panels:
            for series in panel.series:
                if series.role == "run":
                    method = tree.benchmark.experiment(series.run.split("/")[0]).method
                    found.setdefault(method, set()).add(series.slot)
    assert {method: len(slots) for method, slots in found.items()} == dict.fromkeys(
        ("progan", "msg-progan", "stylegan", "msg-stylegan"), 1
    )
    assert len({slot for slots in found.values() for slot in slots}) == 4


def test_each_dataset_has_a_panel_of_its_own(tmp_path):
    tree = tree_in(tmp_path, "smoke", None, ("table3", "table1")).complete()
    plot = plot_of(tree, "table1")
    assert [panel.name for panel in plot.panels] == ["flowers", "indian-celebs", "churches"]
    runs = [{s.run.split("/")[0] for s in p.series if s.role == "run"} for p in plot.panels]
    assert runs[2] == {"churches-stylegan", "churches-msg-stylegan"}
    # The four methods, once each in the legend.
    (legend,) = draw(plot).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "ProGAN", "MSG-ProGAN", "StyleGAN", "MSG-StyleGAN",
    ]  # fmt: skip


def test_long_statistics_are_means_of_equal_numbers_of_lines(make_tree):
    tree = make_tree("paper", {"defaults": {"training": {"stats_kimg": 20}}})
    tree.stats(LR3)
    plot = plot_of(tree, "table3-losses")
    run = collect(tree.benchmark, tree.layout).runs_of(LR3)[0]
    (series,) = plot.panels[0].series
    step = -(-len(run.stats) // MOST_POINTS)
    assert step > 1
    assert len(series.y) == -(-len(run.stats) // step)
    assert series.y[0] == pytest.approx(float(np.mean(run.stats["loss_d"][:step])))
    assert series.y[-1] == pytest.approx(
        float(np.mean(run.stats["loss_d"][step * (len(series.y) - 1) :]))
    )
    assert f"up to {step} lines" in plot.caption


def test_nothing_measured_is_an_empty_figure_that_says_so(make_tree):
    tree = make_tree("smoke")
    for name in figures_of(tree.benchmark):
        plot = plot_of(tree, name)
        assert all(panel.note for panel in plot.panels)
        about = read_json(make_figure(tree.benchmark, tree.layout, name))
        with Image.open(tree.layout.figure(name)) as picture:
            assert picture.size[0] == round(COLUMN_INCHES * PNG_DPI)
        assert about["missing"][-1].endswith("not planned")
        assert about["sources"] == []


def test_the_same_records_give_the_same_files(make_tree):
    tree = make_tree("smoke").complete()
    first = written(tree, "table3")
    assert set(first) == {"png", "svg", "csv", "json"}
    assert written(tree, "table3") == first
    assert b"dc:date" not in first["svg"]


def written(tree, name):
    make_figure(tree.benchmark, tree.layout, name)
    folder = tree.layout.figure(name).parent
    return {path.suffix[1:]: path.read_bytes() for path in folder.glob(f"{name}.*")}


def test_the_json_says_what_the_figure_is(make_tree):
    tree = make_tree("smoke").complete()
    about = read_json(make_figure(tree.benchmark, tree.layout, "table3"))
    assert about["name"] == about["table"] == "table3"
    assert about["files"] == {suffix: f"table3.{suffix}" for suffix in ("png", "svg", "csv")}
    assert about["missing"] == []
    assert about["statement"].startswith("smoke tier: 32 px, 6,000 images shown")
    assert about["statement"].endswith("not a reproduction")
    folder = tree.layout.figure("table3").parent
    assert len(about["sources"]) == 5
    assert all((folder / source).is_file() for source in about["sources"])


def test_hostile_labels_stay_text():
    nasty = "<script>alert('$\\frac{')</script> & $x_1$"
    series = Series(nasty, "run", 0, (1.0, 2.0), (0.0, 1.0))
    panel = Panel("p", nasty, nasty, nasty, (series,))
    text = svg_bytes(draw(Plot("n", nasty, nasty, (panel,), (2.0,)))).decode()
    assert "<script" not in text
    labels = {
        element.text
        for element in ElementTree.fromstring(text).iter()
        if element.tag.endswith("text")
    }
    assert nasty in labels
    assert plot_frame(Plot("n", nasty, nasty, (panel,), (2.0,))).series[0] == nasty


def test_colours_differ_in_lightness_or_hue_for_every_vision():
    """Okabe and Ito's set, which was made for that; at least the first four differ in grey by themselves."""
    greys = sorted(
        np.dot(matplotlib.colors.to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in PALETTE[:4]
    )
    assert min(np.diff(greys)) > 0.02


def test_the_control_is_a_named_level_of_the_fid_figure_alone(make_tree):
    tree = make_tree("smoke").complete()
    tree.real(control=123.4)
    plot = plot_of(tree, "table3-fid")
    (level,) = (s for s in plot.panels[0].series if s.role == "control")
    assert (level.label, level.y, level.x) == ("pixel-Gaussian control", (123.4,), ())
    texts = [text.get_text() for text in draw(plot).axes[0].texts]
    assert "pixel-Gaussian control 123.40" in texts
    frame = plot_frame(plot)
    assert frame[frame.role == "control"].y.tolist() == [123.4]
    for name in ("table3", "table3-losses"):
        assert "control" not in set(plot_frame(plot_of(tree, name)).role)


def test_a_control_of_another_version_is_not_drawn(make_tree):
    tree = make_tree("smoke").complete()
    path = tree.real() / REAL_JSON
    content = read_json(path)
    for record in content["controls"]:
        record["protocol"]["version"] += 1
    write_json(path, content)
    assert "control" not in set(plot_frame(plot_of(tree, "table3-fid")).role)


def test_curves_of_one_run_carry_their_levels(make_tree):
    tree = make_tree("smoke").complete()
    found = collect(tree.benchmark, tree.layout)
    (run,) = found.runs_of(LR3)
    protocols = main_protocols(run.plan.spec.evaluation.protocols)
    assert [p.name for p in protocols] == ["fid2k_small", "is2k_small"]
    curves = [curve_of(run, found.datasets["cifar10"], p) for p in protocols]
    plot = curves_plot("scores", "one run", curves, 5000)
    fid, inception = ({s.role: s.y for s in panel.series} for panel in plot.panels)
    values = tuple(r.value for r in run.of("fid2k_small"))
    assert fid == {"run": values, "untrained": values[:1], "control": (180.0,)}
    assert inception["control"] == (1.5,)
    assert inception["real images"] == (5.5,)
    assert draw(plot).legends == []


@pytest.mark.parametrize(
    ("columns", "panels"),
    [
        (["loss_d", "loss_g", "r1"], ["loss_d", "loss_g", "r1"]),
        (["loss_d", "loss_g"], ["loss_d", "loss_g"]),
        ([], ["loss_d", "loss_g", "gradient_penalty"]),
    ],
)
def test_losses_have_a_panel_for_the_penalty_that_a_method_has(columns, panels):
    stats = pd.DataFrame({"cur_nimg": [8, 16] if columns else []})
    for column in columns:
        stats[column] = [1.0, 2.0]
    plot = losses_plot("x", "a run", "a/b/seed0", stats, 16)
    assert [panel.name for panel in plot.panels] == panels
    assert len(plot.heights) == len(panels)
