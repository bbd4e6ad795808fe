"""What can be asked for, and what each rule calls."""

from __future__ import annotations

import json
import re
import resource
import shlex
import shutil
from pathlib import Path

import pytest

from msgbench.layout import short

from .conftest import Project, copy_workflow


def run_of(*experiments: str) -> set[str]:
    return {f"{step} {name}, seed 0" for step in ("plan", "train") for name in experiments}


CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip
SHOWN = ("first-lr0.003", "second-lr0.01")
EVALUATED = {f"evaluate {name}, seed 0" for name in SHOWN}
REAL = {"evaluate the real images of tiny"}
FIGURES = {"figures of all"}
LAYERS = {"table table6", "table table7"}
OWN = {"table parameters", "table text"}
PREPARED = {"prepare tiny"}
MEASURED = PREPARED | run_of(*SHOWN) | EVALUATED | REAL


@pytest.mark.parametrize(
    ("target", "planned"),
    [
        ("datasets", PREPARED),
        ("runs", PREPARED | run_of(*SHOWN)),
        ("measurements", PREPARED | run_of(*SHOWN) | EVALUATED | REAL),
        ("tables", MEASURED | OWN | {"table table3"}),
        ("parameters", {"table parameters"}),
        ("text", MEASURED | {"table text"}),
        ("table_v1", set()),
        ("claims", MEASURED | {"claims"}),
        ("table3", PREPARED | run_of(*SHOWN) | EVALUATED | REAL | {"table table3"}),
        ("table6", {"table table6"}),
        ("table7", {"table table7"}),
        ("figures", PREPARED | run_of(*SHOWN) | EVALUATED | REAL | FIGURES),
        (
            "report",
            MEASURED | FIGURES | OWN | {"table table3", "claims", "report"},
        ),
        (
            "samples",
            PREPARED | run_of(*SHOWN) | EVALUATED | {f"sample {name}, seed 0" for name in SHOWN},
        ),
        ("beside", PREPARED | run_of("beside") | {"evaluate beside, seed 0"}),
        ("first-lr0.003", PREPARED | run_of("first-lr0.003") | {"evaluate first-lr0.003, seed 0"}),
    ],
)
def test_a_target_plans_what_it_needs_and_no_more(
    project: Project, target: str, planned: set[str]
) -> None:
    assert set(project.plans(target)) == planned


def test_tables_of_layers_need_no_data_and_no_run(project: Project) -> None:
    done = project.snakemake("--cores", "1", "table6", "table7")
    assert done.returncode == 0, done.stdout
    folder = project.layout.table_csv("table6").parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "table6.csv", "table6.md", "table7.csv", "table7.md"
    ]  # fmt: skip
    assert "9,Fully Connected,Linear,1 x 1 x 1,-,513" in (folder / "table7.csv").read_text()
    assert project.plans("table6", "table7") == []
    project.layout.table_md("table7").unlink()
    assert project.plans("table7") == ["table table7"]


def test_all_is_the_default_and_is_the_report(project: Project) -> None:
    assert project.plans() == project.plans("all")
    assert set(project.plans("all")) == set(project.plans("report")) | LAYERS


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
    return re.findall(r"^Shell command: (?:exec )?(msgbench .*?) *$", done.stdout, re.MULTILINE)


def test_every_rule_is_one_command_with_a_log(project: Project) -> None:
    shells = commands(project, "all")
    assert {shell.split()[1] for shell in shells} == {
        "claims", "describe", "figure", "launch", "plan", "report", "table"
    }  # fmt: skip
    for shell in shells:
        assert " --log " in shell
        assert not set(shell) & set("|&;<>")


def test_smoke_makes_every_table_with_few_processes_that_import_torch(
    root: Path, tmp_path: Path
) -> None:
    """Starting torch takes seconds of a core, every time."""
    smoke = copy_workflow(root, tmp_path / "smoke", root / "config.yaml")
    shells = commands(smoke, "all")
    heavy = [
        shell
        for shell in shells
        if re.search(r"-- msgbench (train|evaluate|sample)|msgbench describe", shell)
    ]
    # Those of the tables, and the ProGAN that only the stability figures show.
    assert len([shell for shell in heavy if " train " in shell]) == 36
    assert len([shell for shell in heavy if " sample " in shell]) == 1
    assert len(heavy) <= 90
    light = [
        shell.split()[1:3] for shell in shells if shell.split()[1] in ("table", "figure", "report")
    ]
    made = {name for command, name in light if command == "table"}
    assert made == {
        "table1", "table2", "table3", "table4", "table5", "v1-table1", "v1-table1-celeba-hq", "appendix",
        "parameters", "text",
    }  # fmt: skip
    # All figures by one process.
    assert len(light) == len(made) + 2


