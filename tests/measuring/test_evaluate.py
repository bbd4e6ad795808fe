"""evaluate end to end on untrained generators: what is recorded, what is skipped, what is refused."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.config import DatasetSpec
from msgbench.data.prepare import prepare
from msgbench.data.store import Store
from msgbench.errors import MeasurementError, SnapshotError
from msgbench.layout import MEASURING_ROOMS, TRAIN_JSON, record_file, snapshot_file, source_digest
from msgbench.metrics.evaluate_real import evaluate_real
from msgbench.metrics.evaluate_run import evaluate_run
from msgbench.metrics.extractors.weights import SMALL_SHA256
from msgbench.metrics.fidelity import Extractor
from msgbench.metrics.reals import RealSet
from msgbench.metrics.scores import frechet_distance, inception_score, statistics
from msgbench.protocols import PROTOCOLS, SMALL, Protocol
from msgbench.records import read_json, write_json
from msgbench.sampling import SampleSet

MakeRun = Callable[..., Path]


def files_of(run_dir: Path) -> dict[str, int]:
    """Every record with the time it was written."""
    return {
        str(f.relative_to(run_dir)): f.stat().st_mtime_ns for f in run_dir.rglob("metrics/*/*.json")
    }


def test_evaluate_run_measures_every_snapshot_by_every_protocol(
    make_run: MakeRun,
    drawn_store: Store,
    drawn_store_dir: Path,
    small_extractor: Extractor,
    small_protocols: tuple[str, ...],
    tmp_path: Path,
) -> None:
    run_dir = make_run()
    path = evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert path == run_dir / "evaluate.json"
    summary = read_json(path)
    assert [(r["protocol"], r["cur_nimg"]) for r in summary["records"]] == [
        (protocol, length) for length in (0, 1600) for protocol in small_protocols
    ]
    for line in summary["records"]:
        record = read_json(run_dir / line["file"])
        assert (record["value"], record["std"]) == (line["value"], line["std"])
        assert math.isfinite(record["value"])
        assert (record["std"] is None) == (record["protocol"]["metric"] == "fid")

    record = read_json(run_dir / record_file("fid60_test", 1600))
    samples = SampleSet(run_dir / snapshot_file(1600), 60, 2020, batch_size=25)
    fakes = small_extractor.features(samples.batches()).layers["features"]
    reals = small_extractor.features(RealSet(drawn_store, 120).batches(100)).layers["features"]
    expected = frechet_distance(statistics(fakes), statistics(reals)).value
    # Same code, same batches: only the thread count may differ.
    assert record["value"] == pytest.approx(expected, rel=1e-6)
    # The final snapshot is what tables show: torch-fidelity's own function agrees.
    assert record.pop("torch_fidelity") == pytest.approx(record["value"], rel=1e-6)
    commit_and_time = record.pop("provenance")
    assert commit_and_time["device"] == "cpu"
    assert record == {
        "schema": "msgbench.record/1",
        "run": summary["run"],
        "experiment": "tiny",
        "seed": 3,
        "tier": "smoke",
        "cur_nimg": 1600,
        "kimg": 1.6,
        "protocol": PROTOCOLS["fid60_test"].card(),
        "sample_set": {"source": "generated", **samples.describe()},
        "snapshot": {
            "file": snapshot_file(1600),
            "sha256": read_json(run_dir / TRAIN_JSON)["snapshots"][1]["sha256"],
        },
        "dataset": {
            "name": "drawn",
            "split": "train",
            "count": 120,
            "resolution": 8,
            "stand_in": True,
            "fingerprint": drawn_store.manifest.fingerprint,
        },
        "run_fingerprint": summary["run_fingerprint"],
        "reals": {"count": 120, "distinct": 120, "passes": 1.0, "flipped": 0},
        "extractor": {"name": SMALL, "sha256": SMALL_SHA256},
        "measuring": source_digest(*MEASURING_ROOMS),
        "value": record["value"],
        "std": None,
    }


def test_a_second_call_measures_nothing_and_a_lost_record_is_measured_alone(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path
) -> None:
    run_dir = make_run()
    path = evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    content, records, written = path.read_bytes(), files_of(run_dir), path.stat().st_mtime_ns
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert files_of(run_dir) == records
    assert path.stat().st_mtime_ns == written

    lost = record_file("is60_test", 1600)
    (run_dir / lost).unlink()
    path.unlink()
    half_written = run_dir / "metrics" / "is60_test" / ".0000001600.json.abc.tmp"
    half_written.write_text("{")
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    again = files_of(run_dir)
    assert {name for name in again if again[name] != records.get(name)} == {lost}
    # Bit-identical: the value does not know that it was measured alone.
    assert path.read_bytes() == content
    assert not half_written.exists()


def with_other_protocol_version(record: dict[str, Any]) -> None:
    record["protocol"]["version"] = 0


def with_other_extractor(record: dict[str, Any]) -> None:
    record["extractor"]["sha256"] = "0" * 64


def with_other_snapshot(record: dict[str, Any]) -> None:
    record["snapshot"]["sha256"] = "0" * 64


def with_other_dataset(record: dict[str, Any]) -> None:
    record["dataset"]["fingerprint"] = "0" * 64


def with_other_sources(record: dict[str, Any]) -> None:
    record["measuring"] = "0" * 16


def without_value(record: dict[str, Any]) -> None:
    del record["value"]


@pytest.mark.parametrize(
    "change",
    [
        with_other_protocol_version,
        with_other_extractor,
        with_other_snapshot,
        with_other_dataset,
        with_other_sources,
        without_value,
    ],
)
def test_a_record_of_something_else_is_measured_again(
    make_run: MakeRun,
    drawn_store_dir: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
) -> None:
    run_dir = make_run(lengths=(0,), protocols=("is60_test",))
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    path = run_dir / record_file("is60_test", 0)
    sound = read_json(path)
    record = read_json(path)
    change(record)
    if "value" in record:
        record["value"] = -1.0
    write_json(path, record)
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert read_json(path)["value"] == sound["value"]


def test_protocols_that_share_images_share_one_pass(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Path] = []
    batches = SampleSet.batches

    def counted(samples: SampleSet) -> Any:
        passes.append(samples.snapshot)
        return batches(samples)

    monkeypatch.setattr(SampleSet, "batches", counted)
    run_dir = make_run()
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert passes == [run_dir / snapshot_file(0), run_dir / snapshot_file(1600)]


def test_evaluate_real_measures_the_images_themselves(
    drawn_store: Store,
    drawn_store_dir: Path,
    small_extractor: Extractor,
    small_protocols: tuple[str, ...],
    tmp_path: Path,
) -> None:
    out = evaluate_real(drawn_store_dir, small_protocols, tmp_path / "real.json", tier="smoke")
    content = read_json(out)
    assert [r["protocol"]["name"] for r in content["records"]] == ["is60_test", "is60_test_1split"]
    # 100 of 120 images, as the protocols say.
    logits = small_extractor.features(RealSet(drawn_store, 100).batches(100)).layers["logits"]
    for record, splits in zip(content["records"], (10, 1), strict=True):
        assert record["value"] == pytest.approx(inception_score(logits, splits).value, rel=1e-6)
        assert record["sample_set"] == {"source": "real images", "count": 100}
        assert record["tier"] == "smoke"
    written = out.stat().st_mtime_ns
    evaluate_real(drawn_store_dir, small_protocols, out, tier="smoke")
    assert out.stat().st_mtime_ns == written


def test_an_unknown_protocol_is_refused(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path
) -> None:
    sentence = "protocol fid50k_ful: is not declared; did you mean 'fid50k_full'?"
    with pytest.raises(MeasurementError) as caught:
        evaluate_real(drawn_store_dir, ["fid50k_ful"], tmp_path / "real.json")
    assert str(caught.value) == sentence
    with pytest.raises(MeasurementError) as caught:
        evaluate_run(make_run(protocols=("fid50k_ful",)), drawn_store_dir, tmp_path / "cache")
    assert str(caught.value) == sentence


@pytest.mark.parametrize("content", ["", "[]", '{"records": [1, {"protocol": 2}]}'])
def test_a_broken_file_of_real_scores_is_replaced(
    drawn_store_dir: Path, small_protocols: tuple[str, ...], tmp_path: Path, content: str
) -> None:
    out = tmp_path / "real.json"
    out.write_text(content)
    evaluate_real(drawn_store_dir, small_protocols, out)
    assert len(read_json(out)["records"]) == 2


def no_train_json(run_dir: Path) -> None:
    (run_dir / TRAIN_JSON).unlink()


def broken_train_json(run_dir: Path) -> None:
    (run_dir / TRAIN_JSON).write_text('{"snapshots": [{"file": "a"}]}')


def no_snapshots(run_dir: Path) -> None:
    (run_dir / TRAIN_JSON).write_text('{"snapshots": []}')


def changed_snapshot(run_dir: Path) -> None:
    path = run_dir / snapshot_file(1600)
    path.write_bytes(path.read_bytes() + b"\0")


def lost_snapshot(run_dir: Path) -> None:
    (run_dir / snapshot_file(0)).unlink()


def wrong_length(run_dir: Path) -> None:
    content = json.loads((run_dir / TRAIN_JSON).read_text())
    content["snapshots"][1]["cur_nimg"] = 3200
    write_json(run_dir / TRAIN_JSON, content)


@pytest.mark.parametrize(
    ("damage", "error", "pattern"),
    [
        (
            no_train_json,
            MeasurementError,
            r"{run}: has no train.json; the training is not finished \(--live measures what it has so far\)",
        ),
        (
            broken_train_json,
            MeasurementError,
            "{run}/train.json: is not a valid list of snapshots; train the run again",
        ),
        (no_snapshots, MeasurementError, "{run}/train.json: lists no snapshot to measure"),
        (
            changed_snapshot,
            MeasurementError,
            "{run}/snapshots/snapshot-0000001600.safetensors: has sha256 ........, train.json says ........; "
            "the file was changed after the training",
        ),
        (
            lost_snapshot,
            SnapshotError,
            "{run}/snapshots/snapshot-0000000000.safetensors: no such snapshot",
        ),
        (
            wrong_length,
            MeasurementError,
            "{run}/snapshots/snapshot-0000001600.safetensors: was taken at 1600 images, train.json says 3200",
        ),
    ],
)
def test_runs_that_cannot_be_measured(
    make_run: MakeRun,
    drawn_store_dir: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    error: type[Exception],
    pattern: str,
) -> None:
    run_dir = make_run()
    damage(run_dir)
    with pytest.raises(error) as caught:
        evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert re.fullmatch(pattern.format(run=re.escape(str(run_dir))), str(caught.value))
    assert not (run_dir / "evaluate.json").exists()


def test_a_snapshot_of_another_dataset_is_refused(
    make_run: MakeRun, drawn_store: Store, drawn_store_dir: Path, tmp_path: Path
) -> None:
    run_dir = make_run(dataset_fingerprint="abcdef01" * 8)
    with pytest.raises(MeasurementError) as caught:
        evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    fingerprint = drawn_store.manifest.fingerprint[:8]
    assert str(caught.value) == (
        f"{run_dir}/snapshots/snapshot-0000000000.safetensors: was trained on dataset abcdef01, "
        f"the store holds drawn {fingerprint}"
    )


def test_a_store_of_another_resolution_is_refused(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DatasetSpec(
        name="drawn", source="embedded", resolution=16, split="train", num_images=12, mirror=False
    )
    prepare(spec, tmp_path / "store")
    monkeypatch.setattr(SampleSet, "batches", lambda self: pytest.fail("sampled first"))
    with pytest.raises(MeasurementError) as caught:
        evaluate_run(make_run(), tmp_path / "store", tmp_path / "cache")
    assert re.fullmatch(
        r"tiny/\w{8}/seed3: makes images of 8 pixels, the store of drawn holds 16",
        str(caught.value),
    )
    assert not (tmp_path / "cache").exists()


def test_a_snapshot_of_another_run_is_refused(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path
) -> None:
    foreign = make_run(seed=4)
    snapshot = (foreign / snapshot_file(0)).read_bytes()
    train = read_json(foreign / TRAIN_JSON)
    run_dir = make_run(seed=3)
    (run_dir / snapshot_file(0)).write_bytes(snapshot)
    write_json(run_dir / TRAIN_JSON, train)
    with pytest.raises(MeasurementError) as caught:
        evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert re.fullmatch(
        r".+snapshot-0000000000\.safetensors: is a snapshot of run tiny/\w{8}/seed4 with seed 4, "
        r"not of tiny/\w{8}/seed3",
        str(caught.value),
    )


def test_a_store_that_is_too_small_is_refused_before_sampling(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOCOLS, "fid_big", Protocol("fid_big", 1, "fid", "", 60, 50_000, SMALL))
    monkeypatch.setattr(SampleSet, "batches", lambda self: pytest.fail("sampled first"))
    run_dir = make_run(protocols=("fid_big",))
    with pytest.raises(MeasurementError) as caught:
        evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert str(caught.value) == (
        "fid_big: needs 50,000 real images, the store of dataset drawn has 120"
    )


def test_a_second_evaluation_waits_for_the_first(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from threading import Timer

    from msgbench.locks import FolderLock

    run_dir = make_run(lengths=(0,), protocols=("is60_test",))
    lock = FolderLock(run_dir / "metrics", "evaluate")
    lock.__enter__()
    release = Timer(0.8, lambda: lock.__exit__(None, None, None))
    release.start()
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    release.join()
    said = capsys.readouterr().err
    assert f"evaluate is already running (process {os.getpid()} on " in said
    assert (run_dir / "evaluate.json").exists()


def test_threads_are_those_of_the_spec(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    evaluate_run(make_run(lengths=(0,), protocols=("is60_test",)), drawn_store_dir, tmp_path)
    assert torch.get_num_threads() == 1
