"""Datasets that are not configured: the rest is planned and made, what is missing is named, and the end is an error."""

from __future__ import annotations

import re

import pytest

from .conftest import Project

SENTENCE = "mine is left out (1 experiment of table3): datasets.mine.path is not set"
TABLE = ["figures of all", "table table3"]


@pytest.fixture
def partly(project: Project) -> Project:
    """The tiny benchmark, its second experiment on photographs that nobody has named."""
    project.edit(
        "config.yaml",
        "    mirror: false\n",
        "    mirror: false\n  mine: {source: oxford_flowers, resolution: 32, mirror: false}\n",
    )
    project.edit(
        "config.yaml",
        "second-lr0.01: {method: msg-progan, dataset: tiny,",
        "second-lr0.01: {method: msg-progan, dataset: mine,",
    )
    return project


def test_the_rest_is_planned_and_the_error_comes_last(partly: Project) -> None:
    done = partly.snakemake("-n", "all")
    assert done.returncode == 0, done.stdout
    messages = re.findall(r"^Job \d+: (.*)$", done.stdout, re.MULTILINE)
    assert "what all leaves out" in messages
    assert "prepare tiny" in messages
    assert "train first-lr0.003, seed 0" in messages
    assert not [message for message in messages if "mine" in message or "second" in message]
    assert SENTENCE in done.stdout.splitlines()[-3:]


def test_it_may_be_accepted(partly: Project) -> None:
    done = partly.snakemake("-n", "all", "--config", "allow_missing=true")
    assert done.returncode == 0, done.stdout
    assert "leaves out" not in done.stdout
    assert SENTENCE in done.stdout  # said in any case


def test_other_targets_are_not_concerned(partly: Project) -> None:
    for target in ("first-lr0.003", "dataset-tiny", "table6"):
        done = partly.snakemake("-n", target)
        assert done.returncode == 0, done.stdout
        assert "left out" not in done.stdout
        assert "leaves out" not in done.stdout


def test_datasets_are_made_and_then_it_fails(partly: Project) -> None:
    done = partly.snakemake("--cores", "2", "datasets")
    assert done.returncode == 1
    assert (
        f"msgbench: error: {SENTENCE}. Everything else is made; allow_missing: true accepts"
        in done.stdout
    )
    assert len(list((partly.folder / "results").rglob("manifest.json"))) == 1
    done = partly.snakemake("--cores", "2", "datasets", "--config", "allow_missing=true")
    assert done.returncode == 0, done.stdout


def test_asked_for_by_its_name_a_dataset_says_what_it_lacks(partly: Project) -> None:
    done = partly.snakemake("--cores", "2", "dataset-mine")
    assert done.returncode == 1
    assert (
        "msgbench: error: datasets.mine.path: is not set; allowed: 102flowers.tgz, jpg/"
        in done.stdout
    )


def test_a_copy_takes_all_cores_and_what_is_drawn_takes_one(partly: Project) -> None:
    for file in (partly.folder / "workflow" / "rules").glob("*.smk"):
        # A rule with a message shows nothing but that.
        file.write_text(re.sub(r"(?m)^ +message:\n.*\n", "", file.read_text()))
    copy = "datasets={mine: {path: /data/jpg}}"
    said = partly.snakemake("-n", "--cores", "5", "datasets", "--config", copy).stdout
    found = {}
    for block in re.split(r"\n\n", said):
        name = re.search(r"wildcards: dataset=(\w+)", block)
        threads = re.search(r"^    threads: (\d+)$", block, re.MULTILINE)
        if name:
            found[name[1]] = int(threads[1]) if threads else 1
    assert found == {"tiny": 1, "mine": 5}
