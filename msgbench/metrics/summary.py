"""evaluate.json: all records of a run, and by each protocol its best and its final snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgbench.config import RunSpec
from msgbench.layout import TRAIN_JSON, record_file
from msgbench.metrics.record import listed, measuring_digest, stored
from msgbench.protocols import get_protocol
from msgbench.records import read_json
from msgbench.retention import Taken
from msgbench.units import nimg_to_kimg

EVALUATION_SCHEMA = "msgbench.evaluate/1"


def summarise(
    run_dir: Path, run: RunSpec, dataset_fingerprint: str, entries: list[Taken]
) -> dict[str, Any]:
    """The content of evaluate.json: a function of the records and of train.json alone."""
    names = run.spec.evaluation.protocols
    found = {
        (name, entry.cur_nimg): read_json(run_dir / record_file(name, entry.cur_nimg))
        for entry in entries
        for name in names
    }
    seconds = _training_seconds(run_dir)
    return {
        "schema": EVALUATION_SCHEMA,
        "run": run.run_id,
        "experiment": run.experiment,
        "seed": run.seed,
        "tier": run.tier,
        "run_fingerprint": run.fingerprint,
        "dataset_fingerprint": dataset_fingerprint,
        "measuring": measuring_digest(),
        "picked": [_picked(name, found, seconds) for name in names],
        "records": [
            {
                "file": record_file(name, entry.cur_nimg),
                "protocol": name,
                "cur_nimg": entry.cur_nimg,
                "kimg": nimg_to_kimg(entry.cur_nimg),
                "value": found[name, entry.cur_nimg]["value"],
                "std": found[name, entry.cur_nimg]["std"],
            }
            for entry in entries
            for name in names
        ],
    }


def _picked(
    name: str, found: dict[tuple[str, int], dict[str, Any]], seconds: dict[int, float]
) -> dict[str, Any]:
    """Best and final by one protocol, with the training time to them and how many the best was picked from."""
    protocol = get_protocol(name)
    values = {length: r["value"] for (by, length), r in found.items() if by == name}
    best = protocol.best(values)
    return {
        "protocol": name,
        "version": protocol.version,
        "direction": protocol.direction,
        "evaluations": sum(length > 0 for length in values),
        "best": None if best is None else _point(best, found[name, best], seconds),
        "final": _point(max(values), found[name, max(values)], seconds),
    }


def _point(length: int, record: dict[str, Any], seconds: dict[int, float]) -> dict[str, Any]:
    return {
        "cur_nimg": length,
        "kimg": nimg_to_kimg(length),
        "training_seconds": seconds.get(length),
        "value": record["value"],
        "std": record["std"],
        "torch_fidelity": record.get("torch_fidelity"),
    }


def _training_seconds(run_dir: Path) -> dict[int, float]:
    """Training time when each snapshot was taken, measuring not counted; empty where train.json does not say."""
    entries = listed(stored(run_dir / TRAIN_JSON) or {}, "snapshots")
    return {e["cur_nimg"]: float(e["seconds"]) for e in entries if "seconds" in e}
