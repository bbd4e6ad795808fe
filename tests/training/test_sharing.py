"""Processes and micro-batches share a step: the same training, but for rounding; and what happens when one is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from msgbench.config.split import check_processes, legal_processes
from msgbench.errors import ConfigError, TrainingError
from msgbench.models.layers import MinibatchStdDev
from msgbench.records import write_json
from msgbench.training import heartbeat
from msgbench.training.heartbeat import Heartbeat
from msgbench.training.loop import train
from msgbench.training.networks import Networks
from msgbench.training.share import ALL, Share
from msgbench.training.world import World, _let_go

from . import ranks
from .conftest import MakeRun, results_of, tiny_run
from .test_growing import GROWING, LENGTHS
from .test_growing import METHODS as GROWING_METHODS
from .test_loop import command, wait_for
from .test_methods import run_of


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def processes(
    argv: Sequence[str], count: int = 2, **variables: str
) -> Iterator[list[subprocess.Popen[str]]]:
    """`argv` as so many processes that share a training, without torchrun."""
    port = free_port()
    started = [
        subprocess.Popen(
            argv,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ, **variables, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_WAIT_POLICY": "PASSIVE",
            },
        )
        for rank in range(count)
    ]  # fmt: skip
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes have in the end, by method."""
    out = tmp_path_factory.mktemp("ranks") / "two.pt"
    tests = str(Path(__file__).resolve().parents[1])
    argv = [sys.executable, "-m", "training.ranks", str(out)]
    with processes(argv, PYTHONPATH=tests) as started:
        for process in started:
            _, said = process.communicate(timeout=240)
            assert process.returncode == 0, said
    found: dict[str, Any] = torch.load(out, weights_only=True)
    return found


