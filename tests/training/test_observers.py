"""The observer: changes and synchronisation against their formulas, over resumes, and for networks that grow."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.errors import StoppedBySignal
from msgbench.layout import observed_file
from msgbench.snapshots import load_snapshot
from msgbench.training import loop, observers
from msgbench.training.loop import train
from msgbench.training.networks import Networks
from msgbench.training.observers import (
    Observer,
    changes,
    epoch_begun,
    fixed_images,
    synchronisation,
    synchronisation_parts,
)

from . import ranks
from .conftest import MakeRun, results_of

# 40 images a pass, batches of 4: passes begin with the steps that end at 4 and 44 and 84 images.
LONG = {"total_kimg": 0.1, "state_kimg": 0.02, "snapshot_kimg": 0.004, "grid_kimg": 1.0}


def lines_of(run_dir: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run_dir / "observations.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize(
    ("cur_nimg", "batch_size", "epoch_nimg", "expected"),
    [
        (4, 4, 40, 0),
        (8, 4, 40, None),
        (40, 4, 40, None),
        (44, 4, 40, 1),
        # A batch that straddles two epochs begins the second.
        (42, 6, 40, 1),
        (48, 6, 40, None),
        (16, 16, 5, 3),
        (32, 16, 5, 6),
    ],
)
def test_an_epoch_begins_with_the_step_that_shows_its_first_image(
    cur_nimg: int, batch_size: int, epoch_nimg: int, expected: int | None
) -> None:
    assert epoch_begun(cur_nimg, batch_size, epoch_nimg) == expected


@pytest.mark.parametrize("name", ["msg-progan", "growing stylegan"])
def test_large_images_are_made_a_few_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ranks.spec_of(name)
    nets = Networks.build(run, torch.device("cpu"))
    if run.spec.growing:
        nets.grow_to(0.25)
    with torch.no_grad():
        whole = fixed_images(nets.G_ema, 0, run.spec.model.latent_size)
        sizes = []
        nets.G_ema.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        monkeypatch.setattr(observers, "_MOST_PIXELS", 7 * 8**2)
        pieces = fixed_images(nets.G_ema, 0, run.spec.model.latent_size)
    assert sizes == [7] * 5 + [1]
    assert [piece.shape for piece in pieces] == [image.shape for image in whole]
    for piece, image in zip(pieces, whole, strict=True):
        assert torch.allclose(piece, image, atol=1e-5)


def test_change_and_synchronisation_are_mean_squares() -> None:
    small, large = torch.full([2, 3, 4, 4], 0.25), torch.zeros(2, 3, 8, 8)
    large[:, :, ::2, ::2] = 2.0  # 2x2 means of 0.5
    now = {4: small, 8: large}
    assert synchronisation(now) == {"4": pytest.approx(0.0625, abs=1e-7)}
    before = {4: small - 0.5, 8: large + 1.0, 16: torch.zeros(2, 3, 16, 16)}
    assert changes(now, before) == pytest.approx({"4": 0.25, "8": 1.0}, abs=1e-6)
    assert changes(now, {}) == {}


def test_brightness_and_colour_of_a_difference() -> None:
    """A grey difference is one of brightness alone; one that leaves the brightness as it is, of colour alone."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    large = torch.zeros(2, 3, 8, 8)
    grey = {4: torch.full((2, 3, 4, 4), 0.5), 8: large}
    parts = synchronisation_parts(grey)
    assert parts["synchronisation_brightness"]["4"] == pytest.approx(0.25, abs=1e-6)
    assert parts["synchronisation_colour"]["4"] == pytest.approx(0.0, abs=1e-12)
    tint = torch.tensor([0.587, -0.299, 0.0])  # red up, green down: no brightness
    assert float((tint * weights).sum()) == pytest.approx(0.0, abs=1e-7)
    coloured = {4: tint[None, :, None, None].expand(2, 3, 4, 4), 8: large}
    parts = synchronisation_parts(coloured)
    assert parts["synchronisation_brightness"]["4"] == pytest.approx(0.0, abs=1e-12)
    assert parts["synchronisation_colour"]["4"] == pytest.approx(
        float(tint.square().mean()), abs=1e-6
    )
    assert synchronisation_parts({4: large[..., :4, :4]}) == {
        "synchronisation_brightness": {},
        "synchronisation_colour": {},
    }


def test_a_training_observes_each_epoch(make_run: MakeRun, store_dir: Path) -> None:
    run_dir = make_run("a", **LONG)
    train(run_dir, store_dir, "cpu")
    lines = lines_of(run_dir)
    assert [(x["cur_nimg"], x["epoch"], x["previous_nimg"]) for x in lines] == [
        (4, 0, None),
        (44, 1, 4),
        (84, 2, 44),
    ]
    assert lines[0]["change"] == {}
    # The same by hand, from the snapshots at these lengths.
    images = []
    for length in (4, 44):
        G, meta = load_snapshot(run_dir / f"snapshots/snapshot-{length:010d}.safetensors")
        with torch.no_grad():
            images.append(fixed_images(G, meta.seed, meta.model.latent_size))
    for scale, side in enumerate((4, 8)):
        expected = (images[1][scale] - images[0][scale]).square().mean().item()
        assert expected > 1e-8
        assert lines[1]["change"][str(side)] == pytest.approx(expected, rel=1e-5)
    pooled = torch.nn.functional.avg_pool2d(images[1][1], 2)
    expected = (images[1][0] - pooled).square().mean().item()
    assert lines[1]["synchronisation"] == {"4": pytest.approx(expected, rel=1e-5)}
    assert images[0][1].shape == (36, 3, 8, 8)


