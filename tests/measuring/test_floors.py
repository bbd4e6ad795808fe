"""Floors: real images against real images, by every comparing protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from msgbench.config import DatasetSpec
from msgbench.data.prepare import prepare
from msgbench.data.store import Store
from msgbench.errors import MeasurementError
from msgbench.metrics.evaluate_real import evaluate_real
from msgbench.metrics.fidelity import Extractor
from msgbench.metrics.reals import RealSet, halves
from msgbench.metrics.scores import frechet_distance, statistics
from msgbench.protocols import PROTOCOLS, SMALL, Protocol
from msgbench.records import read_json, write_json

TEST = DatasetSpec(
    name="drawn", source="embedded", resolution=8, split="test", num_images=70, mirror=False
)
STREAM = Protocol("fid_stream_test", 1, "fid", "", 60, 200, SMALL, reals="stream")


@pytest.fixture
def protocols(small_protocols: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(PROTOCOLS, STREAM.name, STREAM)
    return [*small_protocols, STREAM.name]


@pytest.fixture(scope="session")
def test_store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 70 test images that belong to the drawn store."""
    folder = tmp_path_factory.mktemp("datasets") / "drawn-test"
    prepare(TEST, folder)
    return folder


def features(extractor: Extractor, reals: RealSet) -> torch.Tensor:
    return extractor.features(reals.batches(100)).layers["features"]


def test_floors_are_real_against_real(
    drawn_store: Store,
    drawn_store_dir: Path,
    test_store_dir: Path,
    small_extractor: Extractor,
    protocols: list[str],
    tmp_path: Path,
) -> None:
    out = evaluate_real(
        drawn_store_dir, protocols, tmp_path / "real.json", mirror=True, test_store=test_store_dir,
        cache=tmp_path / "cache",
    )  # fmt: skip
    floors = {(r["protocol"]["name"], r["floor"]): r for r in read_json(out)["floors"]}
    assert sorted(floors) == [
        ("fid60_test", "half against half"),
        ("fid60_test", "test against train"),
        ("fid_stream_test", "half against half"),
        ("fid_stream_test", "images against their stream"),
        ("fid_stream_test", "test against train"),
        ("kid60_test", "half against half"),
        ("kid60_test", "test against train"),
    ]
    once = features(small_extractor, RealSet(drawn_store, 120))
    first, second = (once[torch.from_numpy(part)] for part in halves(120, 2020))
    expected = frechet_distance(statistics(first), statistics(second)).value
    half = floors["fid60_test", "half against half"]
    # Same features, same halves: only batches and threads may differ.
    assert half["value"] == pytest.approx(expected, rel=1e-5)
    assert half["sample_set"] == {
        "source": "real images, one random half",
        "count": 60,
        "seed": 2020,
    }
    assert half["reals"] == {"count": 60}

    test = features(small_extractor, RealSet(Store.open(test_store_dir), 70))
    against = frechet_distance(statistics(test), statistics(once)).value
    found = floors["fid60_test", "test against train"]
    assert found["value"] == pytest.approx(against, rel=1e-5)
    assert found["sample_set"]["count"] == 70
    assert found["reals"]["count"] == 120

    stream = features(small_extractor, RealSet(drawn_store, 200, mirror=True, seed=2020))
    memorised = frechet_distance(statistics(once), statistics(stream)).value
    found = floors["fid_stream_test", "images against their stream"]
    assert found["value"] == pytest.approx(memorised, rel=1e-5)
    assert found["reals"]["passes"] == 1.6667
    # What has been seen is nearer than what has not.
    assert 0 < memorised < against


def test_floors_are_measured_once_and_again_for_other_test_images(
    drawn_store_dir: Path, test_store_dir: Path, protocols: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "real.json"
    evaluate_real(drawn_store_dir, protocols, out, test_store=test_store_dir)
    content, written = read_json(out), out.stat().st_mtime_ns
    evaluate_real(drawn_store_dir, protocols, out, test_store=test_store_dir)
    assert out.stat().st_mtime_ns == written
    for record in content["floors"]:
        if record["floor"] == "test against train":
            record["sample_set"]["fingerprint"] = "0" * 64
            record["value"] = -1.0
    write_json(out, content)
    evaluate_real(drawn_store_dir, protocols, out, test_store=test_store_dir)
    assert all(record["value"] > -0.5 for record in read_json(out)["floors"])
    # Without test images there is no such floor, and the others stay as they are.
    evaluate_real(drawn_store_dir, protocols, out)
    assert {r["floor"] for r in read_json(out)["floors"]} == {
        "half against half",
        "images against their stream",
    }


def test_too_few_images_for_a_floor_is_said(
    drawn_store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    wide = Protocol("kid_wide", 1, "kid", "", 100, None, SMALL, kid_subsets=2, kid_subset_size=100)
    monkeypatch.setitem(PROTOCOLS, wide.name, wide)
    out = evaluate_real(drawn_store_dir, ["kid_wide"], tmp_path / "real.json")
    assert read_json(out)["floors"] == []
    assert (
        "drawn: no floor `half against half` by kid_wide, which needs 100 images on either side; there are 60"
        in capsys.readouterr().err
    )


def test_test_images_of_another_size_are_refused(
    drawn_store_dir: Path, small_protocols: tuple[str, ...], tmp_path: Path
) -> None:
    prepare(TEST.model_copy(update={"resolution": 16}), tmp_path / "test")
    with pytest.raises(MeasurementError) as caught:
        evaluate_real(
            drawn_store_dir, small_protocols, tmp_path / "r.json", test_store=tmp_path / "test"
        )
    assert str(caught.value) == (
        f"{tmp_path / 'test'}: holds images of 16 pixels, the store of drawn holds 8"
    )
    assert not (tmp_path / "r.json").exists()
