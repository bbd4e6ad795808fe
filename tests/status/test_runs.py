"""What the files of a run, the processes of this machine and Slurm's queue say about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from msgbench.analysis.cost import Measured, estimate_benchmark
from msgbench.config import load_benchmark
from msgbench.launch.queue import Answer, JobState
from msgbench.launch.record import JobRecord
from msgbench.layout import EVALUATE_JSON, TRAIN_JSON, state_file
from msgbench.locks import FolderLock, process_start_ticks
from msgbench.models.arithmetic import STEP_FLOP, images_left
from msgbench.records import write_json
from msgbench.status import lines
from msgbench.status.overview import look, plans
from msgbench.status.runs import Planned, RunStatus, read_run

FIRST = "cifar10-msg-progan-lr0.003"
NOW = time.time()


def plan_of(tree: Any, experiment: str = FIRST, seed: int = 0) -> Planned:
    folder = tree.folder(experiment, seed)
    return next(plan for plan in plans(tree.benchmark, tree.layout) if plan.folder == folder)


def status_of(tree: Any, queue: dict[str, JobState] | None = None) -> RunStatus:
    return read_run(plan_of(tree), Answer(time.time(), queue or {}))


def say_in_log(tree: Any, *lines: str, task: str = "train") -> None:
    log = tree.folder(FIRST) / "logs" / f"{task}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"2026-01-02T03:04:05Z {line}\n" for line in lines))


def test_a_run_nobody_began(make_tree: Any) -> None:
    tree = make_tree()
    assert status_of(tree).state == "not started"
    tree.plan(FIRST)
    assert status_of(tree).state == "not started"


def test_a_finished_run(make_tree: Any) -> None:
    tree = make_tree()
    tree.train(FIRST, seconds=720.0)
    status = status_of(tree)
    assert (status.state, status.reason) == ("trained", "")
    tree.evaluate(FIRST)
    status = status_of(tree)
    assert status.state == "finished"
    assert status.cur_nimg == status.plan.total_nimg == 6000
    assert status.device_hours == pytest.approx(0.2)
    assert (status.attempts, status.device) == (1, "cpu")
    assert status.eta_seconds is None
    assert status.fid is not None
    assert (status.fid.protocol, status.fid.cur_nimg) == ("fid2k_small", 6000)
    assert status.fid.value == pytest.approx(109.96, abs=0.01)
    assert status.loss_d == -6.0
    assert status.loss_g == 3.0
    assert status.measured == 16  # 4 snapshots by 4 protocols


def test_a_run_that_was_interrupted(make_tree: Any) -> None:
    tree = make_tree()
    tree.plan(FIRST)
    tree.stats(FIRST, until=3000)
    card = tree.folder(FIRST) / Path(state_file(2000)).with_suffix(".json")
    write_json(card, {"cur_nimg": 2000, "attempts": 3, "device": "cpu"})
    status = status_of(tree)
    assert (status.state, status.cur_nimg, status.attempts) == ("stopped", 2960, 3)
    assert status.device_hours == pytest.approx(2960 / 40 / 3600)
    assert status.eta_seconds is None


def test_half_a_last_line_is_passed_over(make_tree: Any) -> None:
    tree = make_tree()
    path = tree.stats(FIRST, until=800) / "stats.jsonl"
    with path.open("a") as file:
        file.write('{"cur_nimg": 99999, "loss')
    assert status_of(tree).cur_nimg == 800


def as_folder(path: Path) -> None:
    if path.is_file():
        path.unlink()
    path.mkdir()


def as_loop(path: Path) -> None:
    """What nobody can open, not even root."""
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("file", "spoil", "reason"),
    [
        (TRAIN_JSON, '{"cur_nimg": "abc"}', "cur_nimg 'abc' is not allowed; allowed: a number of images"),
        (TRAIN_JSON, '{"cur_nimg": null}', "cur_nimg None is not allowed; allowed: a number of images"),
        (TRAIN_JSON, "[]", "is not a record"),
        (TRAIN_JSON, "{", "is not valid JSON"),
        (TRAIN_JSON, as_folder, "cannot be read (Is a directory)"),
        (TRAIN_JSON, as_loop, "cannot be read (Too many levels of symbolic links)"),
        ("jobs/train.json", "{", "is not a job record"),
        ("jobs/train.json", as_folder, "cannot be read (Is a directory)"),
        ("jobs", "a file", "train.json: cannot be read (Not a directory)"),
        ("metrics", "a file", "cannot be read (Not a directory)"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_in_one_line(
    make_tree: Any, file: str, spoil: Any, reason: str
) -> None:
    tree = make_tree()
    path = tree.train(FIRST) / file
    path.parent.mkdir(exist_ok=True)
    if callable(spoil):
        spoil(path)
    else:
        path.write_text(spoil)
    overview = look(tree.benchmark, tree.layout)
    shown = lines(overview)
    (told,) = [line for line in shown if line.startswith(f"{FIRST}/seed0: unreadable: ")]
    assert reason in told
    assert overview.counts == {"unreadable": 1, "not started": len(overview.runs) - 1}
    Measured.read(tree.layout.results)
    assert estimate_benchmark(tree.benchmark, tree.layout).lines


def test_a_job_whose_folder_cannot_be_looked_into(make_tree: Any) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST)
    record = record_of(tree, "slurm")
    replace(record, folder=str(folder / ("x" * 300))).write(folder)
    status = status_of(tree, {"17": job("RUNNING", "n1")})
    assert status.state == "unreadable"
    assert status.reason.endswith("cannot be read (File name too long)")


def test_a_record_of_no_length_is_named(make_tree: Any) -> None:
    tree = make_tree()
    tree.train(FIRST)
    tree.evaluate(FIRST)
    folder = tree.folder(FIRST)
    path = max((folder / "metrics").glob("*fid*/*.json"))
    path.write_text('{"cur_nimg": "x", "value": 3.0}')
    status = status_of(tree)
    assert (status.state, status.fid) == ("unreadable", None)
    assert status.reason.endswith(
        f"{path.name}: cur_nimg 'x' is not allowed; allowed: a number of images"
    )


@pytest.mark.parametrize("file", [TRAIN_JSON, "stats.jsonl", "spec.json", "jobs/train.json"])
def test_a_broken_file_breaks_nothing(make_tree: Any, file: str) -> None:
    tree = make_tree()
    tree.train(FIRST)
    path = tree.folder(FIRST) / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    assert status_of(tree).plan.experiment == FIRST


def test_an_error_in_place_is_the_reason(make_tree: Any) -> None:
    tree = make_tree()
    tree.plan(FIRST)
    sentence = "results/x: loss_d is nan at 0.3 kimg"
    say_in_log(tree, "train: one", "train: two", f"msgbench: error: {sentence}")
    status = status_of(tree)
    assert (status.state, status.reason) == ("failed", sentence)
    assert [line[21:] for line in status.log_lines][:2] == ["train: one", "train: two"]
    # Measuring fails after a training that is finished.
    tree.train(FIRST)
    say_in_log(tree, "msgbench: error: too few images", task="evaluate")
    status = status_of(tree)
    assert (status.state, status.task, status.reason) == ("failed", "evaluate", "too few images")
    # An error that was followed by more is history.
    say_in_log(tree, "msgbench: error: too few images", "evaluate: 100/2,000", task="evaluate")
    assert status_of(tree).state == "trained"


HOLDER = """
import sys, time
from pathlib import Path
from msgbench.locks import FolderLock
with FolderLock(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("below", "task"), [("", "train"), ("metrics", "evaluate")])
def test_the_holder_of_the_lock_is_at_work_as_long_as_it_lives(
    make_tree: Any, below: str, task: str
) -> None:
    tree = make_tree()
    if task == "evaluate":
        tree.train(FIRST)
    else:
        tree.plan(FIRST)
        tree.stats(FIRST, until=2000)
    place = tree.folder(FIRST) / below
    command = [sys.executable, "-c", HOLDER, str(place), task]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        status = status_of(tree)
        assert (status.state, status.task) == ("running", task)
        assert status.work is not None
        assert (status.work.launcher, status.work.pid) == ("inline", process.pid)
        if task == "train":
            assert status.images_per_second == 40.0
            assert status.eta_seconds == pytest.approx((6000 - 2000) / 40)
            assert status.silent_seconds is not None
            assert status.silent_seconds < 60
    finally:
        process.kill()
        process.communicate()
    # kill -9 leaves the owner's name in the file.
    assert (place / f".{task}.lock").read_bytes()
    assert status_of(tree).state == ("stopped" if task == "train" else "trained")


