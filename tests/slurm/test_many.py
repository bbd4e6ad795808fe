"""Hundreds of jobs in flight: what waiting for them costs the login node and the controller."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

from .cluster import wait_until
from .lab import Lab, Login
from .overlap import overlapping

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

JOBS = 200
# House rule for a waiting rule of the workflow.
MOST_MB = 15.0
QUERY_SECONDS = 30.0


def memory_mb(login: Login) -> float:
    return psutil.Process(login.process.pid).memory_info().rss / 2**20


def started_together(
    lab: Lab, folders: list[Path], resources: dict[str, str], **variables: str
) -> list[Login]:
    """A launch for each folder, eight at a time, until all wait for their jobs."""
    logins: list[Login] = []
    for folder in folders:
        logins.append(lab.launch(["sleep", "900"], resources, folder, **variables))
        young = logins[-8:]
        wait_until(
            lambda young=young: sum("log of the job" not in login.said() for login in young) < 4,
            "logins to get their jobs",
            120,
        )
    wait_until(
        lambda: all("log of the job" in login.said() for login in logins), "all to wait", 120
    )
    return logins


@overlapping("bare_cluster", seconds=200)
def test_two_hundred_jobs_in_flight(lab: Lab) -> None:
    """All waiters together ask twice a minute, each is small, and the end of each job reaches its own."""
    calls = lab.root / "calls.txt"
    path = lab.wrapper("squeue", f'echo "$$ $*" >> "{calls}"\nexec $REAL "$@"')
    own = {"PATH": path, "XDG_CACHE_HOME": str(lab.root / "cache")}
    own |= {"MSGBENCH_SLURM_POLL_SECONDS": str(QUERY_SECONDS)}
    folders = [lab.root / "runs" / f"seed{number}" for number in range(JOBS)]
    # Most are pending; the other node, and another partition's queue, are for the other scenarios.
    crowded = {"slurm_partition": "gpu", "slurm_extra": f"--nodelist={lab.cluster.nodes[0]}"}
    logins = started_together(lab, folders, crowded, **own)
    assert len(lab.jobs()) == JOBS

    began = len(calls.read_text().splitlines())
    clock = time.monotonic()
    time.sleep(2.2 * QUERY_SECONDS)
    asked = calls.read_text().splitlines()[began:]
    most = (time.monotonic() - clock) / QUERY_SECONDS + 1
    assert 1 <= len(asked) <= most, asked
    sizes = sorted(memory_mb(login) for login in logins)
    assert sizes[-1] <= MOST_MB, f"{sizes[0]:.1f} to {sizes[-1]:.1f} MB"
    assert all(login.process.poll() is None for login in logins)

    first = lab.cluster.jobs_of(folders[0])
    lab.cluster.run("scancel", *lab.jobs())
    for login in logins:
        code, said = login.end(240)
        assert code != 0
        assert re.search(r"job \d+ was cancelled", said.splitlines()[-1])
    assert len(lab.jobs()) == JOBS
    assert len(first) == 1
