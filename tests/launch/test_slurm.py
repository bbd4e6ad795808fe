"""The launcher `slurm` against what Slurm may say; the real Slurm is in tests/slurm."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from msgbench.config import JobResources
from msgbench.errors import ConfigError, LaunchError
from msgbench.launch import slurm as launcher
from msgbench.launch.job import CommandJob
from msgbench.launch.record import JobRecord
from msgbench.launch.slurm_jobs import job_name
from msgbench.launch.submit import launch

from .conftest import MSGBENCH_LAUNCH, Launched, Run, run_in, wait_until
from .fake_slurm import FakeSlurm

SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Spaces and quotes are for every launcher; Slurm would replace a %."""
    yield from run_in(tmp_path, 'it\'s a "run" $HOME')


def start(run: Run, *options: str, task: str = "train") -> Launched:
    """`msgbench launch` as a workflow starts it, with an output that is never checked for content."""
    run.launched += 1
    heard = run.script.with_name(f"said-{run.launched}.txt")
    output = run.folder / "train.json"
    with heard.open("w") as file:
        process = subprocess.Popen(
            [*MSGBENCH_LAUNCH, "slurm", "--run-dir", run.folder, "--task", task, "--output", output,
             *options, "--", "msgbench", "train", "x"],
            stderr=file,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    return Launched(process, heard)


def finish(run: Run, slurm: FakeSlurm, job: str) -> None:
    (run.folder / "train.json").write_text('{"snapshots": []}')
    slurm.end(job)


# -- submission -----------------------------------------------------------------------------------------------


def test_a_success_is_submitted_once_recorded_and_found_again(run: Run, slurm: FakeSlurm) -> None:
    first = start(run, "--resources", '{"runtime": "2h", "mem_mb": 3000}')
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in first.heard.read_text(), "the first answer")
    record = run.record()
    assert (record.job_id, record.launcher, record.cluster) == (job, "slurm", "lab")
    assert record.argv == ("msgbench", "train", "x")
    assert record.resources == {"runtime": 120, "mem_mb": 3000}
    assert record.name == (slurm.jobs / job / "name").read_text()
    finish(run, slurm, job)
    code, said = first.end()
    assert code == 0, said
    code, said = start(run).end()
    assert (code, slurm.ids()) == (0, [job])
    assert f"job {job} has finished already" in said
    assert run.record() == record


def test_the_job_is_a_frozen_command(run: Run, slurm: FakeSlurm) -> None:
    starter = start(run, "--resources", '{"runtime": "2h", "cpus_per_task": 3}')
    job = slurm.wait_for_job()
    place = slurm.log(job).parent / f"{job}_submitted.pkl"
    wait_until(place.exists, "the pickle")
    frozen = pickle.loads(place.read_bytes()).function
    assert isinstance(frozen, CommandJob)
    assert Path(frozen.argv[0]).is_absolute()
    assert frozen.argv[1:] == ("train", "x")
    assert frozen.cwd == str(Path.cwd())
    assert dict(frozen.environment) == {
        "MSGBENCH_ON_TERM": "save-and-continue",
        "OMP_NUM_THREADS": "3",
    }
    assert (frozen.stop_signal, frozen.ignored) == (signal.SIGUSR2, (signal.SIGTERM,))
    assert frozen.save_seconds < launcher.SIGNAL_SECONDS
    starter.kill()


