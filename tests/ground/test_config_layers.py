"""What the layers of config.yaml resolve to, and what fingerprints depend on."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgbench.config import Benchmark, RunSpec, load_benchmark, merge
from msgbench.config.load import resolve
from msgbench.config.yaml_text import read_yaml
from msgbench.errors import ConfigError
from msgbench.records import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
E3 = "cifar10-msg-progan-lr0.003"


def benchmark(**overrides: object) -> Benchmark:
    return load_benchmark(ROOT / "config.yaml", overrides)


def test_the_tier_of_the_file_is_smoke() -> None:
    assert benchmark().tier == "smoke"


def test_the_paper_tier_is_the_paper() -> None:
    paper = benchmark(tier="paper")
    rates = {name: spec.optimizer.lr for name, spec in paper.experiments.items() if "-lr0" in name}
    assert rates == {f"cifar10-msg-progan-lr{lr}": lr for lr in (0.003, 0.001, 0.005, 0.01)}
    spec = paper.experiments[E3]
    assert (spec.training.total_kimg, spec.training.batch_size) == (12_000, 64)
    assert (spec.training.snapshot_kimg, spec.seeds) == (1000, (0, 1, 2))
    assert (spec.model.width_multiplier, spec.model.latent_size) == (1.0, 512)
    assert (spec.loss.adversarial, spec.loss.gp_weight, spec.loss.drift_weight) == (
        "wgan",
        10,
        0.001,
    )
    assert (spec.optimizer.beta1, spec.optimizer.beta2, spec.optimizer.eps) == (0.0, 0.99, 1e-8)
    assert (spec.ema.beta, spec.dataset.mirror) == (0.999, False)
    assert paper.tables["table3"].protocol == "is50k"


def test_layers_win_in_their_order() -> None:
    raw = read_yaml(ROOT / "config.yaml")
    raw["tiers"]["smoke"] = {}
    # One rate for all would be Table 3 with one training four times, which is refused.
    raw["tables"], raw["figures"] = {}, {}
    raw["datasets"]["cifar10"]["path"] = "somewhere"
    layers = [
        ("defaults", {"defaults": {"optimizer": {"lr": 0.11}}}),
        ("method", {"methods": {"msg-progan": {"optimizer": {"lr": 0.12}}}}),
        ("experiment", {"experiments": {E3: {"optimizer": {"lr": 0.13}}}}),
        ("tier defaults", {"tiers": {"smoke": {"defaults": {"optimizer": {"lr": 0.14}}}}}),
        ("tier method", {"tiers": {"smoke": {"methods": {"msg-progan": {"optimizer": {"lr": 0.15}}}}}}),
        ("tier experiment", {"tiers": {"smoke": {"experiments": {E3: {"optimizer": {"lr": 0.16}}}}}}),
    ]  # fmt: skip
    raw["experiments"][E3]["optimizer"] = {}
    for _, layer in layers:
        raw = merge(raw, layer)
        values = [v for _, part in layers[: layers.index((_, layer)) + 1] for v in _rates(part)]
        assert resolve(raw).experiments[E3].optimizer.lr == values[-1]


def _rates(node: object) -> list[float]:
    if isinstance(node, dict):
        return [rate for value in node.values() for rate in _rates(value)]
    return [node] if isinstance(node, float) else []


def test_a_path_switches_from_the_stand_in_to_the_real_data() -> None:
    assert benchmark().datasets["cifar10"].source == "embedded"
    real = benchmark(datasets={"cifar10": {"path": "/data/cifar"}}).datasets["cifar10"]
    assert (real.source, real.num_images, real.path) == ("cifar10", None, "/data/cifar")


CHANGES = [
    ("learning rate", {"optimizer": {"lr": 0.004}}, True),
    ("batch", {"training": {"batch_size": 32}}, True),
    ("average", {"ema": {"beta": 0.5}}, True),
    ("threads", {"training": {"num_threads": 2}}, True),
    ("the largest image's norm", {"loss": {"gp_norm": "top"}}, True),
    ("an option at its default", {"model": {"lin_cat_activation": "linear"}}, False),
    ("an epoch of the observers", {"training": {"observe_kimg": 0.5}}, True),
    ("an epoch that is the dataset's", {"training": {"observe_kimg": None}}, False),
    ("protocols", {"evaluation": {"batch_size": 7}}, False),
    ("seeds", {"seeds": [5]}, False),
]


@pytest.mark.parametrize(("change", "moves"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_fingerprints_move_with_the_bits_and_with_nothing_else(
    change: dict[str, object], moves: bool
) -> None:
    before = benchmark().experiments
    after = benchmark(tiers={"smoke": {"experiments": {E3: change}}}).experiments
    assert (after[E3].fingerprint != before[E3].fingerprint) is moves
    others = set(before) - {E3}
    assert all(after[name].fingerprint == before[name].fingerprint for name in others)


def test_an_option_that_came_later_moves_no_fingerprint_before_it_is_used() -> None:
    """The published run was trained before there was progressive growing or an activation in phi_lin_cat."""
    published = read_json(ROOT / "results/published/cifar10-first-training.json")
    own = benchmark(datasets={"cifar10": {"path": "/my/cifar-10"}}).experiments
    assert own["cifar10-first-training"].fingerprint == published["fingerprint"]
    name = "ffhq-msg-progan-phi_lin_cat"
    active = benchmark(experiments={name: {"model": {"lin_cat_activation": "lrelu"}}}).experiments
    assert active[name].fingerprint != benchmark().experiments[name].fingerprint


def test_the_place_of_the_data_is_no_part_of_a_fingerprint() -> None:
    one = benchmark(datasets={"cifar10": {"path": "/a"}}).experiments[E3]
    two = benchmark(datasets={"cifar10": {"path": "/b"}}).experiments[E3]
    assert one.fingerprint == two.fingerprint
    assert one.dataset.fingerprint == two.dataset.fingerprint


def test_spec_json_goes_round_and_edits_by_hand_are_refused(tmp_path: Path) -> None:
    run = benchmark().run(E3, 0)
    write_json(tmp_path / "spec.json", run.to_json())
    assert RunSpec.read(tmp_path) == run
    text = (tmp_path / "spec.json").read_text().replace('"lr": 0.003', '"lr": 0.004')
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(ConfigError, match=r"change the experiment in config\.yaml instead"):
        RunSpec.read(tmp_path)
    with pytest.raises(ConfigError, match="is not a run directory"):
        RunSpec.read(tmp_path / "elsewhere")


def test_an_average_by_half_life() -> None:
    spec = benchmark(tiers={"smoke": {"defaults": {"ema": {"halflife_kimg": 10}}}}).experiments[E3]
    # reference.md, section 5: batch 16 and a half-life of 10 kimg give .998892
    assert spec.ema.beta_for(16) == pytest.approx(0.998892, abs=1e-6)
