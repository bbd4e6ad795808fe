"""What is wrong is one sentence before anything runs, exit code 1, and no file is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import SNAKEMAKE, Project, copy_workflow

CONFIG_ERRORS = [
    pytest.param(
        ["tier=smok"],
        "tier: 'smok' is not allowed; allowed: smoke, mini, paper",
        id="unknown tier",
    ),
    pytest.param(
        ["launcher=slurmm"],
        "launcher: 'slurmm' is not allowed; allowed: inline, local, slurm",
        id="unknown launcher",
    ),
    pytest.param(
        ["experiments={beside: {optimiser: {lr: 0.1}}}"],
        "experiments.beside.optimiser: unknown key; did you mean 'optimizer'?",
        id="unknown key",
    ),
    pytest.param(
        ["experiments={beside: {optimizer: {lr: -1}}}"],
        "experiments.beside.optimizer.lr: -1 is not allowed; allowed: a number greater than 0.0",
        id="out of range",
    ),
    pytest.param(
        ["datasets={tiny: {mirror: perhaps}}"],
        "datasets.tiny.mirror: 'perhaps' is not allowed; allowed: true or false",
        id="wrong type",
    ),
    pytest.param(
        ["results=[a"],
        "--config results: '[a' is not valid YAML",
        id="not YAML on the command line",
    ),
    pytest.param(
        ["results=config.yaml"],
        "results: 'config.yaml' is not allowed, config.yaml is a file; allowed: a folder, or a new one",
        id="results in a file",
    ),
]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("tabel3", "tabel3: is no target; did you mean 'table3'?"),
        ("second-lr0.1", "second-lr0.1: is no target; did you mean 'second-lr0.01'?"),
    ],
)
def test_a_misspelt_target(project: Project, target: str, sentence: str) -> None:
    done = project.snakemake("-n", "table3", target)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == sentence, done.stdout


@pytest.mark.parametrize(("words", "sentence"), CONFIG_ERRORS)
def test_a_wrong_value_on_the_command_line(
    project: Project, words: list[str], sentence: str
) -> None:
    before = contents(project.folder)
    done = project.snakemake("--cores", "2", "all", "--config", *words)
    assert done.returncode == 1
    assert sentence in done.stdout.splitlines(), done.stdout
    assert "Traceback" not in done.stdout
    assert contents(project.folder) == before


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but Snakemake's own log."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.parent.name != "log"}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("tier: smoke", "tier: smok", "tier: 'smok' is not allowed; allowed: smoke, mini, paper"),
        ("tier: smoke", "tierr: smoke", "tierr: unknown key; did you mean 'tier'? (and 1 more)"),
        ("lr: 0.01}", "lr: 0.01, lr: 1}", "config.yaml: line 33: the key 'lr' stands twice"),
        ("tables:", "tables: [", "config.yaml, line 38: is not valid YAML"),
    ],
)
def test_a_wrong_config_file(project: Project, old: str, new: str, sentence: str) -> None:
    project.edit("config.yaml", old, new)
    done = project.snakemake("-n", "all")
    assert done.returncode == 1
    assert any(line.startswith(sentence) for line in done.stdout.splitlines()), done.stdout
    assert not (project.folder / "results").exists()


def test_the_wrong_folder(project: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [SNAKEMAKE, "-s", project.folder / "Snakefile", "-n", "all"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        f"config.yaml: is not in {elsewhere}; start snakemake in the folder that holds it"
        in done.stdout.splitlines() + done.stderr.splitlines()
    )
    assert list(elsewhere.iterdir()) == []


def test_a_missing_config_file_is_named(project: Project) -> None:
    done = project.snakemake("-n", "all", "--configfile", "mine.yaml")
    assert done.returncode == 1
    assert "mine.yaml" in done.stdout


def test_a_run_of_a_former_spec_is_not_made_from_the_present_one(project: Project) -> None:
    fingerprint = project.benchmark.experiments["beside"].fingerprint[:8]
    done = project.snakemake("-n", "results/smoke/runs/beside/00000000/seed0/spec.json")
    assert done.returncode == 1
    assert (
        f"beside: 00000000 is not its fingerprint in tier smoke, that is {fingerprint}"
        in done.stdout
    )


@pytest.mark.parametrize("target", ["tabel3", "results/smoke/tables/table9.csv"])
def test_a_target_that_does_not_exist(project: Project, target: str) -> None:
    done = project.snakemake("-n", target)
    assert done.returncode == 1
    assert f"No rule to produce {target}" in done.stdout


NOT_STARTED = [
    pytest.param(
        ["tier=paper"],
        "accept_gpu_hours: 0 does not cover the estimate of the paper tier",
        id="cost",
    ),
    pytest.param(
        ["tier=paper", "accept_gpu_hours=1000000"],
        "inception-v3-compat: no weights file is named",
        id="weights",
    ),
    pytest.param(
        ["tier=paper", "accept_gpu_hours=1000000", "weights={inception: /nowhere/w.pth}"],
        "/nowhere/w.pth: no such file for inception-v3-compat",
        id="weights that are not there",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), NOT_STARTED)
def test_nothing_starts_before_cost_and_weights_are_settled(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str], sentence: str
) -> None:
    monkeypatch.delenv("MSGBENCH_INCEPTION_WEIGHTS", raising=False)
    project = copy_workflow(root, tmp_path / "bench", root / "config.yaml")
    arguments = ["table3", "--config", *settings, "datasets={cifar10: {path: /data}}"]
    for _ in range(2):
        done = project.snakemake("--cores", "1", *arguments)
        assert done.returncode == 1
        assert sentence in done.stdout
        assert "Traceback" not in done.stdout
        assert not (project.folder / "results").exists()
    assert project.snakemake("-n", *arguments).returncode == 0
