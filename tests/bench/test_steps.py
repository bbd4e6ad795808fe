"""The benchmark command measures what it says."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from msgbench.bench.forms import shown
from msgbench.bench.processes import bench_processes
from msgbench.bench.record import Measured
from msgbench.bench.steps import bench_run, run_bench
from msgbench.config import Benchmark
from msgbench.errors import ConfigError
from msgbench.training.networks import Networks
from msgbench.training.steps import discriminator_step, generator_step


def test_bench_prints_and_writes_one_row_a_case(paper: Benchmark, tmp_path: Path) -> None:
    measured = run_bench(
        paper, "msg-progan", resolutions=[8], precisions=["float32", "bfloat16"], batch_size=4,
        width=0.02, threads=1, rounds=2, device="cpu",
    )  # fmt: skip
    measured.write(tmp_path, shown(measured))
    assert Measured.read(tmp_path / "training.json") == measured
    assert "host" not in measured.provenance
    assert (tmp_path / "training.md").read_text() == "\n".join(shown(measured)) + "\n"
    rows = list(csv.DictReader((tmp_path / "training.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["plain float32", "float32", "bfloat16"]
    assert float(rows[0]["ratio_to_plain"]) == 1.0
    for row in rows:
        rate, per_step = float(row["images_per_second"]), float(row["seconds_per_step"])
        assert rate * per_step == pytest.approx(4, rel=1e-2)  # rounded to five digits
        ratio = float(rows[0]["seconds_per_step"]) / per_step
        assert float(row["ratio_to_plain"]) == pytest.approx(ratio, rel=2e-2)


def test_the_plain_step_does_the_same_mathematics(paper: Benchmark) -> None:
    from msgbench.training.bench import _plain_step

    run = bench_run(paper, "msg-progan", 8, "float32", 4, 0.02)
    plain = Networks.build(run, torch.device("cpu"), plain=True)
    ours = Networks.build(run, torch.device("cpu"))
    reals = [torch.rand(4, 3, r, r, generator=torch.Generator().manual_seed(r)) for r in (4, 8)]
    _plain_step(plain, reals, run)
    discriminator_step(ours, reals, run, 0)
    generator_step(ours, run, 4, 0)
    for a, b in zip(plain.G.parameters(), ours.G.parameters(), strict=True):
        # Another memory format sums in another order; Adam's first step is lr times a sign, so a
        # gradient near 0 may flip: nearly all parameters must agree.
        assert (a - b).abs().le(1e-6).float().mean() > 0.99


@pytest.mark.slow
def test_two_processes_are_timed_against_one(paper: Benchmark) -> None:
    run = bench_run(paper, "msg-progan", 8, "float32", 8, 0.02)
    measured = bench_processes(run, 2, 1)
    assert [row["processes"] for row in measured.rows] == [1, 2]
    assert [row["times_one"] == 1.0 for row in measured.rows] == [True, False]
    with pytest.raises(ConfigError, match=r"--processes: 3 processes are not allowed"):
        bench_processes(run, 3, 1)


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of itself
def test_compiled_steps_are_timed(paper: Benchmark) -> None:
    rows = run_bench(
        paper, "msg-progan", resolutions=[8], precisions=["float32"], batch_size=4, width=0.02, threads=1,
        rounds=1, device="cpu", compiled=True,
    ).rows  # fmt: skip
    assert [row["label"] for row in rows] == ["plain float32", "float32", "float32 compiled"]
    first, later = (float(rows[2][key] or 0) for key in ("first_seconds", "seconds_per_step"))
    assert first > later > 0
    assert rows[2]["traffic_seconds"] is None