def test_nothing_of_an_allocation_or_of_this_machine_reaches_the_job(
    run: Run, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SBATCH_PARTITION", "PMIX_RANK", "TMPDIR",
                 "SUBMITIT_PREEMPT_SIGNAL", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # fmt: skip
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/here.conf")
    starter = start(run)
    slurm.wait_for_job()
    names = (slurm.root / "environment.txt").read_text().split()
    assert [name for name in names if name.startswith(("SLURM", "SBATCH", "PMI", "SUBM"))] == [
        "SLURM_CONF"
    ]
    assert not {"TMPDIR", "OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(names)
    assert {"PATH", "HOME"} <= set(names)
    starter.kill()


@pytest.mark.parametrize(
    ("resources", "lines"),
    [
        ({}, {"--nodes=1", "--ntasks-per-node=1", "--requeue", "--signal=USR2@120"}),
        ({"runtime": "1d12h"}, {"--time=2160", "--signal=USR2@120"}),
        ({"runtime": 1}, {"--time=1", "--signal=USR2@30"}),
        ({"mem_mb": 3000}, {"--mem=3000M"}),
        ({"mem_mb": 0}, {"--mem=0M"}),
        ({"mem_mb_per_cpu": 500}, {"--mem-per-cpu=500M"}),
        ({"gpu": 1}, {"--gpus-per-node=1"}),
        ({"gpu": "a100:1"}, {"--gpus-per-node=a100:1"}),
        ({"gres": "gpu:a100:1"}, {"--gres=gpu:a100:1"}),
        ({"cpus_per_task": 8}, {"--cpus-per-task=8"}),
        ({"slurm_partition": "gpu", "slurm_account": "me"}, {"--partition=gpu", "--account=me"}),
        ({"constraint": "a100|h100", "qos": "long"}, {"--constraint='a100|h100'", "--qos=long"}),
        ({"slurm_extra": "--exclude=n3 --exclusive --comment='a b'"},
         {"--exclude=n3", "--exclusive", "--comment='a b'"}),
    ],
)  # fmt: skip
def test_resources_become_options(
    resources: dict[str, object], lines: set[str], tmp_path: Path
) -> None:
    parameters = launcher.sbatch_parameters(
        JobResources.model_validate(resources), "msgbench-x", "train"
    )
    executor = launcher._Executor(folder=tmp_path)
    executor.update_parameters(**parameters)
    script = executor._make_submission_file_text("run", "uid")
    found = {line.removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line}
    assert lines <= found
    assert "--job-name=msgbench-x" in found
    names = {line.partition("=")[0] for line in found}
    assert not {"--wckey", "--array"} & names
    assert ("--time" in names) is ("runtime" in resources)
    assert ("--gpus-per-node" in names) is ("gpu" in resources)
    if "cpus_per_task" in resources:
        assert "srun " in script
        assert "--cpus-per-task=8 " in script.partition("srun ")[2]


def test_no_gpu_is_no_option() -> None:
    assert "gpus_per_node" not in launcher.sbatch_parameters(JobResources(gpu=0), "x", "train")
    several = JobResources(gpu=2, nodes=3)
    for task, tasks in (("train", 2), ("evaluate", 1)):
        parameters = launcher.sbatch_parameters(several, "x", task)
        assert (parameters["nodes"], parameters["ntasks_per_node"]) == (3, tasks)


def test_the_name_follows_from_the_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "cifar10, lr 0.003" / "0a1b2c3d" / "seed4"
    folder.mkdir(parents=True)
    name = job_name(folder, "train")
    assert name.startswith("msgbench-train-cifar10-lr-0.003-0a1b2c3d-seed4-")
    assert len(name.rpartition("-")[2]) == 8
    (tmp_path / "link").symlink_to(folder.parent)
    assert job_name(tmp_path / "link" / "seed4", "train") == name
    assert job_name(folder, "evaluate") != name
    other = tmp_path / "copy" / "cifar10, lr 0.003" / "0a1b2c3d" / "seed4"
    assert job_name(other, "train").rpartition("-")[0] == name.rpartition("-")[0]
    assert job_name(other, "train") != name


def test_slurms_own_words_when_it_refuses(run: Run, slurm: FakeSlurm) -> None:
    slurm.tell(
        "sbatch.fails",
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified",
    )
    with pytest.raises(LaunchError) as caught:
        launch(["true"], run.folder, "slurm", resources={"slurm_partition": "nope"})
    assert (
        "Slurm did not take the job: invalid partition specified: nope; "
        "Batch job submission failed: Invalid partition name specified (log: "
    ) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert JobRecord.read(run.folder, "train") is None


def test_without_sbatch_it_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"^launcher: slurm needs sbatch, which is not on PATH"):
        launch(["true"], run.folder, "slurm")


def test_a_failure_does_not_quote_that_of_an_older_submission(run: Run, slurm: FakeSlurm) -> None:
    log = run.folder / "jobs/train-submit.log"
    log.parent.mkdir()
    log.write_text("an older failure\n")
    (slurm.bin / "sbatch").write_text("#!/bin/sh\nkill -9 $PPID\n")  # the submitter says nothing
    with pytest.raises(LaunchError, match=r"could not be submitted: \(nothing\) \(log: "):
        launch(["true"], run.folder, "slurm")


@pytest.mark.parametrize("name", ["100%", "a\\b"])
def test_a_path_that_slurm_would_rewrite_is_refused(
    name: str, slurm: FakeSlurm, tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(LaunchError, match="in its path, which Slurm replaces"):
        launch(["true"], folder, "slurm")
    assert slurm.calls("sbatch") == []


def test_wrong_resources_are_refused_before_anything_is_asked(run: Run, slurm: FakeSlurm) -> None:
    with pytest.raises(ConfigError, match=r"^--resources\.partition: "):
        launch(["true"], run.folder, "slurm", resources={"partition": "gpu"})
    assert slurm.calls("squeue") == []


# -- found again, however it was lost -------------------------------------------------------------------------


def test_kill_9_while_sbatch_has_not_returned(run: Run, slurm: FakeSlurm) -> None:
    slurm.tell("sbatch.seconds", "2")
    first = start(run)
    slurm.wait_for_job()
    os.killpg(first.process.pid, signal.SIGKILL)
    first.end()
    second = start(run)
    wait_until(lambda: "is running; waiting for it" in second.heard.read_text(), "the attachment")
    assert "launch-train is already running" in second.heard.read_text()
    (job,) = slurm.ids()
    finish(run, slurm, job)
    assert second.end()[0] == 0
    assert len(slurm.calls("sbatch")) == 1


def kill_submitter(run: Run, starter: Launched) -> None:
    """kill -9 of everything that knows of the job, as a crash of the machine would."""
    starter.kill()
    place = run.folder.parents[1]
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if process.name.isdigit() and b"msgbench.launch" in words and bytes(place) in words:
            os.kill(int(process.name), signal.SIGKILL)


def test_a_crash_before_the_record_is_written(run: Run, slurm: FakeSlurm) -> None:
    slurm.tell("sbatch.seconds", "3")
    first = start(run)
    job = slurm.wait_for_job()
    kill_submitter(run, first)
    assert JobRecord.read(run.folder, "train") is None
    slurm.tell("sbatch.seconds", "0")
    second = start(run)
    wait_until(lambda: "found job" in second.heard.read_text(), "the adoption")
    wait_until(lambda: JobRecord.read(run.folder, "train") is not None, "the record")
    record = run.record()
    assert (record.job_id, Path(record.folder)) == (job, slurm.log(job).parent)
    # The submitter died before it gave the job its pickle.
    assert pickle.loads((Path(record.folder) / f"{job}_submitted.pkl").read_bytes())
    finish(run, slurm, job)
    assert second.end()[0] == 0
    assert slurm.ids() == [job]


def test_a_deleted_record(run: Run, slurm: FakeSlurm) -> None:
    first = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in first.heard.read_text(), "the first answer")
    first.kill()
    before = run.record()
    (run.folder / "jobs/train.json").unlink()
    slurm.set(job, state="NODE_FAIL", then="PENDING")  # seen in the moment before its requeue
    second = start(run, "--resources", '{"mem_mb": 7}')
    wait_until(lambda: "found job" in second.heard.read_text(), "the adoption")
    assert (run.record().job_id, run.record().folder) == (before.job_id, before.folder)
    assert run.record().resources == {}  # what the first start asked for is not known
    finish(run, slurm, job)
    assert second.end()[0] == 0
    assert slurm.ids() == [job]


def test_a_broken_record_is_like_a_missing_one(run: Run, slurm: FakeSlurm) -> None:
    first = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in first.heard.read_text(), "the first answer")
    first.kill()
    (run.folder / "jobs/train.json").write_text("{")
    second = start(run)
    wait_until(lambda: "found job" in second.heard.read_text(), "the adoption")
    assert "jobs/train.json: is not a job record; Slurm is asked" in second.heard.read_text()
    finish(run, slurm, job)
    assert second.end()[0] == 0
    (run.folder / "train.json").unlink()
    (run.folder / "jobs/train.json").write_text("{")
    third = start(run)
    finish(run, slurm, slurm.wait_for_job(2))
    assert third.end()[0] == 0


