"""Putting back an output that a job made and a restarted Snakemake deleted: only while it still holds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from msgbench.launch.kept import put_back
from msgbench.launch.order import Order
from msgbench.launch.record import JobRecord
from msgbench.layout import MEASURING_ROOMS, source_digest
from msgbench.records import write_json

SNAPSHOT = {"file": "snapshots/one.safetensors", "sha256": "abc"}
DELETED = {
    "schema": "msgbench.retention/1",
    "deleted": [
        {**SNAPSHOT, "cur_nimg": 1, "kimg": 0.001, "bytes": 3, "why": "", "measured_by": [], "written": ""}
    ],
}  # fmt: skip
RECORD = "metrics/fid/one.json"


def finished(run_dir: Path, task: str) -> JobRecord:
    """A run with everything in place but the output of `task`, which its job has kept."""
    for file in (SNAPSHOT["file"], RECORD, "spec.json", "train.json"):
        path = run_dir / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (time.time() - 60, time.time() - 60))
    output = run_dir / f"{task}.json"
    output.unlink(missing_ok=True)
    order = Order(("msgbench", task), run_dir, task, "slurm", output, "run")
    record = JobRecord.of_name(order, "7", run_dir / "jobs" / "x", f"msgbench-{task}", "lab")
    measured = {"measuring": source_digest(*MEASURING_ROOMS), "records": [{"file": RECORD}]}
    write_json(record.kept_output, {"train": {"snapshots": [SNAPSHOT]}}.get(task, measured))
    return record


@pytest.mark.parametrize("task", ["train", "evaluate"])
def test_what_still_holds_is_put_back(tmp_path: Path, task: str) -> None:
    record = finished(tmp_path, task)
    output = tmp_path / f"{task}.json"
    assert put_back(record, output)
    assert output.read_bytes() == record.kept_output.read_bytes()


@pytest.mark.parametrize(
    ("measuring", "manifest_age", "holds"),
    [(None, 60, True), ("0" * 16, 60, False), (None, -60, False)],
    ids=["as it was", "mended measuring", "a store made again"],
)
def test_scores_of_real_images_hold_for_their_code_and_their_store(
    tmp_path: Path, measuring: str | None, manifest_age: int, holds: bool
) -> None:
    manifest, output = tmp_path / "store" / "manifest.json", tmp_path / "store" / "real.json"
    write_json(manifest, {})
    os.utime(manifest, (time.time() - manifest_age,) * 2)
    order = Order(("msgbench", "evaluate"), tmp_path / "jobs", "evaluate", "slurm", output, "run")
    record = JobRecord.of_name(order, "7", tmp_path / "jobs" / "x", "msgbench-evaluate", "lab")
    scores = [{"measuring": source_digest(*MEASURING_ROOMS)}]
    others = [{"measuring": measuring}] if measuring else scores
    write_json(record.kept_output, {"records": scores, "controls": others})
    assert put_back(record, output) == holds == output.exists()


def test_a_snapshot_that_was_deleted_after_measuring_is_no_loss(tmp_path: Path) -> None:
    record = finished(tmp_path, "train")
    (tmp_path / SNAPSHOT["file"]).unlink()
    write_json(tmp_path / "retention.json", DELETED)
    assert put_back(record, tmp_path / "train.json")


def other_code(run_dir: Path, record: JobRecord) -> None:
    write_json(record.kept_output, {"measuring": "0" * 16, "records": [{"file": RECORD}]})


def no_code(run_dir: Path, record: JobRecord) -> None:
    write_json(record.kept_output, {"records": [{"file": RECORD}]})


def gone(file: str) -> Callable[[Path, JobRecord], None]:
    return lambda run_dir, record: (run_dir / file).unlink()


def newer(file: str) -> Callable[[Path, JobRecord], None]:
    return lambda run_dir, record: os.utime(run_dir / file, (time.time() + 60, time.time() + 60))


def broken(run_dir: Path, record: JobRecord) -> None:
    record.kept_output.write_text("{")


def broken_account(run_dir: Path, record: JobRecord) -> None:
    (run_dir / "retention.json").write_text("[]")


def nothing_kept(run_dir: Path, record: JobRecord) -> None:
    shutil.rmtree(record.folder)


@pytest.mark.parametrize(
    ("task", "change"),
    [
        pytest.param("train", gone(SNAPSHOT["file"]), id="a lost snapshot"),
        pytest.param("train", broken_account, id="a broken account of deletions"),
        pytest.param("train", broken, id="a broken copy of a training's"),
        pytest.param("train", nothing_kept, id="no copy"),
        pytest.param("evaluate", gone(RECORD), id="a lost record"),
        pytest.param("evaluate", gone("train.json"), id="a lost training"),
        pytest.param("evaluate", newer("spec.json"), id="other protocols"),
        pytest.param("evaluate", newer("train.json"), id="a training made again"),
        pytest.param("evaluate", other_code, id="mended measuring"),
        pytest.param("evaluate", no_code, id="measured by nobody knows what"),
        pytest.param("prepare", lambda run_dir, record: None, id="a packed dataset"),
    ],
)
def test_what_does_not_hold_any_more_is_not_put_back(
    tmp_path: Path, task: str, change: Callable[[Path, JobRecord], None]
) -> None:
    record = finished(tmp_path, task)
    change(tmp_path, record)
    assert not put_back(record, tmp_path / f"{task}.json")
    assert not (tmp_path / f"{task}.json").exists() or task == "prepare"
