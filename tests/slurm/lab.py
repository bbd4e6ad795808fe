"""One scenario's place on a cluster: a run directory, logins that launch its command, and what they left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgbench.config import load_benchmark, merge
from msgbench.data.prepare import prepare
from msgbench.launch.record import JobRecord
from msgbench.records import write_json

from . import guard
from .cluster import Cluster, wait_until

BIN = Path(sys.executable).parent
COUNTING = Path(__file__).with_name("counting.py")
# What a counting job asks for; submitit alone takes about 60 MB.
SMALL = {"slurm_partition": "cpu", "runtime": 10, "mem_mb": 400, "cpus_per_task": 1}
# Some seconds of training on one thread; states are written only when somebody asks.
TINY: dict[str, Any] = {
    "datasets": {"tiny": {"num_images": 200, "resolution": 8}},
    "defaults": {
        "training": {
            "batch_size": 4, "total_kimg": 1.2, "snapshot_kimg": 0.2, "state_kimg": 1.2,
            "grid_kimg": 1.2, "stats_kimg": 0.02, "num_threads": 1,
        }
    },
}  # fmt: skip
LOGIN_TAG = "MSGBENCH_TEST_LOGIN"


@dataclass
class Login:
    """A command started as from a terminal of its own, and the file that its messages go to."""

    process: subprocess.Popen[bytes]
    heard: Path
    mark: str

    def said(self) -> str:
        """What it has said so far."""
        return self.heard.read_text(errors="replace")

    def end(self, seconds: float = 120) -> tuple[int, str]:
        """Wait for its end; exit code and what it said."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end in {seconds:g} s; it said: {self.said()}") from None
        return code, self.said()

    def kill(self) -> None:
        """kill -9 of the whole process group: a terminal that went away rudely."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_programs(self, word: str) -> None:
        """kill -9 of those of this login's processes that have `word` in their program or module."""
        for pid in guard.marked(self.mark) - _inside_jobs():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:3]
            if any(word in part for part in words):
                guard.kill([pid])
        self.process.wait()

    def power_off(self) -> None:
        """kill -9 of everything that this login has started on its machine, detached or not."""
        while left := guard.marked(self.mark) - _inside_jobs():
            guard.kill(left)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.1)
        self.process.wait()


def _signals_as_at_a_terminal() -> None:
    for signum in (signal.SIGINT, signal.SIGHUP):  # tests in `nohup ... &`
        signal.signal(signum, signal.SIG_DFL)