@pytest.fixture
def in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def numbers(node: Any, path: str = "") -> dict[str, torch.Tensor]:
    """Every number of nested dicts and lists by its path."""
    if isinstance(node, dict):
        return {
            k: v for key, part in node.items() for k, v in numbers(part, f"{path}/{key}").items()
        }
    if isinstance(node, list | tuple):
        return {
            k: v for i, part in enumerate(node) for k, v in numbers(part, f"{path}/{i}").items()
        }
    counted = isinstance(node, torch.Tensor | float)
    return {path: torch.as_tensor(node, dtype=torch.float64)} if counted else {}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Equal but for the rounding of float64 sums in another order.

    Gradients and reports differ by some 1e-15. Adam divides a gradient by its size + 1e-8: one that is 0 in exact
    arithmetic and 1e-16 in this one moves its parameter by a few 1e-8 learning rates a step, and what depends on it
    follows. A sample that is missing, or in another group, moves parameters by a learning rate, 1e-3.
    """
    mine, others = numbers(one), numbers(other)
    assert mine.keys() == others.keys()
    assert any(path.startswith("/reports") for path in mine)
    for path, number in mine.items():
        difference = (number - others[path]).abs().max() if number.numel() else 0.0
        assert difference < 1e-6, path
    first = [path for path in mine if path.startswith("/reports/0/")]
    assert first
    for path in first:
        assert float((mine[path] - others[path]).abs()) < 1e-9, path


@pytest.mark.parametrize("name", ranks.METHODS)
def test_two_processes_train_what_one_does(
    name: str, by_two: dict[str, Any], in_float64: None
) -> None:
    assert_same(ranks.steps_of(name), by_two[name])


@pytest.mark.parametrize("name", ranks.IN_MICRO_BATCHES)
def test_two_processes_with_micro_batches_do_too(
    name: str, by_two: dict[str, Any], in_float64: None
) -> None:
    assert_same(ranks.steps_of(name), by_two[f"{name} in micro-batches"])


@pytest.mark.parametrize("name", ["msg-progan", "msg-stylegan", "ra_lsgan", "growing stylegan"])
def test_micro_batches_train_what_a_batch_does(name: str, in_float64: None) -> None:
    whole = ranks.steps_of(name)
    assert_same(whole, ranks.steps_of(name, micro_batch=4))
    assert not torch.equal(whole["networks"]["G"]["to_rgb.8.bias"], torch.zeros(3))


@pytest.mark.parametrize(
    ("batch", "group", "size"), [(16, 4, 4), (16, 4, 2), (12, 2, 3), (8, 8, 1)]
)
def test_a_part_holds_whole_groups_of_the_layer(batch: int, group: int, size: int) -> None:
    run = run_of({"model": {"mbstd_group_size": group}, "training": {"batch_size": batch}})
    x = torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    layer = MinibatchStdDev(group)
    whole = layer(x)
    for rank in range(size):
        (part,) = Share(run, World(rank, size)).parts(batch)
        assert torch.allclose(layer(part.of(x)), part.of(whole), atol=1e-6)  # float32 means


def test_all_samples_are_worked_on_once() -> None:
    run = run_of({"training": {"batch_size": 32}})
    indices = torch.arange(32)
    seen = [
        part.of(indices)
        for rank in range(4)
        for part in Share(run, World(rank, 4), micro_batch=5).parts(32)
    ]
    assert [len(part) for part in seen] == [4] * 8
    assert torch.cat(seen).sort().values.equal(indices)


def test_an_experiment_names_the_numbers_of_processes_that_it_can_be_shared_by() -> None:
    spec = run_of({"training": {"batch_size": 32}}).spec
    assert legal_processes(spec) == (1, 2, 4, 8)
    with pytest.raises(
        ConfigError,
        match=r"^cluster.train: 3 processes are not allowed; batches of 32 images in whole groups of 4 can be "
        r"shared by 1, 2, 4, 8$",
    ):
        check_processes(spec, 3, "cluster.train")
    growing = run_of({"growing": {**GROWING, "batch_sizes": {4: 16, 8: 8}}, "training": LENGTHS})
    assert legal_processes(growing.spec) == (1, 2)
    whole = run_of({"model": {"mbstd_group_size": None}, "training": {"batch_size": 8}})
    with pytest.raises(
        ConfigError, match=r"looks at the whole batch .* cannot be split; allowed: 1$"
    ):
        check_processes(whole.spec, 2, "cluster.train")
    alone = run_of({"model": {"mbstd": "off"}, "training": {"batch_size": 6}})
    assert legal_processes(alone.spec) == (1, 2, 3, 6)


@pytest.mark.parametrize(
    ("model", "micro", "said"),
    [
        ({}, 6, r"training.micro_batch_size 6 is not allowed; allowed: multiples of model.mbstd_group_size 4"),
        ({"mbstd_group_size": None}, 4, r"would split the batch, and MinibatchStdDev looks at the whole batch"),
    ],
)  # fmt: skip
def test_a_micro_batch_that_would_cut_a_group_is_refused(
    model: dict[str, Any], micro: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        run_of({"model": model, "training": {"batch_size": 8, "micro_batch_size": micro}})


def test_what_a_process_works_on_at_a_time_is_no_other_experiment() -> None:
    plain, split = (
        run_of({"training": {"batch_size": 8, **more}}) for more in ({}, {"micro_batch_size": 4})
    )
    assert plain.fingerprint == split.fingerprint
    assert split.spec.training.micro_batch_size == 4


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2 and RANK, MASTER_ADDR, MASTER_PORT missing"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK 2 of WORLD_SIZE 2"),
        ({"WORLD_SIZE": "x", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "one of them is none"),
    ],
)  # fmt: skip
def test_half_of_a_world_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        World.of_environment(environment)
    assert World.of_environment({}).is_alone


class _Liar(World):
    """A world of two whose other process has other bits in one tensor."""

    def __init__(self, tensor: int) -> None:
        super().__init__(0, 2)
        self.tensor = tensor

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        other = tensor.clone()
        other[self.tensor] += 1
        return torch.cat([tensor, other])


def test_parameters_that_differ_are_named() -> None:
    nets = Networks.build(tiny_run(), torch.device("cpu"))
    with pytest.raises(TrainingError, match=r"^G.block.* of process 1 is not what process 0 has"):
        nets.require_equal(_Liar(0))


def test_a_killed_process_ends_the_training_soon_and_is_named_once(
    make_run: MakeRun, store_dir: Path
) -> None:
    run_dir = make_run("a", batch_size=12, total_kimg=1200.0, state_kimg=600.0)
    with processes(command(run_dir, store_dir), 3) as (first, second, third):
        wait_for(lambda: (run_dir / "stats.jsonl").exists() and has_lines(run_dir))
        second.kill()
        began = time.monotonic()
        said = [process.communicate(timeout=120)[1] for process in (first, third)]
        assert time.monotonic() - began < 60
    assert [first.returncode, third.returncode] == [TrainingError.exit_code] * 2, said
    name = f"rank 1 (process {second.pid} on {socket.gethostname()})"
    expected = f"the training lost a process and ends: {name} has died or does not answer; started again, it goes on"
    assert expected in said[0]
    assert said[1] == ""


# What becomes NaN, in rank 1 alone and in the step that ends at 48 images, where a state is due.
NOT_FINITE_IN_ONE = """
import os, sys
from msgbench.cli import main
from msgbench.training import loop, steps

