"""evaluate on a run that still trains, what it says of best and final, and what tables get confirmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.config import ExperimentSpec, RunSpec
from msgbench.errors import MeasurementError, SnapshotError
from msgbench.layout import TRAIN_JSON, record_file, snapshot_file
from msgbench.metrics.evaluate_run import evaluate_live, evaluate_run
from msgbench.metrics.run_snapshots import planned_lengths
from msgbench.protocols import PROTOCOLS, SMALL, Protocol
from msgbench.records import read_json, write_json
from msgbench.sampling import SampleSet
from msgbench.snapshots import load_snapshot, save_snapshot

MakeRun = Callable[..., Path]
LENGTHS = (0, 1600, 3200)


def test_a_live_run_is_measured_and_finishing_it_measures_the_rest_alone(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = make_run(lengths=LENGTHS)
    train = read_json(run_dir / TRAIN_JSON)
    last = (run_dir / snapshot_file(3200)).read_bytes()
    (run_dir / TRAIN_JSON).unlink()
    (run_dir / snapshot_file(3200)).unlink()
    (run_dir / "snapshots" / ".snapshot-0000003200.safetensors.x.tmp").write_bytes(last[:100])
    assert evaluate_live(run_dir, drawn_store_dir, tmp_path / "cache") == 2
    assert "2 of 2 planned snapshots are taken and measured" in capsys.readouterr().err
    assert not (run_dir / "evaluate.json").exists()
    live = {f: f.read_bytes() for f in run_dir.rglob("metrics/*/*.json")}
    assert len(live) == 8
    with pytest.raises(MeasurementError, match="the training is not finished"):
        evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")

    (run_dir / snapshot_file(3200)).write_bytes(last)
    write_json(run_dir / TRAIN_JSON, train)
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert len(read_json(run_dir / "evaluate.json")["records"]) == 12
    for path, content in live.items():
        # FID of the best or final snapshot gains torch-fidelity's own value; nothing is measured again.
        kept, record = read_json(path), content
        kept.pop("torch_fidelity", None)
        assert kept == json.loads(record), path


def no_snapshot(run_dir: Path) -> None:
    for path in (run_dir / "snapshots").iterdir():
        path.unlink()


def misnamed(run_dir: Path) -> None:
    (run_dir / snapshot_file(1600)).rename(run_dir / snapshot_file(1500))


@pytest.mark.parametrize(
    ("damage", "error", "sentence"),
    [
        (no_snapshot, MeasurementError, "{run}: has no snapshot yet; the training has just begun, or never did"),
        (
            misnamed, SnapshotError,
            "{run}/snapshots/snapshot-0000001500.safetensors: was taken at 1600 images, its name says otherwise",
        ),
    ],
)  # fmt: skip
def test_live_runs_that_cannot_be_measured(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path, damage: Any, error: Any, sentence: str
) -> None:
    run_dir = make_run()
    (run_dir / TRAIN_JSON).unlink()
    damage(run_dir)
    with pytest.raises(error) as caught:
        evaluate_live(run_dir, drawn_store_dir, tmp_path / "cache")
    assert str(caught.value) == sentence.format(run=run_dir)


def test_planned_lengths_are_those_that_the_training_takes(make_run: MakeRun) -> None:
    run = RunSpec.read(make_run())
    assert planned_lengths(run) == [0, 1600]
    raw = run.spec.model_dump(mode="json")
    raw["training"]["total_kimg"] = 4.0
    longer = ExperimentSpec.model_validate_json(json.dumps(raw))
    assert planned_lengths(run.model_copy(update={"spec": longer})) == [0, 1600, 3200, 4000]


def test_best_and_final_with_time_and_number_of_evaluations(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path
) -> None:
    run_dir = make_run(lengths=LENGTHS)
    train = read_json(run_dir / TRAIN_JSON)
    for entry, seconds in zip(train["snapshots"], (0.0, 30.5, 61.25), strict=True):
        entry["seconds"] = seconds
    write_json(run_dir / TRAIN_JSON, train)
    summary = read_json(evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache"))
    assert [p["protocol"] for p in summary["picked"]] == [
        "fid60_test", "is60_test", "is60_test_1split", "kid60_test",
    ]  # fmt: skip
    for picked in summary["picked"]:
        values = {
            r["cur_nimg"]: r["value"]
            for r in summary["records"]
            if r["protocol"] == picked["protocol"]
        }
        trained = {n: v for n, v in values.items() if n}
        pick = max if picked["direction"] == "higher" else min
        best = pick(trained, key=lambda n: trained[n])
        assert picked["evaluations"] == 2
        assert (picked["best"]["cur_nimg"], picked["best"]["value"]) == (best, trained[best])
        assert picked["best"]["training_seconds"] == {1600: 30.5, 3200: 61.25}[best]
        assert picked["final"]["cur_nimg"] == 3200
        assert picked["final"]["value"] == values[3200]


def test_best_and_final_are_confirmed_by_torch_fidelity_and_no_other(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path
) -> None:
    lengths = (0, 1600, 3200, 4800)
    run_dir = make_run(lengths=lengths, protocols=("fid60_test",))
    path = evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    records = {n: read_json(run_dir / record_file("fid60_test", n)) for n in lengths}
    best = PROTOCOLS["fid60_test"].best({n: r["value"] for n, r in records.items()})
    confirmed = {n for n, record in records.items() if "torch_fidelity" in record}
    assert confirmed == {best, 4800}
    for n in confirmed:
        # 60 images at 128 features: roots of rounding noise, 1e-8 each.
        assert records[n]["torch_fidelity"] == pytest.approx(records[n]["value"], abs=1e-5)
    # A process that died in between: the images are made again, the score is not.
    content = path.read_bytes()
    del records[4800]["torch_fidelity"]
    write_json(run_dir / record_file("fid60_test", 4800), records[4800])
    path.unlink()
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert path.read_bytes() == content


def test_deleted_snapshots_keep_records_whose_card_says_the_same_in_other_words(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(lengths=LENGTHS, protocols=("fid60_test",))
    spec = read_json(run_dir / "spec.json")
    spec["spec"]["evaluation"]["keep"] = ["final"]
    write_json(run_dir / "spec.json", spec)
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert not (run_dir / snapshot_file(0)).exists()
    before = (run_dir / record_file("fid60_test", 0)).read_bytes()
    renamed = Protocol("fid60_test", 1, "fid", "the same, better said", 60, None, SMALL)
    monkeypatch.setitem(PROTOCOLS, "fid60_test", renamed)
    evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")
    assert (run_dir / record_file("fid60_test", 0)).read_bytes() == before
    bumped = Protocol("fid60_test", 2, "fid", "another score", 60, None, SMALL)
    monkeypatch.setitem(PROTOCOLS, "fid60_test", bumped)
    with pytest.raises(MeasurementError, match=r"no valid record of the snapshots at 0, 1\.6 kimg"):
        evaluate_run(run_dir, drawn_store_dir, tmp_path / "cache")


def test_a_collapsed_generator_is_measured_and_said(
    make_run: MakeRun, drawn_store_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = make_run(lengths=(0,), protocols=("is60_test",))
    path = run_dir / snapshot_file(0)
    G, meta = load_snapshot(path)
    for parameter in G.parameters():
        parameter.data.zero_()
    save_snapshot(path, G, meta)
    (run_dir / TRAIN_JSON).unlink()
    evaluate_live(run_dir, drawn_store_dir, tmp_path / "cache")
    record = read_json(run_dir / record_file("is60_test", 0))
    assert record["sample_set"]["distinct"] == 1
    assert record["value"] == pytest.approx(1.0, abs=1e-6)
    assert (
        f"{path}: all 60 images are the same; they are measured as they are"
        in capsys.readouterr().err
    )


def test_all_runs_are_measured_on_the_same_latents(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latents are a function of the protocol's seed and the index: not of run, seed of training, length or batch."""
    from msgbench import sampling

    drawn: list[torch.Tensor] = []
    latents = sampling.latents

    def recorded(*arguments: Any) -> torch.Tensor:
        drawn.append(latents(*arguments))
        return drawn[-1]

    monkeypatch.setattr(sampling, "latents", recorded)
    for seed, batch_size in ((3, 20), (4, 10)):
        run_dir = make_run(lengths=(0,), seed=seed)
        list(SampleSet(run_dir / snapshot_file(0), 20, 2020, batch_size).batches())
    assert torch.equal(drawn[0], torch.cat(drawn[1:]))
