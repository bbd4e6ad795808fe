"""What can be asked for, and what each rule calls."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest

from .conftest import Project


def run_of(*experiments: str) -> set[str]:
    return {f"{step} {name}, seed 0" for step in ("plan", "train") for name in experiments}


SHOWN = ("first-lr0.003", "second-lr0.01")
EVALUATED = {f"evaluate {name}, seed 0" for name in SHOWN}
REAL = {"evaluate the real images of tiny"}
FIGURES = {"figure table3", "figure table3-fid", "figure table3-losses"}
PREPARED = {"prepare tiny"}


@pytest.mark.parametrize(
    ("target", "planned"),
    [
        ("datasets", PREPARED),
        ("runs", PREPARED | run_of(*SHOWN)),
        ("measurements", PREPARED | run_of(*SHOWN) | EVALUATED | REAL),
        ("tables", PREPARED | run_of(*SHOWN) | EVALUATED | REAL | {"table table3"}),
        ("table3", PREPARED | run_of(*SHOWN) | EVALUATED | REAL | {"table table3"}),
        ("figures", PREPARED | run_of(*SHOWN) | EVALUATED | REAL | FIGURES),
        (
            "report",
            PREPARED | run_of(*SHOWN) | EVALUATED | REAL | FIGURES | {"table table3", "report"},
        ),
        ("beside", PREPARED | run_of("beside") | {"evaluate beside, seed 0"}),
        ("first-lr0.003", PREPARED | run_of("first-lr0.003") | {"evaluate first-lr0.003, seed 0"}),
    ],
)
def test_a_target_plans_what_it_needs_and_no_more(
    project: Project, target: str, planned: set[str]
) -> None:
    assert set(project.plans(target)) == planned


def test_all_is_the_default_and_is_the_report(project: Project) -> None:
    assert project.plans() == project.plans("all") == project.plans("report")


def test_a_dry_run_takes_less_than_5_seconds(project: Project) -> None:
    # Of processor time: what else runs on this machine does not count.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    project.plans("all")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert 0 < after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_finding_that_nothing_is_to_be_done_takes_less_than_10_seconds(done: Project) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Nothing to be done" in done.snakemake("--cores", "2", "table3").stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert 0 < after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def commands(project: Project, *arguments: str) -> list[str]:
    done = project.snakemake("-n", *arguments)
    assert done.returncode == 0, done.stdout
    return re.findall(r"^Shell command: (msgbench .*?) *$", done.stdout, re.MULTILINE)


def test_every_rule_is_one_command_with_a_log(project: Project) -> None:
    shells = commands(project, "all")
    assert {shell.split()[1] for shell in shells} == {
        "evaluate", "figure", "launch", "plan", "prepare", "report", "table"
    }  # fmt: skip
    for shell in shells:
        assert " --log " in shell
        assert not set(shell) & set("|&;<>")
    (launched,) = {re.sub(r"results/\S+", "X", shell) for shell in shells if " launch " in shell}
    assert launched == (
        "msgbench launch --launcher inline --run-dir X --log X -- msgbench train X --store X --log X"
    )


@pytest.mark.parametrize(
    ("arguments", "launcher"),
    [
        ([], "inline"),
        (["--config", "launcher=local"], "local"),
        (["--config", "launcher=local", "--profile", "slurm"], "slurm"),
    ],
)
def test_the_launcher_is_the_profiles_else_the_configs(
    project: Project, arguments: list[str], launcher: str
) -> None:
    shells = [shell for shell in commands(project, "runs", *arguments) if " launch " in shell]
    assert len(shells) == 2
    assert all(f"--launcher {launcher} " in shell for shell in shells)


def test_changes_on_the_command_line_reach_the_commands(project: Project) -> None:
    extra = project.folder / "extra.yaml"
    extra.write_text("defaults: {optimizer: {eps: 1e-7}}\n")
    shells = commands(
        project, "datasets", "beside", "--configfile", "extra.yaml",
        "--config", "datasets={tiny: {mirror: true}}", "experiments={beside: {optimizer: {lr: 5e-3}}}",
    )  # fmt: skip
    plan = next(shell for shell in shells if " plan " in shell)
    assert " --config config.yaml --set=" in plan
    assert set(re.findall(r" --set=(\S+)", plan)) == {
        "defaults.optimizer.eps=1e-07",
        "datasets.tiny.mirror=true",
        "experiments.beside.optimizer.lr=0.005",
    }


def test_without_config_yaml_a_named_file_is_the_config(project: Project) -> None:
    (project.folder / "config.yaml").rename(project.folder / "mine.yaml")
    shells = commands(project, "datasets", "--configfile", "mine.yaml")
    assert shells[0].endswith(f"--config '{project.folder}/mine.yaml'")


def test_the_inception_weights_reach_measuring_and_are_no_reason_to_measure_again(
    project: Project, done: Project
) -> None:
    arguments = ["--config", "weights={inception: /weights/in.pth}"]
    shells = [
        shell for shell in commands(project, "measurements", *arguments) if " evaluate " in shell
    ]
    assert len(shells) == 3
    assert all(shell.endswith("--inception /weights/in.pth") for shell in shells)
    assert done.plans("all", *arguments) == []


def test_long_rules_declare_one_output(root: Path) -> None:
    """Snakemake deletes the declared outputs of a failed job, so nothing that cost time is declared."""
    found = {}
    for file in sorted((root / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"\n(?=rule )", file.read_text())[1:]:
            name = re.match(r"rule (\w+):", rule)
            block = re.search(r"\n    output:\n((?:        .*\n)+)", rule)
            if name and block:
                found[name[1]] = block[1].split()[-1]
                assert name[1] == "figure" or len(block[1].splitlines()) == 1, rule
    assert {"prepare", "train", "evaluate", "evaluate_real"} <= set(found)
