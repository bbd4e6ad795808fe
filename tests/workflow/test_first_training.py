"""The target `first_training`: real images only, its own chain, and the report's other runs."""

from __future__ import annotations

import re

from msgbench.analysis import FIRST_TRAINING
from msgbench.layout import EVALUATE_JSON, SPEC_JSON

from .conftest import Project


def with_real_images(project: Project) -> Project:
    """The tiny benchmark with the first training, on a dataset that msgbench does not draw."""
    project.edit("config.yaml", "  beside: {", f"  {FIRST_TRAINING}: {{")
    project.edit(
        "config.yaml",
        "    source: embedded\n    num_images: 2000\n",
        "    source: cifar10\n    path: /data/cifar-10\n",
    )
    return project


def test_the_page_needs_its_run_its_images_scores_and_nothing_else(project: Project) -> None:
    with_real_images(project)
    expected = {
        "prepare tiny", f"plan {FIRST_TRAINING}, seed 0", f"train {FIRST_TRAINING}, seed 0",
        f"evaluate {FIRST_TRAINING}, seed 0", "evaluate the real images of tiny", f"publish {FIRST_TRAINING}",
        "docs/first-training.md",
    }  # fmt: skip
    assert set(project.plans("first_training")) == expected
    assert not set(project.plans("all")) & {f"publish {FIRST_TRAINING}", "docs/first-training.md"}


def test_in_a_fresh_clone_the_run_is_made_although_its_page_is_there(project: Project) -> None:
    with_real_images(project)
    expected = project.plans("first_training")
    for kept in (f"results/published/{FIRST_TRAINING}.json", "docs/first-training.md"):
        (project.folder / kept).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / kept).write_text("{}\n")
    assert project.plans("first_training") == expected
    assert "docs/first-training.md" in expected


def test_its_commands(project: Project) -> None:
    done = with_real_images(project).snakemake("-n", "first_training")
    shells = re.findall(r"^Shell command: (msgbench .*?) *$", done.stdout, re.MULTILINE)
    published = f"results/published/{FIRST_TRAINING}.json"
    assert (
        f"msgbench publish {FIRST_TRAINING} --log results/smoke/logs/publish-{FIRST_TRAINING}.log"
        in (" ".join(shells))
    )
    assert shells[-1] == (
        f"msgbench walkthrough {published} --out docs/first-training.md --log results/smoke/logs/first-training.log"
    )


def test_drawn_images_are_refused_before_anything_runs(project: Project) -> None:
    project.edit("config.yaml", "  beside: {", f"  {FIRST_TRAINING}: {{")
    done = project.snakemake("-n", "first_training")
    assert done.returncode != 0
    assert (
        f"{FIRST_TRAINING}: is published only on real images; name your copy at datasets.tiny.path"
        in done.stdout
    )


def test_a_measured_run_of_no_table_makes_claims_and_report_again_and_nothing_else(
    done: Project,
) -> None:
    assert done.plans("all") == []
    folder = done.run_dir("beside")
    for file in (SPEC_JSON, EVALUATE_JSON):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}\n")
    assert done.plans("all") == ["claims", "report"]
