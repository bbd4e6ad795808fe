"""A Slurm job that was on its way out before this start: its end is waited for, and a new job follows.

A training does not heed SIGTERM, so a cancelled one stays COMPLETING until Slurm kills it (KillWait, 30 s where
nobody changed it).
"""

from __future__ import annotations

import os
import time

from msgbench.launch.queue import QueueSilent, poll_seconds, shared_answer
from msgbench.launch.record import JobRecord

_LOOK_SECONDS = 1.0


def is_dying(record: JobRecord, state: str) -> bool:
    """Whether a job that has not ended yet, in Slurm's `state`, is known to end.

    A requeue passes through COMPLETING, too: `wait_for_death` comes back from it.
    """
    return record.launcher == "slurm" and (state == "COMPLETING" or was_cancelled(record))


def was_cancelled(record: JobRecord) -> bool:
    """Whether somebody noted in the record that the job was cancelled."""
    return record.end is not None and record.end["state"] == "CANCELLED"


def wait_for_death(record: JobRecord) -> None:
    """Return when the job is gone, left a result or is back in the queue; a Slurm that is silent is waited for."""
    began = time.time()
    while not os.path.exists(record.result_pickle):
        try:
            answer = shared_answer()
        except QueueSilent:
            answer = None
        # An answer from before may be from before the cancelling.
        if answer is not None and answer.time > began:
            state = answer.jobs.get(record.job_id)
            if state is None or not state.is_of(record.name, record.submit_time):
                return
            if state.is_final or not is_dying(record, state.state):
                return
        time.sleep(min(_LOOK_SECONDS, poll_seconds() / 2))
