"""A training of four processes on two nodes: through a time limit to its end, and ended by the death of one of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

import psutil
import pytest

from msgbench.config import RunSpec

from .cluster import wait_until
from .lab import Lab
from .overlap import overlapping
from .test_requeues import checksums, images, states, trained

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

FOUR = {"nodes": 2, "tasks_per_node": 2, "mem_mb": 3000}


@overlapping(seconds=150)
def test_four_processes_on_two_nodes_stop_together_and_go_on(lab: Lab) -> None:
    """The signal before a time limit reaches the first one's job alone; all save at one step and are requeued."""
    command = lab.training(lab.run_dir, batch_size=16, total_kimg=4, state_kimg=100)
    login = lab.launch(command, FOUR)
    wait_until(lambda: images(lab.run_dir) >= 100, "100 images", 240)
    assert states(lab.run_dir) == []
    lab.cluster.run("scancel", "--signal=USR2", lab.record().job_id)
    wait_until(lambda: len(states(lab.run_dir)) > 0, "the state to be saved", 60)
    code, said = login.end(300)
    assert code == 0, said
    lab.assert_one_training()
    attempts = json.loads((lab.run_dir / "train.json").read_text())["attempts"]
    assert [(attempt["ended"], attempt["processes"]) for attempt in attempts] == [
        ("SIGUSR2", 4),
        ("finished", 4),
    ]
    assert attempts[1]["start_nimg"] == attempts[0]["end_nimg"] >= 100


# StyleGAN with style mixing, fading from 4 to 8 px between 240 and 2,640 images, in batches that two cannot share.
GROWING = {
    "methods": {
        "msg-progan": {"model": {"family": "stylegan"}, "loss": {"adversarial": "non_saturating"}}
    },
    "defaults": {
        "loss": {"penalty": "r1", "drift_weight": 0.0, "style_mixing": 0.9},
        "growing": {"stable_kimg": 0.24, "fade_kimg": 2.4, "batch_sizes": {4: 24, 8: 12}},
        "training": {"batch_size": 12, "total_kimg": 3, "state_kimg": 3, "snapshot_kimg": 0.6},
    },
}


@overlapping(seconds=120)
def test_three_processes_stop_in_the_middle_of_a_fade_and_end_with_the_bits_of_three_without_slurm(
    lab: Lab,
) -> None:
    command = lab.planned(lab.run_dir, GROWING)
    code, said = lab.launch(command, {"tasks_per_node": 2}).end(60)
    assert code == 2, said
    assert "batches of 24, 12 images in whole groups of 4 can be shared by 1, 3" in said
    login = lab.launch(command, {"tasks_per_node": 3, "mem_mb": 3000})
    wait_until(lambda: images(lab.run_dir) >= 480, "480 images", 240)
    # Held still, so that it does not fade to the end before it hears the signal.
    first = process_of(lab.run_dir, rank=0)
    os.kill(first, signal.SIGSTOP)
    lab.cluster.run("scancel", "--signal=USR2", lab.record().job_id)
    wait_until(lambda: is_waiting_for_a_signal(first), "the signal to arrive", 60)
    os.kill(first, signal.SIGCONT)
    code, said = login.end(300)
    assert code == 0, said
    attempts = trained(lab.run_dir)["attempts"]
    schedule = RunSpec.read(lab.run_dir).spec.schedule
    assert [attempt["processes"] for attempt in attempts] == [3, 3]
    assert 0 < schedule.at(attempts[0]["end_nimg"]).fade < 1
    calm = lab.root / "calm" / "seed0"
    command = lab.planned(calm, GROWING)
    together = {"WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(3)]
    for one in [lab.login(command, lab.root, **together, **rank) for rank in ranks]:
        code, said = one.end(240)
        assert code == 0, said
    assert checksums(trained(calm)) == checksums(trained(lab.run_dir))


def is_waiting_for_a_signal(pid: int) -> bool:
    """Whether the stopped process `pid` has a SIGTERM or SIGUSR2 to hear when it goes on."""
    status = Path(f"/proc/{pid}/status").read_text()
    pending = int(re.findall(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)[0], 16)
    return any(pending >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGUSR2))


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@overlapping(seconds=100)
def test_a_killed_process_ends_the_job_and_is_named(lab: Lab) -> None:
    command = lab.training(lab.run_dir, batch_size=16, total_kimg=1000, state_kimg=1000)
    login = lab.launch(command, FOUR)
    wait_until(lambda: images(lab.run_dir) >= 100, "100 images", 240)
    os.kill(process_of(lab.run_dir, rank=3), signal.SIGKILL)
    code, said = login.end(120)
    assert code == 7, said
    assert re.search(r"rank 3 \(process \d+ on [\w-]+\) has died or does not answer", said), said
    assert "failed with exit code 4" in said


@overlapping(seconds=10)
def test_processes_that_cannot_share_the_batch_are_not_submitted(lab: Lab) -> None:
    command = lab.training(lab.run_dir, batch_size=16)
    code, said = lab.launch(command, {"nodes": 3}).end(60)
    assert code == 2
    assert (
        "--resources: 3 processes are not allowed; batches of 16 images in whole groups of 4"
        in said
    )
    assert "can be shared by 1, 2, 4" in said
    assert not lab.jobs()


def process_of(run_dir: Path, rank: int) -> int:
    """The number of the process that trains `run_dir` as `rank`."""
    for process in psutil.process_iter():
        try:
            words, variables = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        if str(run_dir) in words and "train" in words and variables.get("RANK") == str(rank):
            return int(process.pid)
    raise AssertionError(f"no process trains {run_dir} as rank {rank}")
