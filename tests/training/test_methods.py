"""Every loss, penalty and optimizer trains, and is the same training however often it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.config import RunSpec, load_benchmark, merge
from msgbench.data.pyramid import real_pyramid
from msgbench.errors import StoppedBySignal, TrainingError
from msgbench.records import write_json
from msgbench.training import steps
from msgbench.training.loop import train
from msgbench.training.networks import Networks
from msgbench.training.steps import discriminator_step, generator_step

from .conftest import EXPERIMENT, ROOT, TINY, results_of
from .test_loop import stopped_at

NO_GP = {"penalty": "none", "drift_weight": 0.0}
METHODS: dict[str, dict[str, Any]] = {
    "msg-stylegan": {
        "model": {"family": "stylegan", "combine": "phi_cat_lin"},
        "loss": {"adversarial": "non_saturating", "penalty": "r1", "drift_weight": 0.0},
        "ema": {"halflife_kimg": 0.05},
    },
    "msg-stylegan, phi_lin_cat": {
        "model": {"family": "stylegan", "combine": "phi_lin_cat", "connections": [4]},
        "loss": {"adversarial": "non_saturating", "penalty": "r1", "drift_weight": 0.0},
    },
    "no connections": {"model": {"connections": "none"}},
    "phi_lin_cat": {"model": {"combine": "phi_lin_cat"}},
    "phi_cat_lin": {"model": {"combine": "phi_cat_lin"}},
    "without techniques": {"model": {"pixel_norm": "off", "equalized_lr": False, "mbstd": "off"}},
    "r1 partial": {"loss": {"adversarial": "non_saturating", "penalty": "r1", "r1_gradient": "partial"}},
    "one-sided": {"loss": {"adversarial": "non_saturating", "penalty": "one_sided"}},
    "a u for each scale, one norm": {"loss": {"gp_mixing": "per_scale", "gp_norm": "joint"}},
    "the norm of the largest image": {"loss": {"gp_norm": "top"}},
    "phi_lin_cat, activated": {"model": {"combine": "phi_lin_cat", "lin_cat_activation": "lrelu"}},
    "first version's": {
        "model": {"variant": "bmsg", "combine": "phi_lin_cat", "mbstd_group_size": None},
        "loss": {"adversarial": "ra_hinge", **NO_GP},
        "optimizer": {"lr": 0.001},
        "ema": {"beta": 0.999},
    },
    "first version's, batch reused": {"loss": {"adversarial": "ra_hinge", "generator_batch": "reused", **NO_GP}},
    "ra_lsgan": {"loss": {"adversarial": "ra_lsgan", **NO_GP}},
    "hinge, two rates": {"loss": {"adversarial": "hinge", **NO_GP}, "optimizer": {"g_lr": 0.001, "d_lr": 0.004}},
    "lsgan without average": {"loss": {"adversarial": "lsgan", **NO_GP}, "ema": {"enabled": False}},
    "rmsprop_torch": {"optimizer": {"algorithm": "rmsprop_torch", "lr": 0.0003}},
    "rmsprop_tf": {"optimizer": {"algorithm": "rmsprop_tf"}},
}  # fmt: skip


def run_of(method: dict[str, Any]) -> RunSpec:
    """The tiny run with a method's sections, which the tier's own defaults would win over elsewhere."""
    change = {"tiers": {"smoke": {"experiments": {EXPERIMENT: method}}}}
    return load_benchmark(ROOT / "config.yaml", merge(TINY, change)).run(EXPERIMENT, 0)


MakeMethod = Callable[..., Path]


@pytest.fixture
def make_method(tmp_path: Path) -> MakeMethod:
    def make(name: str, method: dict[str, Any]) -> Path:
        write_json(tmp_path / name / "spec.json", run_of(method).to_json())
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", METHODS)
def test_twelve_steps_are_five_and_a_resume_and_seven(
    name: str, make_method: MakeMethod, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halves = (make_method(half, METHODS[name]) for half in ("whole", "halves"))
    train(whole, store_dir, "cpu")
    stopped_at(20, monkeypatch)
    with pytest.raises(StoppedBySignal):
        train(halves, store_dir, "cpu")
    monkeypatch.undo()
    train(halves, store_dir, "cpu")
    assert results_of(whole) == results_of(halves)


def first_line(run_dir: Path) -> dict[str, float]:
    content: dict[str, float] = json.loads((run_dir / "stats.jsonl").read_text().splitlines()[0])
    return content


@pytest.mark.parametrize(
    ("name", "terms", "norms"),
    [
        ("msg-stylegan", {"adversarial", "r1"}, True),
        ("one-sided", {"adversarial", "gradient_penalty", "drift"}, True),
        ("first version's", {"adversarial"}, False),
    ],
)
def test_statistics_name_the_terms_of_the_method(
    name: str, terms: set[str], norms: bool, make_method: MakeMethod, store_dir: Path
) -> None:
    run_dir = make_method("a", METHODS[name])
    train(run_dir, store_dir, "cpu")
    line = first_line(run_dir)
    assert terms == {"adversarial", "gradient_penalty", "r1", "drift"} & set(line)
    assert line["loss_d"] == pytest.approx(sum(line[term] for term in terms), rel=1e-5)
    found = {key for key in line if key.startswith("gradient_norm_")}
    assert found == ({"gradient_norm_4px", "gradient_norm_8px"} if norms else set())


def networks(run: RunSpec) -> Networks:
    return Networks.build(run, torch.device("cpu"))


def reals(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return real_pyramid(torch.rand(4, 3, 8, 8, generator=generator) * 2 - 1)


def parameters(network: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_generator_reuses_latents_only_when_told() -> None:
    """With the discriminator's latents the step is a function of them: another purpose, another step."""
    moved = {}
    for batch in ("fresh", "reused"):
        run = run_of({"loss": {"adversarial": "ra_hinge", "generator_batch": batch, **NO_GP}})
        nets = networks(run)
        generator_step(nets, run, 4, 0, reals())
        moved[batch] = parameters(nets.G)
    assert not equal(moved["fresh"], moved["reused"])


