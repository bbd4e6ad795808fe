"""How jobs end: done, failed, cancelled, killed for memory; with accounting and without."""

from __future__ import annotations

import re
import sys

import pytest

from msgbench.errors import LaunchError

from .cluster import wait_until
from .lab import Lab
from .overlap import overlapping

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

FAILURE = LaunchError.exit_code

# What a login inside another allocation has in its environment, and what a user's habits put there.
ALLOCATION = {
    "SLURM_JOB_ID": "4711",
    "SLURM_NTASKS": "7",
    "SLURM_MEM_PER_NODE": "99",
    "SLURM_CPUS_PER_TASK": "3",
    "SBATCH_PARTITION": "nowhere",
    "SBATCH_JOB_NAME": "mine",
    "PMIX_RANK": "3",
}


@overlapping()
def test_success_with_what_was_asked_for(lab: Lab) -> None:
    asked = {"slurm_partition": "gpu", "runtime": 7, "mem_mb": 900, "cpus_per_task": 2}
    gpus = {"gpu": 1} if lab.cluster.gpus else {}
    options = {"slurm_extra": "--comment=ours --nice=3"}
    resources = asked | gpus | options
    login = lab.launch(lab.gated(), resources, **ALLOCATION)
    lab.wait_for_starts(1)
    job = lab.cluster.run("scontrol", "show", "job", "-o", lab.record().job_id).stdout
    for wanted in ("Partition=gpu", "TimeLimit=00:07:00", "CPUs/Task=2", "Comment=ours", "Nice=3"):
        assert f" {wanted} " in job, job
    lab.gate.touch()
    assert "MinMemoryNode=900M" in job
    assert "NumTasks=1 " in job
    assert " JobName=msgbench-" in job
    code, said = login.end()
    assert code == 0, said
    assert "counting from 0" in said  # the job's messages are shown here
    if gpus:
        assert "gres/gpu=1" in job or "gres:gpu:1" in job, job
        assert lab.starts()[0]["gpus"] in ("0", "1")

    record = lab.record()
    code, said = lab.launch(lab.gated(), resources).end(30)
    assert code == 0
    assert f"job {record.job_id} has finished already" in said
    assert lab.record().job_id == record.job_id
    lab.assert_one_training()


@overlapping()
def test_an_exception_comes_with_its_remote_trace(lab: Lab) -> None:
    script = "def draw():\n    raise RuntimeError('the latent is gone')\ndraw()\n"
    code, said = lab.launch([sys.executable, "-c", script]).end()
    assert code == FAILURE
    (sentence,) = [line for line in said.splitlines() if line.startswith("msgbench: error: ")]
    assert f"job {lab.record().job_id} failed with exit code 1" in sentence
    assert "line 3, in <module>" in said
    assert "line 2, in draw" in sentence
    assert "RuntimeError: the latent is gone" in sentence
    assert str(lab.record().log) in sentence


@overlapping()
def test_a_command_that_the_node_does_not_have_is_named(lab: Lab) -> None:
    code, said = lab.launch(["no-such-command"]).end()
    assert code == FAILURE
    assert "no-such-command" in said
    assert "cannot be started (No such file or directory)" in said.splitlines()[-1]


@overlapping(seconds=25)
def test_scancel_is_reported_and_the_same_command_submits_anew(lab: Lab) -> None:
    login = lab.launch(lab.counting(600))
    lab.wait_for_starts(1)
    first = lab.record().job_id
    lab.cluster.run("scancel", first)
    code, said = login.end(60)
    assert code == FAILURE
    assert re.search(rf"job {first} (was|has been) cancelled", said.splitlines()[-1])
    lab.wait_for_state(first, "CANCELLED")
    assert lab.jobs() == [first]  # not brought back to life

    code, said = lab.launch(lab.counting(lab.saved() + 5)).end()
    assert code == 0, said
    assert sorted(lab.jobs()) == sorted([first, lab.record().job_id])
    assert lab.counts()[1] > 0  # goes on from what the cancelled one had saved
    assert not (lab.run_dir / "two-at-once").exists()


@overlapping(seconds=20)
def test_scancel_while_nobody_waits(lab: Lab) -> None:
    login = lab.launch(lab.counting(600))
    lab.wait_for_starts(1)
    first = lab.record().job_id
    login.kill()
    lab.cluster.run("scancel", first)
    lab.wait_for_state(first, "CANCELLED")
    code, said = lab.launch(lab.counting(lab.saved() + 5)).end()
    assert code == 0, said
    assert len(lab.jobs()) == 2


