"""The control: it has the store's mean and covariance, the same bits whatever the batches, and honest records."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msgbench.data.store import Store
from msgbench.errors import MeasurementError
from msgbench.layout import MEASURING_ROOMS, source_digest
from msgbench.metrics import controls
from msgbench.metrics.controls import GaussianRecipe, PixelGaussian
from msgbench.metrics.evaluate_real import evaluate_real
from msgbench.metrics.extractors.weights import SMALL_SHA256
from msgbench.metrics.fidelity import Extractor
from msgbench.metrics.reals import RealSet
from msgbench.metrics.scores import frechet_distance, statistics
from msgbench.protocols import PROTOCOLS, SMALL, Protocol
from msgbench.records import read_json, write_json


def all_images(drawn: PixelGaussian, batch_size: int = 100) -> np.ndarray:
    return torch.cat(list(drawn.batches(batch_size))).numpy()


def narrow(count: int = 40) -> np.ndarray:
    """Images uint8 [count, 2, 2, 3] around 128 with correlated values: no draw comes near 0 or 255."""
    rng = np.random.default_rng(5)
    common = rng.normal(0, 12, (count, 1))
    own = rng.normal(0, 6, (count, 12)) * np.linspace(0.5, 1.5, 12)
    tilt = np.linspace(-1, 1, 12)
    images = 128 + 10 * tilt + common * (1 + 0.5 * tilt) + own
    return images.round().clip(0, 255).astype(np.uint8).reshape(count, 2, 2, 3)


def test_mean_and_covariance_are_those_of_the_store() -> None:
    images = narrow()
    count = 20_000
    drawn = all_images(PixelGaussian(images, count, seed=1)).transpose(0, 2, 3, 1)
    x, y = images.reshape(len(images), -1).astype(float), drawn.reshape(count, -1).astype(float)
    assert y.min() > 0
    assert y.max() < 255  # nothing was clamped, so the closed form holds
    covariance = np.cov(x, rowvar=False, bias=True)
    # Five standard errors of a sample mean; rounding half up moves a mean by less than 0.01 at these deviations.
    error = np.sqrt(np.diag(covariance) / count)
    assert (np.abs(y.mean(axis=0) - x.mean(axis=0)) < 5 * error + 0.01).all()
    # Rounding to whole grey levels adds the variance 1/12 of a uniform step to the diagonal and to nothing else.
    expected = covariance + np.eye(12) / 12
    # Standard error of a normal's sample covariance (Isserlis): sqrt((s_ii s_jj + s_ij^2) / n); five of them.
    deviations = np.diag(expected)
    error = np.sqrt((np.outer(deviations, deviations) + expected**2) / count)
    found = np.cov(y, rowvar=False, bias=True)
    assert (np.abs(found - expected) < 5 * error).all()
    # The test can tell: neighbours are correlated far beyond that error.
    off_diagonal = ~np.eye(12, dtype=bool)
    assert (np.abs(expected) > 10 * error)[off_diagonal].mean() > 0.9


def test_one_image_is_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    images = narrow(7)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((controls.GROUP, 7)).astype(np.float32)
    monkeypatch.setattr(PixelGaussian, "_weights", lambda self, index, count: w[index])
    drawn = all_images(PixelGaussian(images, 3, seed=0))
    x = images.astype(float)
    mean = x.mean(axis=0)
    for k in range(3):
        values = mean + sum(w[k, i] * (x[i] - mean) for i in range(7)) / np.sqrt(7)
        assert (drawn[k].transpose(1, 2, 0) == np.floor(values + 0.5)).all()


def test_rounding_is_half_up_and_clamps(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((2, 1, 1, 3), np.uint8)
    images[1] = [1, 5, 255]  # means 0.5, 2.5, 127.5; half differences 0.5, 2.5, 127.5
    for weight, expected in [(0.0, [1, 3, 128]), (9.0, [4, 18, 255]), (-9.0, [0, 0, 0])]:
        # mean + (w_0 (x_0 - mean) + w_1 (x_1 - mean)) / sqrt(2) with w_0 = 0
        w = np.array([0.0, weight], np.float32)
        monkeypatch.setattr(PixelGaussian, "_weights", lambda self, index, count, w=w: w)
        (drawn,) = all_images(PixelGaussian(images, 1, seed=0))
        assert drawn.flatten().tolist() == expected


def test_the_same_bits_whatever_the_batches_and_the_count(drawn_store: Store) -> None:
    whole = PixelGaussian(drawn_store.images, 1203, seed=3)
    images = all_images(whole, 100)
    assert images.shape == (1203, 3, 8, 8)
    assert images.dtype == np.uint8
    for count, batch_size in [(1203, 1203), (1203, 7), (640, 500), (1, 1)]:
        again = PixelGaussian(drawn_store.images, count, seed=3)
        assert (all_images(again, batch_size) == images[:count]).all()
        assert again.checksum == hashlib.sha256(images[:count].tobytes()).hexdigest()
    sizes: list[int] = []
    assert sum(len(batch) for batch in whole.batches(500, sizes.append)) == 1203
    assert sizes == [500, 500, 203]


def test_another_seed_and_another_index_are_other_images(drawn_store: Store) -> None:
    first = all_images(PixelGaussian(drawn_store.images, 4, seed=3))
    other = all_images(PixelGaussian(drawn_store.images, 4, seed=4))
    drawn = {image.tobytes() for image in (*first, *other)}
    assert len(drawn) == 8


def test_the_store_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = narrow(40)
    monkeypatch.setattr(controls, "BLOCK_VALUES", 12 * 7)
    drawn = PixelGaussian(images, 5, seed=1)
    assert drawn._block == 7
    in_blocks = all_images(drawn)
    monkeypatch.undo()
    # Other sums in another order: the same up to one grey level where a value lies on the edge of two.
    assert np.abs(in_blocks.astype(int) - all_images(PixelGaussian(images, 5, seed=1))).max() <= 1


def test_the_control_is_measured_by_every_protocol(
    drawn_store: Store,
    drawn_store_dir: Path,
    small_extractor: Extractor,
    small_protocols: tuple[str, ...],
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    out = evaluate_real(drawn_store_dir, small_protocols, tmp_path / "real.json", cache=cache)
    content = read_json(out)
    assert content["schema"] == "msgbench.real/2"
    assert [r["protocol"]["name"] for r in content["controls"]] == list(small_protocols)
    assert any(cache.rglob("*.safetensors"))
    drawn = PixelGaussian(drawn_store.images, 60, seed=2020)
    fakes = small_extractor.features(drawn.batches(100)).layers["features"]
    reals = small_extractor.features(RealSet(drawn_store, 120).batches(100)).layers["features"]
    record = next(r for r in content["controls"] if r["protocol"]["metric"] == "fid")
    # Same code, same batches: only the thread count may differ.
    expected = frechet_distance(statistics(fakes), statistics(reals)).value
    assert record["value"] == pytest.approx(expected, rel=1e-6)
    assert record.pop("provenance")["device"] == "cpu"
    assert record == {
        "control": "pixel-gaussian",
        "schema": "msgbench.record/1",
        "tier": "smoke",
        "protocol": PROTOCOLS["fid60_test"].card(),
        "sample_set": {
            "count": 60,
            "seed": 2020,
            "fitted_on": 120,
            "source": "pixel-gaussian",
            "draw": GaussianRecipe.draw,
            "weights": GaussianRecipe.weights,
            "pixels": GaussianRecipe.pixels,
            "checksum": drawn.checksum,
        },
        "dataset": {
            "name": "drawn",
            "split": "train",
            "count": 120,
            "resolution": 8,
            "stand_in": True,
            "fingerprint": drawn_store.manifest.fingerprint,
        },
        "reals": {"count": 120, "distinct": 120, "passes": 1.0, "flipped": 0},
        "extractor": {"name": SMALL, "sha256": SMALL_SHA256},
        "measuring": source_digest(*MEASURING_ROOMS),
        "value": record["value"],
        "std": None,
    }


def test_a_second_call_draws_nothing_and_a_lost_record_is_measured_alone(
    drawn_store_dir: Path,
    small_protocols: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = evaluate_real(drawn_store_dir, small_protocols, tmp_path / "real.json")
    sound, written = out.read_bytes(), out.stat().st_mtime_ns
    content = read_json(out)
    lost: dict[str, Any] = content["controls"].pop(1)
    changed: dict[str, Any] = content["controls"][-1]
    value, changed["sample_set"]["seed"], changed["value"] = changed["value"], 1, -1.0

    with monkeypatch.context() as patched:
        patched.setattr(PixelGaussian, "batches", lambda *_: pytest.fail("drew again"))
        evaluate_real(drawn_store_dir, small_protocols, out)
    assert out.stat().st_mtime_ns == written

    write_json(out, content)
    evaluate_real(drawn_store_dir, small_protocols, out)
    again = read_json(out)
    assert again["controls"][1]["value"] == lost["value"]
    assert again["controls"][-1]["value"] == value
    kept = json.loads(sound)["controls"]
    assert again["controls"][0] == kept[0]
    assert again["controls"][2] == kept[2]


def test_a_store_that_is_too_small_is_refused_before_drawing(
    drawn_store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOCOLS, "fid_big", Protocol("fid_big", 1, "fid", "", 60, 50_000, SMALL))
    monkeypatch.setattr(PixelGaussian, "batches", lambda *_: pytest.fail("drew first"))
    with pytest.raises(MeasurementError, match="needs 50,000 real images"):
        evaluate_real(drawn_store_dir, ["fid_big"], tmp_path / "real.json")
