"""Who works for a folder now, and how the last one ended: from its job record, its lock and Slurm's queue."""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgbench.errors import LaunchError
from msgbench.launch.ends import End, may_go_on, result_of
from msgbench.launch.queue import Answer, JobState
from msgbench.launch.record import JobRecord
from msgbench.launch.slurm_jobs import PASSING_STATES
from msgbench.layout import LOGS, METRICS, job_file
from msgbench.locks import process_start_ticks

WorkState = Literal[
    "queued", "running", "unknown", "unreadable", "succeeded", "failed", "cancelled", "gone"
]
LIVING: tuple[WorkState, ...] = ("queued", "running", "unknown")

Queue = Answer
"""What Slurm said, and when."""

# Slurm's words for a job that has its machine; in all others that are not final it waits for one.
_ON_A_NODE = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})
# An answer is of a whole second of Slurm's, a record of one of ours.
_SECONDS_OF_A_RECORD = 1.0

# Exit codes of a command that saved and stopped because a signal asked for it.
_ASKED_TO_STOP = (128 + signal.SIGINT, 128 + signal.SIGTERM)

# Folder of the lock that the process of a task holds, below the run directory.
_LOCKED = {"train": "", "evaluate": METRICS}


@dataclass(frozen=True)
class Work:
    """One task of a folder: who works on it, or how it ended."""

    task: str
    state: WorkState
    launcher: str
    job_id: str = ""
    node: str = ""
    reason: str = ""
    log: Path | None = None
    pid: int | None = None
    """Of the process of this machine that stands for the work."""
    record: JobRecord | None = None

    @property
    def lives(self) -> bool:
        """Whether it goes on, or may."""
        return self.state in LIVING


def work_of(
    folder: Path, task: str, queue: Queue | None, lost: tuple[str, JobState] | None = None
) -> Work | None:
    """The work of `task` for `folder`; None when nobody ever worked on it. `queue` is None while Slurm is silent.

    `lost` is a living job (number, state) for this folder and task that no record names.
    """
    log = folder / LOGS / f"{task}.log"
    if lost is not None:
        return _without_record(folder, task, *lost, log)
    inline = _lock_holder(folder, task, log)
    try:
        record = read_record(folder, task)
    except LaunchError as error:
        return inline or Work(task, "unreadable", "?", reason=str(error), log=log)
    if record is not None:
        try:
            work = _of_slurm(record, queue) if record.launcher == "slurm" else _of_local(record)
        except OSError as error:  # its folder cannot be entered
            reason = f"{error.filename}: cannot be read ({error.strerror})"
            return inline or Work(
                task, "unreadable", record.launcher, record.job_id, "", reason, log
            )
        # A job's process holds the lock, too; without a living job it is somebody else's.
        if work.lives or inline is None:
            return work
    return inline or _ended_in_place(task, log)


def read_record(folder: Path, task: str) -> JobRecord | None:
    """The record of a task's job, None without one; raises LaunchError when it cannot be read, for whatever reason."""
    try:
        return JobRecord.read(folder, task)
    except OSError as error:
        raise LaunchError(f"{folder / job_file(task)}: cannot be read ({error.strerror})") from None


def _of_slurm(record: JobRecord, queue: Queue | None) -> Work:
    ended = _written_end(record)
    if ended is not None:
        return ended
    job = None if queue is None else queue.jobs.get(record.job_id)
    if job is not None and not job.is_of(record.name, record.submit_time):
        job = None
    if job is None:
        if queue is None:
            return _job(record, "unknown", "Slurm does not answer")
        if queue.time < record.submit_time + _SECONDS_OF_A_RECORD:
            return _job(record, "queued", "just submitted")
        return _job(
            record, "gone", f"job {record.job_id} is in Slurm's queue no more and left no result"
        )
    if job.is_final and not _is_passing(job):
        if job.state == "CANCELLED":
            return _job(record, "cancelled", f"job {record.job_id} was cancelled")
        if job.state == "COMPLETED":
            return _job(record, "running", "its result is not visible here yet", job.node)
        more = "; started again it goes on" if may_go_on(End(job.state)) else ""
        return _job(record, "failed", f"job {record.job_id} ended as {job.state}{more}", job.node)
    if job.state in _ON_A_NODE:
        return _job(record, "running", "" if job.state == "RUNNING" else job.state, job.node)
    return _job(record, "queued", _why_it_waits(job))


