"""Scenarios side by side: most of their time is sleep, and each has a job and a folder of its own.

A test marked `@overlapping("cluster")` takes a Lab on that cluster. The first of a session that is asked for
starts all that are selected, each in a thread; every test then waits for its own and shows its failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from .cluster import Cluster
from .lab import Lab

# More would only make each of them slower: a job's start costs seconds of a core.
_AT_ONCE = 5

Body = Callable[[Lab], None]


@dataclass(frozen=True)
class Scenario:
    """A test's body, the fixture of the cluster it runs on, and whether it has to have it alone."""

    body: Body
    cluster: str
    alone: bool
    seconds: float


class Test(Protocol):
    """What pytest collects in place of a scenario."""

    scenario: Scenario

    def __call__(self, overlap: Overlap) -> None: ...


def overlapping(
    cluster: str = "cluster", alone: bool = False, seconds: float = 10
) -> Callable[[Body], Test]:
    """Mark a scenario; those that take more `seconds` are started first.

    Scenarios with `alone` never run at the same time: they take nodes or the controller away.
    """

    def mark(body: Body) -> Test:
        scenario = Scenario(body, cluster, alone, seconds)

        def test(overlap: Overlap) -> None:
            overlap.result(scenario)

        test.__name__, test.__doc__, test.__module__ = body.__name__, body.__doc__, body.__module__
        test.scenario = scenario  # type: ignore[attr-defined]
        return test  # type: ignore[return-value]

    return mark


class Overlap:
    """The selected scenarios, running."""

    def __init__(
        self, scenarios: Sequence[Scenario], clusters: dict[str, Cluster], folder: Path
    ) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._alone = threading.Lock()
        self.took: dict[str, float] = {}
        self._futures: dict[str, Future[None]] = {}
        for scenario in sorted(scenarios, key=lambda scenario: -scenario.seconds):
            name = scenario.body.__name__
            assert name not in self._futures, f"two scenarios are called {name}"
            lab = Lab(clusters[scenario.cluster], folder / name)
            self._futures[name] = self._pool.submit(self._run, scenario, lab)

    def _run(self, scenario: Scenario, lab: Lab) -> None:
        with self._alone if scenario.alone else nullcontext():
            began = time.monotonic()
            try:
                scenario.body(lab)
            except BaseException as error:
                for login in lab.logins:
                    error.add_note(f"--- {login.heard.name}: {login.said()[-3000:]}")
                error.add_note(f"--- jobs: {lab.account()}")
                raise
            finally:
                lab.close()
                self.took[scenario.body.__name__] = time.monotonic() - began

    def result(self, scenario: Scenario) -> None:
        """Wait for the scenario; raises what it raised."""
        self._futures[scenario.body.__name__].result()

    def close(self) -> None:
        """Forget what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def started(request: pytest.FixtureRequest, folder: Path) -> Iterator[Overlap]:
    """Body of the fixture `overlap`."""
    tests = (getattr(item, "function", None) for item in request.session.items)
    scenarios = [test.scenario for test in tests if hasattr(test, "scenario")]
    clusters = {name: request.getfixturevalue(name) for name in {s.cluster for s in scenarios}}
    overlap = Overlap(scenarios, clusters, folder)
    request.config.stash[TOOK] = overlap.took
    yield overlap
    overlap.close()


TOOK = pytest.StashKey[dict[str, float]]()
