"""`msgbench status`, `logs` and `cancel` beside real Slurm jobs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from msgbench.config import load_benchmark
from msgbench.layout import SPEC_JSON, Layout
from msgbench.records import write_json

from .cluster import wait_until
from .lab import BIN, Lab
from .overlap import overlapping

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
RUNS = {name: f"cifar10-msg-progan-{name}" for name in ("lr0.003", "lr0.001")}


def msgbench(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    config = ["--config", CONFIG, f"--set=results={lab.root / 'results'}"]
    return subprocess.run(
        [BIN / "msgbench", *words, *config],
        env=lab.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def runs(lab: Lab) -> dict[str, dict[str, Any]]:
    """What `status --json` says, by experiment."""
    content = json.loads(msgbench(lab, "status", "--json").stdout)
    return {run["experiment"]: run for run in content["runs"]}


def planned(lab: Lab, experiment: str) -> Path:
    benchmark = load_benchmark(CONFIG)
    run = benchmark.run(experiment, 0)
    folder = Layout(lab.root / "results", benchmark.tier).run_dir(experiment, run.fingerprint, 0)
    write_json(folder / SPEC_JSON, run.to_json())
    return folder


@overlapping(seconds=30)
def test_jobs_are_shown_as_they_are_and_cancelled(lab: Lab) -> None:
    runs_now, waits = RUNS["lr0.003"], RUNS["lr0.001"]
    folder = planned(lab, runs_now)
    login = lab.launch(lab.counting(6000, run_dir=folder), run_dir=folder)
    held = planned(lab, waits)
    command = lab.counting(5, run_dir=held)
    later = lab.launch(command, {"slurm_extra": "--begin=now+3600"}, run_dir=held)

    wait_until(lambda: runs(lab)[runs_now]["state"] == "running", "the running job in status")
    # Slurm tells why a job waits a moment after it has it.
    wait_until(lambda: runs(lab)[waits].get("reason") == "BeginTime", "the waiting job in status")
    shown = runs(lab)
    running, waiting = shown[runs_now], shown[waits]
    assert running["launcher"] == "slurm"
    assert running["node"] in lab.cluster.nodes
    assert (waiting["state"], waiting["reason"]) == ("queued", "BeginTime")
    assert msgbench(lab, "status").returncode == 0

    def log() -> subprocess.CompletedProcess[str]:
        return msgbench(lab, "logs", runs_now)

    wait_until(lambda: "counting from 0" in log().stdout, "the job's words in its log")

    # Without its record a job is found by its name.
    (folder / "jobs" / "train.json").rename(folder / "jobs" / "train.json.lost")
    lost = runs(lab)[runs_now]
    assert (lost["state"], lost["job_id"]) == ("running", running["job_id"])
    assert "its record is lost" in lost["reason"]
    (folder / "jobs" / "train.json.lost").rename(folder / "jobs" / "train.json")

    for experiment, job, waiting_login in (
        (waits, waiting["job_id"], later),
        (runs_now, running["job_id"], login),
    ):
        done = msgbench(lab, "cancel", f"{experiment}/0")
        assert done.returncode == 0, done.stderr
        assert f"cancelled job {job} (train, " in done.stderr
        code, said = waiting_login.end()
        assert code == 7
        assert "was cancelled" in said
        wait_until(
            lambda name=experiment: runs(lab)[name]["state"] == "cancelled", "the cancelled run"
        )
    again = msgbench(lab, "cancel", f"{runs_now}/0")
    assert again.returncode == 7
    assert "nothing runs or waits for it" in again.stderr
    assert lab.state(running["job_id"]) == "CANCELLED"


@overlapping(seconds=20)
def test_a_job_whose_spec_was_edited_is_an_orphan(lab: Lab) -> None:
    folder = planned(lab, RUNS["lr0.003"])
    lab.launch(lab.counting(6000, run_dir=folder), run_dir=folder)
    wait_until(lambda: runs(lab)[RUNS["lr0.003"]]["state"] == "running", "the running job")
    edited = '--set=["experiments", "cifar10-msg-progan-lr0.003", "optimizer", "lr"]=0.2'
    content = json.loads(msgbench(lab, "status", "--json", edited).stdout)
    (orphan,) = content["orphans"]
    assert (orphan["folder"], orphan["state"]) == (str(folder), "running")
    assert "orphans, which no spec" in msgbench(lab, "status", edited).stdout
    # Without its spec the folder is no run any more; the job's name still says what it works for.
    (folder / SPEC_JSON).rename(folder / "gone.json")
    content = json.loads(msgbench(lab, "status", "--json", edited).stdout)
    assert [lost["folder"] for lost in content["lost_jobs"]] == [str(folder)]
    (folder / "gone.json").rename(folder / SPEC_JSON)
    done = msgbench(lab, "cancel", str(folder), edited)
    assert done.returncode == 0, done.stderr
