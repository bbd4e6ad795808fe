"""Exported generators: the loader alone, where msgbench cannot be imported, makes the images that msgbench makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from msgbench.analysis.collect import read_dataset, read_run
from msgbench.cli import app
from msgbench.config import ModelSpec, load_benchmark
from msgbench.errors import ConfigError, SnapshotError
from msgbench.export import export_run, usable_weights
from msgbench.export.card import model_card
from msgbench.layout import Layout, snapshot_file
from msgbench.models.build import build_generator
from msgbench.models.generator import draw_noise
from msgbench.models.growing import set_lod
from msgbench.records import read_json
from msgbench.snapshots import SnapshotMeta, load_snapshot, save_snapshot
from msgbench.synthetic import ResultsTree

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {
    "msg-progan": "ffhq-msg-progan",
    "msg-stylegan": "ffhq-msg-stylegan",
    "progan": "ffhq-progan",
    "stylegan": "ffhq-stylegan",
    "msg-gan-v1": "flowers-msg-gan-v1",
}
# Images are of the order of 1. Another order of float32 sums (the fused upsampling, factors taken into the weights)
# moves them by some 1e-7 a layer; a forgotten factor or layer moves them by more than 1e-2.
CLOSE = 2e-5


def drawn(model: ModelSpec, seed: int = 0) -> torch.nn.Module:
    """A generator of which no parameter is at its neutral start: biases, noise and styles count."""
    generator = torch.Generator().manual_seed(seed)
    G = build_generator(model, generator)
    with torch.no_grad():
        for parameter in G.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return G.eval()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Finished and measured runs of every family, with a real last snapshot each."""
    benchmark = load_benchmark(ROOT / "config.yaml", {"tier": "smoke"})
    made = ResultsTree(benchmark, Layout(tmp_path_factory.mktemp("export") / "results", "smoke"))
    for name in ("ffhq", "flowers"):
        made.dataset(name)
    for experiment in FAMILIES.values():
        folder = made.train(experiment)
        made.evaluate(experiment)
        run = made.run(experiment)
        last = made.lengths(experiment)[-1]
        meta = SnapshotMeta(
            model=run.spec.model, run=run.run_id, experiment=experiment, seed=0, cur_nimg=last,
            run_fingerprint=run.fingerprint, dataset_fingerprint="x", ema=run.spec.ema,
            lod=0.0 if run.spec.model.growing else None,
        )  # fmt: skip
        save_snapshot(folder / snapshot_file(last), drawn(run.spec.model), meta)
    return made


ALONE = """
import sys
sys.modules["msgbench"] = None  # importing it is an error from here on
import torch
from safetensors.torch import load_file, save_file
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    sys.modules.pop("generator", None)
    from generator import Generator
    sys.path.remove(folder)
    given = load_file(f"{folder}/given.safetensors")
    noise = [given[name] for name in sorted(given) if name.startswith("noise")]
    images = Generator(folder)(given["z"], noise)
    save_file({f"{i:02d}": image.contiguous() for i, image in enumerate(images)}, f"{folder}/made.safetensors")
try:
    import msgbench.units
except ImportError:
    print("alone")
"""


