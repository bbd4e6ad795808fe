"""Retention: what is deleted after measuring, what is not, and what later evaluations make of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msgbench.config import RunSpec
from msgbench.errors import MeasurementError, SnapshotError
from msgbench.layout import (
    EVALUATE_JSON,
    RETENTION_JSON,
    SPEC_JSON,
    TRAIN_JSON,
    record_file,
    snapshot_file,
)
from msgbench.metrics.evaluate_run import evaluate_run
from msgbench.protocols import PROTOCOLS
from msgbench.records import read_json, write_json
from msgbench.retention import Taken, best_lengths, delete_measured

MakeRun = Callable[..., Path]
LENGTHS = (0, 1600, 3200, 4800)
ONE = ("fid60_test",)


def plan(run_dir: Path, keep: list[str], protocols: tuple[str, ...] | None = None) -> RunSpec:
    """The run's spec with another measuring half, as `plan` writes it."""
    content = read_json(run_dir / SPEC_JSON)
    content["spec"]["evaluation"]["keep"] = keep
    if protocols is not None:
        content["spec"]["evaluation"]["protocols"] = list(protocols)
    write_json(run_dir / SPEC_JSON, content)
    return RunSpec.read(run_dir)


def there(run_dir: Path) -> list[int]:
    return [length for length in LENGTHS if (run_dir / snapshot_file(length)).exists()]


def taken(run_dir: Path) -> list[Taken]:
    return [
        Taken(entry["file"], entry["cur_nimg"], entry["sha256"])
        for entry in read_json(run_dir / TRAIN_JSON)["snapshots"]
    ]


@pytest.fixture
def evaluate(drawn_store_dir: Path, tmp_path: Path) -> Callable[[Path], dict[str, Any]]:
    def call(run_dir: Path) -> dict[str, Any]:
        content: dict[str, Any] = read_json(
            evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
        )
        return content

    return call


