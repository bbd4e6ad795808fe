"""The loop: what a training leaves behind, and that it is the same however often it was interrupted."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from msgbench.config import RunSpec
from msgbench.data.store import Store
from msgbench.errors import StoppedBySignal, TrainingError
from msgbench.locks import is_locked
from msgbench.records import write_json
from msgbench.snapshots import load_snapshot
from msgbench.training import loop
from msgbench.training.interrupt import StopRequest
from msgbench.training.ledger import Ledger
from msgbench.training.loop import train
from msgbench.training.networks import Networks, update_ema

from .conftest import MakeRun, results_of, tiny_run


def command(run_dir: Path, store_dir: Path, *more: str) -> list[str]:
    """The command line that trains."""
    return [
        sys.executable, "-m", "msgbench.cli", "train", str(run_dir), "--store", str(store_dir), *more
    ]  # fmt: skip


def test_a_full_disk_is_one_sentence_and_the_last_state_is_gone_on_from(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, whole = make_run("a"), make_run("whole")
    write = loop.save_state

    def full(run_dir: Path, state: dict[str, Any]) -> Path:
        if state["cur_nimg"] >= 24:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(run_dir, state)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_state", full)
        with pytest.raises(
            TrainingError, match=r"a: cannot be written \(No space left on device\); started again"
        ):
            train(run_dir, store_dir, "cpu")
    train(run_dir, store_dir, "cpu")
    train(whole, store_dir, "cpu")
    assert results_of(run_dir) == results_of(whole)


def test_a_finished_training_has_left_everything(make_run: MakeRun, store_dir: Path) -> None:
    run_dir = make_run("a")
    content = train(run_dir, store_dir, "cpu")
    assert content == json.loads((run_dir / "train.json").read_bytes())
    assert content["cur_nimg"] == 48
    assert [s["cur_nimg"] for s in content["snapshots"]] == [0, 16, 32, 48]
    assert [a["ended"] for a in content["attempts"]] == ["finished"]
    assert content["attempts"][0]["end_nimg"] == 48
    assert content["dataset_fingerprint"] == Store.open(store_dir).manifest.fingerprint
    assert content["provenance"]["versions"]["torch"] == importlib.metadata.version("torch")
    states = sorted(p.name for p in (run_dir / "states").iterdir())
    assert [s for s in states if s.endswith(".pt")] == [
        "training-state-0000000040.pt",
        "training-state-0000000048.pt",
    ]
    lines = [json.loads(line) for line in (run_dir / "stats.jsonl").read_text().splitlines()]
    assert [line["cur_nimg"] for line in lines] == [12, 24, 36, 48]
    for line in lines:
        total = line["adversarial"] + line["gradient_penalty"] + line["drift"]
        assert line["loss_d"] == pytest.approx(total, rel=1e-5)  # float32 sums
        assert {"gradient_norm_4px", "gradient_norm_8px", "loss_g", "images_per_second"} <= set(
            line
        )
    assert list((run_dir / "tensorboard").glob("events.out.tfevents.*"))
    grid = np.asarray(Image.open(run_dir / "grids/grid-0000000048-0008px.png"))
    assert grid.shape == (48, 48, 3)
    assert np.asarray(Image.open(run_dir / "grids/grid-0000000048-0004px.png")).shape == (24, 24, 3)
    G, meta = load_snapshot(run_dir / content["snapshots"][-1]["file"])
    assert (meta.cur_nimg, meta.run_fingerprint) == (48, RunSpec.read(run_dir).fingerprint)
    state = torch.load(run_dir / "states/training-state-0000000048.pt", weights_only=True)
    for name, parameter in G.state_dict().items():
        assert torch.equal(parameter, state["networks"]["G_ema"][name])


def test_training_moves_both_networks_and_the_average_lags(
    store_dir: Path, make_run: MakeRun
) -> None:
    run_dir = make_run("a")
    run = RunSpec.read(run_dir)
    start = Networks.build(run, torch.device("cpu"))
    train(run_dir, store_dir, "cpu")
    state = torch.load(run_dir / "states/training-state-0000000048.pt", weights_only=True)[
        "networks"
    ]
    for name, before in start.G.state_dict().items():
        now, average = state["G"][name], state["G_ema"][name]
        assert not torch.equal(before, now), name
        assert (average - before).norm() < (now - before).norm(), name
    assert not torch.equal(
        start.D.state_dict()["blocks.8.conv0.weight"], state["D"]["blocks.8.conv0.weight"]
    )


def test_the_average_follows_its_formula() -> None:
    a, b = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    expected = 0.9 * a.weight.detach().double() + 0.1 * b.weight.detach().double()
    update_ema(a, b, beta=0.9)
    assert torch.allclose(a.weight.double(), expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_eight_steps_are_four_and_a_resume_and_four(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    whole, halves = make_run("whole", precision=precision), make_run("halves", precision=precision)
    train(whole, store_dir, "cpu")
    # 20 images: in the middle of a line of stats.jsonl, between two states and two snapshots.
    stopped_at(20, monkeypatch)
    with pytest.raises(StoppedBySignal) as stopped:
        train(halves, store_dir, "cpu")
    assert stopped.value.exit_code == 143
    monkeypatch.undo()
    assert not (halves / "train.json").exists()
    train(halves, store_dir, "cpu")
    assert results_of(whole) == results_of(halves)
    attempts = json.loads((halves / "train.json").read_bytes())["attempts"]
    assert [(a["start_nimg"], a["end_nimg"], a["ended"]) for a in attempts] == [
        (0, 20, "SIGTERM"),
        (20, 48, "finished"),
    ]


def stopped_at(nimg: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the process signal itself during the step that ends at `nimg`."""
    original = loop.update_ema
    steps = iter(range(10**6))

    def then_signal(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type]
        if next(steps) * 4 + 4 == nimg:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "update_ema", then_signal)


