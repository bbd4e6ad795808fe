"""Submit or re-attach, wait, translate failures.

`inline` runs the command in place. `local` runs it as a submitit job of this machine: the job survives
its starter, and a second start finds it by job.json instead of starting a second one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

import submitit

from msgbench.console import say
from msgbench.errors import LaunchError, StoppedBySignal
from msgbench.launch.child import running
from msgbench.launch.job import CommandJob
from msgbench.launch.record import JobRecord
from msgbench.launch.tail import Tail, last_lines
from msgbench.layout import JOB_JSON, JOBS, TRAIN_JSON
from msgbench.locks import FolderLock

LAUNCHERS = ("inline", "local")

_POLL_SECONDS = 0.5
# submitit ends every local job after a time; this one does not occur.
_NO_LIMIT_MINUTES = 10 * 365 * 24 * 60
# submitit replaces these in paths, wherever they stand.
_RESERVED_IN_PATHS = ("%j", "%t", "%A", "%a")


def launch(argv: Sequence[str], run_dir: Path, launcher: str, output: Path | None = None) -> int:
    """Run `argv` for `run_dir` through `launcher`; the exit code of the command.

    A job that works for `run_dir` already is waited for, also when it was submitted by a process that is
    gone. A finished job's result is returned at once when it was a success and `output` (default: the
    run's train.json) exists; otherwise the command is started again. SIGINT and SIGTERM reach an inline
    command, and only end the waiting for a job (StoppedBySignal): the job goes on.

    Raises LaunchError for an unknown launcher and for a job that failed or vanished.
    """
    if launcher not in LAUNCHERS:
        raise LaunchError(f"launcher: {launcher!r} is not allowed; allowed: {', '.join(LAUNCHERS)}")
    output = output or run_dir / TRAIN_JSON
    with _stopped_by_signals():
        with FolderLock(run_dir, "launch", wait=True, say=say) as lock:
            record = JobRecord.read(run_dir)
            attached = record is not None and _is_running(record)
            if not attached:
                if launcher == "inline":
                    return _run_in_place(argv, run_dir)
                if record is not None and output.exists() and _result(record) == 0:
                    say(f"{run_dir}: job {record.job_id} has finished already")
                    return 0
                record = _submit_detached(argv, run_dir, lock)
        # The lock is free again: others may wait beside us, and none of them submits a second job.
        assert record is not None
        return _wait_for_job(record, run_dir, attached, tuple(argv))


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


def _submit_detached(argv: Sequence[str], run_dir: Path, lock: FolderLock) -> JobRecord:
    """Submit from a process of its own, so that neither Ctrl-C nor our death reaches the job.

    That process inherits our lock: when we are killed now, it still writes job.json before anybody else
    may look for one.
    """
    run_dir = run_dir.absolute()
    for reserved in _RESERVED_IN_PATHS:
        if reserved in str(run_dir):
            raise LaunchError(
                f"{run_dir}: has {reserved} in its path, which submitit replaces by numbers; "
                "choose another folder for results in config.yaml"
            )
    log = run_dir / JOBS / "submit.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    request = json.dumps({"argv": list(argv), "run_dir": str(run_dir)})
    with log.open("ab") as file:
        submitter = subprocess.Popen(
            [sys.executable, "-m", "msgbench.launch", request],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
        code = submitter.wait()
    record = JobRecord.read(run_dir)
    if code != 0 or record is None:
        raise LaunchError(
            f"{run_dir}: the job could not be submitted: {last_lines(log, 1)} (log: {log})"
        )
    say(f"{run_dir}: submitted as job {record.job_id}")
    return record


def submit(argv: Sequence[str], run_dir: Path) -> JobRecord:
    """Submit `argv` to submitit's LocalExecutor and write job.json; for `_submit_detached` only."""
    # A folder for each submission: ids are process numbers and come again, results must not.
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = run_dir / JOBS / f"{stamp}-{os.getpid()}"
    executor = submitit.LocalExecutor(folder=folder)
    executor.update_parameters(timeout_min=_NO_LIMIT_MINUTES)
    job = executor.submit(
        CommandJob(
            argv=tuple(argv),
            run_dir=str(run_dir),
            cwd=str(Path.cwd()),
            # The executor hides all GPUs from jobs that do not count theirs.
            environment=(("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")),),
        )
    )
    record = JobRecord.of_process("local", job.job_id, folder, tuple(argv), int(job.job_id))
    record.write(run_dir)
    return record


def _job(record: JobRecord) -> submitit.Job[int]:
    return submitit.LocalJob(record.folder, record.job_id)


def _is_running(record: JobRecord) -> bool:
    # submitit takes every job for finished that another process started, so it is not asked.
    return not _job(record).paths.result_pickle.exists() and record.process_lives()


def _result(record: JobRecord) -> int | None:
    """Exit code of the job's command; None when the job itself broke or left no result."""
    job = _job(record)
    if not job.paths.result_pickle.exists():
        return None
    try:
        return int(job.result())
    except submitit.core.utils.FailedJobError:
        return None


def _wait_for_job(record: JobRecord, run_dir: Path, attached: bool, argv: tuple[str, ...]) -> int:
    paths = _job(record).paths
    if attached:
        say(f"{run_dir}: job {record.job_id} of {record.submitted} is running; waiting for it")
        if record.argv != argv:
            say(f"{run_dir}: it was started as: {' '.join(record.argv)}")
    say(f"{run_dir}: log of the job: {paths.stderr}")
    tail = Tail(paths.stderr, from_end=attached)
    try:
        while _is_running(record):
            tail.show()
            time.sleep(_POLL_SECONDS)
    except StoppedBySignal:
        say(
            f"{run_dir}: job {record.job_id} goes on without us; the same command waits for it again, "
            f"`kill -INT {record.pid}` stops it"
        )
        raise
    tail.show()
    code = _result(record)
    if code == 0:
        return 0
    _fail(record, run_dir, code)


def _fail(record: JobRecord, run_dir: Path, code: int | None) -> NoReturn:
    paths = _job(record).paths
    stderr = paths.stderr
    if code is None and paths.result_pickle.exists():
        what = "could not run its command"
    elif code is None:
        what = "ended without a result, it was probably killed"
    elif code > 128:
        what = f"was ended by {_signal_name(code - 128)} (exit code {code})"
    else:
        what = f"failed with exit code {code}"
    raise LaunchError(
        f"{run_dir}: job {record.job_id} {what}; its last lines: {last_lines(stderr, 3)} "
        f"(log: {stderr}; record: {run_dir / JOB_JSON})"
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