def test_looking_takes_no_lock(make_tree: Any) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST)
    with FolderLock(folder, "train"):
        assert status_of(tree).state == "running"
    assert status_of(tree).state == "not started"
    with FolderLock(folder, "train", wait=False):
        pass


def record_of(tree: Any, launcher: str, task: str = "train", **more: Any) -> JobRecord:
    folder = tree.folder(FIRST) / "jobs" / f"{task}-1"
    folder.mkdir(parents=True, exist_ok=True)
    record = JobRecord(
        task=task, launcher=launcher, job_id="17", folder=str(folder), argv=("msgbench", "train"), host="login",
        submitted=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW)), name="msgbench-train-x", **more,
    )  # fmt: skip
    record.write(tree.folder(FIRST))
    return record


def job(state: str, node: str = "", reason: str = "None", **more: Any) -> JobState:
    found = JobState(state, node, reason, "msgbench-train-x", NOW, NOW)
    return found._replace(**more)


@pytest.mark.parametrize(
    ("answer", "state", "reason", "node"),
    [
        (job("PENDING", reason="Resources"), "queued", "Resources", ""),
        (job("PENDING", reason="BeginTime"), "queued", "BeginTime", ""),
        (job("REQUEUED"), "queued", "REQUEUED", ""),
        (job("CONFIGURING"), "queued", "CONFIGURING", ""),
        (job("RUNNING", "n3"), "running", "", "n3"),
        (job("SUSPENDED", "n3"), "running", "SUSPENDED", "n3"),
        (job("COMPLETING", "n3"), "running", "COMPLETING", "n3"),
        (job("COMPLETED", "n3"), "running", "its result is not visible here yet", "n3"),
        # Slurm puts these back by itself, or the launcher does.
        (job("NODE_FAIL", "n3"), "queued", "NODE_FAIL", ""),
        (job("PREEMPTED", "n3"), "queued", "PREEMPTED", ""),
        (job("CANCELLED"), "cancelled", "job 17 was cancelled", ""),
        (job("OUT_OF_MEMORY", "n3"), "failed", "job 17 ended as OUT_OF_MEMORY", ""),
        (job("FAILED", "n3"), "failed", "job 17 ended as FAILED", ""),
        # Neither Slurm nor the launcher takes this one for an end that passes.
        (job("TIMEOUT", "n3"), "failed", "job 17 ended as TIMEOUT; started again it goes on", ""),
        (None, "stopped", "job 17 is in Slurm's queue no more and left no result", ""),
        # The number of a job that is not ours: numbers start again when a cluster's state is lost.
        (job("RUNNING", "n3", name="msgbench-train-y"), "stopped",
         "job 17 is in Slurm's queue no more and left no result", ""),
        (job("RUNNING", "n3", submitted=NOW - 9e6), "stopped",
         "job 17 is in Slurm's queue no more and left no result", ""),
    ],
)  # fmt: skip
def test_a_slurm_job(
    make_tree: Any, answer: JobState | None, state: str, reason: str, node: str
) -> None:
    tree = make_tree()
    tree.plan(FIRST)
    record_of(tree, "slurm")
    status = status_of(tree, {} if answer is None else {"17": answer})
    assert (status.state, status.reason) == (state, reason)
    if status.lives:
        assert status.work is not None
        assert (status.work.node, status.work.job_id) == (node, "17")


