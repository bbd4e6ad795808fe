"""The clusters of the session, each started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .cluster import Cluster, missing
from .overlap import TOOK, Overlap, started


def _started(accounting: bool = True, nodes: int = 3) -> Iterator[Cluster]:
    reason = missing(accounting)
    if reason:
        pytest.skip(f"real Slurm not run: {reason}")
    with Cluster(nodes, accounting) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A healthy cluster with accounting."""
    yield from _started()


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Cluster]:
    """A cluster without accounting: sacct has no answers."""
    yield from _started(accounting=False, nodes=2)


@pytest.fixture(scope="session")
def fragile_cluster() -> Iterator[Cluster]:
    """A cluster whose nodes and controller may be taken away."""
    yield from _started()


@pytest.fixture(scope="session")
def overlap(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Overlap]:
    """All selected scenarios, running side by side."""
    yield from started(request, tmp_path_factory.mktemp("scenarios"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What each scenario took; pytest's own durations are those of waiting for it."""
    took = config.stash.get(TOOK, {})
    for name, seconds in sorted(took.items(), key=lambda entry: -entry[1]):
        terminalreporter.write_line(f"scenario {name}: {seconds:.1f} s")
