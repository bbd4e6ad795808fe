"""Everything that is made from records is timed, and made."""

from __future__ import annotations

from pathlib import Path

from msgbench.bench.forms import shown
from msgbench.bench.results import SEEDS, bench_results, made_up_benchmark


def test_every_step_from_records_to_the_report_is_timed(root: Path) -> None:
    measured = bench_results(root / "tests" / "workflow" / "config.yaml")
    assert measured.settings == {"experiments": 2, "seeds": len(SEEDS)}
    assert [row["step"] for row in measured.rows] == [
        "read everything once", "table table3", "claims", "figures", "report",
    ]  # fmt: skip
    seconds = [float(row["seconds"] or 0) for row in measured.rows]
    assert min(seconds) > 0
    lines = shown(measured)
    assert "2 experiments x 5 seeds = 10 made-up runs" in lines[0]
    assert lines[-1].startswith(f"| **together** | **{sum(seconds):.1f}** |")


def test_the_made_up_benchmark_leaves_nothing_out(root: Path) -> None:
    published = made_up_benchmark(root / "config.yaml")
    more_often = made_up_benchmark(root / "config.yaml", 0.5)
    assert (published.tier, more_often.tier) == ("paper", "paper")
    assert published.left_out() == {}
    assert {published.experiment(name).seeds for name in published.table_experiments()} == {SEEDS}
    kimg = [
        made.experiment("churches-msg-stylegan").training.stats_kimg
        for made in (published, more_often)
    ]
    assert kimg[0] > kimg[1] == 0.5