def test_a_newer_job_than_the_record_knows(run: Run, slurm: FakeSlurm) -> None:
    """The record is that of a job that failed; the one after it was submitted, and its record lost."""
    first = start(run)
    job = slurm.wait_for_job()
    slurm.end(job, code=4)
    assert first.end()[0] == LaunchError.exit_code
    old = (run.folder / "jobs/train.json").read_text()
    second = start(run)
    newer = slurm.wait_for_job(2)
    wait_until(lambda: run.record().job_id == newer, "the record")
    second.kill()
    (run.folder / "jobs/train.json").write_text(old)
    third = start(run)
    wait_until(lambda: f"found job {newer}" in third.heard.read_text(), "the adoption")
    finish(run, slurm, newer)
    assert third.end()[0] == 0
    assert slurm.ids() == [job, newer]


def test_a_controller_that_took_the_job_without_saying_so(run: Run, slurm: FakeSlurm) -> None:
    slurm.tell("sbatch.silent")
    first = start(run)
    wait_until(lambda: JobRecord.read(run.folder, "train") is not None, "the record")
    (job,) = slurm.ids()
    assert run.record().job_id == job
    finish(run, slurm, job)
    assert first.end()[0] == 0
    assert len(slurm.calls("sbatch")) == 1


def test_nothing_is_submitted_while_slurm_does_not_answer(run: Run, slurm: FakeSlurm) -> None:
    slurm.tell("squeue.fails", SILENT)
    first = start(run)
    wait_until(lambda: len(slurm.calls("squeue")) >= 2, "two questions")
    assert slurm.calls("sbatch") == []
    slurm.untell("squeue.fails")
    finish(run, slurm, slurm.wait_for_job())
    assert first.end()[0] == 0


