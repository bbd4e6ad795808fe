"""How a job ended: by its result, or by what the process table or Slurm says."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import NamedTuple

from msgbench.launch.record import JobRecord

# How the sentence begins of a job that was requeued in vain.
FRUITLESS = "does not get on"


class End(NamedTuple):
    """`code` is the exit code of the command (128 + n after death by signal n), None when it left none.

    `state` is FINISHED (the command ended by itself), BROKEN (the job could not run it or put it back into the
    queue; `trace` says why), GONE (nobody knows), or a final state of Slurm.
    """

    state: str
    code: int | None = None
    trace: str = ""


class Stand(NamedTuple):
    """Where a job stands: its `end`; while it has none Slurm's word for it in `state`, "" while Slurm is silent."""

    end: End | None
    state: str = ""


def result_of(record: JobRecord) -> End | None:
    """The end that the job itself wrote down, None when it did not."""
    if not record.result_pickle.exists():
        return None
    from submitit.core.utils import pickle_load

    try:
        kind, value = pickle_load(record.result_pickle)  # of our own CommandJob: a number or a text
    except (OSError, UnpicklingError, EOFError, ValueError, TypeError) as error:
        return End("BROKEN", trace=f"{record.result_pickle}: cannot be read ({error})")
    return End("FINISHED", code=int(value)) if kind == "success" else End("BROKEN", trace=value)


def may_go_on(end: End) -> bool:
    """Whether Slurm took the job away for no fault of its own, so that the next one goes on where it was.

    Slurm requeues such jobs itself; these are the ends where it did not, or where the job's own request failed.
    """
    return end.state in ("NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "TIMEOUT") or could_not_requeue(end)


def could_not_requeue(end: End) -> bool:
    """Whether the job saved at its time limit and then had no answer, or no program, to ask for its requeue."""
    last = end.trace.strip().rpartition("\n")[2]
    return end.state == "BROKEN" and "'scontrol'" in last
