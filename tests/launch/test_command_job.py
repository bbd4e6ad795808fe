"""A frozen command between two signals of the scheduler; the requeue itself is in test_jobs and tests/slurm."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from msgbench.errors import LaunchError
from msgbench.launch import job as job_module
from msgbench.launch.ends import End, may_go_on
from msgbench.launch.job import CommandJob, progress_of

# Goes on where it was; SIGUSR2 is for those that save.
COUNTING = """
import signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
count = len(list(folder.glob("start-*")))
(folder / f"start-{count}").touch()
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(140))
(folder / f"ready-{count}").touch()
time.sleep(0 if count else 200)
"""


def requeued(job: CommandJob) -> CommandJob:
    again = job.checkpoint().function
    assert isinstance(again, CommandJob)
    return again


def save(folder: Path, cur_nimg: int) -> None:
    (folder / "states").mkdir(exist_ok=True)
    (folder / f"states/training-state-{cur_nimg:010d}.json").write_text("{}")


def test_a_job_that_gets_on_is_requeued_as_often_as_it_takes(tmp_path: Path) -> None:
    job = CommandJob(("true",), str(tmp_path), str(tmp_path))
    for cur_nimg in range(10):
        save(tmp_path, cur_nimg)
        job = requeued(job)
    assert job.fruitless == 0


def test_one_that_does_not_is_ended_with_a_sentence(tmp_path: Path) -> None:
    job = CommandJob(("true",), str(tmp_path), str(tmp_path))
    save(tmp_path, 7)
    job = requeued(job)
    for _ in range(2):
        save(tmp_path, 7)  # the same again
        job = requeued(job)
    with pytest.raises(LaunchError, match=r"its time limit came 3 times in a row before anything"):
        job.checkpoint()


def test_measured_records_are_progress_too(tmp_path: Path) -> None:
    assert progress_of(tmp_path) == ""
    (tmp_path / "metrics/fid").mkdir(parents=True)
    (tmp_path / "metrics/fid/0000000001.json").touch()
    one = progress_of(tmp_path)
    (tmp_path / "metrics/fid/0000000002.json").touch()
    assert len({"", one, progress_of(tmp_path)}) == 3


def test_a_command_that_heard_the_signal_first_is_not_taken_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """srun's SIGUSR2 reaches command and job in any order; the command saves and ends with 140."""
    monkeypatch.setattr(job_module, "_SIGNAL_SECONDS", 0.2)
    argv = (sys.executable, "-c", COUNTING, str(tmp_path))

    def signal_it() -> None:
        deadline = time.monotonic() + 120
        while not (tmp_path / "ready-0").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child = job_module.running_child()
        assert child is not None
        child.send(signal.SIGUSR2)

    thread = threading.Thread(target=signal_it)
    thread.start()
    assert CommandJob(argv, str(tmp_path), str(tmp_path))() == 0
    thread.join()
    assert (tmp_path / "start-1").exists()


def test_a_start_removes_what_an_earlier_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_FOLDER", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    for name in (
        "5_submitted.pkl.save_tmp",
        "5_0_result.pkl",
        "5_submitted.pkl",
        "55_0_result.pkl",
    ):
        (tmp_path / name).touch()
    assert CommandJob(("true",), str(tmp_path), str(tmp_path))() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "55_0_result.pkl",
        "5_submitted.pkl",
    ]


@pytest.mark.parametrize(
    ("end", "goes_on"),
    [
        (End("NODE_FAIL"), True), (End("PREEMPTED"), True), (End("TIMEOUT"), True),
        (End("CANCELLED"), False), (End("FAILED"), False), (End("OUT_OF_MEMORY"), False),
        (End("GONE"), False), (End("FINISHED", code=3), False),
        (End("BROKEN", trace="x\nsubprocess.TimeoutExpired: Command '['scontrol', 'requeue', '5']' timed out "
                             "after 60 seconds\n"), True),
        (End("BROKEN", trace="FileNotFoundError: [Errno 2] No such file or directory: 'scontrol'\n"), True),
        (End("BROKEN", trace="msgbench.errors.LaunchError: x: cannot be started\n"), False),
    ],
)  # fmt: skip
def test_which_ends_are_slurms_doing(end: End, goes_on: bool) -> None:
    assert may_go_on(end) is goes_on