def test_three_starts_at_once_submit_one_job(run: Run, slurm: FakeSlurm) -> None:
    starters = [start(run) for _ in range(3)]
    job = slurm.wait_for_job()
    for starter in starters:
        wait_until(lambda s=starter: "is running" in s.heard.read_text(), "the attachment")
    finish(run, slurm, job)
    assert [starter.end()[0] for starter in starters] == [0, 0, 0]
    assert slurm.ids() == [job]


def test_each_task_of_a_folder_has_its_own_job(run: Run, slurm: FakeSlurm) -> None:
    first = start(run)
    slurm.wait_for_job()
    second = start(run, task="evaluate")
    slurm.wait_for_job(2)
    wait_until(lambda: (run.folder / "jobs/evaluate.json").exists(), "its record")
    frozen = pickle.loads(
        next((run.folder / "jobs").glob("evaluate-*/*_submitted.pkl")).read_bytes()
    ).function
    assert frozen.stop_signal is None  # its records are whole at any time
    for number, starter in enumerate((first, second)):
        finish(run, slurm, slurm.ids()[number])
        assert starter.end()[0] == 0


def test_a_training_whose_output_was_deleted_is_not_queued_again(
    run: Run, slurm: FakeSlurm
) -> None:
    """Snakemake deletes the output of a rule whose end it did not see."""
    first = start(run)
    job = slurm.wait_for_job()
    (slurm.log(job).parent / "output").write_text('{"snapshots": []}')  # kept by the job
    finish(run, slurm, job)
    assert first.end()[0] == 0
    (run.folder / "train.json").unlink()
    assert start(run).end()[0] == 0
    assert json.loads((run.folder / "train.json").read_text()) == {"snapshots": []}
    (run.folder / "train.json").unlink()
    (slurm.log(job).parent / "output").write_text('{"snapshots": [{"file": "gone"}]}')
    again = start(run)
    finish(run, slurm, slurm.wait_for_job(2))
    assert again.end()[0] == 0


# -- how it ends ----------------------------------------------------------------------------------------------


def ends_as(run: Run, slurm: FakeSlurm, state: str, log: str = "") -> str:
    """What is said when the job ends in `state` without a result."""
    starter = start(run)
    job = slurm.wait_for_job(len(slurm.ids()) + 1)
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    slurm.log(job).write_text(log)
    slurm.set(job, state=state)
    code, said = starter.end()
    assert code == LaunchError.exit_code
    record = run.record()
    assert record.end is not None
    assert (record.end["state"], record.end["sentence"] in said) == (state, True)
    return said.splitlines()[-1]


def test_a_cancelled_job_is_said_to_be_and_the_same_command_submits_anew(
    run: Run, slurm: FakeSlurm
) -> None:
    said = ends_as(run, slurm, "CANCELLED")
    assert "was cancelled; the same command submits it anew" in said
    assert len(slurm.ids()) == 1
    again = start(run)
    finish(run, slurm, slurm.wait_for_job(2))
    assert again.end()[0] == 0