def test_a_figure_by_its_name_plans_its_own_runs_and_pictures(root: Path, tmp_path: Path) -> None:
    smoke = copy_workflow(root, tmp_path / "smoke", root / "config.yaml")
    churches = ("churches-msg-stylegan", "churches-stylegan")
    assert set(smoke.plans("figure8")) == {
        "prepare churches",
        *run_of(*churches),
        *(f"{step} {name}, seed 0" for step in ("evaluate", "sample") for name in churches),
        "figure figure8",
    }
    assert smoke.plans("figure2") == ["figure figure2"]
    # No table has this ProGAN measured: its last snapshot is drawn.
    assert set(smoke.plans("figure_v1_3")) == {
        "prepare celeba-hq",
        *run_of("celeba-hq-progan-authors"),
        "sample celeba-hq-progan-authors, seed 0",
        "figure figure_v1_3",
    }


def test_a_figure_whose_dataset_is_not_configured_ends_with_the_sentence(
    root: Path, tmp_path: Path
) -> None:
    smoke = copy_workflow(root, tmp_path / "smoke", root / "config.yaml")
    change = ["--config", "tiers={smoke: {datasets: {celeba: {stand_in: null}}}}"]
    done = smoke.snakemake("--cores", "1", "figure12", *change)
    assert done.returncode == 1
    said = "celeba is left out (1 experiment of figure12): datasets.celeba.path is not set"
    assert f"msgbench: error: {said}. Everything else is made" in done.stdout
    about = json.loads(smoke.layout.figure("figure12", "json").read_text())
    assert about["files"] == {}
    assert about["missing"] == [
        "celeba-msg-progan, seed 0: left out: datasets.celeba.path is not set"
    ]


def test_what_takes_long_goes_through_the_launcher(project: Project) -> None:
    """With its task, the folder that its job works for, and the output that the rule declares."""
    shells = [shell for shell in commands(project, "all") if " launch " in shell]
    root = Path("results/smoke")
    spec = project.benchmark.datasets["tiny"]
    store = root / "datasets" / "tiny" / short(spec.fingerprint)
    runs = [project.run_dir(name).relative_to(project.folder) for name in SHOWN]
    jobs, key = root / "jobs", f"tiny-{store.name}"
    expected = [
        ("prepare", jobs / f"prepare-{key}", store / "manifest.json", "prepare tiny"),
        ("evaluate", jobs / f"evaluate-real-{key}", store / "real.json", f"evaluate --real {store}"),
        *[("train", run, run / "train.json", f"train {run}") for run in runs],
        *[("evaluate", run, run / "evaluate.json", f"evaluate {run}") for run in runs],
    ]  # fmt: skip
    assert len(shells) == len(expected)
    for task, folder, output, command in expected:
        words = (
            f"msgbench launch --launcher inline --task {task} --resources '{{}}' "
            f"--run-dir {folder} --output {output} --log "
        )
        (found,) = [shell for shell in shells if shell.startswith(words)]
        assert f" -- msgbench {command} " in found


def test_pictures_are_drawn_of_measured_runs_through_the_launcher(project: Project) -> None:
    run = project.run_dir(SHOWN[0]).relative_to(project.folder)
    (found,) = [
        shell
        for shell in commands(project, str(run / "samples.json"))
        if " msgbench sample " in shell
    ]
    job = Path("results/smoke/jobs") / f"sample-{SHOWN[0]}-{run.parent.name}-seed0"
    assert f"--task evaluate --resources '{{}}' --run-dir {job} " in found
    assert (
        f" -- msgbench sample {run} --at best-or-final --out {run / 'samples.json'} --log " in found
    )


def test_floors_take_the_test_images_where_a_copy_has_them(
    project: Project, tmp_path: Path
) -> None:
    """The classes' folders below train/ and test/ are enough to plan with: no image is read."""
    for split in ("train", "test"):
        for name in CLASSES:
            (tmp_path / "copy" / split / name).mkdir(parents=True)
    arguments = [
        "--config",
        f"datasets={{tiny: {{source: cifar10, path: {tmp_path / 'copy'}, resolution: 32}}}}",
    ]
    shells = commands(project, "measurements", *arguments)
    prepared = [shell for shell in shells if " msgbench prepare tiny " in shell]
    assert len(prepared) == 2
    (test,) = [shell for shell in prepared if shell.endswith("--set=datasets.tiny.split=test")]
    store = re.search(r" --store (\S+)", test)
    assert store is not None
    (real,) = [shell for shell in shells if " --real " in shell]
    assert f" --test-store {store[1]}" in real
    # Without the test images there is no such floor, and nothing else changes.
    shutil.rmtree(tmp_path / "copy" / "test")
    shells = commands(project, "measurements", *arguments)
    assert len([shell for shell in shells if " msgbench prepare tiny " in shell]) == 1
    assert "--test-store" not in " ".join(shells)


def asked(project: Project, *arguments: str) -> dict[str, dict[str, object]]:
    """What the Slurm jobs of each task ask for under `--profile slurm`."""
    found: dict[str, dict[str, object]] = {}
    for shell in commands(project, "all", "--profile", "slurm", *arguments):
        words = shlex.split(shell)
        if "launch" in words:
            task, resources = (words[words.index(o) + 1] for o in ("--task", "--resources"))
            name = "evaluate_real" if "--real" in words else task
            assert found.setdefault(name, json.loads(resources)) == json.loads(resources)
            assert words[words.index("--launcher") + 1] == "slurm"
    return found


