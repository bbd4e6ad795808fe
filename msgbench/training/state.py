"""Training states: everything a resume needs, written atomically, the last two kept.

A state is a .pt file (read with weights_only, no code in it) and a small JSON beside it with the file's
sha256. The JSON is written last: a state without it, or whose bytes do not match, is not used, and the
one before it is. States are never read by the measuring side; that is what snapshots are for.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from msgbench.config import RunSpec
from msgbench.errors import TrainingError
from msgbench.layout import STATES, state_file
from msgbench.records import atomic_file, read_json, write_json

STATE_SCHEMA = "msgbench.training-state/1"
KEPT = 2


def save_state(run_dir: Path, state: dict[str, Any]) -> Path:
    """Write `state` (with its `cur_nimg`) atomically and remove all but the newest two."""
    path = run_dir / state_file(state["cur_nimg"])
    content = packed(state)
    with atomic_file(path) as file:
        file.write(content)
    digest = hashlib.sha256(content).hexdigest()
    card = {"schema": STATE_SCHEMA, "cur_nimg": state["cur_nimg"], "sha256": digest}
    write_json(_card(path), {**card, **_account(state)})
    for old in _newest_first(run_dir)[KEPT:]:
        _card(old).unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def packed(state: dict[str, Any]) -> memoryview:
    """`state` as the bytes of a file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()


def unpacked(content: bytes | memoryview) -> dict[str, Any]:
    """The state that `packed` made bytes of, on the CPU; nothing but tensors and plain values is read."""
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def load_latest(
    run_dir: Path, run: RunSpec, dataset_fingerprint: str, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """The newest state that is whole, or None when the run has not saved one yet.

    A damaged state is named through `say` and the one before it is used. Raises TrainingError when states
    exist but none is whole, or when the state belongs to another spec, seed or dataset.
    """
    candidates = _newest_first(run_dir)
    damaged = []
    for path in candidates:
        state, problem = _read(path)
        if state is not None:
            if state.get("schema") != STATE_SCHEMA:
                raise TrainingError(
                    f"{path}: has schema {state.get('schema')}, this version reads {STATE_SCHEMA}; "
                    "go on with the version that wrote it, or remove the run directory and run the target `runs` "
                    "or `measurements`"
                )
            require_same(path, state, run, dataset_fingerprint)
            return state
        damaged.append(path.name)
        last = path == candidates[-1]
        goes_on = "there is no training state" if last else "falling back to the training state"
        say(f"{path}: {problem}; {goes_on} before it")
    if damaged and any(path.exists() for path in candidates):
        raise TrainingError(
            f"{run_dir / STATES}: no training state is readable ({', '.join(damaged)}); "
            "restore one, or remove the run directory and run the target `runs` or `measurements` to train again"
        )
    return None


def _account(state: dict[str, Any]) -> dict[str, Any]:
    """How often and on what it was trained so far: for those who look without reading the state itself."""
    attempts = (state.get("ledger") or {}).get("attempts") or []
    return {"attempts": len(attempts), "device": attempts[-1]["device"]} if attempts else {}


def _card(path: Path) -> Path:
    return path.with_suffix(".json")


def _newest_first(run_dir: Path) -> list[Path]:
    return sorted((run_dir / STATES).glob("training-state-*.pt"), reverse=True)


def _read(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The state in `path`, or None and what is wrong with it."""
    try:
        expected = read_json(_card(path))["sha256"]
    except FileNotFoundError:
        return None, "was not finished (its checksum is missing)"
    except (ValueError, KeyError, TypeError):
        return None, "has an unreadable checksum"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        return None, "is corrupt (its checksum differs)"
    return unpacked(content), ""


def require_same(path: Path, saved: dict[str, Any], run: RunSpec, dataset_fingerprint: str) -> None:
    """Raise TrainingError when what `path` holds belongs to another spec, seed or dataset than asked for."""
    again = (
        f"or remove {path.parent if path.suffix == '.json' else path.parent.parent} and run the target `runs` or "
        "`measurements` to train again"
    )
    for what, was, now, remedy in (
        ("spec", saved.get("fingerprint"), run.fingerprint, f"restore the spec, {again}"),
        ("seed", saved.get("seed"), run.seed, f"restore the seed, {again}"),
        (
            "images",
            saved.get("dataset_fingerprint"),
            dataset_fingerprint,
            f"point datasets.{run.spec.dataset.name}.path at the copy it was trained on, {again}",
        ),
    ):
        if was != now:
            raise TrainingError(
                f"{path}: was trained with other {what} ({_short(was)}) than now ({_short(now)}); {remedy}"
            )


def _short(value: object) -> str:
    return str(value)[:8]