@pytest.mark.parametrize("noted", [True, False], ids=["msgbench cancel", "scancel"])
def test_a_job_that_was_cancelled_before_is_waited_for_and_replaced(
    run: Run, slurm: FakeSlurm, noted: bool
) -> None:
    first = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in first.heard.read_text(), "the first answer")
    first.kill()
    slurm.set(job, state="COMPLETING")
    if noted:
        run.record().ended("CANCELLED", "it was").write(run.folder)
    again = start(run)
    words = "was cancelled and is ending" if noted else "is ending"
    wait_until(lambda: f"job {job} {words}; waiting" in again.heard.read_text(), "the word of it")
    looked = slurm.shared_queries()
    wait_until(lambda: slurm.shared_queries() > looked + 1, "two more looks")
    assert slurm.ids() == [job]
    slurm.set(job, state="CANCELLED")
    finish(run, slurm, slurm.wait_for_job(2))
    code, said = again.end()
    assert code == 0, said


def test_a_job_on_its_way_back_into_the_queue_is_not_replaced(run: Run, slurm: FakeSlurm) -> None:
    first = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in first.heard.read_text(), "the first answer")
    first.kill()
    slurm.set(job, state="COMPLETING")
    again = start(run)
    wait_until(lambda: "is ending" in again.heard.read_text(), "the word of it")
    slurm.set(job, state="PENDING")
    wait_until(lambda: "running; waiting for it" in again.heard.read_text(), "the attachment")
    finish(run, slurm, job)
    assert again.end()[0] == 0
    assert slurm.ids() == [job]


@pytest.mark.parametrize("command", ["inline", "slurm"])
def test_where_slurm_is_missing_its_record_is_not_waited_on(
    run: Run, slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    starter = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    starter.kill()
    (slurm.bin / "squeue").unlink()
    monkeypatch.setenv("PATH", str(slurm.bin))
    words = (
        f"the Slurm job {job} of the cluster lab stands in jobs/train.json, and squeue is not on"
    )
    with pytest.raises(LaunchError, match=words):
        launch(["/bin/true"], run.folder, command)
    run.record().ended("CANCELLED", "it was").write(run.folder)
    assert launch(["/bin/true"], run.folder, "inline") == 0


def test_a_silent_slurm_is_not_said_to_run_the_job(run: Run, slurm: FakeSlurm) -> None:
    first = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in first.heard.read_text(), "the first answer")
    first.kill()
    slurm.tell("squeue.fails", SILENT)
    again = start(run)
    wait_until(lambda: "waiting for it" in again.heard.read_text(), "the attachment")
    assert "may be running (Slurm does not answer); waiting" in again.heard.read_text()
    finish(run, slurm, job)
    assert again.end()[0] == 0


def test_an_exit_code_becomes_one_sentence(run: Run, slurm: FakeSlurm) -> None:
    starter = start(run)
    job = slurm.wait_for_job()
    slurm.log(job).write_text("msgbench: error: no store\nsubmitit INFO bye\n")
    slurm.end(job, code=3)
    code, said = starter.end()
    assert code == LaunchError.exit_code
    assert "failed with exit code 3; its last lines: msgbench: error: no store (log: " in said


@pytest.mark.parametrize(
    ("log", "asked", "words"),
    [
        ("slurmstepd: error: StepId=5.0 exceeded memory limit (1078542336 > 1073741824), being killed",
         1024, "it used 1,029 MB of 1,024 MB; "
         "cluster.train.mem_mb: 1536 or --set-resources train:mem_mb=1536 would fit (peak + 25 %)"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=5.0", 4000,
         "it had 4,000 MB; cluster.train.mem_mb: 5120 or --set-resources train:mem_mb=5120 would fit (peak + 25 %)"),
        ("srun: error: n1: task 0: Out Of Memory", None, "ask for more by cluster.train.mem_mb"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
         "capacity of 39.39 GiB of which", 4000, "its GPU has 39.39 GiB; ask for one with 50 GiB or more"),
    ],
)  # fmt: skip
def test_too_little_memory_names_a_request_that_would_fit(
    run: Run, slurm: FakeSlurm, log: str, asked: int | None, words: str
) -> None:
    starter = start(run, "--resources", json.dumps({} if asked is None else {"mem_mb": asked}))
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    slurm.log(job).write_text(log)
    slurm.set(job, state="FAILED")
    code, said = starter.end()
    assert code == LaunchError.exit_code
    assert f"ran out of memory: {words}" in said
    assert len(slurm.ids()) == 1


