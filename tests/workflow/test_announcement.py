"""What a start says of its cost before it does anything: of the jobs that it will really do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .conftest import Project, copy_workflow


def announced(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("tier ")]


@pytest.mark.parametrize(
    ("target", "runs"), [("all", 2), ("beside", 1), ("runs", 2), ("datasets", 0)]
)
def test_a_dry_run_says_it(project: Project, target: str, runs: int) -> None:
    done = project.snakemake("-n", target)
    assert done.returncode == 0, done.stdout
    (line,) = announced(done.stdout)
    measured = 0 if target == "runs" else runs
    start = f"tier smoke: {runs} of {runs} run{'' if runs == 1 else 's'} to do"
    assert line.startswith(start)
    if runs:
        assert f"({runs} to train, {measured} to measure), about " in line
        assert "CPU-minutes (estimated: one CPU thread at" in line


def test_a_dry_run_that_fails_does_not_say_it(project: Project) -> None:
    with (project.folder / "Snakefile").open("a") as file:
        file.write('rule broken:\n    input:\n        "nowhere.txt", rules.measurements.input\n')
    for target in ("nosuch", "broken"):
        done = project.snakemake("-n", target)
        assert done.returncode == 1
        assert announced(done.stdout) == [], done.stdout


def test_a_run_directory_that_is_gone_is_planned_below_a_finished_table(done: Project) -> None:
    """As the errors say that advise to remove one."""
    shutil.rmtree(done.run_dir("second-lr0.01"))
    assert done.plans("all") == []
    for target in ("runs", "measurements"):
        assert any("train" in job and "second-lr0.01" in job for job in done.plans(target))


def test_what_is_done_is_not_counted(done: Project) -> None:
    (line,) = announced(done.snakemake("-n", "measurements").stdout)
    assert line == "tier smoke: 0 of 2 runs to do"
    (done.run_dir("second-lr0.01") / "evaluate.json").unlink()
    (line,) = announced(done.snakemake("-n", "measurements").stdout)
    assert line.startswith("tier smoke: 1 of 2 runs to do (0 to train, 1 to measure), about ")


def test_a_start_says_it_before_the_first_job(project: Project) -> None:
    done = project.snakemake("--cores", "1", "datasets")
    assert done.returncode == 0, done.stdout
    (line,) = announced(done.stdout)
    assert line == "tier smoke: 0 of 0 runs to do"
    assert done.stdout.index(line) < done.stdout.index("prepare tiny")


def test_acceptance_is_that_of_the_asked_target(root: Path, tmp_path: Path) -> None:
    project = copy_workflow(root, tmp_path / "bench", root / "config.yaml")
    words = ["tier=paper", "accept_gpu_hours=200", "datasets={cifar10: {path: /data}}"]
    done = project.snakemake("--cores", "1", "table3", "--config", *words)
    assert done.returncode == 1
    assert re.search(
        r"accept_gpu_hours: 200 does not cover the estimate of the paper tier, 1,180 GPU-hours for the 12 runs "
        r"that would be started now \(.*\); allowed: 1180 or more",
        done.stdout,
    ), done.stdout
    # Three seeds of one experiment cost 295; two of them are accepted, so this one is refused, too.
    done = project.snakemake("--cores", "1", "cifar10-msg-progan-lr0.01", "--config", *words)
    assert "295 GPU-hours for the 3 runs that would be started now" in done.stdout
    words[1] = "accept_gpu_hours=296"
    done = project.snakemake("--cores", "1", "cifar10-msg-progan-lr0.01", "--config", *words)
    assert "accept_gpu_hours" not in done.stdout.replace("accept_gpu_hours=296", "")
    assert not (project.folder / "results").exists() or not list(project.folder.rglob("spec.json"))


def test_preparing_needs_neither_acceptance_nor_weights(root: Path, tmp_path: Path) -> None:
    project = copy_workflow(root, tmp_path / "bench", root / "config.yaml")
    words = ["tier=mini", "datasets={cifar10: {path: /nowhere}}"]
    done = project.snakemake("--cores", "1", "datasets", "--config", *words)
    assert "inception-v3-compat" not in done.stdout
    assert "/nowhere" in done.stdout
