"""Jobs that Slurm takes away and gives back: time limits, preemption, suspension, a dead node."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from msgbench.errors import LaunchError
from msgbench.layout import snapshot_file

from .cluster import wait_until
from .lab import Lab
from .overlap import overlapping
from .settings import GRACE_SECONDS

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]


def trained(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "train.json").read_text())


def images(run_dir: Path) -> int:
    """How far a training has got, by its statistics."""
    path = run_dir / "stats.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return json.loads(lines[-1])["cur_nimg"] if lines else 0


def nimg(state: Path) -> int:
    """The number of images in the name of a training state."""
    return int(state.stem.rsplit("-", 1)[1])


def states(run_dir: Path) -> Sequence[Path]:
    return sorted((run_dir / "states").glob("*.pt"))


def checksums(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and sha256 of a training's snapshots."""
    return [(entry["file"], entry["sha256"]) for entry in result["snapshots"]]


def undisturbed(lab: Lab) -> dict[str, Any]:
    """train.json of the same run, trained without a pause and without Slurm."""
    calm = lab.root / "calm" / "seed0"
    code, said = lab.login(lab.training(calm), lab.root).end(240)
    assert code == 0, said
    return trained(calm)


@overlapping(seconds=90)
def test_two_time_limits_and_the_same_bits_as_an_undisturbed_training(lab: Lab) -> None:
    """USR2 is what Slurm sends before a time limit; here it comes when the training has got somewhere."""
    command = lab.training(lab.run_dir)
    login = lab.launch(command, {"mem_mb": 1500})
    for attempt, least in enumerate((100, 500)):
        wait_until(lambda least=least: images(lab.run_dir) >= least, f"{least} images", 120)
        assert len(states(lab.run_dir)) == attempt
        lab.cluster.run("scancel", "--signal=USR2", lab.record().job_id)
        wait_until(
            lambda attempt=attempt: len(states(lab.run_dir)) > attempt, "the state to be saved"
        )
    code, said = login.end(240)
    assert code == 0, said
    lab.assert_one_training()

    result = trained(lab.run_dir)
    starts = [attempt["start_nimg"] for attempt in result["attempts"]]
    assert len(starts) == 3, result["attempts"]
    assert 0 == starts[0] < 100 <= starts[1] < 500 <= starts[2]
    # GPU-seconds (here CPU-seconds) add up over the attempts.
    spent = sum(attempt["seconds"] for attempt in result["attempts"])
    assert result["seconds"] == pytest.approx(spent, abs=0.1)

    assert len(result["snapshots"]) == 7
    assert checksums(result) == checksums(undisturbed(lab))


@overlapping(seconds=130)
def test_a_real_time_limit(lab: Lab) -> None:
    """Slurm enforces limits in ticks of half a minute and none below a minute; nothing is sent by hand.

    It sends its signal a minute before a limit of two: by then the job has started on the slowest machine.
    """
    login = lab.launch(lab.counting(1500), {"runtime": 2})
    code, said = login.end(420)
    assert code == 0, said
    lab.assert_one_training()
    counts = lab.counts()
    assert len(counts) >= 2
    assert counts == sorted(set(counts))
    assert counts[1] > 20


