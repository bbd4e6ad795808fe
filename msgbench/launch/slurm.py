"""The launcher `slurm`: submission, and finding again what was submitted.

A job is found by its record. Where that is missing (the submitting machine died, somebody deleted it), it is
found by its name, which follows from folder and task; nothing is submitted before Slurm said that there is no
such job.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError

from msgbench.config import TASKS, JobResources
from msgbench.console import say
from msgbench.errors import LaunchError
from msgbench.launch.ends import End, Stand, could_not_requeue, result_of
from msgbench.launch.job import CommandJob
from msgbench.launch.kept import TASKS_WITH_COPY
from msgbench.launch.order import Order
from msgbench.launch.queue import (
    NAME_PREFIX,
    JobState,
    QueueSilent,
    ask_accounting,
    ask_queue,
    run,
    without_slurm,
)
from msgbench.launch.record import JobRecord
from msgbench.layout import JOBS, job_file

# Slurm wakes the job this long before its time limit, so that it can save.
SIGNAL_SECONDS = 120
# Time limits that a job may reach; what does not get on is stopped by CommandJob.
_MANY_TIMEOUTS = 1_000_000
# For submitit, where the limit is the partition's and unknown here.
_UNKNOWN_MINUTES = 366 * 24 * 60
# How long a controller may be silent while something is submitted, and how often it is asked.
_PATIENCE_SECONDS = 600.0
_RETRY_SECONDS = 5.0
# Shown for a moment before Slurm requeues a job.
PASSING_STATES = frozenset({"NODE_FAIL", "PREEMPTED", "BOOT_FAIL"})
_LOOK_AGAIN_SECONDS = 2.0
# A result may become visible on this machine after Slurm's word that the job has ended.
_RESULT_SECONDS = 5.0
_OUTPUT_SECONDS = 60.0

_NO_ANSWER = re.compile(
    "unable to contact|timed out|connect failure|connection refused|connection reset|communication"
    "|zero bytes|standby|temporarily|try again|not responding",
    re.IGNORECASE,
)


def job_name(folder: Path, task: str) -> str:
    """`msgbench-<task>-<experiment>-<fingerprint>-seed<k>-<hex>`, by the folder alone; the same each time.

    The last part is of the folder's absolute path, and tells two copies of the project apart.
    """
    folder = folder.resolve()
    parts = folder.parts[-3:] if re.fullmatch(r"seed\d+", folder.name) else folder.parts[-1:]
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))[-100:]
    return f"{NAME_PREFIX}{task}-{label}-{sha256(os.fsencode(folder)).hexdigest()[:8]}"


# -- submission -----------------------------------------------------------------------------------------------


def require_slurm(folder: Path) -> None:
    """Raise LaunchError where nothing can be submitted: no Slurm, or a path that it would rewrite."""
    for program in ("sbatch", "srun", "squeue"):
        if shutil.which(program) is None:
            raise LaunchError(
                f"launcher: slurm needs {program}, which is not on PATH; start it where jobs are submitted"
            )
    for reserved in ("%", "\\", "\n"):
        if reserved in str(folder):
            raise LaunchError(
                f"{folder}: has {reserved!r} in its path, which Slurm replaces; "
                "choose another folder for results in config.yaml"
            )


def submit_slurm(order: Order, folder: Callable[[], Path]) -> JobRecord:
    """Submit with the files in a new `folder()` for each try, and write the record.

    A controller that does not answer is asked again for some minutes. It may have taken the job all the same,
    so each further try looks for that first. Raises LaunchError with Slurm's own words when it refuses.
    """
    name = job_name(order.folder, order.task)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        place = folder()
        try:
            job_id = _sbatch(order, place, name)
            record = JobRecord.of_name(order, job_id, place, name, cluster_name())
            record.write(order.folder)
            return record
        except FailedJobError as error:
            words = _words(str(error))
        if not _NO_ANSWER.search(words) or time.monotonic() > deadline:
            raise LaunchError(f"Slurm did not take the job: {words}") from None
        print(f"Slurm does not answer, trying again: {words}", file=sys.stderr, flush=True)
        time.sleep(_RETRY_SECONDS)
        found = adopt(order, order.resources)
        if found is not None:
            return found


def _sbatch(order: Order, folder: Path, name: str) -> str:
    resources = JobResources.model_validate(order.resources)
    executor = _Executor(folder=folder, max_num_timeout=_MANY_TIMEOUTS, python=_python())
    executor.update_parameters(**sbatch_parameters(resources, name, order.task))
    job_id: str = executor.submit(command_job(order, resources)).job_id
    return job_id


def _python() -> str:
    """Python, deaf to what Slurm sends in the second before submitit has its handlers."""
    return f'sh -c \'trap "" TERM USR2; exec "$@"\' sh {shlex.quote(sys.executable)}'


class _Executor(submitit.SlurmExecutor):
    """Without a time limit of ours where none was asked for: the partition has one."""

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        text: str = super()._make_submission_file_text(command, uid)
        unlimited = f"#SBATCH --time={_UNKNOWN_MINUTES}\n"
        return text.replace(unlimited, "")


def sbatch_parameters(resources: JobResources, name: str, task: str) -> dict[str, Any]:
    """`resources` of a job of `task` under submitit's names, and what every job of ours asks for."""
    assert task in TASKS, "checked"
    memory = {"mem": resources.mem_mb, "mem_per_cpu": resources.mem_mb_per_cpu}
    asked: dict[str, Any] = {
        "partition": resources.slurm_partition,
        "account": resources.slurm_account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "gpus_per_node": resources.gpu or None,
        "gres": resources.gres,
        "cpus_per_task": resources.cpus_per_task,
        **{key: None if value is None else f"{value}M" for key, value in memory.items()},
    }
    if resources.cpus_per_task is not None:
        # Since 22.05 srun does not take it from the job's environment.
        asked["srun_args"] = [f"--cpus-per-task={resources.cpus_per_task}"]
    return {
        **{key: value for key, value in asked.items() if value is not None},
        "job_name": name,
        "time": resources.runtime or _UNKNOWN_MINUTES,
        "nodes": resources.nodes or 1,
        "ntasks_per_node": resources.tasks_of(task),
        "signal_delay_s": signal_seconds(resources),
        "wckey": None,  # submitit's own; clusters that keep such keys refuse unknown ones
        "additional_parameters": {"requeue": True, **resources.extra_options()},
    }