@pytest.mark.parametrize("state", ["NODE_FAIL", "TIMEOUT"])
def test_what_slurm_took_away_for_good_is_submitted_again(
    run: Run, slurm: FakeSlurm, state: str
) -> None:
    starter = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    slurm.set(job, state=state)
    second = slurm.wait_for_job(2)
    finish(run, slurm, second)
    code, said = starter.end()
    assert code == 0
    assert f"job {job} ended as {state}; it is submitted again" in said
    assert run.record().job_id == second


@pytest.mark.slow
def test_but_not_for_ever_when_nothing_comes_of_it(run: Run, slurm: FakeSlurm) -> None:
    def take_away() -> None:
        for number in range(1, 6):
            try:
                job = slurm.wait_for_job(number, seconds=30)
            except AssertionError:
                return
            slurm.set(job, state="NODE_FAIL")

    thread = threading.Thread(target=take_away, daemon=True)
    thread.start()
    code, said = start(run).end(90)
    assert code == LaunchError.exit_code
    assert "ended as NODE_FAIL, as did 3 before it, and nothing new was saved" in said
    assert len(slurm.ids()) == 4


def test_long_after_its_end_accounting_knows_more(run: Run, slurm: FakeSlurm) -> None:
    starter = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    name = (slurm.jobs / job / "name").read_text()
    slurm.tell("sacct.txt", f"CANCELLED by 1000|n1|{int(time.time())}|0|{name}")
    slurm.set(job, state="FORGOTTEN")
    assert "was cancelled" in starter.end()[1]


def test_accounting_of_an_older_job_with_the_number_is_not_believed(
    run: Run, slurm: FakeSlurm
) -> None:
    starter = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    name = (slurm.jobs / job / "name").read_text()
    slurm.tell("sacct.txt", f"COMPLETED|n1|{int(time.time()) - 90_000}|0|{name}")
    slurm.set(job, state="FORGOTTEN")
    code, said = starter.end()
    assert code == LaunchError.exit_code
    assert "ended without a result, it was probably killed" in said


def test_a_job_of_another_cluster_is_not_guessed_about(run: Run, slurm: FakeSlurm) -> None:
    starter = start(run)
    slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    starter.kill()
    slurm.set(slurm.ids()[0], state="FORGOTTEN")
    slurm.tell("cluster.txt", "elsewhere")
    code, said = start(run).end()
    assert code == LaunchError.exit_code
    assert "was submitted on the cluster lab and cannot be seen from" in said
    assert len(slurm.ids()) == 1


def test_ctrl_c_leaves_the_job_alone(run: Run, slurm: FakeSlurm) -> None:
    starter = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    os.killpg(starter.process.pid, signal.SIGINT)
    code, said = starter.end()
    assert code == 130
    assert f"job {job} goes on without us" in said
    again = start(run)
    wait_until(lambda: "is running; waiting for it" in again.heard.read_text(), "the attachment")
    finish(run, slurm, job)
    assert again.end()[0] == 0
    assert slurm.ids() == [job]
    assert slurm.calls("scancel") == []


def test_a_python_caller_waits_in_its_own_process(run: Run, slurm: FakeSlurm) -> None:
    with ThreadPoolExecutor(1) as pool:
        helper: Future[None] = pool.submit(lambda: finish(run, slurm, slurm.wait_for_job()))
        assert launch(["true"], run.folder, "slurm") == 0
        helper.result()


def test_a_requeue_that_was_heard_without_an_answer_is_waited_for(
    run: Run, slurm: FakeSlurm
) -> None:
    """At its time limit the job asked a busy controller, gave up with an error, and was requeued all the same."""
    starter = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    slurm.set(job, state="PENDING")
    trace = "subprocess.TimeoutExpired: Command '['scontrol', 'requeue', '5']' timed out\n"
    run.record().result_pickle.write_bytes(pickle.dumps(("error", trace)))
    wait_until(lambda: not run.record().result_pickle.exists(), "the false result to go")
    finish(run, slurm, job)
    assert starter.end()[0] == 0
    assert slurm.ids() == [job]


def test_a_job_that_gave_up_says_why(run: Run, slurm: FakeSlurm) -> None:
    starter = start(run)
    job = slurm.wait_for_job()
    wait_until(lambda: "is running" in starter.heard.read_text(), "the first answer")
    trace = "Traceback:\n  x\nmsgbench.errors.LaunchError: does not get on: its time limit came 3 times\n"
    run.record().result_pickle.write_bytes(pickle.dumps(("error", trace)))
    slurm.set(job, state="FAILED")
    assert f"job {job} does not get on: its time limit came 3 times; its last" in starter.end()[1]
