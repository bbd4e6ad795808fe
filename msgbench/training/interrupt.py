"""Signals become flags: the loop looks at them at step boundaries, never in the middle of a step."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Literal

OnTerm = Literal["stop", "save-and-continue"]


class StopRequest:
    """Context manager that catches SIGINT, SIGTERM and SIGUSR2.

    `signum` is set when the training shall save and stop. With `on_term="save-and-continue"` a SIGTERM
    sets `save_now` instead (a scheduler that preempts takes the process away itself and wants it to go
    on until then); SIGUSR2, its word that the time is nearly up, always means save and stop. A second SIGINT
    is Python's usual KeyboardInterrupt, for the impatient.
    """

    def __init__(self, on_term: OnTerm = "stop") -> None:
        self.on_term = on_term
        self.signum: int | None = None
        self.save_now = False

    def __enter__(self) -> StopRequest:
        self._before = {
            signum: signal.signal(signum, self._note)
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
        }
        return self

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGTERM and self.on_term == "save-and-continue":
            self.save_now = True
            return
        if signum == signal.SIGINT and self.signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = signum

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
