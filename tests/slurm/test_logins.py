"""Logins that die: at every moment the same command finds the job again, and nothing is trained twice."""

from __future__ import annotations

import json
import os
import signal

import pytest

from .cluster import wait_until
from .lab import Lab
from .overlap import overlapping

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]


def finishes_with_one_training(lab: Lab) -> str:
    """Launch the same command again: it ends well, and one job has done it all. What it said."""
    login = lab.launch(lab.gated())
    wait_until(lambda: "job " in login.said(), "word of a job")
    lab.gate.touch()
    code, said = login.end()
    assert code == 0, said
    lab.assert_one_training()
    return said


@overlapping(seconds=25)
def test_killed_before_sbatch_is_called(lab: Lab) -> None:
    """The terminal goes away; the process that submits has left it by design and goes on."""
    reached = lab.root / "reached"
    slow = lab.wrapper("sbatch", f'touch "{reached}"\nsleep 4\nexec $REAL "$@"')
    login = lab.launch(lab.gated(), PATH=slow)
    wait_until(reached.exists, "sbatch")
    login.kill()
    assert lab.jobs() == []
    finishes_with_one_training(lab)


@overlapping(seconds=25)
def test_the_machine_dies_before_sbatch_is_called(lab: Lab) -> None:
    reached = lab.root / "reached"
    slow = lab.wrapper("sbatch", f'touch "{reached}"\nsleep 600\nexec $REAL "$@"')
    login = lab.launch(lab.gated(), PATH=slow)
    wait_until(reached.exists, "sbatch")
    login.power_off()
    assert lab.jobs() == []
    finishes_with_one_training(lab)


@overlapping(seconds=25)
def test_killed_before_the_record_is_written(lab: Lab) -> None:
    """sbatch has submitted and does not return; only the terminal goes away."""
    reached = lab.root / "reached"
    slow = lab.wrapper("sbatch", f'$REAL "$@"\ntouch "{reached}"\nsleep 4')
    login = lab.launch(lab.gated(), PATH=slow)
    wait_until(reached.exists, "sbatch")
    login.kill()
    assert not lab.has_record()
    assert len(lab.jobs()) == 1
    finishes_with_one_training(lab)


@overlapping(seconds=25)
def test_the_machine_dies_before_the_record_is_written(lab: Lab) -> None:
    """Nothing but the job itself is left: it is adopted by its name."""
    reached = lab.root / "reached"
    slow = lab.wrapper("sbatch", f'$REAL "$@"\ntouch "{reached}"\nsleep 600')
    login = lab.launch(lab.gated(), PATH=slow)
    wait_until(reached.exists, "sbatch")
    login.power_off()
    assert not lab.has_record()
    (job,) = lab.jobs()
    said = finishes_with_one_training(lab)
    assert lab.record().job_id == job
    assert f"job {job}" in said


@overlapping(seconds=45)
def test_everything_is_killed_but_sbatch(lab: Lab) -> None:
    """Nobody can know of a job that is on its way: there are two, and the run is trained once all the same.

    What the killed login has not put in its place any more (submitit's pickle), the late job does not find.
    """
    reached, done = lab.root / "reached", lab.root / "done"
    slow = lab.wrapper("sbatch", f'touch "{reached}"\nsleep 6\n$REAL "$@"\ntouch "{done}"')
    command = lab.training(lab.run_dir, total_kimg=0.4)
    login = lab.launch(command, {"mem_mb": 1500}, PATH=slow)
    wait_until(reached.exists, "sbatch")
    login.kill_programs("msgbench")
    assert lab.jobs() == []
    code, said = lab.launch(command, {"mem_mb": 1500}).end()
    assert code == 0, said
    wait_until(done.exists, "the late sbatch")
    ended = {"COMPLETED", "FAILED"}
    wait_until(lambda: {lab.state(job) for job in lab.jobs()} <= ended, "the end of both jobs", 90)
    assert len(lab.jobs()) == 2
    assert len(json.loads(lab.output.read_text())["attempts"]) == 1


@overlapping(seconds=20)
def test_killed_while_waiting(lab: Lab) -> None:
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    login.kill()
    record = lab.record()
    said = finishes_with_one_training(lab)
    assert f"job {record.job_id} of {record.submitted}" in said
    assert lab.counts() == [0]
    assert lab.record().job_id == record.job_id


@overlapping(seconds=30)
def test_killed_during_a_requeue(lab: Lab) -> None:
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    wait_until(lambda: lab.saved() >= 5, "a saved state")
    job = lab.record().job_id
    lab.cluster.run("scancel", "--signal=USR2", job)
    lab.wait_for_state(job, "PENDING")
    login.power_off()
    finishes_with_one_training(lab)
    assert len(lab.counts()) == 2
    assert lab.counts()[1] >= 5


@overlapping(seconds=20)
def test_a_finished_job_is_found_by_a_login_that_comes_later(lab: Lab) -> None:
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    login.power_off()
    lab.gate.touch()
    wait_until(lab.output.exists, "the end of the counting")
    finishes_with_one_training(lab)


@overlapping(seconds=20)
def test_a_deleted_record_is_made_again_from_the_jobs_name(lab: Lab) -> None:
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    record = lab.record()
    login.kill()
    (lab.run_dir / "jobs" / "train.json").unlink()
    said = finishes_with_one_training(lab)
    adopted = lab.record()
    assert (adopted.job_id, adopted.name) == (record.job_id, record.name)
    assert f"job {record.job_id}" in said
    assert lab.counts() == [0]


@overlapping(seconds=20)
def test_ctrl_c_leaves_the_job_alone_and_says_how_to_stop_it(lab: Lab) -> None:
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    wait_until(lambda: "log of the job" in login.said(), "the login to wait")
    job = lab.record().job_id
    os.killpg(login.process.pid, signal.SIGINT)
    code, said = login.end(20)
    assert code == 128 + signal.SIGINT
    assert f"job {job} goes on without us" in said
    assert f"scancel {job}" in said
    finishes_with_one_training(lab)
    assert lab.counts() == [0]


@overlapping(seconds=20)
def test_a_closed_terminal_leaves_the_job_alone(lab: Lab) -> None:
    login = lab.launch(lab.gated())
    lab.wait_for_starts(1)
    os.killpg(login.process.pid, signal.SIGHUP)
    code, _ = login.end(20)
    assert code == 128 + signal.SIGHUP
    finishes_with_one_training(lab)
    assert lab.counts() == [0]


@overlapping(seconds=25)
def test_three_logins_at_once_submit_one_job(lab: Lab) -> None:
    logins = [lab.launch(lab.gated()) for _ in range(3)]
    wait_until(lambda: all("log of the job" in login.said() for login in logins), "all to wait")
    lab.gate.touch()
    for login in logins:
        code, said = login.end()
        assert code == 0, said
    lab.assert_one_training()
    assert lab.counts() == [0]
