"""A store and runs small enough to train in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msgbench.config import RunSpec, load_benchmark, merge
from msgbench.data.prepare import prepare
from msgbench.records import write_json

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "cifar10-msg-progan-lr0.003"

TINY: dict[str, Any] = {
    "datasets": {"cifar10": {"source": "embedded", "resolution": 8, "mirror": True}},
    "tiers": {
        "smoke": {
            "datasets": {"cifar10": {"stand_in": {"num_images": 40}}},
            "defaults": {
                "model": {"width_multiplier": 0.0625, "latent_size": 16},
                "training": {
                    "batch_size": 4, "total_kimg": 0.048, "snapshot_kimg": 0.016,
                    "state_kimg": 0.008, "grid_kimg": 0.016, "stats_kimg": 0.012, "num_threads": 1,
                },
            },
        }
    },
}  # fmt: skip


def tiny_run(**training: Any) -> RunSpec:
    """The run of the tiny experiment, with changes to its training section."""
    change = {"tiers": {"smoke": {"defaults": {"training": training}}}}
    benchmark = load_benchmark(ROOT / "config.yaml", merge(TINY, change))
    return benchmark.run(EXPERIMENT, 0)


@pytest.fixture(scope="session")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    prepare(tiny_run().spec.dataset, folder)
    return folder


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run("name", total_kimg=1)` -> a run directory with its spec.json."""

    def make(name: str, **training: Any) -> Path:
        folder = tmp_path / name
        write_json(folder / "spec.json", tiny_run(**training).to_json())
        return folder

    return make


def results_of(run_dir: Path) -> dict[str, Any]:
    """All that must be equal between a resumed and an uninterrupted training, bit for bit."""
    import torch

    train = json.loads((run_dir / "train.json").read_bytes())
    newest = sorted((run_dir / "states").glob("*.pt"))[-1]
    state = torch.load(newest, weights_only=True)
    lines = [json.loads(line) for line in (run_dir / "stats.jsonl").read_text().splitlines()]
    timing = {"images_per_second", "seconds", "memory_mb", "data_wait"}
    return {
        "snapshots": [(s["file"], s["sha256"]) for s in train["snapshots"]],
        "cur_nimg": train["cur_nimg"],
        "state": flatten(state["networks"]),
        "stats": [{k: v for k, v in line.items() if k not in timing} for line in lines],
        "grids": {p.name: p.read_bytes() for p in sorted((run_dir / "grids").iterdir())},
    }


def flatten(node: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts and lists with tensors as {path: bytes or plain value}."""
    import torch

    if isinstance(node, dict):
        return {
            k: v for key, part in node.items() for k, v in flatten(part, f"{path}/{key}").items()
        }
    if isinstance(node, list | tuple):
        return {
            k: v for i, part in enumerate(node) for k, v in flatten(part, f"{path}/{i}").items()
        }
    return {path: node.numpy().tobytes() if isinstance(node, torch.Tensor) else node}