def test_what_is_not_kept_is_measured_accounted_for_and_deleted(
    make_run: MakeRun, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    run = plan(run_dir, ["final", "every 3.2 kimg"])
    size = (run_dir / snapshot_file(1600)).stat().st_size
    summary = evaluate(run_dir)
    assert [line["cur_nimg"] for line in summary["records"]] == list(LENGTHS)
    assert there(run_dir) == [0, 3200, 4800]

    account = read_json(run_dir / RETENTION_JSON)
    (entry,) = account["deleted"]
    assert entry == {
        "file": snapshot_file(1600),
        "cur_nimg": 1600,
        "kimg": 1.6,
        "sha256": read_json(run_dir / TRAIN_JSON)["snapshots"][1]["sha256"],
        "bytes": size,
        "why": "evaluation.keep is final, every 3.2 kimg",
        "measured_by": ["fid60_test/1"],
        "written": entry["written"],
    }
    assert account["run"] == run.run_id
    assert [(kept["cur_nimg"], kept["why"]) for kept in account["kept"]] == [
        (0, ["every 3.2 kimg"]),
        (3200, ["every 3.2 kimg"]),
        (4800, ["final"]),
    ]
    said = capsys.readouterr().err
    assert said.count("deleted after measuring") == 1
    assert f"{snapshot_file(1600)}: deleted after measuring (1.6 kimg," in said


def test_an_evaluation_after_it_needs_no_deleted_file(make_run: MakeRun, evaluate: Any) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    plan(run_dir, ["final"])
    evaluate(run_dir)
    before = {file: file.read_bytes() for file in run_dir.rglob("*.json")}
    evaluate(run_dir)
    (run_dir / EVALUATE_JSON).unlink()
    evaluate(run_dir)
    assert {file: file.read_bytes() for file in run_dir.rglob("*.json")} == before
    assert there(run_dir) == [4800]


def test_the_best_of_each_protocol_stays(
    make_run: MakeRun, evaluate: Any, small_protocols: tuple[str, ...]
) -> None:
    run_dir = make_run(lengths=LENGTHS)
    plan(run_dir, ["best"])
    summary = evaluate(run_dir)
    best = set()
    for protocol in small_protocols:
        scores = {
            line["cur_nimg"]: line["value"]
            for line in summary["records"]
            if line["protocol"] == protocol and line["cur_nimg"] > 0
        }
        higher = PROTOCOLS[protocol].direction == "higher"
        best.add((max if higher else min)(scores, key=scores.__getitem__))
    assert there(run_dir) == sorted(best)
    reasons = [why for kept in read_json(run_dir / RETENTION_JSON)["kept"] for why in kept["why"]]
    assert sorted(reasons) == sorted(f"best by {name}" for name in small_protocols)


def test_of_equal_scores_the_earliest_is_the_best_and_the_untrained_none(
    make_run: MakeRun, small_protocols: tuple[str, ...]
) -> None:
    run = RunSpec.read(make_run(protocols=("fid60_test", "is60_test")))
    scores = {
        0: {"fid60_test": 1.0, "is60_test": 9.0},
        1600: {"fid60_test": 5.0, "is60_test": 2.0},
        3200: {"fid60_test": 5.0, "is60_test": 3.0},
    }
    assert best_lengths(run, scores) == {1600: ["best by fid60_test"], 3200: ["best by is60_test"]}


def test_all_deletes_nothing_and_writes_no_account(make_run: MakeRun, evaluate: Any) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    evaluate(run_dir)
    assert there(run_dir) == list(LENGTHS)
    assert not (run_dir / RETENTION_JSON).exists()


def spoil_value(record: dict[str, Any]) -> None:
    del record["value"]


def spoil_version(record: dict[str, Any]) -> None:
    record["protocol"]["version"] = 0


def spoil_snapshot(record: dict[str, Any]) -> None:
    record["snapshot"]["sha256"] = "0" * 64


@pytest.mark.parametrize("spoil", [spoil_value, spoil_version, spoil_snapshot, None])
def test_a_snapshot_without_a_record_by_every_protocol_stays(
    make_run: MakeRun, evaluate: Any, spoil: Callable[[dict[str, Any]], None] | None
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=("fid60_test", "is60_test"))
    evaluate(run_dir)
    run = plan(run_dir, ["final"])
    path = run_dir / record_file("is60_test", 1600)
    if spoil is None:
        path.unlink()
    else:
        record = read_json(path)
        spoil(record)
        write_json(path, record)
    delete_measured(run_dir, run, taken(run_dir), lambda text: None)
    assert there(run_dir) == [1600, 4800]


def test_a_file_that_is_not_the_measured_one_stays(make_run: MakeRun, evaluate: Any) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    evaluate(run_dir)
    run = plan(run_dir, ["final"])
    shutil.copy(run_dir / snapshot_file(4800), run_dir / snapshot_file(1600))
    said: list[str] = []
    delete_measured(run_dir, run, taken(run_dir), said.append)
    assert there(run_dir) == [1600, 4800]
    assert any("is not the snapshot that was measured" in line for line in said)


def test_a_new_protocol_that_needs_a_deleted_snapshot_is_one_sentence(
    make_run: MakeRun, evaluate: Any
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    plan(run_dir, ["final"])
    evaluate(run_dir)
    before = {file: file.read_bytes() for file in run_dir.rglob("*.json")}
    plan(run_dir, ["final"], ("fid60_test", "is60_test"))
    before[run_dir / SPEC_JSON] = (run_dir / SPEC_JSON).read_bytes()
    with pytest.raises(MeasurementError) as caught:
        evaluate(run_dir)
    assert str(caught.value) == (
        f"{run_dir}: is60_test has no valid record of the snapshots at 0, 1.6, 3.2 kimg, which were deleted after "
        "measuring (retention.json); take it out of evaluation.protocols, or put the files back: from a copy, or by "
        "training again (remove the run directory, set evaluation.keep to all, and run the target `runs` or "
        "`measurements`)"
    )
    # The snapshot that is there was not measured either: all or nothing.
    assert {file: file.read_bytes() for file in run_dir.rglob("*.json")} == before


def test_files_that_are_put_back_are_measured_and_deleted_again(
    make_run: MakeRun, evaluate: Any, tmp_path: Path
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    plan(run_dir, ["final"])
    shutil.copytree(run_dir / "snapshots", tmp_path / "copy")
    evaluate(run_dir)
    shutil.copytree(tmp_path / "copy", run_dir / "snapshots", dirs_exist_ok=True)
    plan(run_dir, ["final"], ("fid60_test", "is60_test"))
    assert len(evaluate(run_dir)["records"]) == 8
    assert there(run_dir) == [4800]
    deleted = read_json(run_dir / RETENTION_JSON)["deleted"]
    assert [entry["cur_nimg"] for entry in deleted] == [0, 1600, 3200]
    assert {tuple(entry["measured_by"]) for entry in deleted} == {("fid60_test/1", "is60_test/1")}


def test_a_deletion_that_was_killed_half_way_is_finished(
    make_run: MakeRun, evaluate: Any, tmp_path: Path
) -> None:
    """The account is written first, so a kill leaves files that it already names."""
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    plan(run_dir, ["final"])
    shutil.copytree(run_dir / "snapshots", tmp_path / "copy")
    evaluate(run_dir)
    shutil.copy(tmp_path / "copy" / Path(snapshot_file(3200)).name, run_dir / snapshot_file(3200))
    evaluate(run_dir)
    assert there(run_dir) == [4800]
    deleted = read_json(run_dir / RETENTION_JSON)["deleted"]
    assert [entry["cur_nimg"] for entry in deleted] == [0, 1600, 3200]


def test_the_account_is_there_before_the_first_file_goes(
    make_run: MakeRun, evaluate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    plan(run_dir, ["final"])
    unlink = Path.unlink

    def refused(self: Path, missing_ok: bool = False) -> None:
        if self.name == Path(snapshot_file(1600)).name:
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(SnapshotError, match=re.escape("cannot be deleted (Permission denied)")):
        evaluate(run_dir)
    assert there(run_dir) == [1600, 3200, 4800]
    assert len(read_json(run_dir / RETENTION_JSON)["deleted"]) == 3
    monkeypatch.undo()


def test_records_of_deleted_snapshots_outlive_an_edit_of_the_measuring_sources(
    make_run: MakeRun, evaluate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    plan(run_dir, ["final"])
    evaluate(run_dir)
    for length in LENGTHS:
        path = run_dir / record_file("fid60_test", length)
        write_json(path, {**read_json(path), "measuring": "0" * 16})
    capsys.readouterr()
    evaluate(run_dir)
    stated = [
        read_json(run_dir / record_file("fid60_test", length))["measuring"] for length in LENGTHS
    ]
    assert stated[:3] == ["0" * 16] * 3
    assert stated[3] != "0" * 16  # the one that is there is measured again
    said = capsys.readouterr().err
    assert "3 records of deleted snapshots were made by earlier sources" in said


def test_a_snapshot_that_is_gone_without_an_account_is_an_error(
    make_run: MakeRun, evaluate: Any
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    (run_dir / snapshot_file(1600)).unlink()
    with pytest.raises(SnapshotError, match="no such snapshot"):
        evaluate(run_dir)


def test_a_broken_account_is_one_sentence(make_run: MakeRun, evaluate: Any) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=ONE)
    (run_dir / RETENTION_JSON).write_text("{}")
    with pytest.raises(SnapshotError) as caught:
        evaluate(run_dir)
    assert str(caught.value) == (
        f"{run_dir / RETENTION_JSON}: is not a record of deleted snapshots; restore it, or remove the run directory "
        "and run the target `runs` or `measurements` to train again"
    )
