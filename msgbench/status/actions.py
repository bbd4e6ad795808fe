"""`msgbench logs` and `msgbench cancel`: the log of a run, and the end of the work for it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO, NoReturn

from msgbench.errors import LaunchError
from msgbench.launch.queue import Answer, QueueSilent, ask_queue, run
from msgbench.launch.slurm_jobs import job_name
from msgbench.layout import LOGS
from msgbench.locks import process_start_ticks
from msgbench.status.runs import TASKS, Planned
from msgbench.status.work import Work, read_record, work_of

_POLL_SECONDS = 0.5
_MOST_BYTES = 1 << 16


def log_of(plan: Planned, task: str | None = None) -> Path:
    """The log to read for a run: of its job, else of its rule; of the task that wrote last unless `task` says.

    Raises LaunchError when there is none yet.
    """
    found = []
    for name in TASKS if task is None else (task,):
        try:
            record = read_record(plan.folder, name)
        except LaunchError:
            record = None  # what its command said may be there all the same
        logs = [] if record is None else [record.log]
        # Everything that a job says is in its own log, and more than its command's log has.
        logs.append(plan.folder / LOGS / f"{name}.log")
        found += [log for log in logs if os.path.isfile(log)][:1]
    if not found:
        what = "log" if task is None else f"log of {task}"
        raise LaunchError(f"{plan.run_id}: has no {what} in {plan.folder} yet")
    return max(found, key=lambda path: path.stat().st_mtime)


def show_log(path: Path, lines: int) -> int:
    """Print the last whole lines of a log (of its last 64 kB); where it was read to."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _MOST_BYTES))
        text = file.read(_MOST_BYTES)
    whole = text[: text.rfind(b"\n") + 1]
    _print([line for line in whole.splitlines() if line.strip()], lines)
    return size - len(text) + len(whole)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise LaunchError(f"{path}: cannot be read ({error.strerror})") from None


def follow_log(path: Path, place: int) -> NoReturn:
    """Print what stands in a log from `place` on and what is appended, whole lines, until the reader ends it."""
    with path.open("rb") as file:
        file.seek(place)
        rest = b""
        while True:
            rest += file.read()
            *whole, rest = rest.split(b"\n")
            _print(whole)
            time.sleep(_POLL_SECONDS)


def _print(found: list[bytes], most: int | None = None) -> None:
    """Print lines, submitit's own left out."""
    lines = [line for line in found if not line.startswith(b"submitit ")]
    for line in lines if most is None else lines[len(lines) - most if most < len(lines) else 0 :]:
        print(line.decode(errors="replace"))
    sys.stdout.flush()


def cancel(plan: Planned) -> list[str]:
    """End everything that works for a run or waits to; what was done, a line each.

    A training that runs saves first where its launcher lets it; only jobs and processes that are proved to be this
    run's are ended. Raises LaunchError when nothing works for it, and when something cannot be ended from here.
    """
    done: list[str] = []
    unreadable: list[str] = []
    for task in TASKS:
        cancelled = _cancel_slurm(plan, task)
        done += cancelled
        work = work_of(plan.folder, task, Answer(time.time(), {}))
        # A process that works for a cancelled job on this machine is Slurm's to end.
        if work is not None and work.state in ("running", "unknown") and not cancelled:
            done.append(_end_process(plan, work))
        elif work is not None and work.state == "unreadable" and not cancelled:
            unreadable.append(work.reason)
    if unreadable:
        sentence = f"{plan.run_id}: Slurm has no such job, and whether one of this machine runs is not known"
        raise LaunchError("; ".join([*done, f"{sentence} ({unreadable[0]})"]))
    if not done:
        raise LaunchError(f"{plan.run_id}: nothing runs or waits for it")
    return done


def _cancel_slurm(plan: Planned, task: str) -> list[str]:
    """Cancel the living Slurm jobs of one task: found by name, so that no lost or broken record hides one."""
    try:
        record = read_record(plan.folder, task)
        is_slurm = record is not None and record.launcher == "slurm"
    except LaunchError:
        record, is_slurm = None, shutil.which("squeue") is not None
    try:
        jobs = ask_queue(job_name(plan.folder, task)).jobs
    except QueueSilent as silent:
        if not is_slurm:
            return []  # no Slurm here, and none is needed
        raise LaunchError(f"{plan.run_id}: Slurm does not answer ({silent}); try again") from None
    done = []
    for job_id, job in jobs.items():
        if job.is_final:
            continue
        code, _, problem = run(["scancel", job_id])
        if code != 0:
            raise LaunchError(f"{plan.run_id}: scancel {job_id} failed: {problem.strip()}")
        if record is not None and record.job_id == job_id:
            record.ended("CANCELLED", f"job {job_id} was cancelled by msgbench cancel").write(
                plan.folder
            )
        done.append(f"{plan.run_id}: cancelled job {job_id} ({task}, {job.state})")
    return done


def _end_process(plan: Planned, work: Work) -> str:
    """Interrupt the process of this machine that works for the run, after looking that it still is that one."""
    if work.state == "unknown" or work.pid is None:
        raise LaunchError(
            f"{plan.run_id}: {work.task} {work.reason or 'cannot be seen from here'}; run msgbench cancel there"
        )
    record = work.record
    if record is not None and process_start_ticks(work.pid) != record.start_ticks:
        raise LaunchError(f"{plan.run_id}: nothing runs or waits for it")
    os.kill(work.pid, signal.SIGINT)
    what = f"job {work.job_id}" if work.job_id else f"process {work.pid}"
    return f"{plan.run_id}: told {what} to stop ({work.task}); it saves and ends"