what = sys.argv.pop(1)
original, gradients, spoiled = loop.both_steps, steps.gradients, []

def both_steps(nets, reals, run, cur_nimg, *more):
    if cur_nimg + 16 == 48:
        spoiled.append(nets.G)
        if what == "loss":
            reals[-1].fill_(float("nan"))
    reports = original(nets, reals, run, cur_nimg, *more)
    if spoiled and what == "parameter":
        next(nets.G.parameters()).data.fill_(float("nan"))
    return reports

def overflowing(network):
    found = gradients(network)
    if network in spoiled and what == "gradient":
        found[-1].fill_(float("nan"))
    return found

if os.environ["RANK"] == "1":
    loop.both_steps, steps.gradients = both_steps, overflowing
main()
"""


SIXTEEN_AT_A_TIME = {"batch_size": 16, "total_kimg": 0.064, "state_kimg": 0.016}


def said_of_what_is_not_finite(what: str, run_dir: Path, store_dir: Path) -> str:
    """The one sentence of two processes when `what` becomes NaN in one of them; nothing is saved of that."""
    program = [sys.executable, "-c", NOT_FINITE_IN_ONE, what, *command(run_dir, store_dir)[3:]]
    with processes(program) as started:
        err = [process.communicate(timeout=120)[1] for process in started]
        assert [process.returncode for process in started] == [TrainingError.exit_code] * 2, err
    (told,) = [line for line in "".join(err).splitlines() if line.startswith("msgbench: error")]
    assert "Traceback" not in "".join(err)
    saved = sorted(path.name for path in (run_dir / "states").glob("*.pt"))
    assert saved == ["training-state-0000000016.pt", "training-state-0000000032.pt"]
    return told


def test_what_only_one_process_finds_is_said_by_one_with_its_name(
    make_run: MakeRun, store_dir: Path
) -> None:
    """The others meet no error of their own: their operations end because the connections of that one do."""
    run_dir = make_run("a", **SIXTEEN_AT_A_TIME)
    assert re.search(
        r"the training lost a process and ends: rank 1 \(process \d+ on \S+\) ended: \S+: G\.\S+ is not finite at "
        r"0\.048 kimg, after a step whose losses were; .*started again, it goes on from its last training state$",
        said_of_what_is_not_finite("parameter", run_dir, store_dir),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("loss", r": the discriminator loss is not finite at 0\.032 kimg"),
        ("gradient", r": G\.\S+ is not finite at 0\.048 kimg, after a step whose losses were"),
    ],
)
def test_a_training_that_was_not_finite_in_one_process_goes_on_as_if_nothing_had_been(
    make_run: MakeRun, store_dir: Path, what: str, said: str
) -> None:
    broken, whole = (make_run(name, **SIXTEEN_AT_A_TIME) for name in ("broken", "whole"))
    assert re.search(said, said_of_what_is_not_finite(what, broken, store_dir))
    assert not list(broken.rglob("*0000000048*"))
    for run_dir in (broken, whole):
        assert [p.returncode for p in finished(command(run_dir, store_dir))] == [0, 0]
    assert results_of(whole) == results_of(broken)


def test_an_error_that_all_processes_meet_is_said_once(make_run: MakeRun, store_dir: Path) -> None:
    with processes(command(make_run("a", batch_size=8), store_dir), 3) as started:
        said = [process.communicate(timeout=120)[1] for process in started]
        assert [process.returncode for process in started] == [ConfigError.exit_code] * 3
    assert said[0].startswith("msgbench: error: WORLD_SIZE: 3 processes are not allowed")
    assert said[1:] == ["", ""]


def hearts(count: int, monkeypatch: pytest.MonkeyPatch) -> list[Heartbeat]:
    """Those of processes that meet in one store, at ten times the pace."""
    for name in ("BEAT_SECONDS", "WORD_SECONDS", "STAY_SECONDS"):
        monkeypatch.setattr(heartbeat, name, getattr(heartbeat, name) / 10)
    store = dist.HashStore()
    return [
        Heartbeat(store, rank, [f"rank {n}" for n in range(count)], 60) for rank in range(count)
    ]


def test_the_first_process_says_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = hearts(3, monkeypatch)
    with ThreadPoolExecutor() as pool:
        later = [pool.submit(heart.has_the_word) for heart in (second, third)]
        assert first.has_the_word()
        assert [one.result() for one in later] == [False, False]


def test_the_lowest_that_is_left_says_that_the_first_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, _, third, fourth = hearts(4, monkeypatch)
    with ThreadPoolExecutor() as pool:
        words = [pool.submit(heart.has_the_word) for heart in (fourth, third)]
        assert [one.result() for one in words] == [False, True]


def test_a_first_process_that_takes_its_time_to_end_keeps_the_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It beats on while its main thread is on the way, so that nobody takes it for gone and speaks, too."""
    first, second = hearts(2, monkeypatch)
    for name in ("WORD_SECONDS", "GRACE_SECONDS"):
        monkeypatch.setattr(heartbeat, name, 200.0)
    with ThreadPoolExecutor() as pool, first:
        second.note("rank 1 ended: why")
        later = pool.submit(second.has_the_word)
        beats = first._store.add("beat/0", 0)
        wait_for(lambda: first._store.add("beat/0", 0) > beats + 10)
        assert not later.done()
        assert first.has_the_word()
        assert not later.result(timeout=60)


