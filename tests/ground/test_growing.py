"""The schedule of progressive growing: resolutions, batches and learning rates over the images shown."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from msgbench.config import RECIPES, GrowingSpec, Schedule, load_benchmark

ROOT = Path(__file__).resolve().parents[2]
PAPER = load_benchmark(ROOT / "config.yaml", {"tier": "paper"})


def schedule(
    resolution: int, recipe: str, total_kimg: float = 12_000, **changes: object
) -> Schedule:
    growing = GrowingSpec.model_validate({"recipe": recipe, **changes})
    return Schedule(resolution, total_kimg, 4, growing)


@pytest.mark.parametrize(
    ("resolution", "recipe", "full_kimg"),
    [
        (256, "progan-v2-1gpu", 7_200),
        (1024, "progan-v2-8gpu", 9_600),
        (256, "stylegan-1gpu", 6_000),
        (1024, "stylegan-8gpu", 8_400),
        (32, "progan-cifar10", 2_400),
        (1024, "progan-v1-1gpu", 12_800),
        (1024, "progan-authors-celeba-hq", 12_960),
    ],
)
def test_full_resolution_is_reached_when_the_published_schedules_reach_it(
    resolution: int, recipe: str, full_kimg: int
) -> None:
    grown = schedule(resolution, recipe, 20_000)
    full = full_kimg * 1000
    assert grown.full_from_nimg == full
    assert grown.lod(full) == 0
    assert 0 < grown.lod(full - 1000) < 0.01
    assert grown.lod(full + 5_000_000) == 0


def test_level_of_detail_of_progan_over_kimg() -> None:
    """600 kimg stable at 4 px, then 600 in which 8 px fade in, and so on (ProGAN's train.py)."""
    grown = schedule(256, "progan-v2-1gpu")
    wanted = {
        0: 6,
        300: 6,
        600: 6,
        750: 5.75,
        900: 5.5,
        1200: 5,
        1800: 5,
        2100: 4.5,
        7199: 1 / 600,
        7200: 0,
    }
    for kimg, lod in wanted.items():
        assert grown.lod(kimg * 1000) == pytest.approx(lod, abs=1e-9), kimg


def test_stylegan_starts_at_8_px() -> None:
    grown = schedule(1024, "stylegan-8gpu", 25_000)
    assert (grown.at(0).resolution, grown.at(0).lod) == (8, 7)
    assert grown.at(900_000).resolution == 16
    assert grown.at(900_000).lod == pytest.approx(6.5, abs=1e-3)


def test_a_new_resolution_brings_its_batch_and_rate_with_the_first_step_of_its_fade() -> None:
    grown = schedule(256, "progan-v2-4gpu")
    looks = grown.stretches
    assert [(s.resolution, s.batch_size) for s in looks] == [
        (4, 512), (8, 256), (16, 128), (32, 64), (64, 32), (128, 16), (256, 16),
    ]  # fmt: skip
    for before, after in itertools.pairwise(looks):
        # At exactly 600 kimg nothing fades yet: the first look after it is the first of the new resolution.
        assert before.end == after.start
        assert before.end % 600_000 <= before.batch_size * 4
        phase = grown.at(after.start)
        assert (phase.resolution, phase.batch_size) == (after.resolution, after.batch_size)
        assert 0.99 < phase.fade < 1
        assert grown.at(after.start - 1).resolution == before.resolution
    assert grown.at(7_000_000).learning_rate == 0.0015
    assert grown.at(5_000_000).learning_rate is None


PUBLISHED_LISTS: list[tuple[str, tuple[int, ...], dict[int, float]]] = [
    # By resolution from 4 to 1024; None: the optimizer's own rate, 0.001.
    ("progan-v1-1gpu", (16, 16, 16, 16, 16, 16, 14, 6, 3), {}),
    ("progan-v2-1gpu", (128, 128, 128, 64, 32, 16, 8, 4, 4), {1024: 0.0015}),
    ("progan-v2-2gpu", (256, 256, 128, 64, 32, 16, 8, 8, 8), {512: 0.0015, 1024: 0.002}),
    ("progan-v2-4gpu", (512, 256, 128, 64, 32, 16, 16, 16, 16), {256: 0.0015, 512: 0.002, 1024: 0.003}),
    ("progan-v2-8gpu", (512, 256, 128, 64, 32, 32, 32, 32, 32),
     {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}),
    ("progan-authors-celeba-hq", (64, 64, 64, 64, 64, 64, 56, 24, 12), {}),
    ("progan-cifar10", (16,) * 9, {}),
    ("stylegan-1gpu", (128, 128, 128, 64, 32, 16, 8, 4, 4), {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}),
    ("stylegan-2gpu", (256, 256, 128, 64, 32, 16, 8, 8, 8), {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}),
    ("stylegan-4gpu", (512, 256, 128, 64, 32, 16, 16, 16, 16),
     {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}),
    ("stylegan-8gpu", (512, 256, 128, 64, 32, 32, 32, 32, 32),
     {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "batches", "rates"), PUBLISHED_LISTS)
def test_batches_and_rates_of_every_recipe(
    recipe: str, batches: tuple[int, ...], rates: dict[int, float]
) -> None:
    growing = GrowingSpec(recipe=recipe)
    resolutions = [2**power for power in range(2, 11)]
    assert tuple(growing.batch_size(r, 999) for r in resolutions) == batches
    found = {r: growing.learning_rate(r) for r in resolutions}
    assert {r: rate for r, rate in found.items() if rate is not None} == rates


def test_every_recipe_is_tested_above() -> None:
    assert {recipe for recipe, _, _ in PUBLISHED_LISTS} == set(RECIPES)


def test_what_is_given_goes_before_the_recipe() -> None:
    growing = GrowingSpec(recipe="stylegan-8gpu", stable_kimg=5.0, learning_rates={})
    assert (growing.stable_kimg, growing.fade_kimg, growing.start_resolution) == (5, 600, 8)
    assert growing.learning_rate(1024) is None
    assert growing.batch_size(4, 1) == 512


def test_the_schedule_is_looked_at_every_fourth_step() -> None:
    """minibatch_repeats: level of detail and batch stay for four steps, as in ProGAN's training loop."""
    grown = schedule(256, "progan-v2-1gpu")
    start = next(s.start for s in grown.stretches if s.resolution == 64)
    lods = [grown.at(start + step * 32).lod for step in range(9)]
    assert lods[0] == lods[3] != lods[4] == lods[7] != lods[8]
    every = schedule(256, "progan-v2-1gpu", repeats=1)
    begin = next(s.start for s in every.stretches if s.resolution == 64)
    assert len({every.at(begin + step * 32).lod for step in range(9)}) == 9


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize("resolution", [32, 256])
def test_steps_follow_each_other_without_gap_and_everything_due_lies_on_one(
    recipe: str, resolution: int
) -> None:
    """Walked step by step, the schedule is what it says about itself without walking."""
    grown = schedule(
        resolution, recipe, 40, stable_kimg=2.3, fade_kimg=1.7, batch_sizes={4: 48, 16: 20, 32: 12}
    )
    nimg, ends, resolutions = 0, [0], []
    while nimg < grown.total_nimg:
        phase = grown.at(nimg)
        resolutions.append(phase.resolution)
        nimg += phase.batch_size
        ends.append(nimg)
    assert nimg == grown.total_nimg >= 40_000
    assert resolutions == sorted(resolutions)
    # Now and then, about once a step, and several times a step.
    for every in (1000, 25, 7):
        due = [end for end in ends if grown.is_due(every / 1000, end)]
        # For each multiple that is reached, the first end that reaches it.
        first = [next(end for end in ends if end >= n) for n in range(0, ends[-1] + 1, every)]
        assert due == list(dict.fromkeys(first))
        assert grown.lengths(every / 1000) == list(dict.fromkeys([*due, grown.total_nimg]))
    for n in (0, 1, 777, 5_000, nimg - 1, nimg):
        assert grown.first_from(n) == next(end for end in ends if end >= n)
    assert grown.first_from(nimg + 1) == nimg
    assert grown.at(nimg).resolution == grown.at(nimg - 1).resolution


def test_lengths_without_growing_are_first_whole_batches() -> None:
    plain = Schedule(32, 1, 48, None)
    assert plain.total_nimg == 1008
    assert plain.lengths(0.25) == [0, 288, 528, 768, 1008]
    assert plain.at(500) == plain.at(0)
    assert plain.at(0).lod is None
    assert plain.full_from_nimg == 0
    # What is shorter than an image is due at every step.
    assert all(plain.is_due(0.0001, nimg) for nimg in range(0, 1009, 48))
    assert plain.lengths(0.0001) == list(range(0, 1009, 48))
    with pytest.raises(ValueError, match="no level of detail"):
        plain.lod(0)


# experiment -> recipe, total kimg, kimg between snapshots.
BASELINES = {
    "flowers-progan": ("progan-v2-1gpu", 12_000, 400),
    "flowers-stylegan": ("stylegan-2gpu", 25_000, 400),
    "indian-celebs-progan": ("progan-v2-2gpu", 12_000, 400),
    "indian-celebs-stylegan": ("stylegan-4gpu", 25_000, 400),
    "churches-stylegan": ("stylegan-8gpu", 25_000, 400),
    "ffhq-progan": ("progan-v2-4gpu", 12_000, 100),
    "ffhq-stylegan": ("stylegan-4gpu", 25_000, 200),
    "cifar10-progan": ("progan-cifar10", 20_000, 1_000),
    "celeba-hq-progan-authors": ("progan-authors-celeba-hq", 13_770, 810),
}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_of_the_paper_tier(name: str) -> None:
    spec = PAPER.experiment(name)
    assert spec.growing is not None
    recipe, total, snapshot = BASELINES[name]
    assert (spec.growing.recipe, spec.training.total_kimg, spec.training.snapshot_kimg) == (
        recipe,
        total,
        snapshot,
    )
    # The recipe is what is trained: no method or experiment changes a list of it.
    assert spec.growing == GrowingSpec(recipe=recipe)
    assert spec.training.batch_size == spec.schedule.at(spec.schedule.total_nimg).batch_size
    assert spec.optimizer.lr == 0.001
    if spec.method == "stylegan":
        assert (spec.loss.adversarial, spec.loss.penalty, spec.loss.style_mixing) == (
            "non_saturating",
            "r1",
            0.9,
        )
        assert spec.ema.halflife_kimg == 10
    else:
        assert (spec.loss.adversarial, spec.loss.penalty) == ("wgan", "gradient_penalty")
        assert spec.ema.beta == 0.999


def test_the_authors_own_progan_trains_in_epochs_of_30000_images() -> None:
    """celeba-hq.conf: 27 epochs at 4 px and 54 at each resolution, the first half of them fading in."""
    grown = PAPER.experiment("celeba-hq-progan-authors").schedule
    epochs = [27, *[54] * 8]
    assert grown.total_nimg == pytest.approx(sum(epochs) * 30_000, abs=64)
    for index in range(1, 9):
        start = sum(epochs[:index]) * 30_000
        assert grown.lod(start + 30_000 * 27) == 8 - index
        assert grown.lod(start + 30_000 * 13) == pytest.approx(8 - index + 14 / 27)


def test_progans_cifar10_networks_are_those_of_its_first_code() -> None:
    spec = PAPER.experiment("cifar10-progan")
    model = spec.model
    assert (model.latent_size, model.fmap_base, model.fmap_max) == (128, 4096, 128)
    assert (model.mbstd, model.mbstd_group_size, model.pooling) == (
        "last_block",
        None,
        "after_activation",
    )
    assert (spec.loss.gp_target, spec.loss.generator_batch) == (750, "joint")