def test_a_job_that_is_younger_than_slurms_answer(make_tree: Any) -> None:
    """All share an answer for 30 s: what it does not know may have been submitted since."""
    tree = make_tree()
    tree.plan(FIRST)
    submitted = record_of(tree, "slurm").submit_time
    status = read_run(plan_of(tree), Answer(submitted + 0.9, {}))
    assert (status.state, status.reason) == ("queued", "just submitted")
    assert read_run(plan_of(tree), Answer(submitted + 1, {})).state == "stopped"


def test_a_job_while_slurm_is_silent(make_tree: Any) -> None:
    tree = make_tree()
    tree.plan(FIRST)
    record_of(tree, "slurm")
    status = read_run(plan_of(tree), None)
    assert (status.state, status.reason) == ("unknown", "Slurm does not answer")


def test_the_end_in_the_record_is_the_reason(make_tree: Any) -> None:
    tree = make_tree()
    folder = tree.plan(FIRST)
    record = record_of(tree, "slurm")
    sentence = f"{folder}: job 17 ran out of memory: 4,096 MB would fit"
    record.ended("OUT_OF_MEMORY", sentence).write(folder)
    record.log.write_text("step 1\nsubmitit INFO: x\nKilled\n")
    status = status_of(tree)
    assert (status.state, status.reason) == (
        "failed",
        "job 17 ran out of memory: 4,096 MB would fit",
    )
    assert status.log_lines == ("step 1", "Killed")
    record.ended("CANCELLED", "it was cancelled").write(folder)
    assert status_of(tree).state == "cancelled"


