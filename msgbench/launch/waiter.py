"""Waiting for a Slurm job, in a process as small as Python can be.

`msgbench launch` becomes this script while it waits (`exec`, the same process) and this script becomes `msgbench
launch` again when the job has ended: a workflow waits for hundreds of jobs on a login node. Started as
`python -I -S waiter.py REQUEST`; only the standard library, and little of it.
"""

from __future__ import annotations

import os
import sys
import time

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from msgbench.launch.queue import JobState, QueueSilent, poll_seconds, shared_answer
from msgbench.launch.tail import Tail

# Names the folder of the job that a `msgbench launch` has waited for already.
WAITED_FOR = "MSGBENCH_WAITED_FOR"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_LOOK_SECONDS = 2.0
# Slurm may be silent this long before it is worth a line.
_SILENT_SECONDS = 120.0


class Awaited(NamedTuple):
    """A job to wait for: what it is called here (`title`), and where its result and its log appear."""

    title: str
    job_id: str
    name: str
    submit_time: float
    folder: str
    result: str
    log: str
    log_from_end: bool


def wait(job: Awaited, say: Callable[[str], None]) -> None:
    """Return when the job has left a result, or when Slurm said twice that it has ended or is unknown.

    Shows what the job says and where it stands. A Slurm that does not answer is waited for.
    """
    tail = Tail(job.log, job.log_from_end)
    queue = _Queue(job, say)
    interval = poll_seconds()
    while not queue.has_ended():
        end = time.monotonic() + interval / 2
        while time.monotonic() < end:
            tail.show()
            if os.path.exists(job.result):
                tail.show()
                return
            time.sleep(min(_LOOK_SECONDS, interval / 2))
    tail.show()


class _Queue:
    """The job in Slurm's answers, one after the other."""

    def __init__(self, job: Awaited, say: Callable[[str], None]) -> None:
        self._job, self._say = job, say
        self._began = self._heard = time.time()
        self._ends = 0
        self._shown = ""
        self._is_silent = False

    def has_ended(self) -> bool:
        """Whether two answers in a row, both newer than this waiting, say that it has."""
        try:
            answer = shared_answer()
        except QueueSilent as silent:
            self._note_silence(str(silent))
            return False
        if answer.time <= self._heard:
            return False
        self._heard = answer.time
        if self._is_silent:
            self._is_silent = False
            self._say(f"{self._job.title}: Slurm answers again")
        state = answer.jobs.get(self._job.job_id)
        if state is not None and not state.is_of(self._job.name, self._job.submit_time):
            state = None
        if state is not None and not state.is_final:
            self._ends = 0
            self._show(state)
            return False
        self._ends += 1
        # Nothing brings a cancelled job back; what else looks like an end may be the way into the queue again.
        return self._ends >= 2 or (state is not None and state.state == "CANCELLED")

    def _show(self, state: JobState) -> None:
        words = state.state.lower()
        if state.node:
            words += f" on {state.node}"
        elif state.reason not in ("", "None"):
            words += f" ({state.reason})"
        if words != self._shown:
            self._shown = words
            self._say(f"{self._job.title}: job {self._job.job_id} is {words}")

    def _note_silence(self, problem: str) -> None:
        if not self._is_silent and time.time() - self._heard > _SILENT_SECONDS:
            self._is_silent = True
            self._say(
                f"{self._job.title}: Slurm does not answer ({problem}); the job is waited for all the same"
            )


def farewell(job: Awaited) -> str:
    """What to say when the waiting ends before the job."""
    return (
        f"{job.title}: job {job.job_id} goes on without us; the same command waits for it again, "
        f"`scancel {job.job_id}` ends it"
    )


def become_waiter(job: Awaited, again: list[str], log: str | None) -> NoReturn:
    """Become this script, which becomes the command `again` in the end. Signals stay blocked on the way."""
    request = json.dumps({"job": job, "again": again, "log": log})
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, request])


def _say_to(log: str | None) -> Callable[[str], None]:
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        if log is not None:
            try:
                with open(log, "a", encoding="utf-8") as file:
                    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text, file=file)
            except OSError:
                pass  # a disk that is full for a while must not end the waiting

    return say


def main(text: str) -> NoReturn:
    """Wait for the job of the request `text`, then become its command."""
    request: dict[str, Any] = json.loads(text)
    job = Awaited(*request["job"])
    say = _say_to(request["log"])

    def leave(signum: int, frame: FrameType | None) -> None:
        say(farewell(job))
        os._exit(128 + signum)

    for signum in SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup
            signal.signal(signum, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    wait(job, say)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.environ[WAITED_FOR] = job.folder
    os.execv(request["again"][0], request["again"])


if __name__ == "__main__":
    main(sys.argv[1])
