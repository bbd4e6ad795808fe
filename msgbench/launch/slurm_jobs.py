"""Finding a Slurm job again that no record names.

The submitting machine died, or somebody deleted the record: the job is found by its name, which follows from folder
and task. Nothing is submitted before Slurm said that there is no such job.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgbench.console import say
from msgbench.errors import LaunchError
from msgbench.launch.order import Order
from msgbench.launch.queue import NAME_PREFIX, JobState, QueueSilent, ask_queue, run
from msgbench.launch.record import JobRecord
from msgbench.layout import JOBS

# How long a controller may be silent while something is submitted, and how often it is asked.
PATIENCE_SECONDS = 600.0
RETRY_SECONDS = 5.0
# Shown for a moment before Slurm requeues a job.
PASSING_STATES = frozenset({"NODE_FAIL", "PREEMPTED", "BOOT_FAIL"})
LOOK_AGAIN_SECONDS = 2.0


def job_name(folder: Path, task: str) -> str:
    """`msgbench-<task>-<experiment>-<fingerprint>-seed<k>-<hex>`, by the folder alone; the same each time.

    The last part is of the folder's absolute path, and tells two copies of the project apart.
    """
    folder = folder.resolve()
    parts = folder.parts[-3:] if re.fullmatch(r"seed\d+", folder.name) else folder.parts[-1:]
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))[-100:]
    return f"{NAME_PREFIX}{task}-{label}-{sha256(os.fsencode(folder)).hexdigest()[:8]}"


def adopt(order: Order, resources: Mapping[str, Any] | None = None) -> JobRecord | None:
    """The living job of this folder and task that Slurm knows and no record names; writes its record.

    `resources` are those that it was submitted with; those of `order` need not be, and are not taken for them.
    Waits while Slurm does not answer, for some minutes: without an answer nothing may be submitted.
    """
    name = job_name(order.folder, order.task)
    found = _living(name)
    if found is None:
        return None
    job_id, state = found
    folder = _folder_of(job_id, order)
    _complete_submission(folder, job_id)
    submitted = datetime.fromtimestamp(state.submitted or time.time(), UTC)
    record = JobRecord.of_name(
        replace(order, resources=dict(resources or {})),
        job_id,
        folder,
        name,
        cluster_name(),
        submitted.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    record.write(order.folder)
    return record


def _living(name: str) -> tuple[str, JobState] | None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    looks, told = 0, False
    while True:
        try:
            jobs = ask_queue(name).jobs
        except QueueSilent as silent:
            if not told:
                told = True
                say(
                    f"{name}: Slurm does not answer ({silent}); nothing is submitted before it does"
                )
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"Slurm does not answer ({silent}), and without an answer nothing is submitted; try again later"
                ) from None
            time.sleep(RETRY_SECONDS)
            continue
        living = {number: state for number, state in jobs.items() if not state.is_final}
        if living:
            return max(living.items(), key=lambda item: item[1].submitted)
        looks += 1
        if looks >= 3 or not any(state.state in PASSING_STATES for state in jobs.values()):
            return None
        time.sleep(LOOK_AGAIN_SECONDS)


def _folder_of(job_id: str, order: Order) -> Path:
    """Where submitit keeps the files of a job: beside its log."""
    code, out, _ = run(["squeue", "--noheader", f"--jobs={job_id}", "--Format=StdErr:4096"])
    log = Path(out.strip())
    jobs = order.folder / JOBS
    if code == 0 and log.parent.is_dir() and log.parent.parent.resolve() == jobs.resolve():
        return jobs / log.parent.name
    raise LaunchError(
        f"{order.title}: job {job_id} works for this folder, but its files are not in {jobs}; "
        f"wait for its end, or end it by `scancel {job_id}`"
    )


def _complete_submission(folder: Path, job_id: str) -> None:
    """Put the pickle in its place when the submitter died between sbatch and that."""
    place = folder / f"{job_id}_submitted.pkl"
    waiting = [path for path in folder.glob("*.pkl") if re.fullmatch("[0-9a-f]{32}", path.stem)]
    if not place.exists() and len(waiting) == 1:
        waiting[0].rename(place)


def cluster_name() -> str:
    """The cluster's name, "" when it cannot be told."""
    try:
        _, out, _ = run(["scontrol", "show", "config"])
    except QueueSilent:
        return ""
    found = re.search(r"^ClusterName\s*=\s*(\S+)", out, re.MULTILINE)
    return found.group(1) if found else ""