def test_a_job_of_measuring_after_the_training(make_tree: Any) -> None:
    tree = make_tree()
    tree.train(FIRST)
    record_of(tree, "slurm", task="evaluate")
    status = status_of(tree, {"17": job("PENDING", reason="Priority")})
    assert (status.state, status.task, status.reason) == ("queued", "evaluate", "Priority")


def test_a_job_without_a_record(make_tree: Any) -> None:
    tree = make_tree()
    tree.plan(FIRST)
    answer = Answer(time.time(), {})
    status = read_run(plan_of(tree), answer, {"train": ("8", job("RUNNING", "n1"))})
    assert (status.state, status.work.job_id, status.work.node) == ("running", "8", "n1")
    assert "record is lost" in status.reason


def test_a_local_job_of_this_machine_and_of_another(make_tree: Any) -> None:
    tree = make_tree()
    tree.plan(FIRST)
    mine = record_of(tree, "local", pid=os.getpid(), start_ticks=process_start_ticks(os.getpid()))
    there = replace(mine, host="elsewhere")
    there.write(tree.folder(FIRST))
    status = status_of(tree)
    assert (status.state, status.reason) == ("unknown", "runs on elsewhere, not seen from here")
    import socket

    here = replace(mine, host=socket.gethostname())
    here.write(tree.folder(FIRST))
    assert status_of(tree).state == "running"
    replace(here, start_ticks=1).write(tree.folder(FIRST))  # another process has its number now
    status = status_of(tree)
    assert status.state == "stopped"
    assert "left no result" in status.reason


def test_folders_of_a_former_spec_are_orphans(make_tree: Any) -> None:
    tree = make_tree()
    tree.train(FIRST)
    tree.evaluate(FIRST)
    edited = make_tree(overrides={"experiments": {FIRST: {"optimizer": {"lr": 0.1}}}})
    overview = look(edited.benchmark, edited.layout)
    (orphan,) = overview.orphans
    assert orphan.plan.folder == tree.folder(FIRST)
    assert (orphan.state, orphan.plan.total_nimg) == ("finished", 6000)
    assert overview.counts == {"not started": 4}
    assert look(tree.benchmark, tree.layout).orphans == ()


