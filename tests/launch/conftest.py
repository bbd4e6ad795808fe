"""A training that is none: it counts, saves its count on SIGTERM, and notices a second one beside it.

While a file `held` lies in its run directory it counts on, however slow the machine is that tests it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from msgbench.launch.record import JobRecord

from .fake_slurm import FakeSlurm

MSGBENCH_LAUNCH = (Path(sys.executable).parent / "msgbench", "launch", "--launcher")

FAKE_TRAINING = """
import fcntl, json, os, signal, sys, time
from pathlib import Path

run, total, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
states = run / "states"
states.mkdir(parents=True, exist_ok=True)
alone = os.open(run / ".alone", os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    (run / "two-at-once").touch()
    fcntl.flock(alone, fcntl.LOCK_EX)
signals = []
for signum in (signal.SIGINT, signal.SIGTERM):
    signal.signal(signum, lambda signum, frame: signals.append(signum))
saved = sorted(states.glob("*.json"))
done = json.loads(saved[-1].read_text())["done"] if saved else 0
with open(run / "starts.txt", "a") as file:
    print(done, os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
print("counting from", done, file=sys.stderr, flush=True)

def save():
    path = states / f"training-state-{done:010d}.json"
    path.with_suffix(".tmp").write_text(json.dumps({"done": done}))
    path.with_suffix(".tmp").rename(path)

while done < total or (run / "held").exists():
    if signals and mode == "stop":
        time.sleep(0.3)  # a second signal would come now
        save()
        (run / "signals.txt").write_text(" ".join(str(int(signum)) for signum in signals))
        sys.exit(128 + signals[0])
    if signals and mode == "save-and-continue":
        save()
        signals.clear()
    time.sleep(0.05)
    done += 1
    with open(run / "counted.txt", "a") as file:
        print(done, file=file)
save()
(run / "train.json").write_text(json.dumps({"done": done}))
"""


@dataclass
class Launched:
    """A running `msgbench launch` and the file that its messages go to."""

    process: subprocess.Popen[bytes]
    heard: Path

    def end(self, seconds: float = 120) -> tuple[int, str]:
        """Wait for its end; exit code and what it said."""
        return self.process.wait(timeout=seconds), self.heard.read_text()

    def wait_to_hear(self, words: str) -> None:
        wait_until(lambda: words in self.heard.read_text(), f"{words!r} to be said")

    def kill(self) -> None:
        """kill -9 of the waiting process alone."""
        self.process.kill()
        self.process.wait()


@dataclass
class Run:
    """A run directory and the command that "trains" in it."""

    folder: Path
    script: Path
    launched: int = 0

    def command(self, total: int = 20, mode: str = "stop") -> list[str]:
        return [sys.executable, str(self.script), str(self.folder), str(total), mode]

    def launch(self, launcher: str, command: list[str]) -> Launched:
        """`msgbench launch` in a session of its own, as from another terminal."""
        self.launched += 1
        heard = self.script.with_name(f"said-{self.launched}.txt")
        with heard.open("w") as file:
            process = subprocess.Popen(
                [*MSGBENCH_LAUNCH, launcher, "--run-dir", self.folder, "--", *command],
                stderr=file,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in `... &`
            )
        return Launched(process, heard)

    def starts(self) -> list[int]:
        """The count that each start of the training went on from."""
        path = self.folder / "starts.txt"
        return (
            [int(line.split()[0]) for line in path.read_text().splitlines()]
            if path.exists()
            else []
        )

    def wait_for_starts(self, count: int) -> None:
        """... and for the last of them to have counted."""
        wait_until(lambda: len(self.starts()) >= count, f"{count} starts of the training")
        wait_until(lambda: self.counted() > self.starts()[-1], "the training to count")

    def counted(self) -> int:
        """What the training has counted to."""
        path = self.folder / "counted.txt"
        return int(
            (path.read_text() if path.exists() else "").rpartition("\n")[0].split("\n")[-1] or 0
        )

    def hold(self) -> None:
        """Trainings from now on do not end by themselves until `release`."""
        (self.folder / "held").touch()

    def release(self) -> None:
        (self.folder / "held").unlink()

    def training_pid(self) -> int:
        return int((self.folder / "starts.txt").read_text().splitlines()[-1].split()[1])

    def record(self) -> JobRecord:
        record = JobRecord.read(self.folder, "train")
        assert record is not None
        return record

    def result(self) -> dict[str, int]:
        return json.loads((self.folder / "train.json").read_text())

    def never_two(self) -> bool:
        return not (self.folder / "two-at-once").exists()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run whose path holds what shells trip over; whatever it started is gone afterwards."""
    yield from run_in(tmp_path, 'it\'s a "run" $HOME %s')


def run_in(tmp_path: Path, name: str) -> Iterator[Run]:
    """A run in a folder called `name`."""
    folder = tmp_path / name / "seed0"
    folder.mkdir(parents=True)
    script = tmp_path / "fake training.py"
    script.write_text(FAKE_TRAINING)
    yield Run(folder, script)
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if process.pid != os.getpid() and any(str(tmp_path) in part for part in command):
            process.kill()


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A Slurm on PATH that says what the test wants, asked every half second."""
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MSGBENCH_SLURM_POLL_SECONDS", "0.5")
    return fake