def _is_passing(job: JobState) -> bool:
    """Whether Slurm may still take this end back, as the launcher sees it."""
    return job.state in PASSING_STATES


def _why_it_waits(job: JobState) -> str:
    return job.reason if job.reason not in ("", "None") else job.state


def _without_record(folder: Path, task: str, job_id: str, job: JobState, log: Path) -> Work:
    note = "its record is lost; the next start finds the job again"
    try:
        read_record(folder, task)
    except LaunchError:
        path = folder / job_file(task)
        note = f"its record cannot be read; without {path} the next start finds the job by its name"
    if job.state in _ON_A_NODE:
        return Work(task, "running", "slurm", job_id, job.node, note, log)
    return Work(task, "queued", "slurm", job_id, "", f"{_why_it_waits(job)}; {note}", log)


def _of_local(record: JobRecord) -> Work:
    ended = _written_end(record)
    if ended is not None:
        return ended
    try:
        lives = record.process_lives()
    except LaunchError:
        return _job(record, "unknown", f"runs on {record.host}, not seen from here", record.host)
    if lives:
        return _job(record, "running", "", record.host)
    # It may have ended, and written its result, since we looked.
    return _written_end(record) or _job(
        record, "gone", f"job {record.job_id} is gone and left no result; it was probably killed"
    )


def _job(record: JobRecord, state: WorkState, reason: str, node: str = "") -> Work:
    return Work(
        task=record.task,
        state=state,
        launcher=record.launcher,
        job_id=record.job_id,
        node=node,
        reason=reason,
        log=record.log,
        pid=record.pid,
        record=record,
    )


def _written_end(record: JobRecord) -> Work | None:
    """The end that the job itself wrote, or that stands in the record; None while there is none."""
    end = result_of(record)
    if end is not None and end.code == 0:
        return _job(record, "succeeded", "")
    if end is not None and end.code in _ASKED_TO_STOP:
        return _job(record, "cancelled", f"job {record.job_id} was asked to stop")
    if record.end is not None:
        state: WorkState = "cancelled" if record.end.get("state") == "CANCELLED" else "failed"
        return _job(record, state, record.end.get("sentence", ""))
    if end is None:
        return None
    if end.code is not None:
        return _job(record, "failed", f"job {record.job_id} ended with exit code {end.code}")
    last = end.trace.strip().rpartition("\n")[2]
    return _job(record, "failed", f"job {record.job_id} could not run its command: {last}")


def _lock_holder(folder: Path, task: str, log: Path) -> Work | None:
    """The living process that holds the task's lock; the lock itself is not touched."""
    if task not in _LOCKED:
        return None
    path = folder / _LOCKED[task] / f".{task}.lock"
    try:
        owner = json.loads(path.read_bytes() or b"null")
        host, pid, ticks = owner["host"], int(owner["pid"]), owner["start_ticks"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if host != socket.gethostname():
        return None  # a job's, or of a machine that cannot be asked
    if process_start_ticks(pid) != ticks:
        return None
    return Work(task, "running", "inline", node=host, log=log, pid=pid)


_ERROR = "msgbench: error: "


def _ended_in_place(task: str, log: Path) -> Work | None:
    """How a task without a job ended, as far as its log says."""
    if not os.path.isfile(log):
        return None
    last = next(reversed(last_log_lines(log, 1)), "")
    _, found, sentence = last.partition(_ERROR)
    if found:
        return Work(task, "failed", "inline", reason=sentence, log=log)
    return Work(task, "gone", "inline", log=log)


def last_log_lines(path: Path | None, count: int) -> list[str]:
    """The last lines of a log that are not submitit's own; none without it. Reads 64 kB at most."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 16)))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith("submitit ")][-count:]
