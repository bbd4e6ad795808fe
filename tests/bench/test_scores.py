"""Every score is timed, on features as they are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from msgbench.bench.forms import shown
from msgbench.bench.record import Measured
from msgbench.bench.scores import bench_metrics, made_up


def test_bench_metrics_times_every_score(tmp_path: Path) -> None:
    measured = bench_metrics(1, count=400, features=32)
    lines = shown(measured)
    measured.write(tmp_path, lines)
    assert Measured.read(tmp_path / "metrics.json") == measured
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")][2:]
    names = [row[0].strip() for row in rows]
    assert names == [
        "statistics of the reals", "root of their covariance", "statistics of the fakes",
        "Frechet distance, symmetric", "KID, 100 subsets of 400", "IS, 10 splits",
        "Frechet distance again by torch-fidelity", "**FID + KID + IS of a snapshot**",
    ]  # fmt: skip
    total = float(rows[-1][2].strip(" *"))
    # Of two-digit roundings.
    assert total == pytest.approx(sum(float(row[2]) for row in rows[2:6]), abs=0.03)
    assert "Peak memory" in lines[-1]


def test_made_up_features_have_the_spectrum_that_they_say() -> None:
    x = made_up(7_000, 16, 1).double()
    # Deviation 1 / sqrt(k); of 7,000 normals its relative error is 0.0085.
    expected = 1 / np.sqrt(np.arange(1, 17))
    np.testing.assert_allclose(x.std(dim=0).numpy(), expected, rtol=0.05)
    assert x.mean(dim=0).abs().max().item() < 0.06
    assert torch.equal(made_up(7_000, 16, 1).double(), x)