def test_save_and_continue_goes_on_to_the_end(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, signalled = make_run("whole"), make_run("signalled", state_kimg=1.0)
    train(whole, store_dir, "cpu")
    stopped_at(20, monkeypatch)
    content = train(signalled, store_dir, "cpu", on_term="save-and-continue")
    states = sorted(p.name for p in (signalled / "states").glob("*.pt"))
    assert states == ["training-state-0000000020.pt", "training-state-0000000048.pt"]
    assert [a["ended"] for a in content["attempts"]] == ["finished"]


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR2, 140)]
)
def test_signals_end_the_command_with_the_state_saved(
    make_run: MakeRun, store_dir: Path, signum: int, code: int
) -> None:
    run_dir = make_run("a", total_kimg=1000.0, state_kimg=500.0)
    process = subprocess.Popen(command(run_dir, store_dir), stderr=subprocess.PIPE, text=True)
    wait_for(
        lambda: (
            (run_dir / "stats.jsonl").exists() and len((run_dir / "stats.jsonl").read_text()) > 0
        )
    )
    process.send_signal(signum)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert f"{signal.Signals(signum).name}, saved at" in err
    assert len(list((run_dir / "states").glob("*.pt"))) == 1
    assert not (run_dir / "train.json").exists()


def test_in_a_slurm_job_sigterm_saves_and_sigusr2_saves_and_ends(
    make_run: MakeRun, store_dir: Path
) -> None:
    """Slurm requeues a preempted job only if that did not end by itself; a time limit is ours to answer."""
    run_dir = make_run("a", total_kimg=1000.0, state_kimg=500.0)
    process = subprocess.Popen(
        command(run_dir, store_dir),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MSGBENCH_ON_TERM": "save-and-continue"},
        preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),  # as a job starts it
    )
    wait_for((run_dir / "stats.jsonl").exists)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: len(list((run_dir / "states").glob("*.json"))) == 1)
    assert process.poll() is None
    process.send_signal(signal.SIGUSR2)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 140
    assert "SIGUSR2, saved at" in err
    assert "SIGTERM" not in err
    assert len(list((run_dir / "states").glob("*.json"))) == 2