def test_jobs_ask_for_what_the_config_says(project: Project) -> None:
    assert asked(project) == {
        name: {} for name in ("prepare", "train", "evaluate", "evaluate_real")
    }
    project.edit(
        "config.yaml",
        "tier: smoke",
        "tier: smoke\n"
        "cluster:\n"
        "  defaults: {slurm_partition: gpu, runtime: 1d}\n"
        "  train: {gpu: 'a100:1', mem_mb: 16000}\n"
        "  prepare: {slurm_partition: cpu, slurm_extra: --exclude=n3 --mail-type=END}",
    )
    common = {"slurm_partition": "gpu", "runtime": 1440}
    assert asked(project) == {
        "prepare": {**common, "slurm_partition": "cpu", "slurm_extra": "--exclude=n3 --mail-type=END"},
        "train": {**common, "gpu": "a100:1", "mem_mb": 16000},
        "evaluate": common,
        "evaluate_real": common,
    }  # fmt: skip


def test_resources_of_the_rules_win_over_the_config(project: Project) -> None:
    project.edit(
        "config.yaml",
        "tier: smoke",
        "tier: smoke\ncluster: {defaults: {gpu: 1, mem_mb: 5, runtime: 9, qos: low}}",
    )
    default = {"gpu": 1, "mem_mb": 5, "runtime": 120, "qos": "low", "slurm_account": "me"}
    assert asked(
        project, "--default-resources", "launcher=slurm", "runtime=2h", "slurm_account=me",
        "--set-resources", "train:gres=gpu:2", "train:mem_mb_per_cpu=7", "evaluate:mem=3GB",
        "prepare:runtime=5 * len(wildcards.dataset)", "evaluate_real:slurm_extra=--exclude=n3",
    ) == {
        "prepare": {**default, "runtime": 20},
        "train": {
            "gres": "gpu:2", "mem_mb_per_cpu": 7, "runtime": 120, "qos": "low", "slurm_account": "me",
        },
        "evaluate": {**default, "mem_mb": 3000},
        "evaluate_real": {**default, "slurm_extra": "--exclude=n3"},
    }  # fmt: skip


def test_one_experiment_can_ask_for_something_of_its_own(project: Project) -> None:
    shells = commands(
        project, "runs", "--profile", "slurm", "--set-resources",
        "train:runtime=600 if wildcards.experiment == 'second-lr0.01' else 60",
    )  # fmt: skip
    found = {
        name: re.search(r'"runtime": (\d+)', shell)
        for name in SHOWN
        for shell in shells
        if f"/{name}/" in shell and " --task train " in shell
    }
    assert {name: match and match[1] for name, match in found.items()} == {
        "first-lr0.003": "60",
        "second-lr0.01": "600",
    }


@pytest.mark.parametrize(
    ("arguments", "train", "evaluate"),
    [
        ([], (4, 1), (4, 1)),
        (["--profile", "slurm"], (1, 0), (1, 0)),
        (["--profile", "slurm", "--set-resources", "evaluate:launcher=inline"], (1, 0), (4, 1)),
    ],
)
def test_what_only_waits_takes_no_thread_and_no_slot_of_this_machine(
    project: Project, arguments: list[str], train: tuple[int, int], evaluate: tuple[int, int]
) -> None:
    project.edit("config.yaml", "num_threads: 1", "num_threads: 4")
    for file in (project.folder / "workflow" / "rules").glob("*.smk"):
        # A rule with a message shows nothing but that.
        file.write_text(re.sub(r"(?m)^ +message:\n.*\n", "", file.read_text()))
    said = project.snakemake("-n", "--cores", "8", "all", *arguments).stdout
    found = {}
    for block in re.split(r"\n\n", said):
        name = re.search(r"^rule (prepare|train|evaluate|table):$", block, re.MULTILINE)
        if name:
            threads = re.search(r"^    threads: (\d+)$", block, re.MULTILINE)
            slots = re.search(r"^    resources: .*local_slots=(\d+)", block, re.MULTILINE)
            assert slots, block
            found[name[1]] = (int(threads[1]) if threads else 1, int(slots[1]))
    here = (1, train[1])
    assert found == {"prepare": here, "train": train, "evaluate": evaluate, "table": (1, 1)}


@pytest.mark.parametrize(
    ("arguments", "launcher"),
    [
        ([], "inline"),
        (["--config", "launcher=local"], "local"),
        (["--config", "launcher=local", "--profile", "slurm"], "slurm"),
        (["--config", "launcher=slurm"], "slurm"),
        (["--profile=slurm", "--default-resources", "launcher=inline"], "inline"),
    ],
)
def test_the_launcher_is_the_profiles_else_the_configs(
    project: Project, arguments: list[str], launcher: str
) -> None:
    shells = [shell for shell in commands(project, "all", *arguments) if " launch " in shell]
    assert len(shells) == 6
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
                short = name[1] in ("table", "layer_table", "claims", "report")
                assert short or len(block[1].splitlines()) == 1, rule
    assert {"prepare", "train", "evaluate", "evaluate_real"} <= set(found)
