"""A lock that a killed Snakemake left is removed, one that is in use never; also while both happen at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msgbench import workflow_lock
from msgbench.errors import LaunchError
from msgbench.launch.unlock import unlock

# A process that is a Snakemake in what matters here: it claims, then locks, then works.
SNAKEMAKE = """
import sys, time
from pathlib import Path
from msgbench.workflow_lock import claim

folder = Path(sys.argv[1])
said = []
claim(folder, said.append)
locks = folder / ".snakemake" / "locks"
locks.mkdir(exist_ok=True)
refused = bool(list(locks.glob("*.lock")))
if sys.argv[2] == "work" and not refused:
    (locks / "0.input.lock").touch()
    (locks / "0.output.lock").touch()
print(len(said), refused, flush=True)
sys.stdin.read()
"""


class Snakemake:
    """A claimed folder, by a process that can be killed."""

    def __init__(self, folder: Path, what: str = "work") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SNAKEMAKE, folder, what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said, refused = self.process.stdout.readline().split()
        self.removed_a_lock = said == "1"
        self.refused = refused == "True"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Snakemake]]:
    started: list[Snakemake] = []

    def begin(what: str = "work") -> Snakemake:
        started.append(Snakemake(tmp_path, what))
        return started[-1]

    yield begin
    for snakemake in started:
        snakemake.kill()


def locks(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / ".snakemake" / "locks").glob("*.lock"))


def test_the_lock_of_a_killed_one_is_removed_by_the_next(
    tmp_path: Path, start: Callable[..., Snakemake]
) -> None:
    start().kill()
    assert locks(tmp_path) == ["0.input.lock", "0.output.lock"]
    second = start()
    assert (second.removed_a_lock, second.refused) == (True, False)


def test_the_lock_of_a_living_one_stays(tmp_path: Path, start: Callable[..., Snakemake]) -> None:
    start()
    second = start()
    assert (second.removed_a_lock, second.refused) == (False, True)
    with pytest.raises(LaunchError) as caught:
        unlock(tmp_path)
    assert str(caught.value) == f"{tmp_path}: a Snakemake is running here"
    assert locks(tmp_path) == ["0.input.lock", "0.output.lock"]


def test_a_dry_run_that_comes_and_goes_does_not_hide_a_living_one(
    tmp_path: Path, start: Callable[..., Snakemake]
) -> None:
    """The order matters: dry run first, the real one beside it, then the dry run ends."""
    dry = start("look")
    real = start()
    assert not real.refused
    dry.kill()
    assert start().refused
    assert locks(tmp_path) == ["0.input.lock", "0.output.lock"]


def test_a_dry_run_beside_a_dead_lock_only_delays_its_removal(
    tmp_path: Path, start: Callable[..., Snakemake]
) -> None:
    first = start()
    dry = start("look")
    first.kill()
    second = start()
    assert (second.removed_a_lock, second.refused) == (False, True)
    for snakemake in (dry, second):
        snakemake.kill()
    assert start().removed_a_lock is True


def test_a_lock_of_another_machine_stays_however_often_one_tries(
    tmp_path: Path, start: Callable[..., Snakemake]
) -> None:
    start().kill()
    record = tmp_path / ".snakemake" / "msgbench-alive.lock"
    record.write_text(json.dumps({"pid": 1, "host": "login2", "since": "2026"}))
    for _ in range(2):
        attempt = start()
        assert (attempt.removed_a_lock, attempt.refused) == (False, True)
        attempt.kill()
    with pytest.raises(
        LaunchError, match=r"was locked by a Snakemake on login2; run `msgbench unlo"
    ):
        unlock(tmp_path)


def test_a_lock_without_any_record_stays_until_asked(
    tmp_path: Path, start: Callable[..., Snakemake], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ".snakemake" / "locks"
    folder.mkdir(parents=True)
    (folder / "0.input.lock").touch()
    for _ in range(2):
        attempt = start()
        assert (attempt.removed_a_lock, attempt.refused) == (False, True)
        attempt.kill()
    unlock(tmp_path)
    assert locks(tmp_path) == []
    assert capsys.readouterr().err == f"{tmp_path}: unlocked\n"


def test_who_claims_learns_whether_another_one_lives(
    tmp_path: Path, start: Callable[..., Snakemake]
) -> None:
    other = start("look")
    assert not workflow_lock.claim(tmp_path, print)
    other.kill()
    assert workflow_lock.claim(tmp_path / "elsewhere", print)


def test_nothing_locked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unlock(tmp_path)
    assert capsys.readouterr().err == f"{tmp_path}: nothing was locked\n"
    assert list(tmp_path.iterdir()) == []


def test_where_files_cannot_be_locked_nothing_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(handle: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    folder = tmp_path / ".snakemake" / "locks"
    folder.mkdir(parents=True)
    (folder / "0.input.lock").touch()
    monkeypatch.setattr("msgbench.workflow_lock.fcntl.flock", no_locks)
    said: list[str] = []
    workflow_lock.claim(tmp_path, said.append)
    assert (said, locks(tmp_path)) == ([], ["0.input.lock"])
    with pytest.raises(
        LaunchError, match=r"cannot lock files \(Operation not supported\); run `sn"
    ):
        unlock(tmp_path)
