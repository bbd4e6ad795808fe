"""Whether a Snakemake is alive here: tells a lock in use from one that a killed Snakemake left behind.

Snakemake's own lock is a set of files that stay after kill -9. Beside them, every Snakemake that reads
our Snakefile holds a shared flock on one file for as long as it lives; the kernel drops it with the
process. Whoever gets that file exclusively is alone, and what is locked then is locked by the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from msgbench.errors import LaunchError
from msgbench.records import now

_LOCKS = ".snakemake/locks"
_FILE = ".snakemake/msgbench-alive.lock"

# Held until this process ends; closing the file would let go of the lock.
_held: list[int] = []


def claim(folder: Path, say: Callable[[str], None]) -> bool:
    """State that a Snakemake runs in `folder` from now until this process ends; False when another one does, too.

    When no other one does, and the last one that did was of this machine, its left-over lock is removed
    and `say` is told. In doubt nothing is removed: Snakemake then reports the lock itself.
    """
    try:
        handle = _open(folder)
    except OSError:
        return True  # a folder that cannot be written or has no locks: Snakemake says so in its own words
    _held.append(handle)
    alone = True
    with contextlib.suppress(OSError):
        alone = _is_alone(handle)
        if alone and (not _lock_files(folder) or _last_host(handle) == socket.gethostname()):
            if _remove_locks(folder):
                say("a killed Snakemake had left its lock here; it is removed, the work goes on")
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(owner).encode(), 0)
        fcntl.flock(handle, fcntl.LOCK_SH)
    return alone


def release(folder: Path) -> int:
    """Remove the lock that a killed Snakemake left in `folder`; the number of lock files removed.

    Raises LaunchError while a Snakemake is alive there, or may be on another machine.
    """
    if not _lock_files(folder):
        return 0
    try:
        handle = _open(folder)
    except OSError as error:
        raise LaunchError(f"{folder / _FILE}: cannot be opened ({error.strerror})") from None
    try:
        if not _is_alone(handle):
            raise LaunchError(f"{folder.resolve()}: a Snakemake is running here")
        host = _last_host(handle)
        if host not in (None, socket.gethostname()):
            raise LaunchError(
                f"{folder.resolve()}: was locked by a Snakemake on {host}; run `msgbench unlock` there, "
                "or `snakemake --unlock` when you know that it has ended"
            )
        return _remove_locks(folder)
    except OSError as error:
        raise LaunchError(
            f"{folder / _FILE}: this file system cannot lock files ({error.strerror}); "
            "run `snakemake --unlock` when you know that no Snakemake is running here"
        ) from None
    finally:
        os.close(handle)


def _open(folder: Path) -> int:
    path = folder / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _is_alone(handle: int) -> bool:
    """Whether nobody else holds the file; if so nobody can take it until `handle` lets go."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_host(handle: int) -> str | None:
    """Machine of the last Snakemake that was alone here; None when there is no (readable) record."""
    try:
        return str(json.loads(os.pread(handle, 4096, 0))["host"])
    except (ValueError, KeyError, TypeError):
        return None


def _lock_files(folder: Path) -> list[Path]:
    return sorted((folder / _LOCKS).glob("*.lock"))


def _remove_locks(folder: Path) -> int:
    files = _lock_files(folder)
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)