def test_gpu_seconds_add_up_over_attempts_and_older_accounts_are_read() -> None:
    old = {"device": "NVIDIA H100", "seconds": 10.0, "ended": None}
    on_cpu = {"device": "cpu", "seconds": 5.0, "ended": "SIGTERM"}
    ledger = Ledger({"attempts": [old, on_cpu]})
    ledger.begin(4, "NVIDIA A100", gpus=1)
    ledger.attempts[-1]["seconds"] = 2.5
    assert (ledger.seconds, ledger.gpu_seconds) == (17.5, 12.5)
    again = Ledger(ledger.to_json())
    assert (again.gpu_seconds, again.attempts[-1]["ended"]) == (12.5, "killed")


def wait_for(condition: object, seconds: float = 120) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


# Goes no further than its third state, however late the test comes to kill it.
STOPS_BY_ITSELF = """
import os, signal, sys
from msgbench.cli import main
from msgbench.training import loop

save, saved = loop.save_state, []

def save_and_stop(*arguments):
    saved.append(save(*arguments))
    if len(saved) == 3:
        os.kill(os.getpid(), signal.SIGSTOP)

loop.save_state = save_and_stop
main()
"""


def test_killed_at_random_points_the_bits_are_those_of_an_uninterrupted_run(
    make_run: MakeRun, store_dir: Path
) -> None:
    sizes = {
        "total_kimg": 0.4,
        "state_kimg": 0.02,
        "snapshot_kimg": 0.1,
        "grid_kimg": 0.1,
        "stats_kimg": 0.028,
    }
    whole, killed = make_run("whole", **sizes), make_run("killed", **sizes)
    train(whole, store_dir, "cpu")
    chance, kills = random.Random(20), 0
    while not (killed / "train.json").exists():
        argv = command(killed, store_dir)
        if kills < 3:
            argv = [sys.executable, "-c", STOPS_BY_ITSELF, *argv[3:]]
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        if kills < 3:
            known = set((killed / "states").glob("*.json"))
            wait_for(
                lambda p=process, k=known: (
                    p.poll() is not None or set((killed / "states").glob("*.json")) - k
                )
            )
            time.sleep(chance.uniform(0, 0.25))
            kills += process.poll() is None
            process.kill()
        process.wait()
    assert kills == 3
    assert results_of(whole) == results_of(killed)
    attempts = json.loads((killed / "train.json").read_bytes())["attempts"]
    assert [a["ended"] for a in attempts].count("killed") >= 2
    assert not list(killed.rglob(".*.tmp"))


# What is written in a training of 48 images, each at a moment when a signal or a kill is to come.
WRITTEN = (
    "training-state-0000000024.pt",
    "training-state-0000000024.json",
    "snapshot-0000000032.safetensors",
    "grid-0000000032-0008px.png",
    "observed-0000000044.safetensors",
    "train.json",
)