def test_experiments_of_no_table_are_shown_once_they_exist(make_tree: Any) -> None:
    tree = make_tree()
    beside = "cifar10-five-minutes"
    shown = {run.plan.experiment for run in look(tree.benchmark, tree.layout).runs}
    assert shown == set(tree.benchmark.table_experiments())
    tree.stats(beside, until=160)
    tree.plan(beside)
    shown = {run.plan.experiment for run in look(tree.benchmark, tree.layout).runs}
    assert beside in shown


def test_a_failed_preparation_is_told(make_tree: Any) -> None:
    tree = make_tree()
    folder = tree.layout.job_dir("prepare-cifar10-12345678")
    record = JobRecord(
        task="prepare", launcher="local", job_id="9", folder=str(folder / "jobs" / "x"), argv=("a",), host="h",
        submitted="2026-01-02T03:04:05Z",
    )  # fmt: skip
    record.ended("FINISHED", "job 9 failed with exit code 3").write(folder)
    overview = look(tree.benchmark, tree.layout)
    (other,) = overview.others
    assert (other.folder, other.work.state) == (folder, "failed")
    assert overview.has_failed


def test_three_hundred_runs_in_a_second(make_tree: Any, root: Path) -> None:
    seeds = list(range(75))
    overrides = {"tiers": {"smoke": {"defaults": {"seeds": seeds}}}}
    tree = make_tree(overrides=overrides)
    for number, (experiment, seed) in enumerate(
        (name, seed) for name in tree.benchmark.table_experiments() for seed in seeds
    ):
        tree.train(experiment, seed)
        tree.evaluate(experiment, seed)
        if number % 3 == 0:
            (tree.folder(experiment, seed) / TRAIN_JSON).unlink()
            (tree.folder(experiment, seed) / EVALUATE_JSON).unlink()
    import resource

    others = set(load_benchmark(root / "config.yaml").tables) - {"table3"}
    command = [
        sys.executable, "-m", "msgbench.cli", "status", "--json", "--config", root / "config.yaml",
        f"--set=results={tree.layout.results}", f"--set=tiers.smoke.defaults.seeds={seeds}",
        *(f"--set=tables.{name}.in_all=false" for name in sorted(others)),
    ]  # fmt: skip
    took = []
    # Of processor time, and the best of some: what else runs on this machine slows down that, too.
    while not took or (min(took) >= 1.5 and len(took) < 5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        counts = json.loads(done.stdout)["counts"]
        assert counts == {"stopped": 100, "finished": 200}
    assert min(took) < 1.5


def test_looking_loads_neither_torch_nor_pandas() -> None:
    words = "import msgbench.status, msgbench.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "matplotlib", "submitit"} & set(done.stdout.split())


def test_the_eta_of_a_growing_run_counts_small_images_as_small(make_tree: Any) -> None:
    """Half of the images at hand: what is left is nearly everything."""
    name = "flowers-progan"
    tree = make_tree("paper", tables=("table1",))
    tree.plan(name)
    spec = tree.benchmark.experiment(name)
    path = tree.folder(name) / "stats.jsonl"
    path.write_text(
        json.dumps({"cur_nimg": 6_000_000, "images_per_second": 100.0, "seconds": 60_000.0}) + "\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tree.folder(name)), "train"], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        (plan,) = (
            plan
            for plan in plans(tree.benchmark, tree.layout)
            if plan.experiment == name and plan.seed == 0
        )
        status = read_run(plan, Answer(time.time(), {}))
    finally:
        process.kill()
        process.communicate()
    assert status.eta_seconds == pytest.approx(images_left(spec, 6_000_000, STEP_FLOP["cpu"]) / 100)
    # As many images are left as were shown, nearly all of them at 256 px instead of 128.
    assert status.eta_seconds > 1.2 * 6_000_000 / 100
