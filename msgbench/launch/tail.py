"""The log of a job that runs elsewhere, shown here. The waiting process imports this: little is imported."""

from __future__ import annotations

import os
import sys

# submitit's own notes about signals and pickles; they stay in the file.
_NOT_SHOWN = ("submitit ",)
_MOST_BYTES = 1 << 16


class Tail:
    """Copies what is appended to `path` to stderr, whole lines only."""

    def __init__(self, path: str | os.PathLike[str], from_end: bool) -> None:
        self._path = path
        self._place = os.stat(path).st_size if from_end and os.path.exists(path) else 0

    def show(self) -> None:
        """Show the lines that were added since the last call."""
        while self._show_part():
            pass

    def _show_part(self) -> bool:
        """Show at most 64 kB, so that a long log needs little memory; whether there may be more."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._place)
                added = file.read(_MOST_BYTES)
        except OSError:
            return False  # not there yet, or out of reach for a moment
        whole, newline, rest = added.rpartition(b"\n")
        if not newline and len(rest) == _MOST_BYTES:
            whole = rest  # one endless line
        self._place += len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            if not line.startswith(_NOT_SHOWN):
                print(line, file=sys.stderr, flush=True)
        return len(added) == _MOST_BYTES


def last_lines(path: str | os.PathLike[str], count: int, since: int = 0) -> str:
    """The last lines of a log in one line, for an error sentence; "(nothing)" when there are none.

    What stands before the byte `since` is left out.
    """
    lines = [line.strip() for line in end_of(path, since).splitlines() if line.strip()]
    shown = [line for line in lines if not line.startswith(_NOT_SHOWN)][-count:]
    return " | ".join(shown) or "(nothing)"


def end_of(path: str | os.PathLike[str], since: int = 0) -> str:
    """The last 64 kB of a file as text, from the byte `since` at the earliest; "" without it."""
    try:
        with open(path, "rb") as file:
            file.seek(max(since, os.fstat(file.fileno()).st_size - _MOST_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
