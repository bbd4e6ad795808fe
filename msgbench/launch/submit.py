"""Submit or re-attach, wait, translate failures: the front door of the room.

`inline` runs the command in place. `local` runs it as a submitit job of this machine, `slurm` as one of the
cluster's: such a job survives its starter, and a second start finds it by its record instead of starting a
second one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from msgbench.config import TASKS, JobResources, RunSpec, job_resources, require_task
from msgbench.config.split import check_processes
from msgbench.console import say
from msgbench.errors import LaunchError, StoppedBySignal
from msgbench.launch import failures, waiter
from msgbench.launch.child import running
from msgbench.launch.dying import is_dying, wait_for_death, was_cancelled
from msgbench.launch.ends import End, Stand, may_go_on
from msgbench.launch.order import Order
from msgbench.launch.record import BrokenRecord, JobRecord
from msgbench.launch.tail import Tail, last_lines
from msgbench.layout import JOBS, SPEC_JSON, TRAIN_JSON, job_file
from msgbench.locks import FolderLock

LAUNCHERS = ("inline", "local", "slurm")

# submitit replaces these in paths, wherever they stand.
_RESERVED_IN_PATHS = ("%j", "%t", "%A", "%a")
# Jobs in a row that Slurm may take away for good before anything new is saved.
_MOST_RESUBMITTED = 3
# A controller that is busy or away is waited for by the submitting process; this long without a word.
_SUBMIT_SECONDS = 15.0


# Turns this process into one that waits for the job of a record (and whether somebody else submitted it).
Become = Callable[[JobRecord, bool], None]


def launch(
    argv: Sequence[str],
    run_dir: Path,
    launcher: str,
    task: str = "train",
    output: Path | None = None,
    resources: Mapping[str, Any] | None = None,
    become: Become | None = None,
    waited_for: str | None = None,
) -> int:
    """Run `argv` for the `task` of `run_dir` through `launcher`; the exit code of the command.

    A job that works for `run_dir` already is waited for, also when it was submitted by a process that is
    gone. A finished job's result is returned at once when it was a success and `output` (default: the
    run's train.json) exists; otherwise the command is started again. SIGINT and SIGTERM reach an inline
    command, and only end the waiting for a job (StoppedBySignal): the job goes on. A job that Slurm took
    away for good without its fault is submitted again, and goes on where it was. One that was cancelled
    before this call and is still ending is waited for, and the command is started again.

    To wait for a Slurm job this process turns into something smaller through `become` (see `become_small`) and
    comes back with the folder of the job in `waited_for`; without `become` it waits itself.

    Raises ConfigError for `resources`, LaunchError for an unknown launcher or task and for a job that was
    refused, failed, was cancelled or vanished.
    """
    _require("launcher", launcher, LAUNCHERS)
    _require("task", task, TASKS)
    wanted = job_resources(resources or {}, "--resources")
    _check_resources(wanted, task, run_dir)
    asked = wanted.stated()
    output = output or run_dir / TRAIN_JSON
    order = Order(
        tuple(argv), run_dir.absolute(), task, launcher, output.absolute(), str(run_dir), asked
    )
    with _stopped_by_signals():
        while True:
            with FolderLock(run_dir, f"launch-{task}", wait=True, say=say) as lock:
                record = _read_record(order)
                end, state = Stand(None) if record is None else _stand_of(record)
                attached = record is not None and end is None
                if record is not None and end is not None:
                    if record.folder == waited_for:
                        if not _is_to_go_on(record, end):
                            return _translate(record, run_dir, end, output)
                        order = _next_order(order, record, end)
                    elif launcher != "inline" and end.code == 0 and _is_there(record, order):
                        say(f"{run_dir}: job {record.job_id} has finished already")
                        return 0
                if not attached:
                    if launcher == "inline":
                        return _run_in_place(argv, run_dir)
                    record, attached = _submit_or_adopt(order, lock)
                    state = _stand_of(record).state if attached else ""
            # The lock is free again: others may wait beside us, and none of them submits a second job.
            assert record is not None
            if attached and record.folder != waited_for and is_dying(record, state):
                why = "was cancelled and is" if was_cancelled(record) else "is"
                say(f"{run_dir}: job {record.job_id} {why} ending; waiting for its end")
                wait_for_death(record)
                continue
            if attached:
                _say_attached(record, order, state)
            _wait(record, run_dir, attached, become)
            waited_for = record.folder


def _check_resources(resources: JobResources, task: str, run_dir: Path) -> None:
    """Raise ConfigError for processes that the task, or the experiment of the run, cannot be shared by."""
    assert task in TASKS, "checked"
    require_task(resources, task, "--resources")
    if task == "train" and (run_dir / SPEC_JSON).exists():
        check_processes(RunSpec.read(run_dir).spec, resources.processes(task), "--resources")


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
    # Blocked while this process came back from waiting.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _read_record(order: Order) -> JobRecord | None:
    """The record of the folder; a broken one is like none where Slurm can be asked for the job by its name."""
    folder = Path(order.title)
    try:
        return JobRecord.read(folder, order.task)
    except BrokenRecord:
        if order.launcher != "slurm":
            raise
        path = folder / job_file(order.task)
        say(f"{path}: is not a job record; Slurm is asked for the job by its name")
        return None


def _submit_or_adopt(order: Order, lock: FolderLock) -> tuple[JobRecord, bool]:
    """The record of the job that works for the folder now, and whether it was there already."""
    if order.launcher == "slurm":
        from msgbench.launch.slurm import require_slurm
        from msgbench.launch.slurm_jobs import adopt

        require_slurm(order.folder)
        found = adopt(order)
        if found is not None:
            say(f"{order.title}: found job {found.job_id} ({found.name}), which had no record")
            return found, True
    return _submit_detached(order, lock), False


def _submit_detached(order: Order, lock: FolderLock) -> JobRecord:
    """Submit from a process of its own, so that neither Ctrl-C nor our death reaches the job.

    That process inherits our lock: when we are killed now, it still writes the record before anybody else
    may look for one.
    """
    for reserved in _RESERVED_IN_PATHS:
        if reserved in str(order.folder):
            raise LaunchError(
                f"{order.title}: has {reserved} in its path, which submitit replaces by numbers; "
                "choose another folder for results in config.yaml"
            )
    log = Path(order.title) / JOBS / f"{order.task}-submit.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        before = os.fstat(file.fileno()).st_size
        submitter = subprocess.Popen(
            [sys.executable, "-m", "msgbench.launch", order.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
            env=_environment(order.launcher),
        )
        try:
            code = submitter.wait(_SUBMIT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{order.title}: the job is not submitted yet, still trying (log: {log})")
            code = submitter.wait()
    record = JobRecord.read(order.folder, order.task) if code == 0 else None
    if code != 0 or record is None:
        why = last_lines(log, 1, since=before)
        raise LaunchError(f"{order.title}: the job could not be submitted: {why} (log: {log})")
    say(f"{order.title}: submitted as job {record.job_id}")
    return record


def _environment(launcher: str) -> dict[str, str]:
    if launcher != "slurm":
        return dict(os.environ)
    from msgbench.launch.slurm import job_environment

    return job_environment(os.environ)


def submit(order: Order) -> JobRecord:
    """Submit the job of `order` and write its record; for `_submit_detached` only."""
    tries = 0

    def folder() -> Path:
        # One for each submission: ids come again, results must not.
        nonlocal tries
        tries += 1
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return order.folder / JOBS / f"{order.task}-{stamp}-{os.getpid()}-{tries}"

    if order.launcher == "slurm":
        from msgbench.launch.slurm import submit_slurm

        return submit_slurm(order, folder)
    from msgbench.launch.local import submit_local

    return submit_local(order, folder())


def _stand_of(record: JobRecord) -> Stand:
    """How the job of `record` ended, or where it stands."""
    if record.launcher == "slurm":
        from msgbench.launch.slurm_ends import slurm_stand

        return slurm_stand(record)
    from msgbench.launch.local import local_end

    end = local_end(record)
    return Stand(end, "RUNNING" if end is None else "")


def _is_there(record: JobRecord, order: Order) -> bool:
    """Whether the output of a job that succeeded is there, or could be put back."""
    if order.output.exists():
        return True
    if record.argv != order.argv:
        return False
    from msgbench.launch.kept import put_back

    return put_back(record, order.output)


def _is_to_go_on(record: JobRecord, end: End) -> bool:
    return record.launcher == "slurm" and may_go_on(end) and not failures.ran_out_of_memory(record)


def _next_order(order: Order, record: JobRecord, end: End) -> Order:
    """The order for the job after `record`; raises LaunchError when too many came to nothing."""
    from msgbench.launch.job import progress_of

    progress = progress_of(order.folder)
    resubmitted = record.resubmitted + 1 if progress == record.progress else 0
    if resubmitted > _MOST_RESUBMITTED:
        what = (
            f"{order.title}: job {record.job_id} ended as {end.state}, as did {_MOST_RESUBMITTED} before it, "
            f"and nothing new was saved; look into {record.log}"
        )
        record.ended(end.state, what).write(order.folder)
        raise LaunchError(what)
    say(f"{order.title}: job {record.job_id} ended as {end.state}; it is submitted again")
    return replace(order, resubmitted=resubmitted, progress=progress)


def _say_attached(record: JobRecord, order: Order, state: str) -> None:
    runs = "is running" if state else "may be running (Slurm does not answer)"
    say(f"{order.title}: job {record.job_id} of {record.submitted} {runs}; waiting for it")
    if record.argv != order.argv:
        say(f"{order.title}: it was started as: {' '.join(record.argv)}")


def _wait(record: JobRecord, run_dir: Path, attached: bool, become: Become | None) -> None:
    say(f"{run_dir}: log of the job: {record.log}")
    if record.launcher == "slurm":
        if become is not None:
            become(record, attached)
        job = awaited(record, run_dir, attached)
        with _telling(waiter.farewell(job)):
            waiter.wait(job, say)
        return
    from msgbench.launch.local import wait_for_local

    with _telling(
        f"{run_dir}: job {record.job_id} goes on without us; the same command waits for it again, "
        f"`kill -INT {record.pid}` stops it"
    ):
        wait_for_local(record, Tail(record.log, from_end=attached))


@contextlib.contextmanager
def _telling(farewell: str) -> Iterator[None]:
    try:
        yield
    except StoppedBySignal:
        say(farewell)
        raise


def awaited(record: JobRecord, run_dir: Path, attached: bool) -> waiter.Awaited:
    """The job of `record` as the waiting process knows it."""
    return waiter.Awaited(
        title=str(run_dir),
        job_id=record.job_id,
        name=record.name,
        submit_time=record.submit_time,
        folder=record.folder,
        result=str(record.result_pickle),
        log=str(record.log),
        log_from_end=attached,
    )


def _translate(record: JobRecord, run_dir: Path, end: End, output: Path) -> int:
    """0 for a success; LaunchError for everything else, after it was noted in the record."""
    if end.code == 0:
        if record.launcher == "slurm":
            from msgbench.launch.slurm_ends import wait_for_output

            wait_for_output(record, output)
        return 0
    what = failures.sentence(record, run_dir, end)
    record.ended(end.state, what).write(run_dir)
    raise LaunchError(what)
