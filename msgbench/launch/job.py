"""A command as a submitit job: a command line, never a model or a function of ours.

When the scheduler asks for the machine back (SIGUSR2), the command is told to save and the job requeues
itself; the same command line, started again, goes on from the newest training state.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission

from msgbench.errors import LaunchError
from msgbench.launch.child import Child, running, running_child
from msgbench.launch.ends import FRUITLESS
from msgbench.layout import JOB_OUTPUT, METRICS, STATES
from msgbench.records import write_text

_POLL_SECONDS = 0.1
# A command has no handler in its first seconds: it is told again and again.
_TELL_SECONDS = 1.0
# Between a saved state and the end of a command that stops after saving.
_GRACE_SECONDS = 2.0
# Requeues in a row that found nothing new in the folder.
_MOST_FRUITLESS = 3
# Between a SIGUSR2 that ended the command and ours, when a scheduler sends it to all processes.
_SIGNAL_SECONDS = 30.0
# Between the SIGKILL that ended the command and ours, when Slurm ends the job: one process after the other.
_KILL_SECONDS = 10.0
# Between the end of the first process that saved and that of the others, when the job is requeued.
_REQUEUE_SECONDS = 180.0
# Ports at which the processes of a job meet: below those that systems give out by themselves.
_FIRST_PORT, _PORTS = 12_000, 20_000


@dataclass(frozen=True)
class CommandJob:
    """`argv`, run in the folder `cwd`, for the run directory `run_dir`.

    `environment` holds variables that the command gets as the submitter had them (None = unset), whatever
    the executor makes of them. `stop_signal` makes the command save and end (None: it is ended at once, its
    records are whole at any time), `save_seconds` bounds the wait for that before a requeue. The command is
    born with the signals `ignored` ignored, SIGUSR2 always among them. A copy of the file `kept_output` is kept
    in the job's folder after a success.
    """

    argv: tuple[str, ...]
    run_dir: str
    cwd: str
    environment: tuple[tuple[str, str | None], ...] = ()
    save_seconds: float = 60.0
    stop_signal: int | None = signal.SIGTERM
    ignored: tuple[int, ...] = ()
    kept_output: str | None = None
    progress: str | None = None
    fruitless: int = 0

    def __call__(self) -> int:
        """Run the command to its end; its exit code (128 + n after death by signal n)."""
        _remove_leftovers()
        rank = rank_variables()
        # SIGUSR2 is for this process. Where a scheduler sends it to all processes of the job, it would
        # kill the command in the seconds before that has a handler.
        ignored = (signal.SIGUSR2, *(signal.Signals(number) for number in self.ignored))
        while True:
            with running(
                self.argv, Path(self.cwd), {**dict(self.environment), **rank}, ignored=ignored
            ) as child:
                code = child.wait()
            if code == 0 and self.kept_output is not None:
                _keep(Path(self.kept_output))
            if code == 128 + signal.SIGKILL and "SLURM_JOB_ID" in os.environ:
                # Cancelled, preempted or requeued: then this process has to die without a result, too.
                time.sleep(_KILL_SECONDS)
            if code != 128 + signal.SIGUSR2:
                return code
            if rank and rank["RANK"] != "0":
                # All processes of a training stop together; the first one's job puts the whole back into the queue.
                time.sleep(_REQUEUE_SECONDS)
                return code
            # The command got the scheduler's signal before us: ours ends this wait and requeues the job.
            time.sleep(_SIGNAL_SECONDS)

    def checkpoint(self) -> DelayedSubmission:
        """Have the command save, end it, and ask for this job again.

        submitit calls this inside its signal handler, on top of `child.wait()`: waiting for the process
        here as well would never return, so this only looks. Raises LaunchError when the job was put back
        several times and nothing came of it.
        """
        child = running_child()
        if child is not None:
            self._save_and_end(child)
        progress = progress_of(Path(self.run_dir))
        fruitless = self.fruitless + 1 if progress == (self.progress or "") else 0
        if fruitless >= _MOST_FRUITLESS:
            raise LaunchError(
                f"{FRUITLESS}: its time limit came {fruitless} times in a row before anything new was "
                "saved; give it a larger runtime"
            )
        return DelayedSubmission(replace(self, progress=progress, fruitless=fruitless))

    def _save_and_end(self, child: Child) -> None:
        if self.stop_signal is not None:
            before = _newest_state(Path(self.run_dir))
            deadline = time.monotonic() + self.save_seconds
            told = -_TELL_SECONDS
            saved = False
            while not child.has_ended() and time.monotonic() < deadline:
                if not saved and time.monotonic() - told >= _TELL_SECONDS:
                    told = time.monotonic()
                    child.send(self.stop_signal)
                if not saved and _newest_state(Path(self.run_dir)) != before:
                    saved = True
                    deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
                time.sleep(_POLL_SECONDS)
        # States are written atomically: a command that goes on after saving may be ended anywhere.
        child.send(signal.SIGKILL)


def rank_variables() -> dict[str, str]:
    """What tells a process of several in this Slurm job who it is, as torchrun names it; empty in a job of one.

    They meet at the first node, at a port that follows from the job's number.
    """
    if int(os.environ.get("SLURM_NTASKS", "1")) == 1 or "SUBMITIT_FOLDER" not in os.environ:
        return {}
    job = JobEnvironment()
    return {
        "RANK": str(job.global_rank),
        "LOCAL_RANK": str(job.local_rank),
        "WORLD_SIZE": str(job.num_tasks),
        "MASTER_ADDR": job.hostnames[0],
        "MASTER_PORT": str(_FIRST_PORT + int(job.raw_job_id) % _PORTS),
    }


def progress_of(folder: Path) -> str:
    """What changes when work in `folder` gets on: the length of its newest state, the number of its records.

    A state that was only written again, because nothing was trained since, is no progress.
    """
    newest = max((card.name for card in (folder / STATES).glob("*.json")), default="")
    records = sum(1 for _ in (folder / METRICS).glob("*/*.json"))
    return f"{newest} {records}" if newest or records else ""


def _newest_state(folder: Path) -> tuple[int, str] | None:
    """What changes when a training state is complete: its checksum file is written last."""
    cards = (folder / STATES).glob("*.json")
    return max(((card.stat().st_mtime_ns, card.name) for card in cards), default=None)


def _remove_leftovers() -> None:
    """Remove what earlier starts of this Slurm job left.

    Half a pickle, that submitit was writing when it was killed and would refuse to write again; a result, of a
    start whose wish to be requeued was heard although it had no answer.
    """
    folder, job_id = os.environ.get("SUBMITIT_FOLDER"), os.environ.get("SLURM_JOB_ID")
    if folder and job_id:
        # Of several processes each removes its own; what was submitted is the first one's.
        rank = os.environ.get("SLURM_PROCID", "0")
        patterns = [f"{job_id}_{rank}_*.save_tmp", f"{job_id}_{rank}_result.pkl"]
        if rank == "0":
            patterns.append(f"{job_id}_submitted*.save_tmp")
        for pattern in patterns:
            for leftover in Path(folder).glob(pattern):
                leftover.unlink(missing_ok=True)


def _keep(output: Path) -> None:
    folder = os.environ.get("SUBMITIT_FOLDER")
    if folder and output.exists():
        write_text(Path(folder) / JOB_OUTPUT, output.read_text(encoding="utf-8"))