def test_nobody_waits_for_a_process_that_cannot_hear_once_it_leaves_the_word_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its main thread may be in an operation with the first, which ends only when that does."""
    first, second = hearts(2, monkeypatch)
    for name in ("WORD_SECONDS", "GRACE_SECONDS"):
        monkeypatch.setattr(heartbeat, name, 10_000.0)
    with second:
        wait_for(lambda: first._store.add("beat/1", 0) > 0)
        first.note("rank 0 ended: why")
        assert first.has_the_word()
        assert not second.has_the_word()
        assert second.why(RuntimeError("connection closed")) == "rank 0 ended: why"


def test_an_error_lets_go_of_what_its_calls_worked_with() -> None:
    """An operation in a frame of a traceback would keep connections open that the others wait on."""
    held = []

    def operation() -> None:
        work = torch.zeros(1)
        held.append(weakref.ref(work))
        raise RuntimeError("broken")

    def step() -> None:
        images = torch.zeros(1)
        held.append(weakref.ref(images))
        try:
            operation()
        except RuntimeError:
            raise TrainingError("lost") from None

    with pytest.raises(TrainingError) as raised:
        step()
    assert [one() is None for one in held] == [False, False]
    _let_go(raised.value)
    assert [one() is None for one in held] == [True, True]


class _Told(World):
    """A world of two whose other process states `others` of what is compared."""

    def __init__(self, others: Sequence[int]) -> None:
        super().__init__(0, 2)
        self.others = others

    def most(self, numbers: Sequence[int]) -> list[int]:
        return [max(pair) for pair in zip(numbers, self.others, strict=True)]


@pytest.mark.parametrize(
    ("own", "others", "agreed"),
    [
        (None, (-4, 2), (4, 2)),
        (8, (-4, 2), (4, 2)),
        (4, (-8, 0), (4, 1)),
        (4, (-ALL, 0), (4, 1)),
        (None, (-ALL, 0), (None, 1)),
    ],
)
def test_all_processes_go_on_with_the_smallest_micro_batch(
    own: int | None, others: tuple[int, int], agreed: tuple[int | None, int]
) -> None:
    """Only then is a resumed training, which knows what the first one had, the uninterrupted one."""
    share = Share(tiny_run(), _Told(others), own, halvings=1)
    share.agree()
    assert (share.micro_batch, share.halvings) == agreed


def has_lines(run_dir: Path) -> bool:
    return len((run_dir / "stats.jsonl").read_text()) > 0


@pytest.mark.slow
def test_a_hanging_process_ends_the_training_in_the_time_that_was_set(
    make_run: MakeRun, store_dir: Path
) -> None:
    run_dir = make_run("a", batch_size=8, total_kimg=1000.0, state_kimg=500.0)
    with processes(command(run_dir, store_dir), MSGBENCH_LOST_AFTER_SECONDS="5") as (first, second):
        wait_for(lambda: (run_dir / "stats.jsonl").exists() and has_lines(run_dir))
        second.send_signal(signal.SIGSTOP)
        _, said = first.communicate(timeout=120)
    assert first.returncode == TrainingError.exit_code, said
    assert "rank 1 (process" in said
    assert "has died or does not answer" in said


@pytest.mark.slow
def test_shared_trainings_are_the_same_however_often_they_were_interrupted(
    make_run: MakeRun, store_dir: Path
) -> None:
    """A signal to one process stops all at one step; a kill loses what was done since the last state."""
    sizes = {
        "batch_size": 8,
        "total_kimg": 1.6,
        "state_kimg": 0.2,
        "snapshot_kimg": 0.4,
        "stats_kimg": 0.028,
    }
    whole, broken = make_run("whole", **sizes), make_run("broken", **sizes)
    assert [p.returncode for p in finished(command(whole, store_dir))] == [0, 0]
    with processes(command(broken, store_dir)) as started:
        wait_for(lambda: (broken / "stats.jsonl").exists() and has_lines(broken))
        started[1].send_signal(signal.SIGUSR2)
        said = [process.communicate(timeout=120)[1] for process in started]
        assert [process.returncode for process in started] == [140, 140], said
    assert "SIGUSR2, saved at" in said[0]
    assert "saved at" not in said[1]
    with processes(command(broken, store_dir)) as started:
        known = set((broken / "states").glob("*.json"))
        wait_for(lambda: set((broken / "states").glob("*.json")) - known)
        started[0].kill()
        started[1].communicate(timeout=120)
        assert started[1].returncode == TrainingError.exit_code
    assert [p.returncode for p in finished(command(broken, store_dir))] == [0, 0]
    assert results_of(whole) == results_of(broken)
    attempts = json.loads((broken / "train.json").read_bytes())["attempts"]
    assert [(a["ended"], a["processes"]) for a in attempts] == [
        ("SIGUSR2", 2), ("killed", 2), ("finished", 2),
    ]  # fmt: skip
    # One process after two: allowed, and said.
    (whole / "train.json").unlink()
    alone = subprocess.run(command(whole, store_dir), stderr=subprocess.PIPE, text=True, check=True)
    assert "was trained by 2 and goes on with 1 processes" in alone.stderr


# Rank 2 is told to stop in the middle of the fade from 4 to 8 pixels.
STOPPED_IN_A_FADE = """
import os, signal
from msgbench.cli import main
from msgbench.training import loop