def _inside_jobs() -> set[int]:
    """Processes that run in a Slurm job: not on the login node, as far as a scenario goes."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            environ = (Path("/proc") / entry / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(b"SLURMD_NODENAME=") for variable in environ):
                found.add(int(entry))
    return found


@dataclass
class Lab:
    """A scenario's run on `cluster`; the names on its path are those that shells trip over."""

    cluster: Cluster
    root: Path
    logins: list[Login] = field(default_factory=list)

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return self.root / 'it\'s a "run" $HOME; #1' / "seed0"

    @property
    def output(self) -> Path:
        """What the rule of the run declares."""
        return self.run_dir / "train.json"

    @property
    def environment(self) -> dict[str, str]:
        """A login's environment: the tests' programs, quick polling, a cache of the cluster's own."""
        return self.cluster.environment | {
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)]),
            "XDG_CACHE_HOME": str(self.cluster.folder / "cache"),
            "MSGBENCH_SLURM_POLL_SECONDS": "1",
            "OMP_NUM_THREADS": "1",
        }

    # -- launching -----------------------------------------------------------------------------------------

    @property
    def gate(self) -> Path:
        """A gated command ends when this file exists."""
        return self.root / "gate"

    def gated(self) -> list[str]:
        """A command that counts, ten a second, until the gate is opened."""
        return self.counting(1, "--gate", str(self.gate))

    def counting(self, total: int, *options: str, run_dir: Path | None = None) -> list[str]:
        """A command that counts to `total`, ten a second."""
        return [sys.executable, str(COUNTING), str(run_dir or self.run_dir), str(total), *options]

    def training(self, run_dir: Path, **changes: float) -> list[str]:
        """Make a tiny store and plan a run in `run_dir`; the command that really trains it."""
        return self.planned(run_dir, {"defaults": {"training": changes}})

    def planned(self, run_dir: Path, values: dict[str, Any]) -> list[str]:
        """As `training`, with changes to the whole configuration."""
        config = Path(__file__).parents[1] / "workflow" / "config.yaml"
        run = load_benchmark(config, merge(TINY, values)).run("first-lr0.003", 0)
        store = self.root / "store"
        if not store.exists():
            prepare(run.spec.dataset, store)
        write_json(run_dir / "spec.json", run.to_json())
        return [str(BIN / "msgbench"), "train", str(run_dir), "--store", str(store)]

    def login(self, argv: Sequence[str | Path], folder: Path, **variables: str) -> Login:
        """Start `argv` in `folder` as from a new terminal."""
        self.root.mkdir(parents=True, exist_ok=True)
        number = len(self.logins) + 1
        heard = self.root / f"said-{number}.txt"
        name = f"{self.root}/{number}"
        with heard.open("w") as file:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env=self.environment | {LOGIN_TAG: name} | variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=_signals_as_at_a_terminal,
            )
        self.logins.append(Login(process, heard, f"{LOGIN_TAG}={name}"))
        return self.logins[-1]

    def launch(
        self,
        command: Sequence[str],
        resources: Mapping[str, Any] | None = None,
        run_dir: Path | None = None,
        **variables: str,
    ) -> Login:
        """`msgbench launch --launcher slurm` of a training, as the workflow's rule calls it."""
        run_dir = run_dir or self.run_dir
        run_dir.mkdir(parents=True, exist_ok=True)
        argv = [BIN / "msgbench", "launch", "--launcher", "slurm", "--task", "train"]
        argv += ["--run-dir", run_dir, "--output", run_dir / "train.json"]
        argv += ["--resources", json.dumps({**SMALL, **(resources or {})})]
        argv += ["--log", self.root / "train.log", "--", *command]
        return self.login(argv, self.root, **variables)

    def wrapper(self, name: str, script: str) -> str:
        """PATH with a program `name` in front that runs `script`, where $REAL is the true one."""
        folder = self.root / "wrappers"
        folder.mkdir(parents=True, exist_ok=True)
        real = shutil.which(name)
        assert real is not None
        path = folder / name
        path.write_text(f"#!/bin/sh\nREAL={real}\n{script}\n")
        path.chmod(0o755)
        return os.pathsep.join([str(folder), self.environment["PATH"]])

    # -- what is there -------------------------------------------------------------------------------------

    def record(self, task: str = "train") -> JobRecord:
        """The job record of the run."""
        record = JobRecord.read(self.run_dir, task)
        assert record is not None, f"{self.run_dir}: there is no record of {task}"
        return record

    def has_record(self) -> bool:
        """Whether the run has a job record."""
        return JobRecord.read(self.run_dir, "train") is not None

    def starts(self) -> list[dict[str, Any]]:
        """One entry for each start of the counting."""
        path = self.run_dir / "starts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def counts(self) -> list[int]:
        """The count that each start went on from."""
        return [start["count"] for start in self.starts()]

    def wait_for_starts(self, count: int, seconds: float = 60) -> None:
        """Wait until the counting has been started `count` times."""
        wait_until(lambda: len(self.starts()) >= count, f"start {count} of the command", seconds)

    def saved(self) -> int:
        """The newest saved count."""
        states = sorted((self.run_dir / "states").glob("training-state-*.json"))
        return json.loads(states[-1].read_text())["count"] if states else 0

    def jobs(self) -> list[str]:
        """Every job that was ever submitted from this scenario's folder, by Slurm's own account."""
        return self.cluster.jobs_of(self.root)

    def account(self) -> str:
        """What Slurm knows of the scenario's jobs, for a failure's message."""
        said = [
            self.cluster.run("scontrol", "show", "job", "-o", job, check=False).stdout
            for job in self.jobs()
        ]
        return "\n".join(said)

    def state(self, job_id: str) -> str:
        """squeue's word for a job: RUNNING, COMPLETED."""
        return self.cluster.run(
            "squeue", "-h", "-t", "all", "-o", "%T", "-j", job_id
        ).stdout.strip()

    def wait_for_state(self, job_id: str, state: str, seconds: float = 60) -> None:
        """Wait until squeue calls a job `state`."""
        wait_until(
            lambda: self.state(job_id) == state, f"job {job_id} to be {state} in squeue", seconds
        )

    def assert_one_training(self) -> None:
        """One job, and never two countings at the same time."""
        assert len(self.jobs()) == 1, f"jobs {self.jobs()} were submitted"
        assert not (self.run_dir / "two-at-once").exists()

    def close(self) -> None:
        """End what the scenario started on the login node, and its jobs."""
        for login in self.logins:
            login.power_off()
        with contextlib.suppress(subprocess.CalledProcessError):
            for job_id in self.jobs():
                self.cluster.run("scancel", job_id, check=False)