@pytest.mark.parametrize("file", WRITTEN)
def test_a_signal_during_the_write_of_a_file_loses_nothing(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """The file is whole, and the training stops or is done; then it goes on to the same bits."""
    whole, stopped = make_run("whole"), make_run("stopped")
    train(whole, store_dir, "cpu")
    replace = os.replace

    def signalled(source: Path, target: Path) -> None:
        if Path(target).name == file:
            os.kill(os.getpid(), signal.SIGTERM)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", signalled)
        # After the last step there is nothing to stop.
        stops = file != "train.json"
        with pytest.raises(StoppedBySignal) if stops else contextlib.nullcontext():
            train(stopped, store_dir, "cpu")
    assert list(stopped.rglob(file))
    train(stopped, store_dir, "cpu")
    assert results_of(whole) == results_of(stopped)
    assert not list(stopped.rglob(".*.tmp"))


# A training that is killed when all bytes of a file are written, and it is not yet in its place.
KILLED_WRITING = """
import os, signal, sys
from pathlib import Path
from msgbench.cli import main

file, replace = sys.argv.pop(1), os.replace

def killed(source, target):
    if Path(target).name == file:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = killed
main()
"""


@pytest.mark.slow
def test_killed_during_the_write_of_every_kind_of_file_no_half_of_one_is_taken_or_stays(
    make_run: MakeRun, store_dir: Path
) -> None:
    whole, killed = make_run("whole"), make_run("killed")
    train(whole, store_dir, "cpu")
    for file in WRITTEN:
        program = [sys.executable, "-c", KILLED_WRITING, file, *command(killed, store_dir)[3:]]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not list(killed.rglob(file))
        (left,) = killed.rglob(".*.tmp")
        assert left.name.startswith(f".{file}.")
    train(killed, store_dir, "cpu")
    assert results_of(whole) == results_of(killed)
    assert not list(killed.rglob(".*.tmp"))
    attempts = json.loads((killed / "train.json").read_bytes())["attempts"]
    assert attempts[-1]["ended"] == "finished"


def test_a_corrupt_newest_state_falls_back_to_the_one_before_and_says_so(
    make_run: MakeRun,
    store_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, damaged = make_run("whole"), make_run("damaged")
    train(whole, store_dir, "cpu")
    stopped_at(28, monkeypatch)
    with pytest.raises(StoppedBySignal):
        train(damaged, store_dir, "cpu")
    monkeypatch.undo()
    newest = damaged / "states/training-state-0000000028.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0x10
    newest.write_bytes(content)
    train(damaged, store_dir, "cpu")
    err = capsys.readouterr().err
    assert f"{newest}: is corrupt (its checksum differs); falling back" in err
    assert "goes on from 0.024 kimg" in err
    assert results_of(whole) == results_of(damaged)


def test_when_no_state_is_whole_nothing_is_trained_over_them(
    make_run: MakeRun, store_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = make_run("a")
    train(run_dir, store_dir, "cpu")
    (run_dir / "train.json").unlink()
    states = sorted((run_dir / "states").glob("*.pt"))
    for path in states:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="no training state is readable"):
        train(run_dir, store_dir, "cpu")
    *newer, oldest = [f"{path}: is corrupt (its checksum differs)" for path in reversed(states)]
    expected = [f"{text}; falling back to the training state before it" for text in newer]
    said = [line for line in capsys.readouterr().err.splitlines() if "is corrupt" in line]
    assert said == [*expected, f"{oldest}; there is no training state before it"]
    assert newer


def test_a_state_of_another_spec_or_dataset_is_refused(
    make_run: MakeRun, store_dir: Path, tmp_path: Path
) -> None:
    run_dir = make_run("a")
    train(run_dir, store_dir, "cpu")
    before = {
        p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file() and p.name != ".train.lock"
    }
    other = tiny_run().spec.dataset.model_copy(update={"num_images": 39})
    from msgbench.data.prepare import prepare

    prepare(other, tmp_path / "other")
    with pytest.raises(
        TrainingError,
        match=r"train\.json: was trained with other images .*point datasets\.cifar10\.path at",
    ):
        train(run_dir, tmp_path / "other", "cpu")
    (run_dir / "train.json").rename(tmp_path / "train.json")
    with pytest.raises(TrainingError, match=r"\.pt: was trained with other images"):
        train(run_dir, tmp_path / "other", "cpu")
    (tmp_path / "train.json").rename(run_dir / "train.json")
    assert before == {p: p.read_bytes() for p in run_dir.rglob("*") if p in before}


def test_a_snapshot_that_is_gone_is_named(make_run: MakeRun, store_dir: Path) -> None:
    run_dir = make_run("a")
    train(run_dir, store_dir, "cpu")
    (run_dir / "snapshots/snapshot-0000000016.safetensors").unlink()
    for _ in range(2):
        with pytest.raises(
            TrainingError, match=r"0016\.safetensors: this snapshot was taken and is gone"
        ):
            train(run_dir, store_dir, "cpu")
        (run_dir / "train.json").unlink(missing_ok=True)


def test_a_snapshot_that_was_deleted_after_measuring_is_not_missed(
    make_run: MakeRun, store_dir: Path
) -> None:
    run_dir = make_run("a")
    first = train(run_dir, store_dir, "cpu")
    entry = first["snapshots"][1]
    account = {
        "file": entry["file"], "cur_nimg": entry["cur_nimg"], "kimg": 0.016, "sha256": entry["sha256"],
        "bytes": 1, "why": "evaluation.keep is final", "measured_by": ["fid2k_small/1"], "written": "now",
    }  # fmt: skip
    write_json(run_dir / "retention.json", {"schema": "msgbench.retention/1", "deleted": [account]})
    (run_dir / entry["file"]).unlink()
    assert train(run_dir, store_dir, "cpu") == first
    # The workflow removes train.json before it asks again; the newest state ends the training at once.
    (run_dir / "train.json").unlink()
    assert train(run_dir, store_dir, "cpu")["snapshots"] == first["snapshots"]
    assert not (run_dir / entry["file"]).exists()
    # The account is of one file's bytes, not of its name.
    account["sha256"] = "0" * 64
    write_json(run_dir / "retention.json", {"schema": "msgbench.retention/1", "deleted": [account]})
    with pytest.raises(TrainingError, match="this snapshot was taken and is gone"):
        train(run_dir, store_dir, "cpu")


def test_a_finished_run_returns_at_once(
    make_run: MakeRun, store_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = make_run("a")
    first = train(run_dir, store_dir, "cpu")
    assert train(run_dir, store_dir, "cpu") == first
    assert "already trained (0.048 kimg)" in capsys.readouterr().err


def test_a_second_process_waits_for_the_first_and_trains_nothing_twice(
    make_run: MakeRun, store_dir: Path
) -> None:
    run_dir = make_run("a", total_kimg=0.4)
    first = subprocess.Popen(command(run_dir, store_dir), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: is_locked(run_dir, "train"))
    first.send_signal(signal.SIGSTOP)  # however long the second takes to start
    second = subprocess.Popen(command(run_dir, store_dir), stderr=subprocess.PIPE, text=True)
    assert second.stderr is not None
    said = second.stderr.readline()
    first.send_signal(signal.SIGCONT)
    _, err = second.communicate(timeout=120)
    first.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (0, 0)
    assert f"train is already running (process {first.pid} on" in said
    assert "already trained" in err
    assert len(json.loads((run_dir / "train.json").read_bytes())["attempts"]) == 1


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("G", r"the discriminator loss is not finite at 0 kimg \(term adversarial, gradient_penalty, "
              r"first in the generated images at scale 4\)"),
        ("to_rgb 8", r"first in the generated images at scale 8\)"),
        ("D", r"the discriminator loss is not finite at 0 kimg \(term adversarial, gradient_penalty, drift"),
    ],
)  # fmt: skip
def test_a_loss_that_is_not_finite_names_term_scale_and_kimg(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch, where: str, expected: str
) -> None:
    original = Networks.build.__func__  # type: ignore[attr-defined]

    def poisoned(cls: type[Networks], run: RunSpec, device: torch.device) -> Networks:
        nets = original(cls, run, device)
        part, _, scale = where.partition(" ")
        names = {
            "G": "blocks.4.conv0.weight",
            "D": "blocks.4.conv0.weight",
            "to_rgb": f"to_rgb.{scale}.weight",
        }
        network = nets.D if part == "D" else nets.G
        parameters = dict(network.named_parameters())
        name = names[part] if names[part] in parameters else next(iter(parameters))
        parameters[name].data[0] = float("inf")
        return nets

    monkeypatch.setattr(Networks, "build", classmethod(poisoned))
    run_dir = make_run("a")
    with pytest.raises(TrainingError, match=expected):
        train(run_dir, store_dir, "cpu")
    assert not (run_dir / "train.json").exists()
    assert not list((run_dir / "states").glob("*")), "what is not finite is not saved"


def test_a_snapshot_is_not_taken_of_what_is_not_finite(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is written before it that would look at the numbers of the steps."""
    original = loop.update_ema

    def poison(G_ema: torch.nn.Module, G: torch.nn.Module, beta: float) -> None:
        original(G_ema, G, beta)
        next(iter(G.parameters())).data[0] = float("inf")

    monkeypatch.setattr(loop, "update_ema", poison)
    run_dir = make_run("a", snapshot_kimg=0.008, stats_kimg=1.0, state_kimg=1.0, grid_kimg=1.0)
    with pytest.raises(TrainingError, match=r"not finite at 0\.004 kimg"):
        train(run_dir, store_dir, "cpu")
    assert [path.name for path in (run_dir / "snapshots").iterdir()] == [
        "snapshot-0000000000.safetensors"
    ]


@pytest.mark.parametrize(("part", "nimg"), [("G", 24), ("D", 24), ("G", 48), ("opt_G", 24)])
def test_nothing_is_saved_of_a_step_that_only_the_next_loss_would_tell_of(
    make_run: MakeRun, store_dir: Path, monkeypatch: pytest.MonkeyPatch, part: str, nimg: int
) -> None:
    """Gradients overflow where losses do not; at 48 images there is no next loss, and no training may end well."""
    original = loop.both_steps

    def overflowing(nets: Networks, reals: Any, run: RunSpec, cur_nimg: int, *more: Any) -> Any:
        reports = original(nets, reals, run, cur_nimg, *more)
        if cur_nimg + 4 == nimg:
            moments = nets.opt_G.state[next(nets.G.parameters())]
            poisoned = (
                moments["exp_avg_sq"] if part == "opt_G" else getattr(nets, part).state_dict()
            )
            last = poisoned if part == "opt_G" else list(poisoned.values())[-1]
            last.fill_(float("inf"))
        return reports

    run_dir, whole = make_run("a"), make_run("whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "both_steps", overflowing)
        with pytest.raises(
            TrainingError,
            match=rf": {part}\.\S+ is not finite at {nimg / 1000:g} kimg, after a step whose losses were; nothing",
        ):
            train(run_dir, store_dir, "cpu")
    saved = sorted(path.name for path in (run_dir / "states").glob("*.pt"))
    assert saved[-1] == f"training-state-{nimg - 8:010}.pt"
    assert not list(run_dir.rglob(f"*{nimg:010}*"))
    train(run_dir, store_dir, "cpu")
    train(whole, store_dir, "cpu")
    assert results_of(run_dir) == results_of(whole)


def test_a_generator_loss_that_is_not_finite_is_named(make_run: MakeRun, store_dir: Path) -> None:
    from msgbench.training.steps import generator_step

    run = RunSpec.read(make_run("a"))
    nets = Networks.build(run, torch.device("cpu"))
    next(iter(nets.D.parameters())).data[0] = float("nan")
    report = generator_step(nets, run, 4, 12_500)
    with pytest.raises(TrainingError, match=r"the generator loss is nan at 12\.5 kimg"):
        report.require_finite(run, 12_500)
    assert all(p.requires_grad for p in nets.D.parameters())


def test_a_generator_step_leaves_the_discriminator_alone(
    make_run: MakeRun, store_dir: Path
) -> None:
    from msgbench.training.steps import generator_step

    run = RunSpec.read(make_run("a"))
    nets = Networks.build(run, torch.device("cpu"))
    before = [p.clone() for p in nets.D.parameters()]
    generator_step(nets, run, 4, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, nets.D.parameters(), strict=True))
    assert all(p.grad is None for p in nets.D.parameters())


def test_seeds_give_different_trainings(store_dir: Path) -> None:
    run = tiny_run()
    one = Networks.build(run, torch.device("cpu"))
    two = Networks.build(run.model_copy(update={"seed": 1}), torch.device("cpu"))
    assert not torch.equal(next(iter(one.G.parameters())), next(iter(two.G.parameters())))


def test_a_second_interrupt_is_for_the_impatient() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signum == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
