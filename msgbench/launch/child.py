"""A command as a child process that gets our signals, each exactly once.

The child leads a process group of its own: Ctrl-C in a terminal reaches us alone, and we pass it on.
Otherwise it would come twice, and the second SIGINT means "at once, without saving" to a training.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from msgbench.errors import LaunchError

# A closed terminal (SIGHUP) shall save like a polite kill does; the command knows only that one.
_PASSED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
}

# The child of this process, for a signal handler that cannot be handed it.
_running: list[Child] = []


class Child:
    """A running command."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait(self) -> int:
        """Wait for the end; the exit code, 128 + n after death by signal n as a shell has it."""
        # Without reaping: a handler that runs meanwhile may still look at the process and signal it.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def has_ended(self) -> bool:
        """Whether it has ended; never waits and takes no lock, so that a signal handler may ask."""
        try:
            flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:
            return True

    def send(self, signum: int) -> None:
        """Send a signal to the command; nothing happens when it has ended."""
        if not self.has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signum)


def running_child() -> Child | None:
    """The child that this process waits for, if any."""
    return _running[-1] if _running else None


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    folder: Path | None = None,
    environment: Mapping[str, str | None] | None = None,
    ignored: Sequence[signal.Signals] = (),
) -> Iterator[Child]:
    """Start `argv` (in `folder`) and pass SIGINT, SIGTERM and SIGHUP on to it while the block runs.

    `environment` changes variables (None removes one). The child is born with the signals `ignored`
    ignored: that outlives exec, until the command sets handlers of its own. Raises LaunchError when the
    command cannot be started. Call it from the main thread.
    """
    variables = {**os.environ, **(environment or {})}
    passed_on = [
        signum for signum in _PASSED_ON if signal.getsignal(signum) is not signal.SIG_IGN
    ]  # nohup and `command &` in a script have ignored some on purpose
    before: dict[int, signal.Handlers | object] = {}
    # No signal may come between the birth of the child and the moment a handler can find it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*passed_on, *ignored})

    def born() -> None:
        for signum in ignored:
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    try:
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env={name: value for name, value in variables.items() if value is not None},
                process_group=0,
                preexec_fn=born,
            )
        except OSError as error:
            raise LaunchError(f"{argv[0]}: cannot be started ({error.strerror})") from None
        child = Child(process)
        _running.append(child)

        def pass_on(signum: int, frame: FrameType | None) -> None:
            child.send(_PASSED_ON[signal.Signals(signum)])

        for signum in passed_on:
            before[signum] = signal.signal(signum, pass_on) or signal.SIG_DFL
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        yield child
    finally:
        for number, handler in before.items():
            # typeshed knows no type for what signal.signal itself returned.
            signal.signal(number, handler)  # type: ignore[arg-type]
        _running.remove(child)