@overlapping(seconds=15)
def test_too_little_memory_is_one_sentence_with_a_request_that_fits(lab: Lab) -> None:
    """Slurm kills by polling memory (JobAcctGatherParams=OverMemoryKill), each 2 s: the peak it saw counts."""
    script = (
        "import time\nheld = []\n"
        "for _ in range(60):\n"
        "    held.append(bytearray(b'x' * (10 << 20)))\n"
        "    time.sleep(0.1)\n"
        "time.sleep(10)\n"
    )
    code, said = lab.launch([sys.executable, "-c", script], {"mem_mb": 300}).end()
    assert code == FAILURE
    (sentence,) = [line for line in said.splitlines() if line.startswith("msgbench: error: ")]
    assert "memory" in sentence
    advice = re.search(r"mem_mb\D{0,5}(\d+)", sentence)
    assert advice is not None, sentence
    # 300 MB were too little; 600 MB and two Pythons are all that it ever takes; a quarter on top.
    assert 375 <= int(advice[1]) <= 1.25 * 900, sentence


@overlapping("bare_cluster")
def test_success_without_accounting(lab: Lab) -> None:
    code, said = lab.launch(lab.counting(10)).end()
    assert code == 0, said
    lab.assert_one_training()


@overlapping("bare_cluster")
def test_failure_without_accounting(lab: Lab) -> None:
    script = "raise RuntimeError('the latent is gone')"
    code, said = lab.launch([sys.executable, "-c", script]).end()
    assert code == FAILURE
    assert "RuntimeError: the latent is gone" in said.splitlines()[-1]


@overlapping("bare_cluster")
def test_scancel_without_accounting(lab: Lab) -> None:
    login = lab.launch(lab.counting(600))
    lab.wait_for_starts(1)
    job = lab.record().job_id
    lab.cluster.run("scancel", job)
    code, said = login.end(60)
    assert code == FAILURE
    assert re.search(rf"job {job} (was|has been) cancelled", said.splitlines()[-1])


@overlapping("bare_cluster", seconds=15)
def test_a_job_killed_hard_without_accounting(lab: Lab) -> None:
    """kill -9 of the job's Python leaves no result, and sacct knows nothing."""
    login = lab.launch(lab.counting(600))
    lab.wait_for_starts(1)
    job = lab.record().job_id
    lab.cluster.run("scancel", "--signal=KILL", job)
    code, said = login.end(60)
    assert code == FAILURE
    assert f"job {job} " in said.splitlines()[-1]


@overlapping("bare_cluster", seconds=20)
def test_a_job_that_squeue_has_forgotten_and_nobody_accounts_for(lab: Lab) -> None:
    """Without accounting a cancelled job leaves nothing: the same command has to submit again, not hang."""
    login = lab.launch(lab.counting(600))
    lab.wait_for_starts(1)
    login.kill()
    record = lab.record()
    lab.cluster.run("scancel", record.job_id)
    lab.wait_for_state(record.job_id, "CANCELLED")
    # As after MinJobAge, or on another day: a number that squeue has never heard of.
    path = lab.run_dir / "jobs" / "train.json"
    text = path.read_text().replace(f'"{record.job_id}"', '"999999"')
    path.write_text(text)
    code, said = lab.launch(lab.counting(lab.saved() + 5)).end(90)
    assert code == 0, said
    assert len(lab.jobs()) == 2


@overlapping("fragile_cluster", alone=True, seconds=40)
def test_an_end_that_squeue_has_forgotten_is_in_the_accounts(lab: Lab) -> None:
    """MinJobAge of 2 s below a poll of 10 s: the waiter finds no job any more, and asks sacct."""
    lab.cluster.change(MinJobAge=2)
    try:
        login = lab.launch(lab.counting(600), MSGBENCH_SLURM_POLL_SECONDS="10")
        lab.wait_for_starts(1)
        wait_until(lambda: "is running" in login.said(), "the login to wait")
        job = lab.record().job_id
        lab.cluster.run("scancel", job)
        wait_until(lambda: lab.jobs() == [], "squeue to forget the job")
        code, said = login.end(60)
        assert code == FAILURE
        assert f"job {job} was cancelled" in said.splitlines()[-1]
    finally:
        lab.cluster.change(MinJobAge=3600)
