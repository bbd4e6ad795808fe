"""One writer per folder: flock with a readable owner, so that a second start waits or is refused.

The lock is the kernel's: it vanishes with its owner, also after kill -9. The file's content only tells
people who holds it. On file systems without flock the lock is refused rather than ignored.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from msgbench.errors import LaunchError
from msgbench.records import now

_POLL_SECONDS = 0.5


def process_start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it is gone. Tells a recycled pid."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


class FolderLock:
    """Context manager that owns `folder` for writing.

    With `wait=True` a second start waits for the living owner and tells so once (through `say`); with
    `wait=False` it raises LaunchError naming the owner. `waited` is true when there was somebody to wait for.
    LaunchError, too, where `folder` cannot be made or written to.
    """

    def __init__(
        self,
        folder: Path,
        purpose: str,
        wait: bool = False,
        say: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.path = folder / f".{purpose}.lock"
        self.purpose = purpose
        self.wait = wait
        self.waited = False
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self._should_stop = should_stop or (lambda: False)
        self._handle: int | None = None

    def __enter__(self) -> FolderLock:
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            raise LaunchError(f"{folder}: is a file; a folder is needed here") from None
        except OSError as error:
            raise LaunchError(
                f"{folder}: cannot be used as a folder ({error.strerror}); choose one that can be written to"
            ) from None
        try:
            self._acquire(handle)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(_owner()).encode(), 0)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return self

    def _acquire(self, handle: int) -> None:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                owner = describe_owner(self.path)
                if not self.wait:
                    raise LaunchError(
                        f"{self.path.parent}: {self.purpose} is already running ({owner})"
                    ) from None
            except OSError as error:
                raise LaunchError(
                    f"{self.path}: this file system cannot lock files ({error.strerror})"
                ) from None
            if not self.waited:
                self.waited = True
                self._say(
                    f"{self.path.parent}: {self.purpose} is already running ({owner}); waiting for it"
                )
            if self._should_stop():
                raise LaunchError(
                    f"{self.path.parent}: stopped while waiting for {self.purpose} ({owner})"
                )
            time.sleep(_POLL_SECONDS)

    def fileno(self) -> int:
        """The lock as a file descriptor: a process that inherits it holds the lock, too."""
        assert self._handle is not None
        return self._handle

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._handle is not None
        os.ftruncate(self._handle, 0)
        os.close(self._handle)
        self._handle = None


def is_locked(folder: Path, purpose: str) -> bool:
    """Whether a living process owns `folder` for `purpose`."""
    path = folder / f".{purpose}.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)


def _owner() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "pid": pid,
        "host": socket.gethostname(),
        "since": now(),
        "start_ticks": process_start_ticks(pid),
    }


def describe_owner(path: Path) -> str:
    """`process 123 on host since 2026-01-01T00:00:00Z`, from a lock file."""
    try:
        owner = json.loads(path.read_bytes())
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown process"