@overlapping(seconds=60)
def test_preemption_saves_is_requeued_and_goes_on(lab: Lab) -> None:
    """The first attempt saves when it is told, goes on until it is killed, and the second does that again.

    What both have made is the same to the last bit. The training is too long to end before.
    """
    node = lab.cluster.nodes[-1]
    # All of a node: the preemptor has to take this one.
    resources = {"slurm_partition": "preempt", "slurm_extra": f"--nodelist={node} --exclusive"}
    command = lab.training(lab.run_dir, total_kimg=100, state_kimg=100, snapshot_kimg=0.02)
    login = lab.launch(command, {**resources, "mem_mb": 1500})
    wait_until(lambda: images(lab.run_dir) >= 100, "100 images", 240)
    assert states(lab.run_dir) == []
    preemptor = lab.cluster.run(
        *("sbatch", "--parsable", "--partition=gpu", f"--nodelist={node}", "--exclusive"),
        *("--output=/dev/null", "--wrap", "sleep 1"),
    ).stdout.strip()
    wait_until(lambda: len(states(lab.run_dir)) > 0, "the training to save", GRACE_SECONDS + 20)
    # Slurm says SIGTERM once more, at the end of the grace time, and kills some seconds later.
    lab.wait_for_state(lab.record().job_id, "PENDING")
    newest = nimg(states(lab.run_dir)[-1])
    assert newest >= 100
    twice = lab.run_dir / snapshot_file(newest // 20 * 20 + 20)
    first, made = twice.read_bytes(), twice.stat().st_mtime_ns

    wait_until(lambda: twice.stat().st_mtime_ns != made, "the same snapshot once more", 120)
    assert twice.read_bytes() == first
    # The waiting login shows the job's log once a second.
    wait_until(
        lambda: f"goes on from {newest / 1000:g} kimg" in login.said(), "the log to be shown"
    )
    assert lab.state(preemptor) == "COMPLETED"
    lab.assert_one_training()
    lab.cluster.run("scancel", lab.record().job_id)
    code, said = login.end()
    assert (code, "was cancelled" in said) == (LaunchError.exit_code, True)


@overlapping(seconds=20)
def test_suspended_is_not_the_end(lab: Lab) -> None:
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    job = lab.record().job_id
    lab.cluster.run("scontrol", "suspend", job)
    lab.wait_for_state(job, "SUSPENDED")
    with pytest.raises(AssertionError, match="did not end"):
        login.end(5)
    lab.cluster.run("scontrol", "resume", job)
    lab.gate.touch()
    code, said = login.end()
    assert code == 0, said
    assert lab.counts() == [0]


@overlapping(seconds=25)
def test_a_requeue_by_hand_starts_from_the_newest_state(lab: Lab) -> None:
    """`scontrol requeue`: the job is killed unasked, only what was saved counts."""
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    wait_until(lambda: lab.saved() >= 10, "a saved state")
    lab.cluster.run("scontrol", "requeue", lab.record().job_id)
    lab.wait_for_starts(2)
    lab.gate.touch()
    code, said = login.end()
    assert code == 0, said
    assert len(lab.counts()) == 2
    assert lab.counts()[1] >= 10
    lab.assert_one_training()


@overlapping(seconds=25)
def test_a_command_that_is_killed_a_moment_before_its_job_has_not_failed(lab: Lab) -> None:
    """Slurm kills the processes of a job one after the other; the last ones must not write a result."""
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    wait_until(lambda: lab.saved() >= 10, "a saved state")
    os.kill(lab.starts()[0]["pid"], signal.SIGKILL)
    time.sleep(1)
    lab.cluster.run("scontrol", "requeue", lab.record().job_id)
    lab.wait_for_starts(2)
    lab.gate.touch()
    code, said = login.end()
    assert code == 0, said
    assert len(lab.counts()) == 2
    lab.assert_one_training()


@overlapping(seconds=20)
def test_a_command_that_is_killed_alone_has_failed(lab: Lab) -> None:
    login = lab.launch(lab.counting(600))
    lab.wait_for_starts(1)
    os.kill(lab.starts()[0]["pid"], signal.SIGKILL)
    code, said = login.end()
    assert code == LaunchError.exit_code
    assert f"job {lab.record().job_id} was ended by SIGKILL" in said.splitlines()[-1]


@overlapping("fragile_cluster", alone=True, seconds=70)
def test_a_dead_node_and_the_job_resumes_elsewhere(lab: Lab) -> None:
    """The job asks for no GPU: Slurm 22.05 loses track of a GPU whose node died with a job that is requeued."""
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    wait_until(lambda: lab.saved() >= 10, "a saved state")
    node = lab.starts()[0]["node"]
    lab.cluster.kill_node(node)
    saved = lab.saved()
    lab.wait_for_starts(2, 120)
    assert lab.starts()[1]["node"] != node
    assert lab.counts()[1] >= saved
    lab.gate.touch()
    code, said = login.end()
    assert code == 0, said
    lab.assert_one_training()
    lab.cluster.start_node(node)


@overlapping("fragile_cluster", alone=True, seconds=90)
def test_a_silent_controller_is_waited_for(lab: Lab) -> None:
    """slurmctld is away for a minute: one job ends meanwhile, and another is still running afterwards."""
    short, long = lab.run_dir.with_name("short"), lab.run_dir.with_name("long")
    logins = [
        lab.launch(lab.counting(total, run_dir=folder), run_dir=folder)
        for folder, total in ((short, 100), (long, 900))
    ]
    for folder in (short, long):
        wait_until((folder / "starts.jsonl").exists, f"{folder.name} to start")
    lab.cluster.stop_controller()
    try:
        # A third login starts while nobody answers: without an answer nothing may be submitted.
        late = lab.launch(lab.counting(5))
        wait_until((short / "train.json").exists, "the short one to finish", 60)
        with pytest.raises(AssertionError, match="did not end"):
            logins[1].end(50)
        assert "Slurm" in late.said(), "a login that cannot submit says nothing for a minute"
    finally:
        lab.cluster.start_controller()
    for login in (*logins, late):
        code, said = login.end(90)
        assert code == 0, said
    assert len(lab.jobs()) == 3
    assert len(lab.starts()) == 1


@overlapping("fragile_cluster", alone=True, seconds=60)
def test_a_requeue_that_the_controller_does_not_hear(lab: Lab) -> None:
    """The job saves and asks a silent slurmctld to be put back; whoever waits submits it again at its place."""
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    wait_until(lambda: lab.saved() >= 5, "a saved state")
    command = psutil.Process(lab.starts()[0]["pid"])
    lab.cluster.stop_controller()
    try:
        command.parent().send_signal(
            signal.SIGUSR2
        )  # of the job itself: nobody else can send it now
        wait_until(lambda: not command.is_running(), "the command to save and end")
        time.sleep(5)
    finally:
        lab.cluster.start_controller()
    lab.wait_for_starts(2, 180)
    assert lab.counts()[1] >= 5
    lab.gate.touch()
    code, said = login.end(120)
    assert code == 0, said
    assert len(lab.starts()) == 2
    assert not (lab.run_dir / "two-at-once").exists()
