"""How a Slurm job ended: its own result, else what the queue says of it, else its accounting."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

from msgbench.errors import LaunchError
from msgbench.launch.ends import End, Stand, could_not_requeue, result_of
from msgbench.launch.queue import JobState, QueueSilent, ask_accounting, ask_queue
from msgbench.launch.record import JobRecord
from msgbench.launch.slurm_jobs import LOOK_AGAIN_SECONDS, PASSING_STATES, cluster_name
from msgbench.layout import job_file

# A result may become visible on this machine after Slurm's word that the job has ended.
_RESULT_SECONDS = 5.0
_OUTPUT_SECONDS = 60.0


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
        time.sleep(LOOK_AGAIN_SECONDS)
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
