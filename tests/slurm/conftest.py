"""The clusters of the session, each started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .cluster import Cluster, missing


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
