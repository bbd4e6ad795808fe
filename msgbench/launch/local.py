"""The launcher `local`: submitit jobs of this machine that survive their starter."""

from __future__ import annotations

import os
import time
from pathlib import Path

import submitit

from msgbench.launch.ends import End, result_of
from msgbench.launch.job import CommandJob
from msgbench.launch.order import Order
from msgbench.launch.record import JobRecord
from msgbench.launch.tail import Tail

_POLL_SECONDS = 0.5
# submitit ends every local job after a time; this one does not occur.
_NO_LIMIT_MINUTES = 10 * 365 * 24 * 60


def submit_local(order: Order, folder: Path) -> JobRecord:
    """Submit to submitit's LocalExecutor, with its files in `folder`, and write the record."""
    executor = submitit.LocalExecutor(folder=folder)
    executor.update_parameters(timeout_min=_NO_LIMIT_MINUTES)
    job = executor.submit(
        CommandJob(
            argv=order.argv,
            run_dir=str(order.folder),
            cwd=str(Path.cwd()),
            # The executor hides all GPUs from jobs that do not count theirs.
            environment=(("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")),),
        )
    )
    record = JobRecord.of_process(order, job.job_id, folder, int(job.job_id))
    record.write(order.folder)
    return record


def local_end(record: JobRecord) -> End | None:
    """How a local job ended, None while it runs."""
    # submitit takes every job for finished that another process started, so it is not asked.
    ended = result_of(record)
    if ended is None and not record.process_lives():
        # The process may have ended, and written its result, since we looked.
        ended = result_of(record) or End("GONE")
    return ended


def wait_for_local(record: JobRecord, tail: Tail) -> None:
    """Show what the job says until it has ended."""
    while local_end(record) is None:
        tail.show()
        time.sleep(_POLL_SECONDS)
    tail.show()
