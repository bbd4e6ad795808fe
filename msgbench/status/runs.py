"""One run as its folder shows it: how far it is, how fast, what it scored last, and what became of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msgbench.config import ExperimentSpec
from msgbench.launch.queue import JobState
from msgbench.layout import (
    EVALUATE_JSON,
    METRICS,
    SPEC_JSON,
    STATES,
    STATS_JSONL,
    TRAIN_JSON,
)
from msgbench.models.arithmetic import STEP_FLOP, images_left
from msgbench.protocols import PROTOCOLS
from msgbench.records import read_json
from msgbench.status.work import Queue, Work, last_log_lines, work_of
from msgbench.units import nimg_to_kimg

RunState = Literal[
    "running", "queued", "unknown", "unreadable", "failed", "cancelled", "stopped", "trained", "finished",
    "not started",
]  # fmt: skip
# In the order in which a person wants to see them.
RUN_STATES: tuple[RunState, ...] = (
    "running", "queued", "unknown", "unreadable", "failed", "cancelled", "stopped", "trained", "finished",
    "not started",
)  # fmt: skip

TASKS = ("train", "evaluate")

# A line of stats.jsonl is shorter than this.
_LAST_BYTES = 4096
_LOG_LINES = 3
# A running training that wrote nothing for so long is worth a word.
SILENT_SECONDS = 900.0


@dataclass(frozen=True)
class Planned:
    """What is to be known of a run before its folder is looked into."""

    experiment: str
    fingerprint: str
    """Its first characters, as in the path."""
    seed: int
    folder: Path
    total_nimg: int | None
    """None: not known, its spec.json cannot be read."""
    protocols: tuple[str, ...]
    current: bool
    """Whether a spec of the present config names it."""
    spec: ExperimentSpec | None = None
    """Of a run with progressive growing, whose images do not all take the same time."""

    @property
    def run_id(self) -> str:
        return f"{self.experiment}/{self.fingerprint}/seed{self.seed}"


@dataclass(frozen=True)
class Score:
    """The last measured value of a protocol."""

    protocol: str
    value: float
    cur_nimg: int


@dataclass(frozen=True)
class RunStatus:
    """One run now."""

    plan: Planned
    state: RunState
    task: str
    """`train` or `evaluate`: what is being done, or was done last."""
    work: Work | None
    reason: str
    log_lines: tuple[str, ...]
    cur_nimg: int
    images_per_second: float | None
    """Of the last minute of training."""
    eta_seconds: float | None
    """Until the training ends at this speed; only while it runs."""
    silent_seconds: float | None
    """Since the last line of statistics; only while it trains."""
    attempts: int | None
    """Starts of the training, as far as its last state knows."""
    device_hours: float
    """Training time of all attempts."""
    device: str
    fid: Score | None
    loss_d: float | None
    loss_g: float | None
    measured: int
    """Records that exist."""

    @property
    def lives(self) -> bool:
        """Whether somebody works on it or waits to."""
        return self.state in ("running", "queued", "unknown")


def read_run(
    plan: Planned, queue: Queue | None, lost: Mapping[str, tuple[str, JobState]] | None = None
) -> RunStatus:
    """The state of one run; a broken file counts as missing, and makes a run unreadable that nobody works on.

    `lost` are living jobs (number, state) by task that no record names.
    """
    folder = plan.folder
    problems: list[str] = []
    train = _train_record(folder / TRAIN_JSON, problems)
    stats, age = _last_stats(folder / STATS_JSONL)
    card = _newest_card(folder)
    works = [work_of(folder, task, queue, (lost or {}).get(task)) for task in TASKS]
    problems += [work.reason for work in works if work is not None and work.state == "unreadable"]
    work = _present_work(works, trained=train is not None)
    measured = os.path.isfile(folder / EVALUATE_JSON)
    fid = _last_fid(folder, plan.protocols, problems)
    state, reason = _state(work, train is not None, measured, bool(stats or card))
    if problems and not (work is not None and work.lives):
        state, reason = "unreadable", problems[0]
    trains = state == "running" and work is not None and work.task == "train"
    cur_nimg = _images(train or stats or card) or 0
    rate = _number(train or stats, "images_per_second")
    eta = None
    if trains and rate and plan.total_nimg is not None:
        left: float = max(plan.total_nimg - cur_nimg, 0)
        if plan.spec is not None:
            device = "cpu" if _device(train, card) in ("", "cpu") else "cuda"
            left = images_left(plan.spec, cur_nimg, STEP_FLOP[device])
        eta = left / rate
    return RunStatus(
        plan=plan,
        state=state,
        task=work.task if work else ("evaluate" if train else "train"),
        work=work,
        reason=reason.removeprefix(f"{folder}: ").removeprefix(f"{folder.absolute()}: "),
        log_lines=tuple(last_log_lines(work.log, _LOG_LINES))
        if work is not None and state == "failed"
        else (),
        cur_nimg=cur_nimg,
        images_per_second=rate,
        eta_seconds=eta,
        silent_seconds=age if trains else None,
        attempts=_attempts(train, card),
        device_hours=(_number(train or stats, "seconds") or 0.0) / 3600,
        device=_device(train, card),
        fid=fid,
        loss_d=_number(stats, "loss_d"),
        loss_g=_number(stats, "loss_g"),
        measured=_count(folder / METRICS, plan.protocols),
    )


def read_plan(folder: Path, current: bool) -> Planned:
    """What the folder of a run that the config does not name says about itself."""
    content = _object(folder / SPEC_JSON) or {}
    spec = None
    try:
        training = content["spec"]["training"]
        batch = int(training["batch_size"])
        total = max(1, -(-round(training["total_kimg"] * 1000) // batch)) * batch
        protocols = tuple(map(str, content["spec"]["evaluation"]["protocols"]))
        if content["spec"].get("growing") is not None:
            spec = ExperimentSpec.model_validate_json(json.dumps(content["spec"]))
            total = spec.schedule.total_nimg
    except (KeyError, TypeError, ValueError):
        total, protocols = None, ()
    seed = folder.name.removeprefix("seed")
    return Planned(
        experiment=folder.parent.parent.name,
        fingerprint=folder.parent.name,
        seed=int(seed) if seed.isdigit() else -1,
        folder=folder,
        total_nimg=total,
        protocols=protocols,
        current=current,
        spec=spec,
    )


def _present_work(works: list[Work | None], trained: bool) -> Work | None:
    """The task that somebody works on, else the last one that was tried."""
    train, evaluate = works
    for work in (train, evaluate):
        # A job whose end nobody looked at yet, of a training that is finished, is no news.
        if (
            work is not None
            and work.lives
            and not (trained and work is train and work.state == "unknown")
        ):
            return work
    return evaluate if trained else train


def _state(work: Work | None, trained: bool, measured: bool, begun: bool) -> tuple[RunState, str]:
    if work is not None and work.state in ("running", "queued", "unknown"):
        return work.state, work.reason
    if measured and trained:
        return "finished", ""
    if work is not None and work.state in ("failed", "cancelled"):
        return work.state, work.reason
    reason = work.reason if work is not None else ""
    if trained:
        return "trained", reason
    if begun or reason:
        return "stopped", reason
    return "not started", ""


def _object(path: Path, problems: list[str] | None = None) -> dict[str, Any] | None:
    """The object in a JSON file, None without one; what is wrong with a file that is there goes to `problems`."""
    told = [] if problems is None else problems
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        told.append(f"{path}: cannot be read ({error.strerror})")
        return None
    except (ValueError, RecursionError):
        told.append(f"{path}: is not valid JSON")
        return None
    if not isinstance(content, dict):
        told.append(f"{path}: is not a record")
        return None
    return content


def _train_record(path: Path, problems: list[str]) -> dict[str, Any] | None:
    train = _object(path, problems)
    if train is not None and _images(train) is None:
        problems.append(_no_images(path, train))
        return None
    return train


def _images(content: Mapping[str, Any]) -> int | None:
    value = content.get("cur_nimg")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _no_images(path: Path, content: Mapping[str, Any]) -> str:
    return (
        f"{path}: cur_nimg {content.get('cur_nimg')!r} is not allowed; allowed: a number of images"
    )


def _last_stats(path: Path) -> tuple[dict[str, Any], float | None]:
    """The last whole line of stats.jsonl and its age in seconds; ({}, None) without one."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            file.seek(max(0, state.st_size - _LAST_BYTES))
            tail = file.read()
    except OSError:
        return {}, None
    for line in reversed(tail[: tail.rfind(b"\n") + 1].splitlines()):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and isinstance(content.get("cur_nimg"), int):
            return content, max(0.0, time.time() - state.st_mtime)
    return {}, None


