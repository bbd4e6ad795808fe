"""What a test cluster does to its machine, and how it is undone: processes, and names in /etc/hosts.

As a script (`python guard.py NAME=VALUE FOLDER NODE...`) it waits for the end of the process that started it
(its stdin closes), kills what that left behind, and removes FOLDER and the names.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_HOSTS = Path("/etc/hosts")


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


@contextlib.contextmanager
def _hosts_edited() -> Iterator[list[str]]:
    """The lines of /etc/hosts, written back when the block changed them; one editor at a time."""
    with _HOSTS.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = file.read().splitlines()
        before = list(lines)
        yield lines
        if lines != before:
            # In place: in a container the file is a mount and cannot be replaced.
            file.seek(0)
            file.write("".join(f"{line}\n" for line in lines))
            file.truncate()


def name_hosts(nodes: Iterable[str]) -> None:
    """Let the names of `nodes` resolve: submitit hands the first one's on as the main address."""
    with _hosts_edited() as lines:
        lines += [f"127.0.0.1 {node}" for node in nodes]


def forget_hosts(nodes: Iterable[str]) -> None:
    """Undo `name_hosts`; nothing happens where it was not done."""
    gone = {f"127.0.0.1 {node}" for node in nodes}
    with _hosts_edited() as lines:
        lines[:] = [line for line in lines if line not in gone]


if __name__ == "__main__":
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    sys.stdin.read()
    for _ in range(3):  # a daemon may have been starting another process
        kill(marked(sys.argv[1]))
    forget_hosts(sys.argv[3:])
    shutil.rmtree(sys.argv[2], ignore_errors=True)
