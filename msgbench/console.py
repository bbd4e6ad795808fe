"""What a person sees while something runs: a live bar on a terminal, plain lines with ETA elsewhere.

`Progress` never writes control codes into a log file. The rate that the ETA is computed from is that of
the last minute, so that a slow start does not spoil it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from msgbench.errors import ConfigError
from msgbench.records import now
from msgbench.units import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_WINDOW_SECONDS = 60.0


_logs: list[TextIO] = []


def log_to(path: Path | None) -> None:
    """From now on everything that is said goes to the file `path` too: appended, plain, with the time."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _logs.append(path.open("a", encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--log: {path} cannot be written ({error.strerror})") from None


def say(text: str) -> None:
    """One line to the person at the terminal and to the log; stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)
    _note(text)


def _note(text: str) -> None:
    for file in _logs:
        print(f"{now()} {text}", file=file, flush=True)


def _longest_seconds() -> float:
    """How long a task may go on between two plain lines; 0 = as often as it likes."""
    try:
        return float(os.environ.get("MSGBENCH_PROGRESS_SECONDS", "0"))
    except ValueError:
        return 0.0


class Progress:
    """Progress of one task over `total` units; use as a context manager and call `advance_to`.

    On a terminal: a live bar with rate and ETA. Elsewhere: a plain line when it starts to take long, then
    every `every_seconds` (less and less often, down to every MSGBENCH_PROGRESS_SECONDS, where that is set),
    and one at the end. `start` is where a resumed task begins; it counts as done but
    not for the rate. `work`: what being done so far has cost, where units do not all cost the same; the ETA then
    follows that and not the number of units. Not `shown`, it only measures: of several processes that share a task one
    speaks.
    """

    def __init__(
        self,
        title: str,
        total: float,
        unit: str,
        start: float = 0,
        every_seconds: float = 10.0,
        live: bool | None = None,
        work: Callable[[float], float] | None = None,
        shown: bool = True,
    ) -> None:
        self._shown = shown
        self._work = work or float
        self.title, self.total, self.unit = title, total, unit
        self.done = start
        self._every = every_seconds
        self._longest = max(every_seconds, _longest_seconds())
        # Snakemake runs jobs side by side on one terminal: their live bars would overwrite each other.
        alone = os.environ.get("MSGBENCH_PROGRESS") != "plain"
        self._live = shown and ((alone and sys.stderr.isatty()) if live is None else live)
        self._began = self._last_line = time.monotonic()
        self._history: deque[tuple[float, float]] = deque([(self._began, start)])
        self._start = start
        self._rich: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        self._began = self._last_line = time.monotonic()
        self._history = deque([(self._began, self.done)])
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._rich = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[status]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=False,
            )
            self._rich.start()
            self._task = self._rich.add_task(
                self.title, total=self.total, completed=int(self.done), status=""
            )
        return self

    def advance_to(self, done: float, note: str = "") -> None:
        """State that `done` of the total units are done; `note` is shown beside (a loss, a file)."""
        self.done = done
        moment = time.monotonic()
        self._history.append((moment, done))
        while len(self._history) > 2 and moment - self._history[1][0] > _WINDOW_SECONDS:
            self._history.popleft()
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=int(done), status=self._status(note))
        if self._shown and moment - self._last_line >= self._every:
            self._last_line = moment
            self._every = min(2 * self._every, self._longest)
            tell = say if self._rich is None else _note
            tell(f"{self.title}: {self._status(note)}")

    def advance(self, by: float = 1, note: str = "") -> None:
        """`advance_to(done + by)`."""
        self.advance_to(self.done + by, note)

    @property
    def rate(self) -> float:
        """Units per second over the last minute; 0 while unknown."""
        (first, before), (last, after) = self._history[0], self._history[-1]
        return (after - before) / (last - first) if last > first else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the total is reached at the present rate of work; None while unknown."""
        (first, before), (last, after) = self._history[0], self._history[-1]
        worked = self._work(after) - self._work(before)
        if last <= first or worked <= 0:
            return None
        return (self._work(self.total) - self._work(self.done)) / worked * (last - first)

    def _status(self, note: str) -> str:
        eta = self.eta_seconds
        parts = [
            f"{_number(self.done)}/{_number(self.total)} {self.unit}",
            f"{_number(self.rate)} {self.unit}/s",
            f"ETA {format_duration(eta) if eta is not None else '?'}",
        ]
        return ", ".join([*parts, note] if note else parts)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rich is not None:
            self._rich.stop()
        seconds = time.monotonic() - self._began
        if kind is None and self._shown:
            rate = (self.done - self._start) / seconds if seconds > 0 else 0.0
            say(
                f"{self.title}: done, {_number(self.done)} {self.unit} in {format_duration(seconds)}"
                f" ({_number(rate)} {self.unit}/s)"
            )


def _number(value: float) -> str:
    """At most three significant digits behind the point, none for large numbers."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
