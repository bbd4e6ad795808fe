"""One query for all who wait, and what is made of Slurm's answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from msgbench.launch import queue, waiter
from msgbench.launch.queue import JobState, QueueSilent
from msgbench.launch.waiter import Awaited

from .conftest import wait_until
from .fake_slurm import FakeSlurm

WAITER = [sys.executable, "-I", "-S", waiter.__file__]


def add(slurm: FakeSlurm, job: str, state: str = "RUNNING", name: str = "msgbench-x") -> None:
    slurm.set(job, state=state, name=name, time=str(int(time.time())))


def awaited(folder: Path, job: str = "7", name: str = "msgbench-x", ago: float = 0.0) -> Awaited:
    return Awaited(
        title="run",
        job_id=job,
        name=name,
        submit_time=time.time() - ago,
        folder=str(folder),
        result=str(folder / "result.pkl"),
        log=str(folder / "log.err"),
        log_from_end=False,
    )


def start(
    job: Awaited, heard: Path, again: tuple[str, ...] = ("/bin/true",)
) -> subprocess.Popen[bytes]:
    import json

    request = json.dumps({"job": job, "again": again, "log": None})
    with heard.open("w") as file:
        return subprocess.Popen(
            [*WAITER, request],
            stderr=file,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def test_ours_are_read_and_the_others_left_out(slurm: FakeSlurm) -> None:
    add(slurm, "7")
    add(slurm, "8", name="somebody|else's")
    answer = queue.shared_answer().jobs
    assert list(answer) == ["7"]
    assert answer["7"][:4] == ("RUNNING", "n1", "None", "msgbench-x")


def test_two_callers_within_the_interval_ask_once(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(queue.POLL_VARIABLE, "30")
    add(slurm, "7")
    queue.shared_answer()
    slurm.set("7", state="COMPLETED")
    assert queue.shared_answer().jobs["7"].state == "RUNNING"
    assert slurm.shared_queries() == 1


def test_the_default_interval_is_30_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(queue.POLL_VARIABLE, raising=False)
    assert queue.poll_seconds() == 30.0


def test_a_silent_slurm_is_asked_no_more_often_and_its_last_answer_serves_for_a_while(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(queue.POLL_VARIABLE, "30")
    clock = [time.time()]
    monkeypatch.setattr(queue.time, "time", lambda: clock[0])
    add(slurm, "7")
    queue.shared_answer()
    slurm.tell("squeue.fails", "slurm_load_jobs error: Unable to contact slurm controller")
    for seconds, queries in ((29, 1), (2, 2), (28, 2)):
        clock[0] += seconds
        assert queue.shared_answer().jobs["7"].state == "RUNNING"
        assert slurm.shared_queries() == queries
    clock[0] += 3
    for _ in range(5):
        with pytest.raises(QueueSilent, match="Unable to contact slurm controller"):
            queue.shared_answer()
    assert slurm.shared_queries() == 3
    slurm.untell("squeue.fails")
    clock[0] += 31
    assert queue.shared_answer().jobs["7"].state == "RUNNING"


def test_without_slurm_it_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(QueueSilent, match=r"squeue: No such file"):
        queue.shared_answer()


def test_a_hanging_command_is_given_up(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(QueueSilent, match=r"sleep did not answer in 0\.3 s"):
        queue.run(["sleep", "60"], seconds=0.3)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("content", ["", "[]", "{", '{"time": 1, "jobs": {"7": [1]}}'])
def test_a_damaged_file_is_asked_anew(slurm: FakeSlurm, tmp_path: Path, content: str) -> None:
    add(slurm, "7")
    queue.shared_answer()
    (file,) = (tmp_path / "cache/msgbench").glob("queue-*.json")
    file.write_text(content)
    assert queue.shared_answer().jobs["7"].state == "RUNNING"


def test_a_habit_of_the_user_does_not_change_the_answer(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "SLURM_CONF": "c", "SLURM_JOB_ID": "1", "SBATCH_PARTITION": "p", "SQUEUE_STATES": "PD",
        "PMIX_RANK": "0", "SUBMITIT_EXECUTOR": "slurm", "HOME": "h",
    }  # fmt: skip
    assert queue.without_slurm(given) == {"SLURM_CONF": "c", "HOME": "h"}


@pytest.mark.parametrize(
    ("state", "final"),
    [
        ("PENDING", False), ("RUNNING", False), ("SUSPENDED", False), ("REQUEUED", False),
        ("COMPLETING", False), ("CONFIGURING", False), ("RESIZING", False), ("STOPPED", False),
        ("SPECIAL_EXIT", False), ("REQUEUE_HOLD", False), ("STAGE_OUT", False), ("NEW_WORD", False),
        ("COMPLETED", True), ("FAILED", True), ("CANCELLED", True), ("TIMEOUT", True),
        ("NODE_FAIL", True), ("PREEMPTED", True), ("OUT_OF_MEMORY", True), ("DEADLINE", True),
    ],
)  # fmt: skip
def test_what_is_an_end(state: str, final: bool) -> None:
    assert JobState(state, "", "", "", 0, 0).is_final is final


@pytest.mark.parametrize(
    ("name", "submitted", "ours"),
    [("msgbench-x", 5000.0, True), ("msgbench-x", 4800.0, True), ("msgbench-x", 0.0, True),
     ("msgbench-x", 3000.0, False), ("msgbench-y", 5000.0, False)],
)  # fmt: skip
def test_a_number_that_came_again_is_another_job(name: str, submitted: float, ours: bool) -> None:
    assert JobState("RUNNING", "", "", name, submitted, 0).is_of("msgbench-x", 5000.0) is ours


# -- the waiting process ------------------------------------------------------------------------------------


def test_all_waiters_share_one_query_and_each_is_small(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(queue.POLL_VARIABLE, "2")
    waiters = []
    began = time.monotonic()
    for number in range(12):
        folder = tmp_path / f"job{number}"
        folder.mkdir()
        add(slurm, str(number))
        waiters.append(start(awaited(folder, str(number)), tmp_path / f"said{number}.txt"))
    wait_until(lambda: slurm.shared_queries() >= 3, "three queries")
    sizes = [rss_mb(process.pid) for process in waiters]
    for number in range(12):
        (tmp_path / f"job{number}/result.pkl").touch()
    assert [process.wait(timeout=120) for process in waiters] == [0] * 12
    # One at the start, then one in 2 s, however many wait.
    assert slurm.shared_queries() <= 1 + (time.monotonic() - began) / 2
    assert max(sizes) <= 15.0
    assert min(sizes) > 3.0


def rss_mb(pid: int) -> float:
    (line,) = [s for s in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in s]
    return int(line.split()[1]) / 1024


def test_it_becomes_the_command_in_the_same_process_and_names_the_job(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    add(slurm, "7")
    again = ("/bin/sh", "-c", f'echo $$ "${waiter.WAITED_FOR}" >{tmp_path}/became.txt')
    process = start(awaited(tmp_path), tmp_path / "said.txt", again)
    wait_until(lambda: slurm.shared_queries() >= 1, "a query")
    (tmp_path / "log.err").write_text("line 1\nsubmitit INFO hidden\nline 2\n")
    (tmp_path / "result.pkl").touch()
    assert process.wait(timeout=120) == 0
    assert (tmp_path / "became.txt").read_text() == f"{process.pid} {tmp_path}\n"
    said = (tmp_path / "said.txt").read_text()
    assert "line 1\n" in said
    assert "line 2\n" in said
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_waiting_and_says_that_the_job_goes_on(
    slurm: FakeSlurm, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    add(slurm, "7")
    process = start(awaited(tmp_path), tmp_path / "said.txt")
    wait_until(lambda: "is running" in (tmp_path / "said.txt").read_text(), "the first answer")
    process.send_signal(signum)
    assert process.wait(timeout=120) == code
    assert (tmp_path / "said.txt").read_text().splitlines()[-1] == (
        "run: job 7 goes on without us; the same command waits for it again, `scancel 7` ends it"
    )


def test_passing_states_and_silence_are_waited_out(slurm: FakeSlurm, tmp_path: Path) -> None:
    add(slurm, "7")
    process = start(awaited(tmp_path), tmp_path / "said.txt")
    said = tmp_path / "said.txt"
    wait_until(lambda: "is running" in said.read_text(), "the first answer")
    slurm.set("7", then="PENDING", state="NODE_FAIL")  # one answer long
    wait_until(lambda: "is pending" in said.read_text(), "the second")
    slurm.set("7", state="SUSPENDED")
    wait_until(lambda: "is suspended" in said.read_text(), "the third")
    slurm.tell("squeue.fails", "Unable to contact slurm controller")
    count = slurm.shared_queries()
    wait_until(lambda: slurm.shared_queries() >= count + 4, "queries in vain")
    assert process.poll() is None
    slurm.untell("squeue.fails")
    slurm.set("7", state="RUNNING")
    count = slurm.shared_queries()
    wait_until(lambda: slurm.shared_queries() >= count + 3, "queries")
    assert process.poll() is None
    process.kill()
    process.wait()


@pytest.mark.parametrize("state", ["NODE_FAIL", "FAILED", "CANCELLED", "TIMEOUT", "FORGOTTEN"])
def test_an_end_that_stays_is_the_end(slurm: FakeSlurm, tmp_path: Path, state: str) -> None:
    add(slurm, "7", state=state)
    assert start(awaited(tmp_path), tmp_path / "said.txt").wait(timeout=120) == 0


def test_a_job_of_another_name_is_not_ours(slurm: FakeSlurm, tmp_path: Path) -> None:
    add(slurm, "7", name="msgbench-other")
    assert start(awaited(tmp_path), tmp_path / "said.txt").wait(timeout=120) == 0


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import msgbench.launch.waiter; "
        "heavy = {'subprocess', 'pathlib', 'dataclasses', 'submitit', 'numpy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(waiter.__file__)))
    subprocess.run([sys.executable, "-I", "-S", "-c", code, root], check=True)