original = loop.both_steps

def both_steps(nets, reals, run, cur_nimg, *more):
    if cur_nimg == 84 and os.environ["RANK"] == "2":
        os.kill(os.getpid(), signal.SIGUSR2)
    return original(nets, reals, run, cur_nimg, *more)

loop.both_steps = both_steps
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["progan", "stylegan"])
def test_a_growing_training_is_shared_by_three_and_goes_on_in_the_middle_of_a_fade(
    name: str, store_dir: Path, tmp_path: Path
) -> None:
    """Batches of 24 images and then of 12, whose groups of 4 two processes could not share."""
    method = {
        **GROWING_METHODS[name],
        "growing": {
            **GROWING_METHODS[name]["growing"],
            **{"stable_kimg": 0.048, "fade_kimg": 0.072, "batch_sizes": {4: 24, 8: 12}},
        },
        "training": {
            **{"total_kimg": 0.192, "snapshot_kimg": 0.048, "state_kimg": 0.024},
            **{"stats_kimg": 0.072, "batch_size": 12},
        },
    }
    run = run_of(method)
    assert legal_processes(run.spec) == (1, 3)
    assert run.spec.schedule.at(96).fade == pytest.approx(1 / 3)
    alone, whole, halves = (tmp_path / name for name in ("alone", "whole", "halves"))
    for folder in (alone, whole, halves):
        write_json(folder / "spec.json", run.to_json())
    assert [p.returncode for p in finished(command(whole, store_dir), 3)] == [0] * 3
    stopped = [sys.executable, "-c", STOPPED_IN_A_FADE, *command(halves, store_dir)[3:]]
    assert [p.returncode for p in finished(stopped, 3)] == [140] * 3
    assert [p.returncode for p in finished(command(halves, store_dir), 3)] == [0] * 3
    attempts = json.loads((halves / "train.json").read_bytes())["attempts"]
    assert [(a["end_nimg"], a["processes"]) for a in attempts] == [(96, 3), (192, 3)]
    assert results_of(whole) == results_of(halves)
    # One process trains the same: float32 sums in another order, a few steps later.
    train(alone, store_dir, "cpu")
    lines = zip(results_of(whole)["stats"], results_of(alone)["stats"], strict=True)
    for mine, others in lines:
        assert mine == pytest.approx(others, rel=1e-3, abs=1e-5)


