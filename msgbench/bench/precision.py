"""`msgbench bench precision`: whether arithmetic of fewer digits trains as well, by short real runs and their scores.

Some seeds for each precision, everything else the same; each run is trained and measured by one protocol as any run is.
What counts is whether the ranges of the final scores overlap: single runs differ by more than precisions do.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from msgbench.bench.record import Cell, Measured
from msgbench.config import Benchmark, load_benchmark
from msgbench.console import say
from msgbench.data.prepare import prepare
from msgbench.device import choose_device, device_name
from msgbench.errors import ConfigError
from msgbench.layout import EVALUATE_JSON, MANIFEST_JSON, SPEC_JSON, record_file
from msgbench.metrics.evaluate_run import evaluate_run
from msgbench.records import atomic_file, read_json, write_json
from msgbench.training.loop import train
from msgbench.training.rounded import Tf32Products

SEEDS = (0, 1, 2)
EXPERIMENT = "cifar10-msg-progan-lr0.003"
PROTOCOL = "fid2k_small"
PRECISIONS = ("float32", "tf32", "bfloat16")


def bench_precision(
    config: Path,
    assignments: Sequence[str],
    *,
    precisions: Sequence[str],
    kimg: float,
    device: str,
    out: Path,
) -> Measured:
    """Train the smoke tier's EXPERIMENT for `kimg` by each of `precisions`, three seeds, and measure it.

    Started again it goes on. `out` gets precision.png beside the runs. Where the device has no TF32, its rounding is
    done by software, and the rows say so. Raises what training and measuring raise.
    """
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ConfigError(
                f"--precision: {precision!r} is not allowed; allowed: {', '.join(PRECISIONS)}"
            )
    on = choose_device(device)
    rows: list[dict[str, Cell]] = []
    for precision in precisions:
        # Asked for on a device that has no TF32, it is float32.
        by_software = precision == "tf32" and on.type == "cpu"
        for seed in SEEDS:
            benchmark = _benchmark(config, assignments, precision, kimg)
            score = _trained(benchmark, seed, on, out, by_software)
            rows.append(
                {"precision": precision, "by_software": by_software, "seed": seed, "score": score}
            )
            say(f"{precision}, seed {seed}: {PROTOCOL} {score:.4g}")
    _plot(rows, out / "precision.png")
    data = "".join(f" --set {text.split('=')[0]}=VALUE" for text in assignments)
    chosen = "".join(f" --precision {precision}" for precision in precisions)
    return Measured.of(
        "precision",
        f"msgbench bench precision{data}{chosen} --kimg {kimg:g} --out FOLDER",
        {"experiment": EXPERIMENT, "protocol": PROTOCOL, "kimg": kimg, "tier": "smoke"},
        rows,
        device_name(on),
    )


def _benchmark(config: Path, assignments: Sequence[str], precision: str, kimg: float) -> Benchmark:
    training = {"precision": precision, "total_kimg": kimg}
    training |= dict.fromkeys(("snapshot_kimg", "state_kimg", "grid_kimg"), kimg)
    changes = {EXPERIMENT: {"training": training}}
    return load_benchmark(
        config, {"tier": "smoke", "tiers": {"smoke": {"experiments": changes}}}, assignments
    )


def _trained(
    benchmark: Benchmark, seed: int, device: torch.device, out: Path, by_software: bool
) -> float:
    """Train and measure one run, or go on where an earlier call left it; its final score."""
    run = benchmark.run(EXPERIMENT, seed)
    spec = run.spec
    store = out / "store" / spec.dataset.fingerprint[:8]
    if not (store / MANIFEST_JSON).exists():
        prepare(spec.dataset, store)
    run_dir = out / "runs" / f"{spec.training.precision}-{spec.fingerprint[:8]}-seed{seed}"
    write_json(run_dir / SPEC_JSON, run.to_json())
    with Tf32Products() if by_software else nullcontext():
        trained = train(run_dir, store, device.type)
    if not (run_dir / EVALUATE_JSON).exists():
        evaluate_run(run_dir, store, out / "cache", device=device)
    record = read_json(run_dir / record_file(PROTOCOL, trained["cur_nimg"]))
    return float(record["value"])


def _plot(rows: Sequence[dict[str, Cell]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(str(row["precision"]) for row in rows))
    for number, name in enumerate(names):
        values = [float(row["score"] or 0) for row in rows if row["precision"] == name]
        axes.plot([number] * len(values), values, "o", color="black", fillstyle="none")
    software = {row["precision"] for row in rows if row["by_software"]}
    axes.set_xticks(
        range(len(names)), [f"{name}\n(rounded)" if name in software else name for name in names]
    )
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel(f"final {PROTOCOL}, one point a seed")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    with atomic_file(path) as file:
        file.write(buffer.getbuffer())
