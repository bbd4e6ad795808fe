"""`snakemake --profile slurm all` of the smoke tier, from a fresh clone to the report, and disturbed on its way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from msgbench.config import load_benchmark

from .cluster import wait_until
from .lab import BIN, Lab, Login
from .overlap import overlapping

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
# The smoke tier as it stands, without all but one table and without figures of other runs, with shorter trainings: a
# few hundred images each.
BENCHMARK = load_benchmark(ROOT / "config.yaml")
OTHER_TABLES = set(BENCHMARK.tables) - {"table3"}
SHORTER = {
    "total_kimg": 1.2,
    "snapshot_kimg": 1.2,
    "state_kimg": 0.6,
    "grid_kimg": 0.6,
}
ASIDE = {name: {"in_all": False} for name in OTHER_TABLES}
NO_FIGURES = {name: {"in_all": False} for name in BENCHMARK.figures}
SMOKE = {"defaults": {"training": SHORTER}, "tables": ASIDE, "figures": NO_FIGURES}
CHANGE = f"tiers={json.dumps({'smoke': SMOKE})}"


def fresh_clone(folder: Path) -> Path:
    """A clone of the repository, with what is changed here and not committed yet."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    changed = subprocess.run(
        ["git", "diff", "--binary", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    apply = ["git", "apply", "--allow-empty"]
    subprocess.run(apply, cwd=folder, input=changed, check=True)
    return folder


def started(lab: Lab, clone: Path) -> Login:
    """The one command of a user on a cluster, in the package of the clone."""
    argv = [BIN / "snakemake", "--profile", "slurm", "all", "--config", CHANGE]
    return lab.login(argv, clone, PYTHONPATH=str(clone))


def jobs_by_name(lab: Lab) -> Counter[str]:
    """How many jobs there ever were of each name."""
    jobs = lab.jobs()  # first: more are submitted meanwhile
    said = lab.cluster.run("squeue", "-h", "-t", "all", "-o", "%i|%j").stdout
    names = dict(line.split("|") for line in said.splitlines())
    return Counter(names[job] for job in jobs)


def running(lab: Lab, task: str) -> list[str]:
    """Names of the jobs of `task` that run now."""
    said = lab.cluster.run("squeue", "-h", "-t", "running", "-o", "%i|%j").stdout
    names = dict(line.split("|") for line in said.splitlines())
    return [
        n for job, n in names.items() if n.startswith(f"msgbench-{task}-") and job in lab.jobs()
    ]


def trained_runs(results: Path) -> list[dict[str, Any]]:
    """The content of train.json of every run that has one."""
    return [json.loads(path.read_text()) for path in results.glob("runs/*/*/seed*/train.json")]


@overlapping(seconds=300)
def test_from_a_fresh_clone_to_the_report(lab: Lab) -> None:
    """Interrupted by Ctrl-C and kill -9 among the trainings, and by kill -9 among the measurements.

    The trainings end while no Snakemake lives: the next one takes their results for half-written and deletes
    them, because the killed one has left them marked as incomplete. Nothing is done twice all the same.
    """
    clone = fresh_clone(lab.root / "fresh clone")
    results = clone / "results" / "smoke"
    login = started(lab, clone)
    wait_until(lambda: "".join(jobs_by_name(lab)).count("-train-") == 4, "the trainings", 240)
    os.killpg(login.process.pid, signal.SIGINT)
    code, said = login.end(60)
    assert code != 0
    assert "goes on without us" in said

    login = started(lab, clone)
    found = re.compile(r"is running; waiting for it|has finished already")
    wait_until(lambda: found.search(login.said()) is not None, "word of a training", 60)
    login.kill()
    wait_until(lambda: len(trained_runs(results)) == 4, "the end of the trainings", 300)
    wait_until(lambda: running(lab, "train") == [], "the end of their jobs")

    login = started(lab, clone)
    wait_until(lambda: "seed0" in " ".join(running(lab, "evaluate")), "a run to be measured", 300)
    login.kill()
    assert running(lab, "evaluate")

    login = started(lab, clone)
    code, said = login.end(600)
    assert code == 0, said
    assert (results / "report" / "index.html").stat().st_size > 10_000

    counted = jobs_by_name(lab)
    assert set(counted.values()) == {1}, counted
    tasks = Counter(name.split("-")[1] for name in counted)
    # Four runs and the real images; the store is prepared once.
    assert tasks == {"train": 4, "evaluate": 5, "prepare": 1}, counted
    trained = trained_runs(results)
    assert len(trained) == 4
    assert all(len(result["attempts"]) == 1 for result in trained)

    code, said = started(lab, clone).end(120)
    assert code == 0
    assert "Nothing to be done" in said