def make_alone(folders: list[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *map(str, folders)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "alone"


def give(G: torch.nn.Module, folder: Path, latent_size: int) -> list[torch.Tensor]:
    """Write latents and noise to `folder`, and return what `G` makes of them."""
    generator = torch.Generator().manual_seed(7)
    z = torch.randn(3, latent_size, generator=generator)
    noise = draw_noise(G, 3, generator)
    given = {f"noise{i:02d}": part for i, part in enumerate(noise)}
    save_file({"z": z, **given}, folder / "given.safetensors")
    with torch.inference_mode():
        return G(z, noise)


def check_same(folder: Path, ours: list[torch.Tensor]) -> None:
    made = list(load_file(folder / "made.safetensors").values())
    assert [image.shape for image in made] == [image.shape for image in ours]
    for mine, image in zip(ours, made, strict=True):
        assert mine.abs().max() > 0.1
        assert (mine - image).abs().max() < CLOSE * max(1.0, float(mine.abs().max()))


def test_the_loader_alone_makes_the_images_of_every_family(tree, tmp_path):
    ours = {}
    for family, experiment in FAMILIES.items():
        out = tmp_path / family
        run = tree.folder(experiment)
        export_run(tree.benchmark, run, "final", out)
        assert {path.name for path in out.iterdir()} == {
            "README.md", "generator.py", "generator.json", "generator.safetensors",
        }  # fmt: skip
        G, meta = load_snapshot(run / snapshot_file(tree.lengths(experiment)[-1]))
        ours[out] = give(G, out, meta.model.latent_size)
    make_alone(list(ours))
    for out, images in ours.items():
        check_same(out, images)
    assert [len(images) for images in ours.values()] == [4, 4, 1, 1, 4]


def test_a_generator_that_still_grows_is_exported_as_it_is(tree, tmp_path):
    experiment = FAMILIES["stylegan"]
    run = tree.run(experiment)
    first = tree.folder(experiment) / snapshot_file(0)
    G = drawn(run.spec.model, 1)
    set_lod(G, 1.25)
    meta = SnapshotMeta(
        model=run.spec.model, run=run.run_id, experiment=experiment, seed=0, cur_nimg=0,
        run_fingerprint=run.fingerprint, dataset_fingerprint="x", ema=run.spec.ema, lod=1.25,
    )  # fmt: skip
    save_snapshot(first, G, meta)
    export_run(tree.benchmark, tree.folder(experiment), "0", tmp_path)
    about = read_json(tmp_path / "generator.json")
    assert about["scales"] == [4, 8, 16]
    assert about["fade"] == pytest.approx(0.25)
    ours = give(G, tmp_path, run.spec.model.latent_size)
    make_alone([tmp_path])
    check_same(tmp_path, ours)


def test_weights_are_those_that_the_layers_work_with(tree):
    spec = tree.run(FAMILIES["msg-stylegan"]).spec.model
    G = drawn(spec)
    weights = usable_weights(G)
    assert weights.keys() == G.state_dict().keys()
    dense = G.mapping.layers[0]
    factor = 0.01 * (2 / spec.latent_size) ** 0.5
    torch.testing.assert_close(weights["mapping.layers.0.weight"], dense.weight * factor)
    torch.testing.assert_close(weights["mapping.layers.0.bias"], dense.bias * 0.01)


def test_the_card_states_scale_scores_data_and_origin(tree, tmp_path):
    experiment = FAMILIES["msg-progan"]
    card = export_run(tree.benchmark, tree.folder(experiment), "best", tmp_path).read_text()
    run = tree.run(experiment)
    last = tree.lengths(experiment)[-1]
    assert card.startswith(f"# {experiment}, seed 0\n")
    assert "nothing here is a reproduction.**" in card
    assert f"`{run.run_id}`" in card
    assert f"fingerprint `{run.fingerprint}`" in card
    assert "0123456789abcdef" in card
    assert (
        f"after {last:,} of {last:,} images: the best of 1 measured snapshots by fid500_small"
        in card
    )
    for protocol in run.spec.evaluation.protocols:
        record = read_json(tree.folder(experiment) / "metrics" / protocol / f"{last:010d}.json")
        (line,) = [line for line in card.splitlines() if f"`metrics/{protocol}/" in line]
        assert f"{record['value']:.2f}" in line or f"{record['value']:.3f}" in line
        assert "not comparable" in line
    assert "drawn by msgbench in place of ffhq" in card


def test_a_snapshot_that_is_gone_is_named_with_those_that_are_left(tree, tmp_path):
    experiment = FAMILIES["msg-progan"]
    last = tree.lengths(experiment)[-1]
    with pytest.raises(SnapshotError, match=rf"is gone; still there: {last} \(choose"):
        export_run(tree.benchmark, tree.folder(experiment), "0", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(
        ConfigError, match=rf"--snapshot: '77' is not allowed; allowed: best, final, 0, {last}"
    ):
        export_run(tree.benchmark, tree.folder(experiment), "77", tmp_path / "out")


def test_an_unfinished_run_is_refused_in_one_sentence(tree, tmp_path):
    folder = tree.plan("ffhq-msg-progan-none")
    with pytest.raises(
        ConfigError, match="planned, not trained; only a finished training is exported"
    ):
        export_run(tree.benchmark, folder, "best", tmp_path / "out")
    with pytest.raises(ConfigError, match="is no run directory"):
        export_run(tree.benchmark, tmp_path, "best", tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--count", "0"], "error: --count: 0 is not allowed; allowed: a number from 1"),
        (["--out", "none/x.png"], "error: --out: 'none' is no folder"),
    ],
)
def test_the_loader_refuses_what_no_sheet_can_be_made_of(tree, tmp_path, words, sentence):
    export_run(tree.benchmark, tree.folder(FAMILIES["msg-progan"]), "best", tmp_path)
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "generator.py", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.endswith(f"{sentence}\n")
    assert sorted(tmp_path.iterdir()) == before


def test_an_unmeasured_run_is_exported_and_says_so(tree, tmp_path):
    experiment = FAMILIES["progan"]
    evaluate = tree.folder(experiment) / "evaluate.json"
    kept = evaluate.read_bytes()
    evaluate.unlink()
    try:
        card = export_run(tree.benchmark, tree.folder(experiment), "best", tmp_path).read_text()
    finally:
        evaluate.write_bytes(kept)
    assert "the last one; none was picked, because the run is not measured" in card
    assert "Not measured: trained, not measured" in card


def test_the_command_takes_a_run_by_name_and_writes_beside_the_runs(tree, monkeypatch):
    monkeypatch.chdir(tree.layout.results.parent)
    config = ["--config", str(ROOT / "config.yaml"), "--set", "tier=smoke"]
    done = CliRunner().invoke(app, ["export", "ffhq-msg-progan", *config], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    fingerprint = tree.run("ffhq-msg-progan").fingerprint[:8]
    out = Path("results/smoke/exports") / f"ffhq-msg-progan-{fingerprint}-seed0"
    assert json.loads((out / "generator.json").read_text())["family"] == "progan"
    before = (out / "generator.safetensors").read_bytes()
    CliRunner().invoke(app, ["export", "ffhq-msg-progan", *config], catch_exceptions=False)
    assert (out / "generator.safetensors").read_bytes() == before


def test_the_licence_of_published_data_stands_on_the_card(tmp_path):
    overrides = {
        "tier": "paper",
        "datasets": {"ffhq": {"path": "/data/ffhq", "accept_terms": True}},
    }
    benchmark = load_benchmark(ROOT / "config.yaml", overrides)
    layout = Layout(tmp_path, "paper")
    plan = benchmark.run(FAMILIES["msg-progan"], 0)
    run = read_run(plan, layout, None)
    card = model_card(run, read_dataset(benchmark, plan.spec.dataset, layout), 0, "by hand", 1)
    assert "Licence of the data: CC BY-NC-SA 4.0" in card
    assert "non-commercial use only" in card
