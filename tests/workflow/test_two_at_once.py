"""A second Snakemake in a folder where one is at work: it is told so, and nothing of the first is touched."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .conftest import Project

SENTENCE = (
    "another Snakemake is running in this folder; if both would make the same files, this one is refused with a "
    "LockException: wait for the other (`msgbench status`) and start again, and unlock nothing"
)


@contextmanager
def another_snakemake(project: Project, makes: str) -> Iterator[None]:
    """One that lives while the block runs and makes the file `makes`, by all that others can know of it."""
    state = project.folder / ".snakemake"
    (state / "locks").mkdir(parents=True)
    (state / "locks" / "0.output.lock").write_text(f"{makes}\n")
    handle = os.open(state / "msgbench-alive.lock", os.O_RDWR | os.O_CREAT)
    os.write(handle, json.dumps({"host": socket.gethostname()}).encode())
    fcntl.flock(handle, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(handle)


@pytest.mark.parametrize("same", [True, False])
def test_a_second_start_is_told_of_the_first(project: Project, same: bool) -> None:
    makes = project.layout.table_csv("parameters" if same else "table3")
    with another_snakemake(project, str(makes.relative_to(project.folder))):
        done = project.snakemake("--cores", "1", "parameters")
        assert SENTENCE in done.stdout.splitlines(), done.stdout
        refused = "LockException:" in done.stdout.splitlines()
        assert (refused, done.returncode) == (same, int(same)), done.stdout
        assert project.layout.table_csv("parameters").exists() == (not same)
        if same:  # one that is let in takes the other's lock with it when it ends (Snakemake 9.27)
            assert (project.folder / ".snakemake/locks/0.output.lock").exists()
    again = project.snakemake("--cores", "1", "parameters")
    assert again.returncode == 0
    assert SENTENCE not in again.stdout