def finished(argv: Sequence[str], count: int = 2) -> list[subprocess.Popen[str]]:
    """`argv` as so many processes, when all have ended."""
    with processes(argv, count) as started:
        for process in started:
            process.communicate(timeout=120)
    return started


@pytest.mark.slow
def test_torchrun_starts_a_training(make_run: MakeRun, store_dir: Path) -> None:
    run_dir = make_run("a", batch_size=8)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += [f"--master-port={free_port()}", "-m", *command(run_dir, store_dir)[2:]]
    subprocess.run(torchrun, check=True, capture_output=True, timeout=120)
    content = json.loads((run_dir / "train.json").read_bytes())
    assert content["attempts"][0]["processes"] == 2
    three = [word.replace("=2", "=3") for word in torchrun]
    with pytest.raises(subprocess.CalledProcessError) as refused:
        subprocess.run(three, check=True, capture_output=True, timeout=120, text=True)
    assert (
        "WORLD_SIZE: 3 processes are not allowed; batches of 8 images in whole groups of 4"
        in refused.value.stderr
    )


@pytest.mark.gpu
def test_two_gpus_share_a_training(make_run: MakeRun, store_dir: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    run_dir = make_run("a", batch_size=8)
    assert [p.returncode for p in finished(command(run_dir, store_dir, "--device", "cuda"))] == [
        0,
        0,
    ]
    attempt = json.loads((run_dir / "train.json").read_bytes())["attempts"][0]
    assert (attempt["processes"], attempt["gpus"]) == (2, 2)
