"""Slurm's commands as far as the launcher asks them, with the jobs in a folder that a test writes.

Nothing runs: a test decides what Slurm says of a job, and leaves its result. The real thing is in tests/slurm.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path

PROGRAM = f"""#!{sys.executable} -IS
import os, re, shlex, sys, time
root, name = os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.basename(__file__)

def text(file):
    try:
        with open(os.path.join(root, file)) as opened:
            return opened.read()
    except FileNotFoundError:
        return ""

with open(os.path.join(root, "calls.txt"), "a") as file:
    print(name, *sys.argv[1:], file=file)
if text(name + ".fails"):
    sys.exit(text(name + ".fails"))
jobs = os.path.join(root, "jobs")
if name == "sbatch":
    with open(sys.argv[1]) as file:
        script = file.read()
    with open(os.path.join(root, "environment.txt"), "w") as file:
        print(*sorted(os.environ), sep="\\n", file=file)
    job = str(int(text("first.txt") or 100) + len(os.listdir(jobs)))
    called = re.search("--job-name=(.*)", script).group(1)
    log = shlex.split(re.search("--error=(.*)", script).group(1))[0].replace("%j", job)
    os.makedirs(os.path.join(jobs, job))
    for key, value in (("state", "RUNNING"), ("name", called), ("log", log), ("script", script)):
        with open(os.path.join(jobs, job, key), "w") as file:
            file.write(value)
    with open(os.path.join(jobs, job, "time"), "w") as file:
        file.write(str(int(time.time())))
    time.sleep(float(text("sbatch.seconds") or 0))
    if text("sbatch.silent"):
        os.remove(os.path.join(root, "sbatch.silent"))
        sys.exit("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    print("Submitted batch job", job)
if name == "squeue":
    wanted = [word.partition("=")[2] for word in sys.argv if word.startswith("--name=")]
    only = [word.partition("=")[2] for word in sys.argv if word.startswith("--jobs=")]
    for job in only or sorted(os.listdir(jobs)):
        state, called = text(f"jobs/{{job}}/state"), text(f"jobs/{{job}}/name")
        then = text(f"jobs/{{job}}/then")
        if any("StdErr" in word for word in sys.argv):
            print(text(f"jobs/{{job}}/log").ljust(4096))
        elif state != "FORGOTTEN" and (not wanted or called in wanted):
            print(job, state, "n1", "None", text(f"jobs/{{job}}/time"), "0", called, sep="|")
        if then:
            os.rename(os.path.join(jobs, job, "then"), os.path.join(jobs, job, "state"))
if name == "sacct":
    if not text("sacct.txt"):
        sys.exit("Slurm accounting storage is disabled")
    print(text("sacct.txt"))
if name == "scontrol":
    print("ClusterName             =", text("cluster.txt") or "lab")
"""


class FakeSlurm:
    """The folder `root` with `bin` for PATH, and what it was asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.jobs = root / "jobs"
        self.bin.mkdir(parents=True)
        self.jobs.mkdir()
        for name in ("sbatch", "srun", "squeue", "sacct", "scontrol"):
            program = self.bin / name
            program.write_text(PROGRAM)
            program.chmod(0o755)

    def set(self, job: str, **values: str) -> None:
        """State ("FORGOTTEN": squeue knows it no more), name, time, or `then`: the state at the next look."""
        folder = self.jobs / job
        folder.mkdir(exist_ok=True)
        for key, value in values.items():
            temporary = self.root / f".{key}"
            temporary.write_text(value)
            os.replace(temporary, folder / key)

    def tell(self, file: str, text: str = "yes") -> None:
        (self.root / file).write_text(text)

    def untell(self, file: str) -> None:
        (self.root / file).unlink()

    def ids(self) -> list[str]:
        return sorted(path.name for path in self.jobs.iterdir())

    def calls(self, program: str) -> list[str]:
        path = self.root / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == program]

    def shared_queries(self) -> int:
        """How often all jobs of the user were asked for."""
        return sum("--name" not in call and "StdErr" not in call for call in self.calls("squeue"))

    def script(self, job: str) -> str:
        return (self.jobs / job / "script").read_text()

    def log(self, job: str) -> Path:
        return Path((self.jobs / job / "log").read_text())

    def end(self, job: str, code: int = 0, state: str = "COMPLETED") -> None:
        """The command of `job` ends with `code`."""
        result = self.log(job).parent / f"{job}_0_result.pkl"
        temporary = result.with_suffix(".tmp")
        temporary.write_bytes(pickle.dumps(("success", code)))
        temporary.rename(result)
        self.set(job, state=state)

    def wait_for_job(self, number: int = 1, seconds: float = 120) -> str:
        """The id of the `number`th job, once it is submitted."""
        deadline = time.monotonic() + seconds
        while len(self.ids()) < number or not (self.jobs / self.ids()[-1] / "time").exists():
            assert time.monotonic() < deadline, f"no {number} jobs in {seconds} s"
            time.sleep(0.02)
        return self.ids()[number - 1]
