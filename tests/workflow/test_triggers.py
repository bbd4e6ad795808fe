"""What is done again after an edit: what the edit changes, and never a training that it does not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .conftest import Project

COUNTED = ["table parameters"]
RESULTS = ["claims", "figures of all", "report", "table table3", "table text"]
MEASURING = [
    "evaluate first-lr0.003, seed 0",
    "evaluate second-lr0.01, seed 0",
    "evaluate the real images of tiny",
]


def run_of(experiment: str, seed: int = 0) -> list[str]:
    return [f"{step} {experiment}, seed {seed}" for step in ("evaluate", "plan", "train")]


def test_finished_work_is_not_done_again(done: Project) -> None:
    assert done.plans("all") == []
    said = done.snakemake("--cores", "2", "all").stdout
    assert "Nothing to be done" in said


@pytest.mark.parametrize(
    ("old", "new", "planned"),
    [
        pytest.param(
            "optimizer: {lr: 0.01}",
            "optimizer: {lr: 0.011}",
            RESULTS + run_of("second-lr0.01"),
            id="one experiment: its new run, and what shows it",
        ),
        pytest.param(
            "optimizer: {lr: 0.02}", "optimizer: {lr: 0.03}", [], id="an experiment nobody shows"
        ),
        pytest.param(
            "loss: {adversarial: wgan}",
            "loss: {adversarial: wgan, gp_weight: 5.0}",
            RESULTS + run_of("first-lr0.003") + run_of("second-lr0.01"),
            id="a method: all its experiments",
        ),
        pytest.param(
            "seeds: [0]",
            "seeds: [0, 1]",
            RESULTS + run_of("first-lr0.003", 1) + run_of("second-lr0.01", 1),
            id="a seed more: its runs, the others stay",
        ),
        pytest.param(
            "protocols: [is2k_small, fid2k_small]",
            "protocols: [is2k_small, fid2k_small, kid2k_small]",
            [*RESULTS, *MEASURING, "plan first-lr0.003, seed 0", "plan second-lr0.01, seed 0"],
            id="measuring: measured, not trained",
        ),
        pytest.param(
            "protocols: [is2k_small, fid2k_small], batch_size: 100",
            "protocols: [is2k_small, fid2k_small], batch_size: 100, keep: [final]",
            [
                *RESULTS,
                *("plan first-lr0.003, seed 0", "plan second-lr0.01, seed 0"),
                *("evaluate first-lr0.003, seed 0", "evaluate second-lr0.01, seed 0"),
            ],
            id="what is kept: looked at by measuring, not trained",
        ),
        pytest.param("Two rows of", "Rows of", RESULTS, id="a table's title: tables, not runs"),
        pytest.param(
            "num_images: 2000",
            "num_images: 2001",
            [
                "prepare tiny",
                *RESULTS,
                *MEASURING,
                *("plan first-lr0.003, seed 0", "plan second-lr0.01, seed 0"),
                *("train first-lr0.003, seed 0", "train second-lr0.01, seed 0"),
            ],
            id="a dataset: everything that is made of it",
        ),
        pytest.param(
            "tier: smoke", "tier: smoke\nlauncher: local\naccept_gpu_hours: 9", [],
            id="where trainings run, and a consent",
        ),
        pytest.param(
            "tier: smoke",
            "tier: smoke\nlauncher: slurm\n"
            "cluster: {defaults: {qos: low}, train: {gpu: 2}, prepare: {runtime: 1d}, evaluate: {mem_mb: 9}}",
            [],
            id="what jobs ask for",
        ),
    ],
)  # fmt: skip
def test_an_edit_of_the_config(done: Project, old: str, new: str, planned: list[str]) -> None:
    done.edit("config.yaml", old, new)
    assert done.plans("all") == sorted(planned)


def test_an_edit_keeps_the_folder_of_the_run_before(done: Project) -> None:
    before = done.run_dir("second-lr0.01")
    done.edit("config.yaml", "optimizer: {lr: 0.01}", "optimizer: {lr: 0.011}")
    assert done.run_dir("second-lr0.01") != before
    done.plans("all")
    assert (before / "train.json").exists()


def test_a_space_in_the_shell_of_every_rule_plans_nothing(done: Project) -> None:
    for name in ("datasets", "runs", "measurements", "results"):
        path = done.folder / "workflow" / "rules" / f"{name}.smk"
        text = path.read_text()
        assert "msgbench " in text
        path.write_text(re.sub(r'"(exec )?msgbench ', r'"\1msgbench  ', text))
    assert done.plans("all") == []


def test_without_the_profile_that_space_would_retrain(done: Project) -> None:
    """The counter-check: it is profiles/default that keeps the trainings."""
    done.edit("workflow/rules/runs.smk", '"exec msgbench launch ', '"exec msgbench  launch ')
    assert done.plans("all") == []
    planned = done.plans("all", "--workflow-profile", "none")
    assert "train first-lr0.003, seed 0" in planned


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "launcher=local", "accept_gpu_hours=7"],
        ["--cores", "8", "--default-resources", "launcher=local"],
        ["--profile", "slurm"],
        [
            "--profile",
            "slurm",
            "--set-resources",
            "train:runtime=7",
            "evaluate:gpu=2",
            "prepare:qos=long",
        ],
        [
            "--profile",
            "slurm",
            "--default-resources",
            "launcher=slurm",
            "mem_mb=7*attempt",
            "slurm_account=me",
        ],
        [
            "--profile",
            "slurm",
            "--set-resources",
            "train:mem_mb=input.size_mb + 1000",
            "evaluate_real:launcher=inline",
        ],
    ],
)
def test_where_and_how_it_runs_plans_nothing(done: Project, arguments: list[str]) -> None:
    assert done.plans("all", *arguments) == []


@pytest.mark.parametrize(
    ("files", "planned"),
    [
        pytest.param(
            [
                "training/loop.py", "training/steps.py", "losses/wgan_gp.py", "data/sampler.py",
                "launch/submit.py", "cli.py", "console.py",
            ],
            [],
            id="training and its surroundings: nothing",
        ),
        pytest.param(
            ["models/progan.py"],
            ["claims", "report", "table table6", "table table7", *COUNTED],
            id="a network: the tables of its layers, and nothing is trained",
        ),
        pytest.param(["analysis/tables.py"], RESULTS + COUNTED, id="analysis: the results"),
        pytest.param(
            ["reference/paper_numbers.csv"], RESULTS + COUNTED, id="the paper's numbers: the results"
        ),
        pytest.param(["metrics/evaluate.py"], RESULTS + MEASURING, id="metrics: measured again"),
        pytest.param(["sampling.py"], RESULTS + MEASURING, id="sampling: measured again"),
        pytest.param(["protocols.py"], RESULTS + COUNTED + MEASURING, id="a protocol: measured again"),
        pytest.param(["data/pixels.py"], RESULTS + MEASURING, id="the 8-bit rule: measured again"),
    ],
)  # fmt: skip
def test_an_edit_of_the_package(
    done: Project, root: Path, tmp_path: Path, files: list[str], planned: list[str]
) -> None:
    copy = tmp_path / "package" / "msgbench"
    shutil.copytree(root / "msgbench", copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in files:
        with (copy / file).open("a") as opened:
            # A table of numbers has no comments, but may end with an empty line.
            opened.write("\n" if file.endswith(".csv") else "\n# one more line\n")
    done.package = copy.parent
    assert done.plans("all") == sorted(planned)


def test_a_lost_file_is_made_again_and_nothing_else(done: Project) -> None:
    done.layout.table_csv("table3").unlink()
    assert done.plans("table3") == ["table table3"]


def test_a_lost_train_json_is_asked_for_again(done: Project) -> None:
    """It costs seconds: the training finds its last state and writes it anew."""
    (done.run_dir("first-lr0.003") / "train.json").unlink()
    assert done.plans("runs") == ["train first-lr0.003, seed 0"]


def test_trainings_that_are_missing_are_asked_for_also_behind_a_spec_that_is_made_again(
    project: Project,
) -> None:
    specs = [project.run_dir(name) / "spec.json" for name in project.benchmark.table_experiments()]
    files = [str(spec.relative_to(project.folder)) for spec in specs]
    done = project.snakemake("--cores", "1", *files)
    assert done.returncode == 0, done.stdout
    project.edit(
        "config.yaml",
        "protocols: [is2k_small, fid2k_small]",
        "protocols: [fid2k_small, is2k_small]",
    )
    assert project.plans("runs") == [
        "plan first-lr0.003, seed 0",
        "plan second-lr0.01, seed 0",
        "prepare tiny",
        "train first-lr0.003, seed 0",
        "train second-lr0.01, seed 0",
    ]
