"""`msgbench logs` and `msgbench cancel`: the log of a run, and the end of the work for it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgbench.errors import LaunchError
from msgbench.launch.queue import QueueSilent, ask_queue, run
from msgbench.launch.record import JobRecord
from msgbench.locks import process_start_ticks
from msgbench.status.runs import Planned
from msgbench.status.work import Work, last_log_lines, work_of

TASKS = ("train", "evaluate")
_POLL_SECONDS = 0.5


def log_of(plan: Planned, task: str | None = None) -> Path:
    """The log to read for a run: of its job, else of its rule; of the task that wrote last unless `task` says.

    Raises LaunchError when there is none yet.
    """
    found = []
    for name in TASKS if task is None else (task,):
        work = work_of(plan.folder, name, {})
        if work is not None and work.log is not None and work.log.is_file():
            found.append(work.log)
    if not found:
        what = "log" if task is None else f"log of {task}"
        raise LaunchError(f"{plan.run_id}: has no {what} in {plan.folder} yet")
    return max(found, key=lambda path: path.stat().st_mtime)


def show_log(path: Path, lines: int) -> None:
    """Print the last lines of a log."""
    for line in last_log_lines(path, lines):
        print(line)
    sys.stdout.flush()


def follow_log(path: Path, stop: Callable[[], bool] = lambda: False) -> None:
    """Print what is appended to a log from now on, until the reader or `stop` ends it."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        rest = b""
        while True:
            ends = stop()
            rest += file.read()
            *whole, rest = rest.split(b"\n")
            for line in whole:
                if not line.startswith(b"submitit "):
                    print(line.decode(errors="replace"), flush=True)
            if ends:
                return
            time.sleep(_POLL_SECONDS)


def cancel(plan: Planned) -> list[str]:
    """End everything that works for a run or waits to; what was done, a line each.

    A training that runs saves first where its launcher lets it; only jobs and processes that are proved to be this
    run's are ended. Raises LaunchError when nothing works for it, and when something cannot be ended from here.
    """
    done = []
    for task in TASKS:
        done += _cancel_slurm(plan, task)
        work = work_of(plan.folder, task, {})
        if work is None or work.state not in ("running", "unknown"):
            continue
        if work.launcher in ("local", "inline"):
            done.append(_end_process(plan, work))
    if not done:
        raise LaunchError(f"{plan.run_id}: nothing runs or waits for it")
    return done


def _cancel_slurm(plan: Planned, task: str) -> list[str]:
    """Cancel the living Slurm jobs of one task: found by name, so that a lost record does not hide one."""
    from msgbench.launch.slurm import job_name

    record = JobRecord.read(plan.folder, task)
    is_slurm = record is not None and record.launcher == "slurm"
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
