"""Growing trainings: they are the same training however often and wherever they are interrupted.

The first version of the paper calls resuming in the middle of a fade very difficult (its section 1.1).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.data.pyramid import growing_reals
from msgbench.data.sampler import batch_indices, load_batch, mirror_flags
from msgbench.data.store import Store
from msgbench.errors import StoppedBySignal
from msgbench.layout import snapshot_file
from msgbench.records import write_json
from msgbench.sampling import SampleSet
from msgbench.snapshots import load_snapshot
from msgbench.training import loop, steps
from msgbench.training.draws import generator_inputs, style_mixing
from msgbench.training.loop import train
from msgbench.training.networks import Networks

from .conftest import results_of
from .test_methods import run_of

# 8 px from 4: stable to 16 images, fading to 40, full after that; batches of 8, then of 4, one look a step.
GROWING = {"stable_kimg": 0.016, "fade_kimg": 0.024, "repeats": 1, "batch_sizes": {4: 8, 8: 4}}
LENGTHS = {"total_kimg": 0.064, "snapshot_kimg": 0.016, "state_kimg": 0.008, "stats_kimg": 0.024}
METHODS: dict[str, dict[str, Any]] = {
    "progan": {"growing": {**GROWING, "learning_rates": {4: 0.001, 8: 0.002}}, "training": LENGTHS},
    "stylegan": {
        "model": {"family": "stylegan"},
        "loss": {"adversarial": "non_saturating", "penalty": "r1", "drift_weight": 0.0, "style_mixing": 0.9},
        "ema": {"halflife_kimg": 0.05},
        "growing": GROWING,
        "training": LENGTHS,
    },
    "progan's first code": {
        "model": {"mbstd_group_size": None, "pooling": "after_activation"},
        "loss": {"gp_target": 750.0, "generator_batch": "joint"},
        "growing": GROWING,
        "training": LENGTHS,
    },
    "the authors' own": {
        "model": {"mbstd_group_size": None, "gains": "bmsg", "from_rgb_activation": "linear",
                  "pixel_norm": "after_3x3", "pooling": "after_activation"},
        "loss": {"generator_batch": "reused"},
        "growing": {**GROWING, "optimizer_reset": False, "penalty_pixels": "shown", "reals": "exact"},
        "training": LENGTHS,
    },
}  # fmt: skip
# What is trained when the training is stopped there.
MOMENTS = {
    "stable at 4 px": 8,
    "the last step at 4 px": 24,
    "in the middle of the fade": 32,
    "the first step without fading": 40,
    "stable at 8 px": 52,
}

MakeMethod = Callable[..., Path]


def stopped_at(nimg: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the process signal itself during the step that ends at `nimg`."""
    original = loop.both_steps

    def then_signal(
        nets: Networks, reals: Any, run: Any, cur_nimg: int, beside: Any = None, *more: Any
    ) -> Any:
        stats = original(nets, reals, run, cur_nimg, beside, *more)
        if cur_nimg + len(reals[0]) == nimg:
            os.kill(os.getpid(), signal.SIGTERM)
        return stats

    monkeypatch.setattr(loop, "both_steps", then_signal)


@pytest.fixture
def make_method(tmp_path: Path) -> MakeMethod:
    def make(name: str, method: dict[str, Any]) -> Path:
        write_json(tmp_path / name / "spec.json", run_of(method).to_json())
        return tmp_path / name

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, store_dir: Path) -> dict[str, Path]:
    """Every method, trained without a pause."""
    folder = tmp_path_factory.mktemp("whole")
    for index, method in enumerate(METHODS.values()):
        write_json(folder / str(index) / "spec.json", run_of(method).to_json())
        train(folder / str(index), store_dir, "cpu")
    return {name: folder / str(index) for index, name in enumerate(METHODS)}


