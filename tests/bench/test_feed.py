"""Waiting for images is timed in every way in which they can come."""

from __future__ import annotations

import pytest
import torch

from msgbench.bench.feed import Case, bench_feed
from msgbench.bench.forms import shown

CPU = torch.device("cpu")
# Two batches of each store would fit, and steps of 2 ms.
CASES = (Case(16, 12, 4, 2_000.0), Case(512, 4, 2, 1_000.0))


def test_every_way_is_a_row_beside_steps_of_the_stated_length() -> None:
    measured = bench_feed(CPU, 1, CASES)
    assert [(row["resolution"], row["kept_as"], row["batch_size"]) for row in measured.rows] == [
        (16, "array", 4), (16, "array", 4), (512, "PNG", 2),
    ]  # fmt: skip
    assert len({row["how"] for row in measured.rows if row["resolution"] == 16}) == 2
    for row in measured.rows:
        wait, pause = float(row["wait_ms"] or 0), 2.0
        assert float(row["host_images_per_second"] or 0) > 0
        # The share of the time that a step and its wait take together; 2 digits and rounding of the wait.
        share = 100 * wait / (wait + pause)
        assert float(row["wait_percent"] or 0) == pytest.approx(share, rel=0.01, abs=0.05)
    assert len([line for line in shown(measured) if line.startswith("|")]) == 2 + 3
