"""Submit or re-attach, wait, translate failures: the front door of the room.

`inline` runs the command in place. `local` runs it as a submitit job of this machine: the job survives
its starter, and a second start finds it by its record instead of starting a second one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from msgbench.console import say
from msgbench.errors import LaunchError, StoppedBySignal
from msgbench.launch import failures
from msgbench.launch.child import running
from msgbench.launch.ends import End
from msgbench.launch.order import Order
from msgbench.launch.record import JobRecord
from msgbench.launch.tail import Tail, last_lines
from msgbench.layout import JOBS, TRAIN_JSON
from msgbench.locks import FolderLock

LAUNCHERS = ("inline", "local")
TASKS = ("train", "prepare", "evaluate")

# submitit replaces these in paths, wherever they stand.
_RESERVED_IN_PATHS = ("%j", "%t", "%A", "%a")


def launch(
    argv: Sequence[str],
    run_dir: Path,
    launcher: str,
    task: str = "train",
    output: Path | None = None,
    resources: Mapping[str, Any] | None = None,
) -> int:
    """Run `argv` for the `task` of `run_dir` through `launcher`; the exit code of the command.

    A job that works for `run_dir` already is waited for, also when it was submitted by a process that is
    gone. A finished job's result is returned at once when it was a success and `output` (default: the
    run's train.json) exists; otherwise the command is started again. SIGINT and SIGTERM reach an inline
    command, and only end the waiting for a job (StoppedBySignal): the job goes on.

    Raises LaunchError for an unknown launcher or task and for a job that failed or vanished.
    """
    _require("launcher", launcher, LAUNCHERS)
    _require("task", task, TASKS)
    output = output or run_dir / TRAIN_JSON
    order = Order(tuple(argv), run_dir.absolute(), task, launcher, output, dict(resources or {}))
    waited_for: JobRecord | None = None
    with _stopped_by_signals():
        while True:
            with FolderLock(run_dir, f"launch-{task}", wait=True, say=say) as lock:
                record = JobRecord.read(run_dir, task)
                end = _end_of(record) if record is not None else None
                attached = record is not None and end is None
                if record is not None and end is not None:
                    if waited_for is not None and record.folder == waited_for.folder:
                        return _translate(record, run_dir, end)
                    if launcher != "inline" and end.code == 0 and output.exists():
                        say(f"{run_dir}: job {record.job_id} has finished already")
                        return 0
                if not attached:
                    if launcher == "inline":
                        return _run_in_place(argv, run_dir)
                    record = _submit_detached(order, lock)
            # The lock is free again: others may wait beside us, and none of them submits a second job.
            assert record is not None
            _wait(record, run_dir, attached, order.argv)
            waited_for = record


def _require(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise LaunchError(f"{what}: {value!r} is not allowed; allowed: {', '.join(allowed)}")


def _run_in_place(argv: Sequence[str], run_dir: Path) -> int:
    with running(argv) as child:
        code = child.wait()
    if code == 128 + signal.SIGKILL:
        say(f"{run_dir}: the command was killed (SIGKILL); the usual cause is too little memory")
    return code


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise StoppedBySignal in the block, unless they were ignored."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise StoppedBySignal(signum)

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {
        signum: signal.signal(signum, stop) or signal.SIG_DFL
        for signum in wanted
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


# -- jobs ------------------------------------------------------------------------------------------------


def _submit_detached(order: Order, lock: FolderLock) -> JobRecord:
    """Submit from a process of its own, so that neither Ctrl-C nor our death reaches the job.

    That process inherits our lock: when we are killed now, it still writes the record before anybody else
    may look for one.
    """
    for reserved in _RESERVED_IN_PATHS:
        if reserved in str(order.folder):
            raise LaunchError(
                f"{order.folder}: has {reserved} in its path, which submitit replaces by numbers; "
                "choose another folder for results in config.yaml"
            )
    log = order.folder / JOBS / f"{order.task}-submit.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        submitter = subprocess.Popen(
            [sys.executable, "-m", "msgbench.launch", order.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
        code = submitter.wait()
    record = JobRecord.read(order.folder, order.task)
    if code != 0 or record is None:
        raise LaunchError(
            f"{order.folder}: the job could not be submitted: {last_lines(log, 1)} (log: {log})"
        )
    say(f"{order.folder}: submitted as job {record.job_id}")
    return record


def submit(order: Order) -> JobRecord:
    """Submit the job of `order` and write its record; for `_submit_detached` only."""
    from msgbench.launch.local import submit_local

    # A folder for each submission: ids are process numbers and come again, results must not.
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return submit_local(order, order.folder / JOBS / f"{order.task}-{stamp}-{os.getpid()}")


def _end_of(record: JobRecord) -> End | None:
    """How the job of `record` ended, None while it has not."""
    from msgbench.launch.local import local_end

    return local_end(record)


def _wait(record: JobRecord, run_dir: Path, attached: bool, argv: tuple[str, ...]) -> None:
    from msgbench.launch.local import wait_for_local

    if attached:
        say(f"{run_dir}: job {record.job_id} of {record.submitted} is running; waiting for it")
        if record.argv != argv:
            say(f"{run_dir}: it was started as: {' '.join(record.argv)}")
    say(f"{run_dir}: log of the job: {record.log}")
    try:
        wait_for_local(record, Tail(record.log, from_end=attached))
    except StoppedBySignal:
        say(
            f"{run_dir}: job {record.job_id} goes on without us; the same command waits for it again, "
            f"`kill -INT {record.pid}` stops it"
        )
        raise


def _translate(record: JobRecord, run_dir: Path, end: End) -> int:
    """0 for a success; LaunchError for everything else, after it was noted in the record."""
    if end.code == 0:
        return 0
    what = failures.sentence(record, run_dir, end)
    record.ended(end.state, what).write(run_dir)
    raise LaunchError(what)
