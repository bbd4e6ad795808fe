"""A map over processes that keeps the order and holds little: what `prepare` uses all cores with.

The processes are started from a fresh server, so that nothing of the parent (threads, locks, libraries) is copied
into them; they end by themselves as soon as the parent is gone, also after kill -9.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.connection import wait
from typing import TypeVar

from msgbench.errors import DatasetError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

# More would need more than 1 GiB of memory together, and a disk that keeps up with them.
MOST_WORKERS = 16
# Tasks that are handed out before the oldest one is taken back, for each worker.
_AHEAD = 3

_lock: AbstractContextManager[object] = nullcontext()


def alone() -> AbstractContextManager[object]:
    """Held by one of the processes at a time: for work on what would not fit into memory many times."""
    return _lock


def cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its Slurm job asked for."""
    bound = len(os.sched_getaffinity(0))
    asked = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(bound, int(asked)) if asked.isdigit() and int(asked) > 0 else bound


def ordered_map(
    function: Callable[[ItemT], ResultT], items: Iterable[ItemT], workers: int
) -> Iterator[ResultT]:
    """`function` of every item, in their order, computed by `workers` processes; 1: by this one.

    Items are taken only as far ahead as the workers need. An exception of `function` is raised in the place of its
    result, after all earlier results.
    """
    if workers == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("forkserver")
    executor = ProcessPoolExecutor(workers, context, _begin, (context.Lock(),))
    waiting: deque[Future[ResultT]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DatasetError(
            "prepare: one of its processes was killed (out of memory?); run the same command again to go on"
        ) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _begin(lock: AbstractContextManager[object]) -> None:
    """Leave Ctrl-C to the parent, and end when it ends."""
    global _lock
    _lock = lock
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
