"""The sentence that says what is scaled down."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgbench.analysis.scale import (
    growing_departures,
    model_departures,
    recipe_departures,
    statement,
)
from msgbench.config import Benchmark, load_benchmark

ROOT = Path(__file__).resolve().parents[2]


def test_departures_from_several_published_values_are_one() -> None:
    departures = (
        "400 real images shown instead of 3.2M",
        "32 px instead of 1024",
        "600 images drawn by msgbench in place of celeba-hq",
        "400 real images shown instead of 11M",
        "600 images drawn by msgbench in place of ffhq",
        "400 real images shown instead of 6M",
        "connections at 4 px stand for 4, 8",
    )
    assert statement("smoke", departures) == (
        "smoke tier: scaled down (400 real images shown instead of 3.2M, 11M or 6M; 32 px instead of 1024; "
        "600 images drawn by msgbench in place of celeba-hq or ffhq; connections at 4 px stand for 4, 8); "
        "nothing here is a reproduction"
    )
    assert statement("paper", ()) == ""


def benchmark(tier: str) -> Benchmark:
    return load_benchmark(ROOT / "config.yaml", {"tier": tier})


@pytest.mark.parametrize(
    "name", [*benchmark("paper").table_experiments(), "celeba-hq-progan-authors"]
)
def test_a_published_experiment_is_scaled_in_nothing(name: str) -> None:
    """The networks, losses and lists of a baseline are its own recipe's, however unlike MSG-GAN's they are."""
    spec = benchmark("paper").experiment(name)
    assert model_departures(spec) == ()
    assert recipe_departures(spec) == ()


def test_a_scaled_baseline_says_what_its_schedule_is() -> None:
    mini = benchmark("mini").experiment("ffhq-progan")
    assert growing_departures(mini) == (
        "the resolution doubles every 200,000 images instead of 1.2M",
    )
    smoke = benchmark("smoke").experiment("cifar10-progan")
    assert growing_departures(smoke) == (
        "the resolution doubles every 48 images instead of 800,000",
        "other batches and learning rates than the published recipe's",
    )
    assert growing_departures(benchmark("smoke").experiment("ffhq-msg-progan")) == ()


def test_a_training_that_is_not_as_published_says_so() -> None:
    changes = {
        "no published recipe of growing": {"flowers-progan": {"growing": {"recipe": None}}},
        "model.pooling before_activation instead of after_activation": {
            "cifar10-progan": {"model": {"pooling": "before_activation"}}
        },
        "loss.style_mixing 0.5 instead of 0.9": {
            "flowers-stylegan": {"loss": {"style_mixing": 0.5}}
        },
        "growing.penalty_pixels shown instead of full": {
            "ffhq-progan": {"growing": {"penalty_pixels": "shown"}}
        },
        "model.lin_cat_activation lrelu instead of linear": {
            "ffhq-msg-progan-phi_lin_cat": {"model": {"lin_cat_activation": "lrelu"}}
        },
        "model.mbstd last_block instead of every_block": {
            "ffhq-msg-progan-none": {"model": {"mbstd": "last_block"}}
        },
        "other batches and learning rates than the published recipe's": {
            "ffhq-progan": {"growing": {"batch_sizes": {4: 64}}}
        },
    }
    for said, change in changes.items():
        (name,) = change
        changed = load_benchmark(ROOT / "config.yaml", {"tier": "paper", "experiments": change})
        assert recipe_departures(changed.experiment(name)) == (said,)
