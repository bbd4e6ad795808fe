"""The end of a job that is no success, as one sentence."""

from __future__ import annotations

import signal
from pathlib import Path

from msgbench.launch.ends import End
from msgbench.launch.record import JobRecord
from msgbench.launch.tail import last_lines
from msgbench.layout import job_file


def sentence(record: JobRecord, run_dir: Path, end: End) -> str:
    """What happened to the job of `record`, its last lines, and where to look."""
    return (
        f"{run_dir}: job {record.job_id} {_what(end)}; its last lines: {last_lines(record.log, 3)} "
        f"(log: {record.log}; record: {run_dir / job_file(record.task)})"
    )


def _what(end: End) -> str:
    if end.state == "BROKEN":
        return "could not run its command"
    if end.code is None:
        return "ended without a result, it was probably killed"
    if end.code > 128:
        return f"was ended by {_signal_name(end.code - 128)} (exit code {end.code})"
    return f"failed with exit code {end.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