def test_the_moments_are_what_they_are_called() -> None:
    schedule = run_of(METHODS["progan"]).spec.schedule
    phases = {name: schedule.at(nimg) for name, nimg in MOMENTS.items()}
    assert [(p.resolution, p.fade) for p in phases.values()] == [
        (4, 0), (8, pytest.approx(2 / 3)), (8, pytest.approx(1 / 3)), (8, 0), (8, 0),
    ]  # fmt: skip
    assert schedule.at(16).lod == 1


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", METHODS)
def test_stopped_anywhere_it_ends_with_the_same_bits(
    name: str,
    moment: str,
    whole: dict[str, Path],
    make_method: MakeMethod,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves = make_method("halves", METHODS[name])
    stopped_at(MOMENTS[moment], monkeypatch)
    with pytest.raises(StoppedBySignal):
        train(halves, store_dir, "cpu")
    monkeypatch.undo()
    train(halves, store_dir, "cpu")
    assert results_of(halves) == results_of(whole[name])


@pytest.mark.parametrize("killed_at", [20, 28, 36, 44])
def test_killed_it_goes_on_from_a_state_before_the_change(
    killed_at: int,
    whole: dict[str, Path],
    make_method: MakeMethod,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a state of that moment: the newest one belongs to another phase, and nothing of it is forgotten."""

    class Killed(BaseException):
        pass

    original = loop.both_steps

    def dies(
        nets: Networks, reals: Any, run: Any, cur_nimg: int, beside: Any = None, *more: Any
    ) -> Any:
        if cur_nimg >= killed_at:
            raise Killed
        return original(nets, reals, run, cur_nimg, beside, *more)

    halves = make_method("halves", METHODS["progan"])
    monkeypatch.setattr(loop, "both_steps", dies)
    with pytest.raises(Killed):
        train(halves, store_dir, "cpu")
    monkeypatch.undo()
    train(halves, store_dir, "cpu")
    assert results_of(halves) == results_of(whole["progan"])


def watched_optimizers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float, int]]:
    """(images, learning rate, steps that D's moments know) before every step."""
    seen: list[tuple[int, float, int]] = []
    original = loop.both_steps

    def watch(
        nets: Networks, reals: Any, run: Any, cur_nimg: int, beside: Any = None, *more: Any
    ) -> Any:
        known = max((int(state["step"]) for state in nets.opt_D.state.values()), default=0)
        seen.append((cur_nimg, nets.opt_D.param_groups[0]["lr"], known))
        return original(nets, reals, run, cur_nimg, beside, *more)

    monkeypatch.setattr(loop, "both_steps", watch)
    return seen


def test_moments_start_anew_where_a_fade_begins_and_ends(
    make_method: MakeMethod, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watched_optimizers(monkeypatch)
    train(make_method("a", METHODS["progan"]), store_dir, "cpu")
    assert [known for _, _, known in seen] == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5][: len(seen)]
    assert [nimg for nimg, _, known in seen if known == 0] == [0, 24, 40]
    assert {(rate, nimg >= 24) for nimg, rate, _ in seen} == {(0.001, False), (0.002, True)}


def test_the_authors_own_code_never_forgets_its_moments(
    make_method: MakeMethod, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watched_optimizers(monkeypatch)
    train(make_method("a", METHODS["the authors' own"]), store_dir, "cpu")
    assert [known for _, _, known in seen] == list(range(len(seen)))


@pytest.mark.parametrize("name", ["progan", "the authors' own"])
def test_every_step_is_made_with_what_the_schedule_says(
    name: str, make_method: MakeMethod, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler's images at the phase's resolution, faded and rounded; the networks' level; the penalty's pixels."""
    store, run_dir = Store.open(store_dir), make_method("a", METHODS[name])
    rounded = name == "progan"
    shapes, scales = [], []
    original = loop.both_steps

    def watch(
        nets: Networks, reals: Any, run: Any, cur_nimg: int, beside: Any = None, *more: Any
    ) -> Any:
        phase = run.spec.schedule.at(cur_nimg)
        assert nets.G.lod == nets.D.lod == nets.G_ema.lod == phase.lod
        indices = batch_indices(len(store), run.seed, cur_nimg, phase.batch_size)
        batch = load_batch(store, indices, mirror_flags(run.seed, cur_nimg, phase.batch_size))
        expected = growing_reals(batch, phase.resolution, phase.fade, rounded)
        assert [torch.equal(real, expected) for real in reals] == [True]
        if phase.resolution == 4 or phase.fade > 0:
            others = {"not faded": (0.0, rounded), "not rounded": (phase.fade, not rounded)}
            differ = [
                not torch.equal(expected, growing_reals(batch, phase.resolution, *o))
                for o in others.values()
            ]
            assert any(differ), "nothing to tell apart"
        shapes.append((cur_nimg, tuple(reals[0].shape)))
        scales.append((phase.resolution, steps.enlarged(reals, run)))
        return original(nets, reals, run, cur_nimg, beside, *more)

    monkeypatch.setattr(loop, "both_steps", watch)
    train(run_dir, store_dir, "cpu")
    assert shapes[:4] == [
        (0, (8, 3, 4, 4)),
        (8, (8, 3, 4, 4)),
        (16, (8, 3, 4, 4)),
        (24, (4, 3, 8, 8)),
    ]
    assert all(shape == (4, 3, 8, 8) for _, shape in shapes[3:])
    assert set(scales) == ({(4, 2), (8, 1)} if rounded else {(4, 1), (8, 1)})


def test_the_penalty_gets_the_scale_of_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = steps.discriminator_loss

    def watch(*arguments: Any) -> Any:
        seen.append(arguments[-1])
        return original(*arguments)

    monkeypatch.setattr(steps, "discriminator_loss", watch)
    for name in ("progan", "stylegan", "the authors' own"):
        run = run_of(METHODS[name])
        nets = Networks.build(run, torch.device("cpu"))
        nets.grow_to(1.0)
        steps.discriminator_step(nets, [torch.zeros(8, 3, 4, 4)], run, 0)
    assert seen == [2, 2, 1]


def test_the_average_counts_the_batch_of_the_phase(
    make_method: MakeMethod, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-life in images: 0.5 ** (batch / half-life), eight images a step at 4 px and four at 8."""
    betas: list[float] = []
    original = loop.update_ema

    def watch(G_ema: Any, G: Any, beta: float) -> None:
        betas.append(beta)
        original(G_ema, G, beta)

    monkeypatch.setattr(loop, "update_ema", watch)
    train(make_method("a", METHODS["stylegan"]), store_dir, "cpu")
    assert betas[:4] == pytest.approx([*[0.5 ** (8 / 50)] * 3, 0.5 ** (4 / 50)], rel=1e-12)


def test_the_styles_of_both_steps_are_mixed() -> None:
    images = {}
    for probability in (0.0, 1.0):
        method = {
            **METHODS["stylegan"],
            "loss": {**METHODS["stylegan"]["loss"], "style_mixing": probability},
        }
        run = run_of(method)
        nets = Networks.build(run, torch.device("cpu"))
        # Styles start as the same affine map of w; only other w make other images.
        images[probability] = {
            step: generator_inputs(nets.G, run, 4, 0, step, "d").generate(nets.G)[0]
            for step in ("d", "g")
        }
    for step in ("d", "g"):
        assert not torch.equal(images[0.0][step], images[1.0][step])


def test_snapshots_know_how_far_they_have_grown(whole: dict[str, Path]) -> None:
    lods = {}
    for nimg in (0, 16, 32, 48, 64):
        G, meta = load_snapshot(whole["progan"] / snapshot_file(nimg))
        assert meta.lod == G.lod
        lods[nimg] = meta.lod
    assert lods == {0: 1, 16: 1, 32: pytest.approx(1 / 3), 48: 0, 64: 0}


def test_a_generator_that_still_grows_is_measured_enlarged(whole: dict[str, Path]) -> None:
    samples = SampleSet(whole["stylegan"] / snapshot_file(16), 4, 0, 4)
    (images,) = samples.batches()
    assert images.shape == (4, 3, 8, 8)
    squares = images.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert (squares == squares[..., :1]).all()


def test_statistics_are_means_of_the_steps_that_have_them(whole: dict[str, Path]) -> None:
    """A line that a change of resolution falls into: every scale's norm is the mean over its own steps."""
    lines = [
        json.loads(line) for line in (whole["progan"] / "stats.jsonl").read_text().splitlines()
    ]
    scales = [{k for k in line if k.startswith("gradient_norm")} for line in lines]
    assert scales[0] == {"gradient_norm_4px"}
    assert {"gradient_norm_8px"} in scales
    for line in lines:
        assert all(value > 0 for key, value in line.items() if key.startswith("gradient_norm"))


def test_a_joint_update_goes_through_the_discriminator_of_before() -> None:
    """G moves as if D had not been updated, D as if G had not been: on the same latents."""
    run = run_of(METHODS["progan's first code"])
    nets = Networks.build(run, torch.device("cpu"))
    alone = Networks.build(run, torch.device("cpu"))
    reals = [torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1]
    steps.both_steps(nets, reals, run, 0)
    steps.generator_step(alone, run, 4, 0)
    assert all(
        torch.equal(a, b) for a, b in zip(nets.G.parameters(), alone.G.parameters(), strict=True)
    )
    only_D = Networks.build(run, torch.device("cpu"))
    steps.discriminator_step(only_D, reals, run, 0)
    assert all(
        torch.equal(a, b) for a, b in zip(nets.D.parameters(), only_D.D.parameters(), strict=True)
    )


def test_styles_are_mixed_with_the_probability_that_was_asked_for() -> None:
    run = run_of(METHODS["stylegan"])
    nets = Networks.build(run, torch.device("cpu"))
    z = torch.zeros(4, 16)
    drawn = [style_mixing(nets.G, run, z, nimg, "mixing-d") for nimg in range(2000)]
    mixed = [mixing for mixing in drawn if mixing is not None]
    # 0.9 of 2000: within four standard deviations.
    assert abs(len(mixed) - 1800) < 54
    # Four layers at 8 px: the first that follows the others is the second, third or fourth.
    assert {mixing.cutoff for mixing in mixed} == {1, 2, 3}
    nets.grow_to(1.0)
    early = [style_mixing(nets.G, run, z, nimg, "mixing-d") for nimg in range(100)]
    assert {mixing.cutoff for mixing in early if mixing is not None} == {1}
