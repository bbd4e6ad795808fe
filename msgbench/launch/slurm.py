"""The launcher `slurm`: what a job asks for, what it runs, and its submission."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError

from msgbench.config import TASKS, JobResources
from msgbench.errors import LaunchError
from msgbench.launch.job import CommandJob
from msgbench.launch.kept import TASKS_WITH_COPY
from msgbench.launch.order import Order
from msgbench.launch.queue import without_slurm
from msgbench.launch.record import JobRecord
from msgbench.launch.slurm_jobs import (
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    adopt,
    cluster_name,
    job_name,
)

# Slurm wakes the job this long before its time limit, so that it can save.
SIGNAL_SECONDS = 120
# Time limits that a job may reach; what does not get on is stopped by CommandJob.
_MANY_TIMEOUTS = 1_000_000
# For submitit, where the limit is the partition's and unknown here.
_UNKNOWN_MINUTES = 366 * 24 * 60

_NO_ANSWER = re.compile(
    "unable to contact|timed out|connect failure|connection refused|connection reset|communication"
    "|zero bytes|standby|temporarily|try again|not responding",
    re.IGNORECASE,
)


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
    deadline = time.monotonic() + PATIENCE_SECONDS
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
        time.sleep(RETRY_SECONDS)
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
