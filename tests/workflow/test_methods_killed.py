"""Every method through the workflow: killed, and gone on with on another number of cores, to the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.layout import STATES, STATS_JSONL, TRAIN_JSON, state_file

from .conftest import Project, copy_workflow
from .test_kills import Workflow, flat, held, kill, processes_in, run_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CONFIG = """
tier: smoke
datasets:
  tiny: {source: embedded, num_images: 600, resolution: 16, mirror: true}
defaults:
  seeds: [0]
  model: {latent_size: 16, fmap_base: 64, fmap_max: 8}
  training:
    {batch_size: 8, total_kimg: 0.48, snapshot_kimg: 0.24, state_kimg: 0.024, grid_kimg: 0.48,
     stats_kimg: 0.024, num_threads: 1}
  ema: {beta: 0.9}
  optimizer: {lr: 0.003}
  evaluation: {protocols: [fid500_small]}
methods:
  msg-progan: {model: {family: progan}, loss: {adversarial: wgan}}
  msg-stylegan:
    model: {family: stylegan}
    loss: {adversarial: non_saturating, penalty: r1, drift_weight: 0.0}
    ema: {halflife_kimg: 0.1}
  msg-gan-v1:
    model: {family: progan, variant: bmsg}
    loss: {adversarial: ra_hinge, penalty: none, drift_weight: 0.0}
    optimizer: {lr: 0.001}
  progan:
    model: {family: progan}
    loss: {adversarial: wgan}
    growing: &grows
      {stable_kimg: 0.08, fade_kimg: 0.08, batch_sizes: {4: 16, 8: 8}, learning_rates: {16: 0.001}, repeats: 2}
  stylegan:
    model: {family: stylegan}
    loss: {adversarial: non_saturating, penalty: r1, drift_weight: 0.0, style_mixing: 0.9}
    growing: *grows
experiments:
  stylegan: {method: msg-stylegan, dataset: tiny}
  v1: {method: msg-gan-v1, dataset: tiny}
  v1-reused: {method: msg-gan-v1, dataset: tiny, loss: {generator_batch: reused}}
  coarse: {method: msg-progan, dataset: tiny, model: {connections: [4], combine: phi_lin_cat}}
  one-sided: {method: msg-progan, dataset: tiny, model: {combine: phi_cat_lin}, loss: {penalty: one_sided}}
  rmsprop: {method: msg-progan, dataset: tiny, optimizer: {algorithm: rmsprop_tf}}
  progan: {method: progan, dataset: tiny}
  grown-stylegan: {method: stylegan, dataset: tiny}
tables:
  methods:
    title: "Methods: all"
    protocol: fid500_small
    rows:
      - {label: a, experiment: stylegan}
      - {label: b, experiment: v1}
      - {label: c, experiment: v1-reused}
      - {label: d, experiment: coarse}
      - {label: e, experiment: one-sided}
      - {label: f, experiment: rmsprop}
      - {label: g, experiment: progan}
      - {label: h, experiment: grown-stylegan}
tiers: {smoke: {}, mini: {}, paper: {}}
"""


def project_in(root: Path, folder: Path) -> Project:
    config = folder.parent / f"{folder.name}.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(CONFIG)
    return copy_workflow(root, folder, config)


def trained(project: Project) -> dict[str, Any]:
    """What two trainings of the same spec have in common, to the last bit."""
    found: dict[str, Any] = {}
    for name in project.benchmark.table_experiments():
        folder = project.run_dir(name)
        train = json.loads((folder / TRAIN_JSON).read_text())
        found[f"{name}: snapshots"] = [(s["file"], s["sha256"]) for s in train["snapshots"]]
        state = torch.load(max((folder / "states").glob("*.pt")), weights_only=True)
        found[f"{name}: state"] = flat(state["networks"])
        lines = [json.loads(line) for line in (folder / STATS_JSONL).read_text().splitlines()]
        found[f"{name}: losses"] = [(line["loss_d"], line["loss_g"]) for line in lines]
    return found


def finished(runs: set[Path]) -> set[Path]:
    return {run for run in runs if (run / TRAIN_JSON).exists()}


def midway(runs: set[Path], nimg: int) -> set[Path]:
    """Those of `runs` that are not done and have a training state of at least `nimg` images."""
    return {
        run
        for run in runs - finished(runs)
        if any(str(state) >= str(run / state_file(nimg)) for state in (run / STATES).glob("*.pt"))
    }


def kill_midway(
    project: Project, workflow: Workflow, runs: set[Path], done: int, nimg: int
) -> set[Path]:
    """Kill everything once `done` runs are trained and another has a state of `nimg`; the runs that it hit."""

    def is_time() -> bool:
        return len(finished(runs)) >= done and bool(midway(runs, nimg))

    while wait_for(is_time, workflow):
        with held(project) as trainings:
            hit = midway(runs, nimg) & {run_of(training) for training in trainings}
            if hit:  # else it was done in between
                kill(processes_in(project.folder))
                workflow.end()
                return hit
    return set()


def test_every_method_goes_on_after_kills_on_another_number_of_cores(
    root: Path, tmp_path: Path
) -> None:
    calm, killed = (project_in(root, tmp_path / name) for name in ("calm", "killed"))
    undisturbed = Workflow(calm, target="runs")
    assert undisturbed.end() == 0, undisturbed.said.read_text()[-3000:]
    expected = trained(calm)
    runs = {killed.run_dir(name) for name in killed.benchmark.table_experiments()}
    interrupted: set[Path] = set()
    for cores, done, nimg in (("1", 0, 200), ("2", 2, 100)):
        workflow = Workflow(killed, "--cores", cores, target="runs")
        hit = kill_midway(killed, workflow, runs, done, nimg)
        assert hit, workflow.said.read_text()[-3000:]
        interrupted |= hit
    workflow = Workflow(killed, target="runs")
    assert workflow.end() == 0, workflow.said.read_text()[-3000:]
    found = trained(killed)
    assert [what for what in expected if found[what] != expected[what]] == []
    for run in interrupted:
        assert len(json.loads((run / TRAIN_JSON).read_text())["attempts"]) > 1, run
