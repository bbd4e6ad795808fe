"""The overview for people (lines) and for machines (JSON)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgbench.records import now
from msgbench.status.overview import Overview, seconds_since
from msgbench.status.runs import RUN_STATES, SILENT_SECONDS, RunStatus, kimg_of
from msgbench.units import format_duration, nimg_to_kimg

STATUS_SCHEMA = "msgbench.status/1"

_HEAD = ("run", "state", "kimg", "img/s", "ETA", "attempts", "where", "hours", "FID", "loss D / G")
# States that need a word of why.
_WITH_REASON = ("failed", "unknown", "unreadable", "stopped", "cancelled", "trained")
_RIGHT = (3, 4, 5, 7, 8)


def lines(overview: Overview) -> list[str]:
    """The whole overview as lines."""
    total = len(overview.runs)
    counts = ", ".join(f"{count} {state}" for state, count in overview.counts.items())
    out = [f"tier {overview.tier}: {total} run{'' if total == 1 else 's'}: {counts or 'none'}"]
    works = [run.work for run in (*overview.runs, *overview.orphans)]
    works += [other.work for other in overview.others]
    if overview.problem and any(work.state == "unknown" for work in works if work is not None):
        out.append(f"Slurm does not answer ({overview.problem}); jobs are shown as unknown")
    elif overview.asked is not None:
        out[0] += f" (queue of {seconds_since(overview.asked):.0f} s ago)"
    ordered = sorted(overview.runs, key=lambda run: RUN_STATES.index(run.state))
    if ordered:
        out += _table([_HEAD, *map(_row, ordered)])
    out += _remarks(ordered)
    out += [
        f"{other.folder.name}: {other.work.task} {other.work.state}"
        + (f", {other.work.reason}" if other.work.reason else "")
        for other in overview.others
        if other.work.state != "gone"
    ]
    if overview.orphans or overview.lost_jobs:
        out.append("orphans, which no spec of the config names any more:")
    for run in overview.orphans:
        where = f", {_where(run)}" if run.lives else ""
        where += f" ({run.reason})" if run.state == "unreadable" else ""
        out.append(f"  {run.plan.folder}: {run.state}, {_kimg(run)} kimg{where}")
    for job in overview.lost_jobs:
        out.append(f"  job {job.job_id} ({job.job.state}) for {job.folder}, which is not there")
    return out


def _row(run: RunStatus) -> tuple[str, ...]:
    state: str = run.state
    if run.lives and run.task == "evaluate":
        state = "measuring" if state == "running" else f"{state} (measure)"
    trains = run.state == "running" and run.task == "train"
    return (
        f"{run.plan.experiment}/seed{run.plan.seed}",
        state,
        _kimg(run),
        _short(run.images_per_second)
        if run.images_per_second and (trains or not run.lives)
        else "",
        format_duration(run.eta_seconds) if run.eta_seconds is not None else "",
        "" if run.attempts is None else str(run.attempts),
        _where(run),
        f"{run.device_hours:.2f}" if run.device_hours else "",
        "" if run.fid is None else f"{run.fid.value:.2f} @{kimg_of(run.fid.cur_nimg)}",
        "" if run.loss_d is None or run.loss_g is None else f"{run.loss_d:.3g} / {run.loss_g:.3g}",
    )


def _kimg(run: RunStatus) -> str:
    return f"{kimg_of(run.cur_nimg)}/{kimg_of(run.plan.total_nimg)}"


def _where(run: RunStatus) -> str:
    work = run.work
    if work is None or not run.lives:
        return ""
    job = f"job {work.job_id}" if work.job_id else ""
    return " ".join(part for part in (work.node, job) if part)


def _remarks(runs: Iterable[RunStatus]) -> list[str]:
    """What a table has no room for: why something waits, failed or is silent."""
    out = []
    for run in runs:
        name = f"{run.plan.experiment}/seed{run.plan.seed}"
        if run.state in _WITH_REASON and run.reason:
            out.append(f"{name}: {run.state}: {run.reason}")
            # The sentence of a launcher has the last lines in it, and a log has its command's error.
            if not any(line.strip() in run.reason for line in run.log_lines):
                out += [f"    {line}" for line in run.log_lines if run.reason not in line]
        elif run.state == "queued" and run.reason:
            out.append(f"{name}: waits: {run.reason}")
        elif run.silent_seconds is not None and run.silent_seconds > SILENT_SECONDS:
            silent = format_duration(run.silent_seconds)
            out.append(f"{name}: has written no statistics for {silent}; look at `msgbench logs`")
        elif run.reason:
            out.append(f"{name}: {run.reason}")
    return out


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    columns = [n for n in range(len(_HEAD)) if any(row[n] for row in rows[1:])]
    widths = {n: max(len(row[n]) for row in rows) for n in columns}
    return [
        "  "
        + "  ".join(
            row[n].rjust(widths[n]) if n in _RIGHT else row[n].ljust(widths[n]) for n in columns
        ).rstrip()
        for row in rows
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def to_json(overview: Overview) -> dict[str, Any]:
    """The whole overview as data."""
    return {
        "schema": STATUS_SCHEMA,
        "tier": overview.tier,
        "written": now(),
        "slurm": {
            "problem": overview.problem or None,
            "answered": None
            if overview.asked is None
            else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(overview.asked)),
        },
        "counts": dict(overview.counts),
        "runs": [_run(run) for run in overview.runs],
        "orphans": [_run(run) for run in overview.orphans],
        "other_work": [
            {
                "folder": str(other.folder),
                "task": other.work.task,
                "state": other.work.state,
                "launcher": other.work.launcher,
                "job_id": other.work.job_id or None,
                "reason": other.work.reason or None,
            }
            for other in overview.others
        ],
        "lost_jobs": [
            {"job_id": lost.job_id, "state": lost.job.state, "folder": str(lost.folder)}
            for lost in overview.lost_jobs
        ],
    }


def _run(run: RunStatus) -> dict[str, Any]:
    work = run.work
    return {
        "run": run.plan.run_id,
        "experiment": run.plan.experiment,
        "seed": run.plan.seed,
        "folder": str(run.plan.folder),
        "current": run.plan.current,
        "state": run.state,
        "task": run.task,
        "launcher": work.launcher if work else None,
        "job_id": work.job_id or None if work else None,
        "node": work.node or None if work else None,
        "reason": run.reason or None,
        "log": _path(work.log if work else None),
        "log_lines": list(run.log_lines),
        "kimg": nimg_to_kimg(run.cur_nimg),
        "total_kimg": None if run.plan.total_nimg is None else nimg_to_kimg(run.plan.total_nimg),
        "images_per_second": run.images_per_second,
        "eta_seconds": None if run.eta_seconds is None else round(run.eta_seconds),
        "silent_seconds": None if run.silent_seconds is None else round(run.silent_seconds),
        "attempts": run.attempts,
        "device": run.device or None,
        "device_hours": round(run.device_hours, 4),
        "fid": None
        if run.fid is None
        else {
            "protocol": run.fid.protocol,
            "value": run.fid.value,
            "kimg": nimg_to_kimg(run.fid.cur_nimg),
        },
        "loss_d": run.loss_d,
        "loss_g": run.loss_g,
        "records": run.measured,
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
