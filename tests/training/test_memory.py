"""Too little memory: a training goes on with smaller micro-batches, says so, and counts it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.errors import StoppedBySignal, TrainingError
from msgbench.records import write_json
from msgbench.training import loop, steps
from msgbench.training.feed import room_for_images
from msgbench.training.loop import train
from msgbench.training.memory import is_out_of_memory
from msgbench.training.preflight import largest_phase, try_largest
from msgbench.training.share import Share

from . import ranks
from .conftest import flatten, results_of
from .test_methods import run_of
from .test_sharing import assert_same
from .test_sharing import in_float64 as in_float64


def limited(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A device on which D takes `most` images at a time: torch's own error in the middle of a step."""
    original = steps.discriminator_loss

    def tight(D: Any, reals: Any, *more: Any) -> Any:
        if len(reals[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return original(D, reals, *more)

    monkeypatch.setattr(steps, "discriminator_loss", tight)


@pytest.mark.parametrize("name", ["msg-stylegan", "ra_lsgan"])
def test_a_step_that_does_not_fit_is_made_in_halves(
    name: str, in_float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The average of w, the scores that are compared and all updates are those of the step in one go."""
    whole = ranks.steps_of(name)
    limited(monkeypatch, 4)
    assert_same(whole, ranks.steps_of(name))


def test_a_training_halves_says_and_counts_and_a_resumed_one_knows(
    store_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = run_of({"training": {"batch_size": 16}})
    write_json(tmp_path / "a/spec.json", run.to_json())
    limited(monkeypatch, 7)
    content = train(tmp_path / "a", store_dir, "cpu")
    said = capsys.readouterr().err
    assert "16 images at a time are too many for the memory; goes on with 8 at a time" in said
    assert "8 images at a time are too many for the memory; goes on with 4 at a time" in said
    assert content["attempts"][0]["out_of_memory"] == 2
    newest = sorted((tmp_path / "a/states").glob("*.pt"))[-1]
    state = torch.load(newest, weights_only=True)
    assert state["micro_batch"] == 4
    # A micro-batch of 4 from the start is the same training.
    asked = run_of({"training": {"batch_size": 16, "micro_batch_size": 4}})
    write_json(tmp_path / "b/spec.json", asked.to_json())
    content = train(tmp_path / "b", store_dir, "cpu")
    assert "out_of_memory" not in content["attempts"][0]
    other = torch.load(tmp_path / "b/states" / newest.name, weights_only=True)
    assert flatten(state["networks"]) == flatten(other["networks"])
    # What was halved stays so.
    card = json.loads((tmp_path / "a/train.json").read_text())
    (tmp_path / "a/train.json").unlink()
    train(tmp_path / "a", store_dir, "cpu")
    assert "too many" not in capsys.readouterr().err
    assert card["cur_nimg"] == 48


@pytest.mark.parametrize(
    ("said", "is_it"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("CUDA error: out of memory", True),
        ("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried", True),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", False),
    ],
)  # fmt: skip
def test_libraries_say_it_in_their_own_words(said: str, is_it: bool) -> None:
    assert is_out_of_memory(RuntimeError(said)) == is_it


def test_memory_that_no_micro_batch_takes_is_one_sentence(
    store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(loop, "update_ema", full)
    write_json(tmp_path / "spec.json", run_of({}).to_json())
    with pytest.raises(
        TrainingError,
        match=r"too little memory, .* \(CUDA out of memory. Tried to allocate 2.00 GiB.\); take",
    ):
        train(tmp_path, store_dir, "cpu")


@pytest.mark.parametrize(
    ("free", "needed", "room"), [(80, 10, 20), (80, 70, 10), (80, 80, 0), (80, 90, 0)]
)
def test_images_live_on_a_gpu_only_where_the_largest_step_leaves_room(
    free: int, needed: int, room: int
) -> None:
    assert room_for_images(free, needed) == room


def test_one_group_is_the_least(
    store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "spec.json", run_of({"training": {"batch_size": 8}}).to_json())
    limited(monkeypatch, 3)
    with pytest.raises(
        TrainingError, match=r"4 images at a time are too many .* one group of Minibatch"
    ):
        train(tmp_path, store_dir, "cpu")


def test_other_errors_are_not_taken_for_memory(
    store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(steps, "discriminator_loss", broken)
    write_json(tmp_path / "spec.json", run_of({}).to_json())
    with pytest.raises(RuntimeError, match="something else"):
        train(tmp_path, store_dir, "cpu")


@pytest.mark.parametrize("name", ["growing progan", "msg-progan", "first version's"])
def test_the_largest_step_is_tried_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ranks.spec_of(name)
    assert largest_phase(run) == (8, 8)
    share = Share(run)
    limited(monkeypatch, 4)
    try_largest(run, torch.device("cpu"), share)
    assert (share.micro_batch, share.halvings) == (4, 1)


@pytest.mark.parametrize("name", ["growing stylegan", "msg-progan"])
def test_a_signal_during_the_trial_of_the_largest_step_is_heard_and_the_bits_are_those_without_it(
    name: str, store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole, tried = ranks.spec_of(name), tmp_path / "whole", tmp_path / "tried"
    for folder in (whole, tried):
        write_json(folder / "spec.json", run.to_json())
    train(whole, store_dir, "cpu")

    def told_to_stop(training: Any) -> None:
        try_largest(training.run, training.device, training.share)
        if not list((tried / "states").glob("*")):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop._Training, "_try_memory", told_to_stop)
    with pytest.raises(StoppedBySignal):
        train(tried, store_dir, "cpu")
    train(tried, store_dir, "cpu")
    assert results_of(tried) == results_of(whole)


def test_the_largest_phase_is_that_of_most_pixels() -> None:
    growing = ranks.METHODS["growing progan"]
    run = run_of({**growing, "growing": {**growing["growing"], "batch_sizes": {4: 16, 8: 4}}})
    assert largest_phase(run) in ((4, 16), (8, 4))  # as many pixels


@pytest.mark.gpu
def test_a_gpu_that_is_too_small_halves(store_dir: Path, tmp_path: Path) -> None:
    torch.cuda.set_per_process_memory_fraction(0.0005)
    try:
        run = run_of({"model": {"width_multiplier": 1.0}, "training": {"batch_size": 64}})
        write_json(tmp_path / "spec.json", run.to_json())
        try:
            content = train(tmp_path, store_dir, "cuda")
        except TrainingError as error:
            assert "one group of MinibatchStdDev" in str(error)  # noqa: PT017 (either end is right)
        else:
            assert content["attempts"][0]["out_of_memory"] >= 1
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