def test_an_epoch_may_be_stated_as_a_number_of_images(make_run: MakeRun, store_dir: Path) -> None:
    run_dir = make_run("a", observe_kimg=0.016)
    train(run_dir, store_dir, "cpu")
    lengths = [x["cur_nimg"] for x in lines_of(run_dir)]
    # The first step of each 16 images.
    assert lengths[:3] == [4, 20, 36]


def test_observing_changes_no_bit_of_the_training(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, alone = make_run("watched", **LONG), make_run("alone", **LONG)
    train(watched, store_dir, "cpu")
    monkeypatch.setattr(Observer, "after_step", lambda *_: None)
    train(alone, store_dir, "cpu")
    assert results_of(watched) == results_of(alone)


@pytest.mark.parametrize("stop", [40, 44, 48, 88])
def test_a_resumed_training_observes_the_same(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    whole, halves = make_run("whole", **LONG), make_run("halves", **LONG)
    train(whole, store_dir, "cpu")
    original, steps = loop.update_ema, iter(range(10**6))

    def then_signal(*arguments: Any) -> None:
        original(*arguments)
        if next(steps) * 4 + 4 == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "update_ema", then_signal)
    with pytest.raises(StoppedBySignal):
        train(halves, store_dir, "cpu")
    monkeypatch.undo()
    train(halves, store_dir, "cpu")
    assert lines_of(halves) == lines_of(whole)
    assert results_of(halves) == results_of(whole)


class Killed(Exception):
    """Ends a training without saving anything, as a kill does."""


def test_a_killed_training_observes_the_same_after_its_last_state(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at 52 images, after the observation at 44: it goes on from the state at 40, whose previous is at 4."""
    whole, killed = make_run("whole", **LONG), make_run("killed", **LONG)
    train(whole, store_dir, "cpu")
    original, steps = loop.update_ema, iter(range(10**6))

    def then_die(*arguments: Any) -> None:
        original(*arguments)
        if next(steps) * 4 + 4 == 52:
            raise Killed

    monkeypatch.setattr(loop, "update_ema", then_die)
    with pytest.raises(Killed):
        train(killed, store_dir, "cpu")
    monkeypatch.undo()
    assert [line["cur_nimg"] for line in lines_of(killed)] == [4, 44]
    half_a_line = (killed / "observations.jsonl").read_text() + '{"cur_nimg": 4'
    (killed / "observations.jsonl").write_text(half_a_line)
    train(killed, store_dir, "cpu")
    assert lines_of(killed) == lines_of(whole)


def test_only_the_previous_images_are_kept(make_run: MakeRun, store_dir: Path) -> None:
    run_dir = make_run("a", **LONG)
    train(run_dir, store_dir, "cpu")
    # The last; the states at 80 and 100 need those at 44 and 84 as their previous.
    names = [path.name for path in sorted((run_dir / "observed").iterdir())]
    assert names == [Path(observed_file(n)).name for n in (44, 84)]


def test_a_network_that_grows_has_a_change_where_a_scale_was_there_before(tmp_path: Path) -> None:
    observer = Observer(tmp_path, 10, 0)
    one, two = torch.zeros(36, 3, 4, 4), torch.ones(36, 3, 8, 8)
    for cur_nimg, images in ((5, [one]), (15, [one + 1, two]), (25, [two * 3])):
        observer.after_step(cur_nimg, 5, lambda images=images: images)
    lines = lines_of(tmp_path)
    assert [line["change"] for line in lines] == [{}, {"4": 1.0}, {"8": 4.0}]
    assert [line["synchronisation"] for line in lines] == [{}, {"4": 0.0}, {}]


def test_images_are_made_only_when_an_epoch_begins(tmp_path: Path) -> None:
    observer = Observer(tmp_path, 10, 0)
    made: list[int] = []

    def images() -> list[torch.Tensor]:
        made.append(1)
        return [torch.zeros(36, 3, 4, 4)]

    for cur_nimg in range(2, 42, 2):
        observer.after_step(cur_nimg, 2, images)
    assert len(made) == 4


def test_a_damaged_file_of_images_is_a_gap_and_no_failure(tmp_path: Path) -> None:
    observer = Observer(tmp_path, 10, 0)
    observer.after_step(5, 5, lambda: [torch.zeros(36, 3, 4, 4)])
    (tmp_path / observed_file(5)).write_bytes(b"half")
    observer.after_step(15, 5, lambda: [torch.ones(36, 3, 4, 4)])
    assert [(line["previous_nimg"], line["change"]) for line in lines_of(tmp_path)] == [
        (None, {}),
        (None, {}),
    ]
