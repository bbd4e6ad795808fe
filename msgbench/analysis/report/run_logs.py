"""The logs of a run: their last lines, and how its last start ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgbench.analysis.collected import Run
from msgbench.analysis.report.parts import Link, link
from msgbench.layout import LOGS

LOG_LINES = 30
_LOG_BYTES = 1 << 15
_ERROR = "msgbench: error: "


@dataclass(frozen=True)
class LogTail:
    """The last lines of a log."""

    file: Link
    lines: tuple[str, ...]


def failure_of(run: Run) -> str:
    """How the last start of an incomplete run ended, in the words of its job or of its log; empty when unknown."""
    if run.reason is None:
        return ""
    end = (run.job or {}).get("end")
    if isinstance(end, dict) and end.get("sentence"):
        return str(end["sentence"])
    for task in ("evaluate", "train"):
        for line in reversed(log_tail(run.folder / LOGS / f"{task}.log")):
            _, found, sentence = line.partition(_ERROR)
            if found:
                return sentence
    return ""


def log_tail(path: Path, lines: int = LOG_LINES) -> list[str]:
    """The last `lines` lines of a log that are not empty; none when there is no log. Reads 32 kB at most."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def log_tails(run: Run, folder: Path) -> Iterator[LogTail]:
    """The logs that hold anything, by name."""
    for path in sorted((run.folder / LOGS).glob("*.log")):
        if lines := log_tail(path):
            yield LogTail(link(path.name, path, folder), tuple(lines))
