"""The log of a job that runs elsewhere, shown here."""

from __future__ import annotations

import sys
from pathlib import Path

# submitit's own notes about signals and pickles; they stay in the file.
_NOT_SHOWN = ("submitit ",)


class Tail:
    """Copies what is appended to `path` to stderr, whole lines only."""

    def __init__(self, path: Path, from_end: bool) -> None:
        self._path = path
        self._place = path.stat().st_size if from_end and path.exists() else 0

    def show(self) -> None:
        """Show the lines that were added since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._place)
                added = file.read()
        except FileNotFoundError:
            return
        whole, newline, _ = added.rpartition(b"\n")
        self._place += len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            if not line.startswith(_NOT_SHOWN):
                print(line, file=sys.stderr, flush=True)


def last_lines(path: Path, count: int) -> str:
    """The last lines of a log in one line, for an error sentence; "(nothing)" when there are none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "(nothing)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = [line for line in lines if not line.startswith(_NOT_SHOWN)][-count:]
    return " | ".join(shown) or "(nothing)"