def signal_seconds(resources: JobResources) -> int:
    """How long before the time limit the job is told: two minutes, or half of a short limit."""
    return min(SIGNAL_SECONDS, (resources.runtime or _UNKNOWN_MINUTES) * 60 // 2)


def command_job(order: Order, resources: JobResources) -> CommandJob:
    """The job for `order`: its command frozen, and deaf to SIGTERM as Slurm sends it.

    Slurm sends SIGTERM to all processes before it takes the machine away, and requeues a preempted job only if
    that did not end by itself. So a training saves and goes on, and everything else goes on.
    """
    trains = order.task == "train"
    return CommandJob(
        argv=(_program(order.argv[0]), *order.argv[1:]),
        run_dir=str(order.folder),
        cwd=str(Path.cwd()),
        environment=_variables(order, resources),
        save_seconds=0.75 * signal_seconds(resources),
        stop_signal=signal.SIGUSR2 if trains else None,
        ignored=(signal.SIGTERM,),
        kept_output=str(order.output) if order.task in TASKS_WITH_COPY else None,
    )


def _program(name: str) -> str:
    """`name` with its folder: on PATH, or beside this Python, whose environment may not be activated."""
    beside = Path(sys.executable).parent
    return shutil.which(name) or shutil.which(name, path=str(beside)) or name


def _variables(order: Order, resources: JobResources) -> tuple[tuple[str, str], ...]:
    variables = {}
    if order.task == "train":
        variables["MSGBENCH_ON_TERM"] = "save-and-continue"
    if resources.cpus_per_task is not None:
        variables["OMP_NUM_THREADS"] = str(resources.cpus_per_task)
    return tuple(variables.items())


def _words(text: str) -> str:
    """What sbatch said, in one line."""
    lines = [re.sub(r"^(sbatch: )?(error: )?", "", line.strip()) for line in text.splitlines()]
    return "; ".join(line for line in lines if line) or "(it said nothing)"


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` as a job may have it: nothing of an allocation, and nothing of this machine's own.

    A workflow sets folders for temporary files and numbers of threads for the rule that waits here.
    """
    own = re.compile(r"TMPDIR|TMP|TEMP|TEMPDIR|[A-Z]+_NUM_THREADS|VECLIB_MAXIMUM_THREADS")
    return {
        name: value for name, value in without_slurm(environment).items() if not own.fullmatch(name)
    }


# -- finding again --------------------------------------------------------------------------------------------


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
    deadline = time.monotonic() + _PATIENCE_SECONDS
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
            time.sleep(_RETRY_SECONDS)
            continue
        living = {number: state for number, state in jobs.items() if not state.is_final}
        if living:
            return max(living.items(), key=lambda item: item[1].submitted)
        looks += 1
        if looks >= 3 or not any(state.state in PASSING_STATES for state in jobs.values()):
            return None
        time.sleep(_LOOK_AGAIN_SECONDS)


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


# -- how it ended ---------------------------------------------------------------------------------------------


def slurm_stand(record: JobRecord) -> Stand:
    """How a Slurm job ended, or what Slurm says of it; without `end` and `state` while Slurm does not answer.

    Where there is no Slurm to ask, an end that was noted in the record is believed. Raises LaunchError for a job
    that cannot be asked about: of another cluster, or without Slurm.
    """
    ended = result_of(record)
    if ended is not None and not could_not_requeue(ended):
        return Stand(ended)
    if shutil.which("squeue") is None:
        return Stand(_noted_end(record))
    try:
        state = _look(record)
        if ended is not None and not _is_requeued(record, state):
            return Stand(ended)
        if state is not None and (ended is not None or not state.is_final):
            return Stand(None, state.state)
        if state is None:
            _require_cluster(record)
    except QueueSilent:
        return Stand(None)
    patience = _RESULT_SECONDS if state is None or state.state in ("COMPLETED", "FAILED") else 0.0
    late = _late_result(record, patience)
    return Stand(late or End("GONE" if state is None else state.state))


def _noted_end(record: JobRecord) -> End:
    if record.end is not None:
        return End(record.end["state"])
    of = f" of the cluster {record.cluster}" if record.cluster else ""
    raise LaunchError(
        f"{record.folder}: the Slurm job {record.job_id}{of} stands in {job_file(record.task)}, and squeue is not on "
        "PATH here; start msgbench where Slurm is, or remove that record when the job is gone"
    )


def _is_requeued(record: JobRecord, state: JobState | None) -> bool:
    """Whether Slurm requeued a job that had no answer to its request; then what it left is no result."""
    requeued = state is not None and not state.is_final and state.state != "COMPLETING"
    if requeued:
        record.result_pickle.unlink(missing_ok=True)
    return requeued


def _look(record: JobRecord) -> JobState | None:
    """Slurm's word on the job now, its accounting's when it was long ago; None when nobody knows it."""
    for _ in range(3):
        state = ask_queue(record.name).jobs.get(record.job_id)
        if state is None or not state.is_of(record.name, record.submit_time):
            return _from_accounting(record)
        if state.state not in PASSING_STATES:
            break
        time.sleep(_LOOK_AGAIN_SECONDS)
    return state


def _from_accounting(record: JobRecord) -> JobState | None:
    """The end of a job that is in the queue no more; accounting hears of it some seconds later."""
    for seconds in (0.0, 3.0, 5.0):
        time.sleep(seconds)
        state = ask_accounting(record.job_id)
        if state is None or not state.is_of(record.name, record.submit_time):
            return None
        if state.is_final:
            return state
    return None


def _late_result(record: JobRecord, seconds: float) -> End | None:
    deadline = time.monotonic() + seconds
    while True:
        if Path(record.folder).is_dir():
            os.listdir(record.folder)  # network file systems look again then
        ended = result_of(record)
        if ended is not None or time.monotonic() > deadline:
            return ended
        time.sleep(0.5)


def cluster_name() -> str:
    """The cluster's name, "" when it cannot be told."""
    try:
        _, out, _ = run(["scontrol", "show", "config"])
    except QueueSilent:
        return ""
    found = re.search(r"^ClusterName\s*=\s*(\S+)", out, re.MULTILINE)
    return found.group(1) if found else ""


def _require_cluster(record: JobRecord) -> None:
    here = cluster_name()
    if record.cluster and here and record.cluster != here:
        raise LaunchError(
            f"{record.folder}: job {record.job_id} was submitted on the cluster {record.cluster} and cannot be "
            f"seen from {socket.gethostname()} of {here}; start msgbench there, or remove "
            f"{job_file(record.task)} when it is gone"
        )


def wait_for_output(record: JobRecord, output: Path) -> None:
    """Wait until the output of a job that succeeded is visible here; raises LaunchError when it does not come."""
    deadline = time.monotonic() + _OUTPUT_SECONDS
    while not output.exists():
        if time.monotonic() > deadline:
            raise LaunchError(
                f"{output}: is not there although job {record.job_id} succeeded (log: {record.log})"
            )
        time.sleep(0.5)
        if output.parent.is_dir():
            os.listdir(output.parent)