def test_the_relativistic_generator_sees_the_reals() -> None:
    run = run_of(METHODS["ra_lsgan"])
    moved = []
    for seed in (0, 1):
        nets = networks(run)
        generator_step(nets, run, 4, 0, reals(seed))
        moved.append(parameters(nets.G))
    assert not equal(*moved)
    with pytest.raises(AssertionError, match="needs reals"):
        generator_step(networks(run), run, 4, 0)


def test_fresh_reals_of_the_generator_are_another_stream(
    make_method: MakeMethod, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[bytes]] = {"D": [], "G": []}
    d_step, g_step = steps.discriminator_step, steps.generator_step

    def d_watched(nets: Networks, images: Any, run: RunSpec, nimg: int, *more: Any) -> Any:
        seen["D"].append(images[-1].numpy().tobytes())
        return d_step(nets, images, run, nimg, *more)

    def g_watched(
        nets: Networks, run: RunSpec, batch: int, nimg: int, images: Any, *more: Any
    ) -> Any:
        seen["G"].append(images[-1].numpy().tobytes())
        return g_step(nets, run, batch, nimg, images, *more)

    monkeypatch.setattr(steps, "discriminator_step", d_watched)
    monkeypatch.setattr(steps, "generator_step", g_watched)
    train(make_method("fresh", METHODS["first version's"]), store_dir, "cpu")
    assert len(seen["G"]) == len(seen["D"]) == 12
    assert not set(seen["G"]) & set(seen["D"])
    seen["D"].clear(), seen["G"].clear()
    train(make_method("reused", METHODS["first version's, batch reused"]), store_dir, "cpu")
    assert seen["G"] == seen["D"]


def test_without_an_average_the_kept_generator_is_the_trained_one(
    make_method: MakeMethod, store_dir: Path
) -> None:
    run_dir = make_method("a", METHODS["lsgan without average"])
    train(run_dir, store_dir, "cpu")
    newest = sorted((run_dir / "states").glob("*.pt"))[-1]
    state = torch.load(newest, weights_only=True)["networks"]
    assert all(torch.equal(state["G"][name], state["G_ema"][name]) for name in state["G"])


@pytest.mark.parametrize(
    ("name", "term"),
    [("msg-stylegan", "adversarial, r1"), ("first version's", "adversarial")],
)
def test_a_loss_that_is_not_finite_names_its_term(name: str, term: str) -> None:
    run = run_of(METHODS[name])
    nets = networks(run)
    next(iter(nets.D.parameters())).data[0] = float("inf")
    report = discriminator_step(nets, reals(), run, 12_500)
    with pytest.raises(TrainingError, match=rf"not finite at 12\.5 kimg \(term {term}, first in"):
        report.require_finite(run, 12_500)


def test_r1_leaves_the_images_of_the_caller_alone() -> None:
    images = reals()
    run = run_of(METHODS["msg-stylegan"])
    discriminator_step(networks(run), images, run, 0)
    assert not any(image.requires_grad for image in images)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["msg-stylegan", "one-sided", "first version's"])
def test_scores_and_norms_are_float32(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    original = steps.discriminator_loss

    def kept_loss(*arguments: Any) -> Any:
        kept.append(original(*arguments))
        return kept[-1]

    monkeypatch.setattr(steps, "discriminator_loss", kept_loss)
    run = run_of({**METHODS[name], "training": {"precision": precision}})
    discriminator_step(networks(run), reals(), run, 0)
    (loss,) = kept
    for value in (loss.total, loss.gradient_norms, loss.real_scores, loss.fake_scores):
        assert value.dtype == torch.float32
