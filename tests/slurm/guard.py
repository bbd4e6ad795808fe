"""Finding the processes of a test cluster by what stands in their environment, and ending them.

As a script (`python guard.py NAME=VALUE FOLDER`) it waits for the end of the process that started it (its
stdin closes), kills what that left behind and removes FOLDER.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path


def marked(*marks: str) -> set[int]:
    """Pids of the living processes whose environment holds all `marks` (NAME=VALUE), and of all below them.

    Not this process. A step daemon overwrites a part of its environment with its title, so that the empty
    string, which ends the list for others, says nothing; a job's process may have no environment at all.
    """
    wanted = {mark.encode() for mark in marks}
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError):
            state, parent = (
                (Path("/proc") / entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            )
            if state != "Z":
                parents[int(entry)] = int(parent)
            if wanted <= set((Path("/proc") / entry / "environ").read_bytes().split(b"\0")):
                found.add(int(entry))
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in found} - found
        found |= below
        grown = bool(below)
    return (found & parents.keys()) - {os.getpid()}


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    sys.stdin.read()
    for _ in range(3):  # a daemon may have been starting another process
        kill(marked(sys.argv[1]))
    shutil.rmtree(sys.argv[2], ignore_errors=True)
