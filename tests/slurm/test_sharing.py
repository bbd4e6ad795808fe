"""A training of four processes on two nodes: through a time limit to its end, and ended by the death of one of them."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from .cluster import wait_until
from .lab import Lab
from .overlap import overlapping
from .test_requeues import images, states

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