def _newest_card(folder: Path) -> dict[str, Any]:
    """What stands beside the newest training state."""
    try:
        names = [name for name in os.listdir(folder / STATES) if name.endswith(".json")]
    except OSError:
        return {}
    return (_object(folder / STATES / max(names)) or {}) if names else {}


def _attempts(train: Mapping[str, Any] | None, card: Mapping[str, Any]) -> int | None:
    if train is not None and isinstance(train.get("attempts"), list):
        return len(train["attempts"])
    count = card.get("attempts")
    return count if isinstance(count, int) else None


def _device(train: Mapping[str, Any] | None, card: Mapping[str, Any]) -> str:
    if train is not None:
        origin = train.get("provenance")
        return str(origin.get("device", "")) if isinstance(origin, dict) else ""
    return str(card.get("device", ""))


def _last_fid(folder: Path, protocols: tuple[str, ...], problems: list[str]) -> Score | None:
    """The FID of the longest training that was measured, by the first FID protocol that has one."""
    for name in protocols:
        if name not in PROTOCOLS or PROTOCOLS[name].metric != "fid":
            continue
        records = _listed(folder / METRICS / name, problems)
        if records:
            path = folder / METRICS / name / max(records)
            record = _object(path, problems)
            if record is None:
                continue
            value, cur_nimg = _number(record, "value"), _images(record)
            if cur_nimg is None:
                problems.append(_no_images(path, record))
            elif value is not None:
                return Score(name, value, cur_nimg)
    return None


def _count(metrics: Path, protocols: tuple[str, ...]) -> int:
    return sum(len(_listed(metrics / name)) for name in protocols)


def _listed(folder: Path, problems: list[str] | None = None) -> list[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        if problems is not None:
            problems.append(f"{folder}: cannot be read ({error.strerror})")
        return []
    return [name for name in names if name.endswith(".json") and not name.startswith(".")]


def _number(content: Mapping[str, Any] | None, key: str) -> float | None:
    value = (content or {}).get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def kimg_of(nimg: int | None) -> str:
    """`1,200` thousand images for people; `?` while unknown."""
    if nimg is None:
        return "?"
    kimg = nimg_to_kimg(nimg)
    return f"{kimg:,.0f}" if kimg >= 100 or kimg == int(kimg) else f"{kimg:.3g}"
