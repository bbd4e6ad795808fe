"""Whether the other processes of a training still live, and who it was when one does not.

Collective operations of torch say that something broke, rarely who broke it, and wait for a process that hangs. So each
process counts up a number of its own in the store that they met in, from a thread, and looks at the others'. Whoever
finds one that stands still writes down what happened, for all to read. A process whose main thread cannot be
reached (it waits in a kernel for a dead GPU) is ended from here: no failure of one leaves the others hanging.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from types import TracebackType

from torch.distributed import Store

from msgbench.console import say
from msgbench.errors import MsgbenchError, StoppedBySignal, TrainingError

BEAT_SECONDS = 1.0
# A process that is killed is noticed at once by its neighbours, whose connections break; then who it was
# takes a few beats to tell.
TELL_SECONDS = 5.0
# Between the note of a failure and the end of a process that did not end by itself.
GRACE_SECONDS = 20.0
# How long the others leave it to the first process to say what happened, while that lives.
WORD_SECONDS = 15.0
# The first process, which may hold the store, stays until the others heard that it said it: those that beat.
STAY_SECONDS = 3.0
_FAILED, _SAID, _HEARD = "failed", "said", "heard"


class Heartbeat:
    """The beats of one process in `store`; `timeout_seconds` without one, and a process counts as lost."""

    def __init__(self, store: Store, rank: int, names: list[str], timeout_seconds: float) -> None:
        self._store, self._rank, self._names = store, rank, names
        self._timeout = timeout_seconds
        now = time.monotonic()
        self._seen = [(0, now) for _ in names]
        self._noted = ""
        self._is_told = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        """Beat while the block runs, and note for the others what ends it before its time."""
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A signal stops all of them at the same step.
        if error is not None and not isinstance(error, StoppedBySignal):
            own = isinstance(error, MsgbenchError)
            what = str(error) if own else f"{type(error).__name__}: {error}"
            self.note(f"{self._names[self._rank]} ended: {what}")
        self._ended.set()
        self._thread.join(5)

    def note(self, what: str) -> None:
        """Write down why this process ends, unless somebody noted a failure before."""
        with contextlib.suppress(RuntimeError), self._lock:
            self._store.compare_set(_FAILED, "", what)

    def noted(self) -> str:
        """What was noted by whoever was first, "" when nothing was."""
        with contextlib.suppress(RuntimeError), self._lock:
            if not self._noted and self._store.check([_FAILED]):
                self._noted = str(self._store.get(_FAILED).decode())
        return self._noted

    def has_the_word(self) -> bool:
        """Whether it is this process that says what ended them all: the first, or one of those that outlived it.

        Two would say it only where they cannot know of each other, because the store died with the first.
        """
        if self._is_told:
            return False
        try:
            with self._lock:
                return self._first_word() if self._rank == 0 else self._later_word()
        except RuntimeError:
            return True

    def _first_word(self) -> bool:
        self._store.set(_SAID, "0")
        began = time.monotonic()
        others = range(1, len(self._names))
        seen = dict.fromkeys(others, (0, began))
        with contextlib.suppress(RuntimeError):
            while time.monotonic() < began + WORD_SECONDS and seen:
                now = time.monotonic()
                for rank in list(seen):
                    count, since = seen[rank]
                    beats = self._store.add(f"beat/{rank}", 0)
                    # One that has not begun to beat is still on its way.
                    is_gone = beats and beats == count and now - since > STAY_SECONDS
                    if is_gone or self._store.check([f"{_HEARD}/{rank}"]):
                        del seen[rank]
                    elif beats != count:
                        seen[rank] = (beats, now)
                time.sleep(0.1)
        return True

    def _later_word(self) -> bool:
        self._store.set(f"{_HEARD}/{self._rank}", "")
        beats, beat = self._store.add("beat/0", 0), time.monotonic()
        deadline = beat + WORD_SECONDS
        try:
            # The first process counts as gone after a few beats without one; then the lowest is soonest.
            while time.monotonic() < min(deadline, beat + 3 * BEAT_SECONDS + 0.2 * self._rank):
                if self._store.check([_SAID]):
                    return False
                time.sleep(0.1)
                now = self._store.add("beat/0", 0)
                if now != beats:
                    beats, beat = now, time.monotonic()
            return (
                str(self._store.compare_set(_SAID, "", f"{self._rank}").decode()) == f"{self._rank}"
            )
        except RuntimeError:
            # It was there a moment ago, and left when it had said it.
            return False

    def why(self, error: Exception) -> str:
        """What broke the operation that raised `error`: a note, or the processes that beat no more."""
        began = time.monotonic()
        deadline = began + TELL_SECONDS
        while time.monotonic() < deadline:
            noted = self.noted()
            if noted:
                return noted
            time.sleep(BEAT_SECONDS / 2)
        silent = self._silent_since(began)
        if silent is None:
            return f"{self._names[0]}, in which the processes meet, is gone"
        if not silent:
            return f"the processes lost each other ({str(error).splitlines()[0]})"
        self.note(_gone(silent))
        return self.noted() or _gone(silent)

    def _silent_since(self, moment: float) -> list[str] | None:
        """Names of those that have not beaten since `moment`; None when the store is gone."""
        if not self._look():
            return None
        return [
            name
            for rank, name in enumerate(self._names)
            if rank != self._rank and self._seen[rank][1] <= moment + BEAT_SECONDS
        ]

    def _beat(self) -> None:
        with self._lock:
            self._store.add(f"beat/{self._rank}", 1)

    def _look(self) -> bool:
        """Bring what is known of the others up to date; False when the store does not answer."""
        try:
            with self._lock:
                counts = [self._store.add(f"beat/{rank}", 0) for rank in range(len(self._names))]
        except RuntimeError:
            return False
        now = time.monotonic()
        for rank, count in enumerate(counts):
            if count != self._seen[rank][0]:
                self._seen[rank] = (count, now)
        return True

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            what = ""
            try:
                self._beat()
            except RuntimeError:
                what = f"{self._names[0]}, in which the processes meet, is gone"
            what = what or self.noted()
            if not what and self._look():
                silent = self._silent_since(time.monotonic() - self._timeout)
                if silent:
                    self.note(_gone(silent))
                    what = self.noted()
            if what:
                # The main thread hears of it by itself, unless it waits for the dead.
                if not self._ended_within_grace():
                    self._end_at_once(what)
                return

    def _ended_within_grace(self) -> bool:
        """Beat on for a while: a process that takes its time to end is not gone, and may have the word.

        When another has it, that one need not wait for this process, whose main thread may hear of it only by its end.
        """
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            if self._ended.wait(BEAT_SECONDS):
                return True
            with contextlib.suppress(RuntimeError):
                self._beat()
                with self._lock:
                    if not self._is_told and self._store.check([_SAID]):
                        self._is_told = True
                        self._store.set(f"{_HEARD}/{self._rank}", "")
        return False

    def _end_at_once(self, what: str) -> None:
        if self.has_the_word():
            say(f"msgbench: error: {sentence(what)}")
        os._exit(TrainingError.exit_code)


def _gone(names: list[str]) -> str:
    verb = "has" if len(names) == 1 else "have"
    return f"{', '.join(names)} {verb} died or does not answer"


def sentence(what: str) -> str:
    """The error of a training that lost one of its processes."""
    return f"the training lost a process and ends: {what}; started again, it goes on from its last training state"
