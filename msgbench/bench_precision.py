"""`msgbench bench precision`: whether arithmetic of fewer digits trains as well, by short real runs and their scores.

Some seeds for each precision, everything else the same; each run is trained and measured by one protocol as any run is.
What counts is whether the ranges of the final scores overlap: single runs differ by more than precisions do.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgbench.config import load_benchmark
from msgbench.console import say
from msgbench.data.prepare import prepare
from msgbench.device import choose_device
from msgbench.layout import EVALUATE_JSON, MANIFEST_JSON, SPEC_JSON, record_file
from msgbench.metrics.evaluate_run import evaluate_run
from msgbench.records import atomic_file, provenance, read_json, write_json, write_text
from msgbench.training.loop import train

SEEDS = (0, 1, 2)
EXPERIMENT = "cifar10-msg-progan-lr0.003"
PROTOCOL = "fid2k_small"
KIMG = 2.0


def bench_precision(
    config: Path, assignments: Sequence[str], precisions: Sequence[str], device: str, out: Path
) -> list[str]:
    """Train and measure the smoke tier's EXPERIMENT by each of `precisions`, three seeds; lines of a Markdown table.

    Started again it goes on. `out` gets precision.csv and precision.png beside the runs. Raises what training and
    measuring raise.
    """
    rows: list[dict[str, Any]] = []
    for precision in precisions:
        changes = {
            "training": {
                "precision": precision, "total_kimg": KIMG, "snapshot_kimg": KIMG,
                "state_kimg": KIMG, "grid_kimg": KIMG,
            },
        }  # fmt: skip
        overlay = {"tier": "smoke", "tiers": {"smoke": {"experiments": {EXPERIMENT: changes}}}}
        benchmark = load_benchmark(config, overlay, assignments)
        spec = benchmark.experiment(EXPERIMENT)
        store = out / "store" / spec.dataset.fingerprint[:8]
        if not (store / MANIFEST_JSON).exists():
            prepare(spec.dataset, store)
        for seed in SEEDS:
            run_dir = out / f"{precision}-seed{seed}"
            run = benchmark.run(EXPERIMENT, seed)
            write_json(run_dir / SPEC_JSON, run.to_json())
            trained = train(run_dir, store, device)
            if not (run_dir / EVALUATE_JSON).exists():
                evaluate_run(run_dir, store, out / "cache", device=choose_device(device))
            record = read_json(run_dir / record_file(PROTOCOL, trained["cur_nimg"]))
            score = float(record["value"])
            rows.append(
                {
                    "precision": precision,
                    "seed": seed,
                    "kimg": trained["cur_nimg"] / 1000,
                    PROTOCOL: score,
                    "images_per_second": trained["images_per_second"],
                    "device": trained["attempts"][-1]["device"],
                }
            )
            say(f"{precision}, seed {seed}: {PROTOCOL} {score:.4g}")
    write_text(out / "precision.csv", _csv(rows))
    _plot(rows, PROTOCOL, out / "precision.png")
    return _markdown(rows, PROTOCOL, EXPERIMENT)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _ranges(rows: Sequence[dict[str, Any]], protocol: str) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row["precision"], []).append(row[protocol])
    return scores


def _markdown(rows: Sequence[dict[str, Any]], protocol: str, experiment: str) -> list[str]:
    origin, scores = provenance(rows[0]["device"]), _ranges(rows, protocol)
    first = next(iter(scores.values()))
    lines = [
        f"{experiment}, {rows[0]['kimg']:g} kimg, {origin['cpu']}, {rows[0]['device']}, torch "
        f"{origin['versions']['torch']}, {origin['written'][:10]}, commit {str(origin['commit'])[:10]}",
        "",
        f"| precision | {protocol}, by seed | overlaps with {rows[0]['precision']} |",
        "|---|---|---|",
    ]
    for precision, values in scores.items():
        overlap = min(values) <= max(first) and min(first) <= max(values)
        said = ", ".join(f"{value:.4g}" for value in values)
        lines.append(f"| {precision} | {said} | {'yes' if overlap else 'no'} |")
    return lines


def _plot(rows: Sequence[dict[str, Any]], protocol: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    for number, (_, values) in enumerate(_ranges(rows, protocol).items()):
        axes.plot([number] * len(values), values, "o", color="black", fillstyle="none")
    names = list(_ranges(rows, protocol))
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel(f"final {protocol}, one point a seed")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    with atomic_file(path) as file:
        file.write(buffer.getbuffer())
