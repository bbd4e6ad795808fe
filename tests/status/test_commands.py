"""`msgbench status`, `logs` and `cancel` as they are typed, with real processes behind them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from msgbench.errors import ConfigError, LaunchError
from msgbench.launch.record import JobRecord
from msgbench.status import cancel, find_run, lines, look

FIRST = "cifar10-msg-progan-lr0.003"
SECOND = "cifar10-msg-progan-lr0.001"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


@pytest.fixture
def msgbench(make_tree: Any, root: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    tree = make_tree()

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        config = ["--config", str(root / "config.yaml"), f"--set=results={tree.layout.results}"]
        return subprocess.run(
            [sys.executable, "-m", "msgbench.cli", *words, *config],
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_the_table_of_a_tier(make_tree: Any) -> None:
    tree = make_tree()
    tree.train(FIRST, seconds=720)
    tree.evaluate(FIRST)
    tree.plan(SECOND)
    tree.stats(SECOND, until=3000)
    shown = lines(look(tree.benchmark, tree.layout))
    assert shown[0].startswith("tier smoke: 4 runs: 1 stopped, 1 finished, 2 not started")
    by_run = {line.split()[0]: line.split() for line in shown[2:6]}
    assert by_run[f"{FIRST}/seed0"] == [
        f"{FIRST}/seed0", "finished", "6/6", "40", "1", "0.20", "109.96", "@6", "-6", "/", "3",
    ]  # fmt: skip
    assert by_run[f"{SECOND}/seed0"][:3] == [f"{SECOND}/seed0", "stopped", "2.96/6"]
    assert max(len(line) for line in shown) <= 120


def test_a_failure_is_told_below_the_table_and_in_the_exit_code(
    make_tree: Any, msgbench: Any
) -> None:
    tree = make_tree()
    done = msgbench("status")
    assert (done.returncode, done.stderr) == (0, "")
    log = tree.plan(FIRST) / "logs" / "train.log"
    log.parent.mkdir()
    log.write_text("T train: goes on\nT msgbench: error: loss_d is nan\n")
    done = msgbench("status")
    assert done.returncode == 1
    assert f"{FIRST}/seed0: failed: loss_d is nan" in done.stdout
    assert "    T train: goes on\n" in done.stdout
    done = msgbench("status", "--json")
    assert done.returncode == 1
    content = json.loads(done.stdout)
    (failed,) = [run for run in content["runs"] if run["state"] == "failed"]
    assert failed["experiment"] == FIRST
    assert failed["log"] == str(log)
    assert failed["log_lines"][0] == "T train: goes on"
    assert content["counts"] == {"failed": 1, "not started": len(content["runs"]) - 1}


def test_a_silent_slurm_matters_only_to_jobs_that_may_live(
    make_tree: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{squeue.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tree = make_tree()
    folder = tree.plan(FIRST)
    record = JobRecord(
        task="train", launcher="slurm", job_id="5", folder=str(folder / "jobs/x"), argv=("a",), host="h",
        submitted="2026-01-02T03:04:05Z", name="msgbench-train-x",
    )  # fmt: skip
    record.write(folder)
    shown = lines(look(tree.benchmark, tree.layout))
    assert "1 unknown" in shown[0]
    assert shown[1].startswith("Slurm does not answer (slurm_load_jobs error: Unable to contact)")
    record.ended("CANCELLED", "it was cancelled").write(folder)
    overview = look(tree.benchmark, tree.layout)
    assert overview.problem
    assert not any("Slurm does not answer" in line for line in lines(overview))


@pytest.mark.parametrize(
    "name",
    [
        FIRST,
        f"{FIRST}/0",
        f"{FIRST}/seed0",
        "{fingerprint}",
        "{fingerprint:.4}",
        "{full}",
        f"{FIRST}/{{fingerprint}}/seed0",
        "{folder}",
        "{folder}/",
    ],
)
def test_names_of_one_run(make_tree: Any, name: str) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST)
    full = tree.benchmark.experiment(FIRST).fingerprint
    name = name.format(fingerprint=full[:8], full=full, folder=folder)
    assert find_run(tree.benchmark, tree.layout, name).folder == folder


def test_several_runs_are_named(make_tree: Any) -> None:
    tree = make_tree(overrides={"tiers": {"smoke": {"defaults": {"seeds": [0, 1]}}}})
    fp = tree.benchmark.experiment(FIRST).fingerprint[:8]
    with pytest.raises(ConfigError) as caught:
        find_run(tree.benchmark, tree.layout, FIRST)
    assert str(caught.value) == (
        f"{FIRST}: is not one run; it may be {FIRST}/{fp}/seed0, {FIRST}/{fp}/seed1"
    )
    assert find_run(tree.benchmark, tree.layout, f"{FIRST}/1").seed == 1
    assert find_run(tree.benchmark, tree.layout, f"{fp}/1").seed == 1


def test_a_former_spec_is_found_by_its_fingerprint_alone(make_tree: Any) -> None:
    former = make_tree()
    folder = former.plan(FIRST)
    tree = make_tree(overrides={"experiments": {FIRST: {"optimizer": {"lr": 0.1}}}})
    assert find_run(tree.benchmark, tree.layout, FIRST).current
    found = find_run(tree.benchmark, tree.layout, folder.parent.name)
    assert (found.folder, found.current) == (folder, False)


@pytest.mark.parametrize("name", ["cifar10-msg-progan-lr0.03", f"{FIRST}/7", "abc", "ffffffff", ""])
def test_no_such_run(make_tree: Any, name: str) -> None:
    tree = make_tree()
    with pytest.raises(ConfigError, match=r"is no run of tier smoke; (did you mean|allowed)"):
        find_run(tree.benchmark, tree.layout, name)


def test_what_was_given_and_what_there_is_are_named(make_tree: Any) -> None:
    tree = make_tree()
    with pytest.raises(ConfigError, match=r"^'': is no run of tier smoke; allowed: "):
        find_run(tree.benchmark, tree.layout, "")
    with pytest.raises(ConfigError) as caught:
        find_run(tree.benchmark, tree.layout, f"{FIRST}/seed7")
    assert str(caught.value) == f"{FIRST}/seed7: is no run of tier smoke; allowed: {FIRST}/seed0"


def test_logs_shows_the_end_of_the_later_one(make_tree: Any, msgbench: Any) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST) / "logs"
    folder.mkdir()
    done = msgbench("logs", FIRST)
    assert done.returncode == 7
    assert "has no log in" in done.stderr
    (folder / "train.log").write_text("".join(f"line {n}\n" for n in range(100)))
    done = msgbench("logs", FIRST, "-n", "2")
    assert (done.returncode, done.stdout) == (0, "line 98\nline 99\n")
    (folder / "evaluate.log").write_text("measured\n")
    os.utime(folder / "train.log", (1, 1))
    assert msgbench("logs", FIRST).stdout == "measured\n"
    assert msgbench("logs", FIRST, "-n", "1", "--task", "train").stdout == "line 99\n"
    done = msgbench("logs", FIRST, "--task", "trian")
    assert done.returncode == 2
    assert "--task: 'trian' is not allowed; allowed: train, evaluate" in done.stderr


def test_logs_of_a_job_are_the_jobs(make_tree: Any, msgbench: Any) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST)
    record = JobRecord("train", "local", "5", str(folder / "jobs/x"), ("a",), "h", "2026-01-02T03:04:05Z")  # fmt: skip
    record.write(folder)
    (folder / "logs").mkdir()
    (folder / "logs" / "train.log").write_text("of the command\n")
    assert msgbench("logs", FIRST).stdout == "of the command\n"
    record.log.parent.mkdir()
    record.log.write_text("submitit INFO: not for people\nof the job\n")
    assert msgbench("logs", FIRST).stdout == "of the job\n"


def test_logs_follow_what_is_added(make_tree: Any, root: Path) -> None:
    tree = make_tree()
    log = tree.plan(FIRST) / "logs" / "train.log"
    log.parent.mkdir()
    log.write_text("before\n")
    command = [
        sys.executable, "-m", "msgbench.cli", "logs", FIRST, "--follow", "--config", str(root / "config.yaml"),
        f"--set=results={tree.layout.results}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"before\n"
            # Following begins after what was shown; nothing added from here on is lost.
            with log.open("a") as file:
                file.write("half a ")
                file.flush()
                time.sleep(1)
                file.write("line\nnext\n")
            assert process.stdout.readline() == b"half a line\n"
            assert process.stdout.readline() == b"next\n"
        finally:
            process.kill()


@pytest.fixture
def job(make_tree: Any, root: Path) -> Iterator[Any]:
    """A tree with a local job that sleeps, submitted as the workflow does."""
    tree = make_tree()
    folder = tree.plan(FIRST)
    sleeper = [sys.executable, "-c", "import time; time.sleep(250)"]
    command = [
        sys.executable, "-m", "msgbench.cli", "launch", "--launcher", "local", "--task", "train", "--run-dir",
        str(folder), "--output", str(folder / "train.json"), "--", *sleeper,
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: JobRecord.read(folder, "train") is not None, "the record of the job")
    yield tree
    process.terminate()
    process.wait()
    record = JobRecord.read(folder, "train")
    if record is not None and record.pid is not None and record.process_lives():
        os.kill(record.pid, 9)


def test_a_local_job_is_shown_and_cancelled(job: Any, msgbench: Any) -> None:
    def state() -> str:
        overview = look(job.benchmark, job.layout)
        return next(run.state for run in overview.runs if run.plan.experiment == FIRST)

    def started() -> bool:
        record = JobRecord.read(job.folder(FIRST), "train")
        assert record is not None
        with open(f"/proc/{record.pid}/task/{record.pid}/children") as file:
            return bool(file.read().strip())

    assert state() == "running"
    wait_until(started, "the command of the job")
    done = msgbench("cancel", FIRST)
    assert done.returncode == 0, done.stderr
    assert "to stop (train); it saves and ends" in done.stderr
    wait_until(lambda: state() == "cancelled", "the end of the job")
    done = msgbench("cancel", FIRST)
    assert done.returncode == 7
    assert "nothing runs or waits for it" in done.stderr


def test_a_training_in_place_is_interrupted(make_tree: Any, msgbench: Any) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST)
    words = (
        "import sys, time; from pathlib import Path; from msgbench.locks import FolderLock\n"
        "with FolderLock(Path(sys.argv[1]), 'train'): print('held', flush=True); time.sleep(250)"
    )
    command = [sys.executable, "-c", words, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            done = msgbench("cancel", FIRST)
            assert f"told process {process.pid} to stop (train)" in done.stderr
            _, said = process.communicate(timeout=120)
            assert b"KeyboardInterrupt" in said
        finally:
            process.kill()


def test_cancel_leaves_a_process_that_only_has_the_number(make_tree: Any) -> None:
    """The record names this very process, but with the start of another."""
    tree = make_tree()
    folder = tree.plan(FIRST)
    import socket

    record = JobRecord(
        task="train", launcher="local", job_id=str(os.getpid()), folder=str(folder), argv=("a",),
        host=socket.gethostname(), submitted="2026-01-02T03:04:05Z", pid=os.getpid(), start_ticks=1,
    )  # fmt: skip
    record.write(folder)
    with pytest.raises(LaunchError, match="nothing runs or waits for it"):
        cancel(find_run(tree.benchmark, tree.layout, FIRST))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_tree: Any) -> Path:
    """Programs that answer as Slurm does, about one running job of the first run; the folder notes what is asked."""
    from msgbench.launch.slurm_jobs import job_name

    programs = tmp_path / "bin"
    programs.mkdir()
    name = job_name(make_tree().folder(FIRST), "train")
    (programs / "squeue").write_text(
        f'#!/bin/sh\ncase "$*" in *--name=*) case "$*" in *"--name={name}"*) ;; *) exit 0;; esac;; '
        f"esac\necho '8|RUNNING|n1|None|0|0|{name}'\n"
    )
    (programs / "scancel").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/cancelled\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_job_is_cancelled_whatever_its_record_is(make_tree: Any, slurm: Path) -> None:
    tree = make_tree()
    record = tree.plan(FIRST) / "jobs" / "train.json"
    record.parent.mkdir()
    record.write_text("{")
    (told,) = [line for line in lines(look(tree.benchmark, tree.layout)) if "its record" in line]
    assert f"its record cannot be read; without {record} the next start finds the job" in told
    (done,) = cancel(find_run(tree.benchmark, tree.layout, FIRST))
    assert "cancelled job 8 (train, RUNNING)" in done
    assert (slurm / "cancelled").read_text() == "8\n"


def test_without_a_job_of_its_name_a_broken_record_is_named(make_tree: Any, slurm: Path) -> None:
    tree = make_tree()
    record = tree.plan(SECOND) / "jobs" / "train.json"
    record.mkdir(parents=True)
    with pytest.raises(LaunchError, match="Slurm has no such job, and whether one of this machine"):
        cancel(find_run(tree.benchmark, tree.layout, SECOND))


def test_a_folder_that_is_not_there_is_not_unlocked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "msgbench.cli", "unlock", str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"{tmp_path / 'x'}: is no folder")


def test_a_job_of_another_machine_is_not_guessed_at(make_tree: Any) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST)
    record = JobRecord(
        task="train", launcher="local", job_id="5", folder=str(folder), argv=("a",), host="elsewhere",
        submitted="2026-01-02T03:04:05Z", pid=5, start_ticks=1,
    )  # fmt: skip
    record.write(folder)
    with pytest.raises(
        LaunchError, match="train runs on elsewhere, not seen from here; run msgbench cancel there"
    ):
        cancel(find_run(tree.benchmark, tree.layout, FIRST))
