"""The `cluster:` section: what a job of each task asks for, and every way to ask wrongly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from msgbench.config import (
    TASKS,
    ClusterSpec,
    JobResources,
    job_resources,
    load_benchmark,
    merge,
    resolve,
)
from msgbench.config.yaml_text import read_yaml
from msgbench.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FOR_RUNTIME = "allowed: minutes, or a text like 90m, 2h, 1d, 1d12h"
FOR_GPU = "allowed: a number, or model and number like a100:1"
FOR_EXTRA = "allowed: options of sbatch in their long form with `=`, like --exclude=n3"

WRONG = [
    ({"partition": "gpu"}, "train.partition: unknown key; did you mean 'slurm_partition'?"),
    ({"gpus": 1}, "train.gpus: unknown key; did you mean 'gpu'?"),
    ({"mem": 4}, "train.mem: unknown key; did you mean 'mem_mb'?"),
    ({"mem_mb": "4G"}, "train.mem_mb: '4G' is not allowed; allowed: a whole number"),
    ({"mem_mb": -1}, "train.mem_mb: -1 is not allowed; allowed: a number of at least 0"),
    ({"runtime": "1:00:00"}, f"train.runtime: '1:00:00' is not allowed; {FOR_RUNTIME}"),
    ({"runtime": ""}, f"train.runtime: '' is not allowed; {FOR_RUNTIME}"),
    ({"runtime": "2h1d"}, f"train.runtime: '2h1d' is not allowed; {FOR_RUNTIME}"),
    ({"runtime": 0}, "train.runtime: 0 is not allowed; allowed: a number of at least 1"),
    ({"runtime": 1.5}, "train.runtime: 1.5 is not allowed; allowed: a whole number"),
    ({"gpu": "a100"}, f"train.gpu: 'a100' is not allowed; {FOR_GPU}"),
    ({"gpu": True}, f"train.gpu: True is not allowed; {FOR_GPU}"),
    ({"gpu": -1}, f"train.gpu: -1 is not allowed; {FOR_GPU}"),
    (
        {"slurm_partition": ""},
        "train.slurm_partition: '' is not allowed; allowed: a text that is not empty",
    ),
    ({"gpu": 1, "gres": "gpu:1"}, "train: give only one of gpu and gres, they ask for the same"),
    (
        {"mem_mb": 1, "mem_mb_per_cpu": 1},
        "train: give only one of mem_mb and mem_mb_per_cpu, they ask for the same",
    ),
    ({"nodes": 0}, "train.nodes: 0 is not allowed; allowed: a number of at least 1"),
    (
        {"gpu": "a100:2", "tasks_per_node": 4},
        "train: tasks_per_node 4 is not allowed with 2 GPUs on each node; allowed: 2, or leave it empty",
    ),
    (
        {"slurm_extra": "--partition=gpu"},
        "train.slurm_extra: --partition=gpu is not allowed here; set the key slurm_partition",
    ),
    (
        {"slurm_extra": "-pgpu"},
        "train.slurm_extra: -pgpu is not allowed here; set the key slurm_partition",
    ),
    (
        {"slurm_extra": "--parti=gpu"},
        "train.slurm_extra: --parti=gpu is not allowed here; set the key slurm_partition",
    ),
    (
        {"slurm_extra": "--exclude=n1 --job-name=me"},
        "train.slurm_extra: --job-name=me is not allowed; msgbench's jobs need --job-name as it is",
    ),
    ({"slurm_extra": "--exclude n1"}, f"train.slurm_extra: 'n1' is not allowed; {FOR_EXTRA}"),
    ({"slurm_extra": "-x n1"}, f"train.slurm_extra: '-x' is not allowed; {FOR_EXTRA}"),
    (
        {"slurm_extra": "--comment='a"},
        'train.slurm_extra: "--comment=\'a" cannot be read (No closing quotation)',
    ),
    ({"slurm_extra": "--nice=1 --nice=2"}, "train.slurm_extra: --nice stands twice"),
]


@pytest.mark.parametrize(("asked", "expected"), WRONG, ids=[str(asked) for asked, _ in WRONG])
def test_wrong_resources_get_one_sentence(asked: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        job_resources(asked, "train")
    assert str(caught.value) == expected
    raw = read_yaml(ROOT / "config.yaml")
    raw["cluster"] = raw["tiers"]["smoke"]["cluster"] = {}
    for layer in (
        {"cluster": {"train": asked}},
        {"tiers": {"mini": {"cluster": {"train": asked}}}},
    ):
        with pytest.raises(ConfigError) as caught:
            resolve(merge(raw, layer))
        place = "cluster" if "cluster" in layer else "tiers.mini.cluster"
        assert str(caught.value) == f"{place}.{expected}"


def test_an_unknown_task_gets_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^cluster\.trian: unknown key; did you mean 'train'\?$"):
        load_benchmark(ROOT / "config.yaml", {"cluster": {"trian": {"gpu": 1}}})


@pytest.mark.parametrize(
    ("text", "minutes"),
    [(90, 90), ("90", 90), ("90m", 90), ("2h", 120), ("1d", 1440), ("1d12h", 2160), ("1h5m", 65)],
)
def test_runtime_is_kept_in_minutes(text: int | str, minutes: int) -> None:
    assert job_resources({"runtime": text}).runtime == minutes


def test_what_is_stated_is_read_back_the_same() -> None:
    asked = {"runtime": "2h", "gpu": "a100:1", "mem_mb": 0, "slurm_extra": "--nice=5"}
    first = job_resources(asked)
    assert first.stated() == {**asked, "runtime": 120}
    assert job_resources(first.stated()) == first


def test_extra_options_are_read_as_sbatch_reads_them() -> None:
    extra = job_resources({"slurm_extra": "--exclude=n[1-3] --exclusive --comment='two words'"})
    assert extra.extra_options() == {
        "exclude": "n[1-3]",
        "exclusive": True,
        "comment": "two words",
    }


def test_later_layers_win_and_replace_the_other_name_of_the_same_thing() -> None:
    below = JobResources(gpu=1, mem_mb=4000, runtime=60, qos="normal")
    above = JobResources(gres="gpu:a100:1,lscratch:10", mem_mb_per_cpu=500, runtime=5)
    assert below.merged(above).stated() == {
        "gres": "gpu:a100:1,lscratch:10",
        "mem_mb_per_cpu": 500,
        "runtime": 5,
        "qos": "normal",
    }
    assert below.merged(JobResources()) == below


def test_a_task_has_the_defaults_and_its_own_and_a_tier_wins() -> None:
    sections = {
        "cluster": {
            "defaults": {"slurm_account": "a", "slurm_partition": "cpu", "runtime": 9},
            "train": {"slurm_partition": "gpu", "gres": "gpu:2"},
        },
        "tiers": {"smoke": {"cluster": {"defaults": {"runtime": "1h"}, "train": {"gpu": 0}}}},
    }
    raw = read_yaml(ROOT / "config.yaml")
    raw["cluster"], raw["tiers"]["smoke"]["cluster"] = {}, {}
    smoke = resolve(merge(raw, sections)).cluster
    mini = resolve(merge(raw, {**sections, "tier": "mini"})).cluster
    common = {"slurm_account": "a", "slurm_partition": "cpu"}
    assert smoke.of("evaluate").stated() == {**common, "runtime": 60}
    assert mini.of("evaluate").stated() == {**common, "runtime": 9}
    train = {"slurm_account": "a", "slurm_partition": "gpu"}
    assert smoke.of("train").stated() == {**train, "runtime": 60, "gpu": 0}
    assert mini.of("train").stated() == {**train, "runtime": 9, "gres": "gpu:2"}


def test_the_shipped_section_names_no_cluster_and_asks_for_all_that_a_job_needs() -> None:
    for tier in ("smoke", "mini", "paper"):
        cluster = load_benchmark(ROOT / "config.yaml", {"tier": tier}).cluster
        for task in TASKS:
            asked = cluster.of(task).stated()
            assert {"cpus_per_task", "mem_mb", "runtime"} <= set(asked)
            assert not {"slurm_partition", "slurm_account", "qos", "constraint"} & set(asked)
        for task in ("train", "evaluate"):
            assert cluster.of(task).gpu == (0 if tier == "smoke" else 1)


def test_resources_are_part_of_no_fingerprint() -> None:
    asked = {"cluster": {"train": {"qos": "long"}}, "launcher": "slurm"}
    before, after = (load_benchmark(ROOT / "config.yaml", c) for c in ({}, asked))
    assert after.cluster != before.cluster
    for name, spec in before.experiments.items():
        assert after.experiments[name].fingerprint == spec.fingerprint


def test_the_page_lists_every_key_and_no_other() -> None:
    page = (ROOT / "docs" / "slurm.md").read_text()
    table = page.split("## What a job asks for")[1].split("| key | sbatch | values |")[1]
    rows = [line for line in table.split("\n\n")[0].splitlines() if line.startswith("| `")]
    listed = [key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(JobResources.model_fields)


@pytest.mark.parametrize(
    ("resources", "processes"),
    [
        ({}, 1),
        ({"gpu": 0}, 1),
        ({"gpu": 4}, 4),
        ({"gpu": "a100:4", "nodes": 2}, 8),
        ({"gres": "gpu:a100:2,lscratch:50"}, 2),
        ({"gres": "lscratch:50,gpu"}, 1),
        ({"gpu": 4, "tasks_per_node": 1}, 1),
        ({"nodes": 2, "tasks_per_node": 3}, 6),
    ],
)
def test_a_training_has_a_process_for_each_gpu(resources: dict[str, Any], processes: int) -> None:
    asked = job_resources(resources, "train")
    assert asked.processes("train") == processes
    assert asked.tasks_of("evaluate") == 1


def test_only_a_training_is_shared_by_processes() -> None:
    with pytest.raises(ValidationError, match=r"evaluate: nodes 2 is not allowed; allowed: 1"):
        ClusterSpec.model_validate({"evaluate": {"nodes": 2}})
    cluster = ClusterSpec.model_validate({"train": {"nodes": 2}})
    with pytest.raises(ConfigError, match=r"^resources.sample: tasks_per_node 2 is not"):
        cluster.of_rule("evaluate", "sample", {"tasks_per_node": 2})
