"""`--profile slurm`: chooses Slurm or says why not, and refuses what cannot be asked for; no Slurm needed."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from .conftest import Project

LOST = (
    "--profile slurm: its default-resources, which choose Slurm, are replaced as a whole by others; name the "
    "launcher among them: --default-resources launcher=slurm {}"
)
NUMBER = "for Snakemake; give the text as it is meant quotes of its own:"
QUOTES = "is also a name of Python, which Snakemake takes it for; give it quotes of its own:"

UNSHARED = (
    "resources.train: 3 processes are not allowed, no experiment can be shared by them; "
    "allowed, each by some: 1, 2"
)
REFUSED = [
    (["--default-resources", "runtime=7"], LOST.format("runtime=7")),
    (["--default-resources"], LOST.format("").strip()),
    (
        ["--default-resources", "slurm_partition=gpu", "mem_mb=4000", "--resources", "local_slots=2"],
        LOST.format("mem_mb=4000 slurm_partition=gpu"),
    ),
    (
        ["--default-resources", "launcher=slurmm"],
        "resources.prepare.launcher: 'slurmm' is not allowed; allowed: inline, local, slurm",
    ),
    (
        ["--set-resources", "train:launcher=cluster"],
        "resources.train.launcher: 'cluster' is not allowed; allowed: inline, local, slurm",
    ),
    (
        ["--set-resources", "train:gpus=1"],
        "resources.train.gpus: unknown key; did you mean 'gpu'?",
    ),
    (
        ["--default-resources", "launcher=slurm", "partition=gpu"],
        "resources.prepare.partition: unknown key; did you mean 'slurm_partition'?",
    ),
    (
        ["--set-resources", "evaluate_real:nodes=2"],
        "resources.evaluate_real: nodes 2 is not allowed; allowed: 1 (only a training is shared by processes)",
    ),
    (
        ["--set-resources", "train:gpu=1", "train:gres=gpu:1"],
        "resources.train: give only one of gpu and gres, they ask for the same",
    ),
    (
        ["--set-resources", "train:slurm_extra='--time=3'"],
        "resources.train.slurm_extra: --time=3 is not allowed here; set the key runtime",
    ),
    (
        ["--set-resources", "train:runtime=1:00:00"],
        "resources.train.runtime: Resource 'runtime' with value '1:00:00' could not be parsed as minutes",
    ),
    (
        ["--set-resources", "train:slurm_partition=all"],
        f"resources.train.slurm_partition: all {QUOTES} slurm_partition=\"'all'\"",
    ),
    (
        ["--set-resources", "train:slurm_account=0815"],
        f"resources.train.slurm_account: is the number 815 {NUMBER} slurm_account=\"'815'\"",
    ),
    (
        ["--set-resources", "train:qos=10e3"],
        f"resources.train.qos: is the number 10000 {NUMBER} qos=\"'10000'\"",
    ),
    (["--set-resources", "train:gpu=3"], UNSHARED),
    (["--config", "cluster={train: {nodes: 3}}"], UNSHARED),
    (["--set-resources", "trian:gpu=1"], "set-resources: 'trian' is no rule; did you mean 'train'?"),
    (
        ["--config", "tiers={smoke: {cluster: {train: {gpu: a100}}}}"],
        "tiers.smoke.cluster.train.gpu: 'a100' is not allowed; "
        "allowed: a number, or model and number like a100:1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=[" ".join(r[0]) for r in REFUSED])
def test_what_cannot_be_submitted_is_refused_before_anything_starts(
    project: Project, arguments: list[str], sentence: str
) -> None:
    done = project.snakemake("--profile", "slurm", "all", *arguments)
    assert done.returncode == 1
    assert sentence in done.stdout.splitlines(), done.stdout
    assert "Traceback" not in done.stdout
    assert not (project.folder / "results").exists()


def test_gpus_that_a_training_of_this_start_cannot_share_are_refused_before_anything_starts(
    project: Project,
) -> None:
    """What others can be shared by is no mistake; a dry run says it, and a training that is done needs no GPUs."""
    project.edit("config.yaml", "second-lr0.01: {", "second-lr0.01: {training: {batch_size: 12}, ")
    arguments = ("--set-resources", "train:gpu=2", "--profile", "slurm")
    sentence = (
        "resources.train of second-lr0.01: 2 processes are not allowed; batches of 12 images in whole groups of 4 "
        "can be shared by 1, 3"
    )
    done = project.snakemake(*arguments, "all")
    assert done.returncode == 1
    assert sentence in done.stdout.splitlines(), done.stdout
    assert "Traceback" not in done.stdout
    assert not (project.folder / "results").exists()
    assert f"would be refused: {sentence}" in project.snakemake(*arguments, "-n", "all").stdout
    assert "refused" not in project.snakemake(*arguments, "-n", "first-lr0.003").stdout
    project.pretend_done()
    assert "refused" not in project.snakemake(*arguments, "-n", "all").stdout


def test_a_machine_without_slurm_is_refused_before_anything_starts(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bash").symlink_to(str(shutil.which("bash")))
    monkeypatch.setenv("PATH", str(programs))
    done = project.snakemake("--profile", "slurm", "all")
    assert done.returncode == 1
    assert (
        "launcher: slurm needs sbatch, which is not on PATH; start it where jobs are submitted"
        in done.stdout.splitlines()
    )
    assert not (project.folder / "results").exists()


def test_what_only_a_job_can_tell_is_refused_before_anything_starts(project: Project) -> None:
    """As one sentence; a dry run says it, too, and a training that is done asks for nothing."""
    asks = "train:gpu=-1 if wildcards.experiment.startswith('second') else 1"
    arguments = ("--profile", "slurm", "--set-resources", asks)
    sentence = (
        "resources.train.gpu: -1 is not allowed; allowed: a number, or model and number like a100:1 "
        "(a job of second-lr0.01)"
    )
    done = project.snakemake("all", *arguments)
    assert done.returncode == 1
    assert sentence in done.stdout.splitlines(), done.stdout
    assert "Exception" not in done.stdout
    assert "Traceback" not in done.stdout
    assert not (project.folder / "results").exists()
    assert f"would be refused: {sentence}" in project.snakemake("-n", "all", *arguments).stdout
    assert "refused" not in project.snakemake("-n", "first-lr0.003", *arguments).stdout


OF_A_JOB = "it may use wildcards.experiment, wildcards.fp, wildcards.seed, input, attempt, threads"
NO_VALUE = [
    ("gpu=wildcards.nothing", "AttributeError: 'Wildcards' object has no attribute 'nothing'"),
    ("gpu=attempt / 0", "ZeroDivisionError: division by zero"),
    (
        "runtime=wildcards.experiment",
        "Resource 'runtime' with value 'first-lr0.003' could not be parsed as minutes",
    ),
]


@pytest.mark.parametrize(("given", "why"), NO_VALUE)
def test_a_resource_without_a_value_for_a_job_is_named_without_a_traceback(
    project: Project, given: str, why: str
) -> None:
    fingerprint = project.run_dir("first-lr0.003").parent.name
    key, _, expression = given.partition("=")
    said = project.snakemake(
        "--profile", "slurm", "first-lr0.003", "--set-resources", f"train:{given}"
    ).stdout
    sentence = f"resources.train.{key}: {expression} has no value for first-lr0.003 {fingerprint} 0 ({why}); {OF_A_JOB}"
    assert sentence in said, said
    assert "Traceback" not in said
    assert "InputFunctionException" not in said
    assert not (project.folder / "results").exists()


def test_what_jobs_compute_of_what_they_are_is_asked_for(project: Project) -> None:
    computed = ("mem_mb=1000 * attempt", "runtime='2h' if wildcards.seed == '0' else 5", "gpu=2")
    said = project.snakemake(
        *("--profile", "slurm", "-n", "first-lr0.003", "--set-resources"),
        *(f"train:{given}" for given in computed),
    ).stdout
    (asked,) = re.findall(r"--task train --resources '(.*?)'", said)
    assert json.loads(asked) == {"runtime": 120, "mem_mb": 1000, "gpu": 2}


@pytest.mark.parametrize(
    "profile",
    [
        ["--profile", "slurm"],
        ["--profile=slurm"],
        ["--profile", "./slurm"],
        ["--profile", "slurm/config.yaml"],
        ["--profile", "copied"],
        ["--prof", "slurm"],
    ],
    ids=" ".join,
)
def test_however_the_profile_is_named_a_lost_launcher_is_noticed(
    project: Project, profile: list[str]
) -> None:
    shutil.copytree(project.folder / "slurm", project.folder / "copied")
    done = project.snakemake(*profile, "-n", "all", "--default-resources", "runtime=7")
    assert (done.returncode, LOST.format("runtime=7") in done.stdout) == (1, True)


def test_the_profile_can_be_named_by_the_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")
    assert "--launcher slurm" in project.snakemake("-n", "all").stdout
    done = project.snakemake("-n", "all", "--default-resources", "runtime=7")
    assert LOST.format("runtime=7") in done.stdout


def test_a_default_profile_that_drops_the_launcher_is_noticed(project: Project) -> None:
    with (project.folder / "profiles" / "default" / "config.yaml").open("a") as file:
        file.write("default-resources:\n  slurm_partition: gpu\n")
    done = project.snakemake("--profile", "slurm", "-n", "all")
    assert LOST.format("slurm_partition=gpu") in done.stdout.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--default-resources", "launcher=slurm", "runtime=7"],
        ["--default-resources", "runtime=7", "--config", "launcher=slurm"],
        ["--set-resources", "train:runtime=7"],
        ["--resources", "local_slots=1", "wandb=2", "--set-resources", "train:wandb=1"],
        ["--jobs", "200"],
    ],
    ids=" ".join,
)
def test_other_arguments_keep_slurm(project: Project, arguments: list[str]) -> None:
    said = project.snakemake("--profile", "slurm", "-n", "all", *arguments).stdout
    assert said.count(" --launcher slurm ") == 6
    assert "--launcher inline" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cores", "2"],
        ["--cores", "2", "--default-resources", "runtime=7", "anything=3"],
        ["--cores", "2", "--resources", "local_slots=1", "--set-resources", "train:gpus=1"],
    ],
    ids=" ".join,
)
def test_without_the_profile_nothing_is_submitted_even_where_slurm_is(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\ntouch $0.was-called\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    said = project.snakemake("-n", "all", *arguments).stdout
    assert said.count(" --launcher inline ") == 6
    done = project.snakemake("datasets", *arguments)
    assert done.returncode == 0, done.stdout
    assert [file.name for file in sbatch.parent.iterdir()] == ["sbatch"]
