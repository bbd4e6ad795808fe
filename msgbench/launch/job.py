"""A training as a submitit job: a command line, never a model or a function of ours.

When the scheduler asks for the machine back (SIGUSR2), the command is told to save and the job requeues
itself; the same command line, started again, goes on from the newest training state.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from submitit.helpers import DelayedSubmission

from msgbench.launch.child import Child, running, running_child
from msgbench.layout import STATES

_POLL_SECONDS = 0.1
# Between a saved state and the end of a command that stops after saving.
_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class CommandJob:
    """`argv`, run in the folder `cwd`, for the run directory `run_dir`.

    `environment` holds variables that the command gets as the submitter had them (None = unset), whatever
    the executor makes of them. `save_seconds` bounds the wait for a state before a requeue.
    """

    argv: tuple[str, ...]
    run_dir: str
    cwd: str
    environment: tuple[tuple[str, str | None], ...] = ()
    save_seconds: float = 60.0

    def __call__(self) -> int:
        """Run the command to its end; its exit code (128 + n after death by signal n)."""
        # SIGUSR2 is for this process. Where a scheduler sends it to all processes of the job, it would
        # kill the command in the seconds before that has a handler.
        with running(
            self.argv, Path(self.cwd), dict(self.environment), ignored=(signal.SIGUSR2,)
        ) as child:
            return child.wait()

    def checkpoint(self) -> DelayedSubmission:
        """Have the command save, end it, and ask for this job again.

        submitit calls this inside its signal handler, on top of `child.wait()`: waiting for the process
        here as well would never return, so this only looks.
        """
        child = running_child()
        if child is not None:
            self._save_and_end(child)
        return DelayedSubmission(self)

    def _save_and_end(self, child: Child) -> None:
        before = _newest_state(Path(self.run_dir))
        child.send(signal.SIGTERM)
        deadline = time.monotonic() + self.save_seconds
        saved = False
        while not child.has_ended() and time.monotonic() < deadline:
            if not saved and _newest_state(Path(self.run_dir)) != before:
                saved = True
                deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
            time.sleep(_POLL_SECONDS)
        # States are written atomically: a command that goes on after saving may be ended anywhere.
        child.send(signal.SIGKILL)


def _newest_state(run_dir: Path) -> tuple[int, str] | None:
    """What changes when a training state is complete: its checksum file is written last."""
    cards = (run_dir / STATES).glob("*.json")
    return max(((card.stat().st_mtime_ns, card.name) for card in cards), default=None)
