"""A results folder without any training: the files that the other rooms write, with made-up numbers.

For timing what is made from records (`msgbench bench results`) and for the tests of it. Nothing here is ever measured,
and nothing that is made from it is a result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from msgbench.config import Benchmark, RunSpec
from msgbench.data.manifest import (
    IMAGES_NPY,
    FileFact,
    Manifest,
    SourceFacts,
    content_fingerprint,
)
from msgbench.layout import (
    EVALUATE_JSON,
    MANIFEST_JSON,
    OBSERVATIONS_JSONL,
    REAL_JSON,
    SPEC_JSON,
    STATS_JSONL,
    TRAIN_JSON,
    Layout,
    grid_file,
    record_file,
    snapshot_file,
)
from msgbench.protocols import get_protocol

PROVENANCE = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "versions": {"python": "3.11.2", "msgbench": "0.1.0", "torch": "2.13.0"},
    "host": "laptop",
    "platform": "Linux-6.1-x86_64",
    "cpu": "Imaginary CPU 2.0 GHz",
    "device": "cpu",
    "seconds": 12.5,
    "energy_joule": None,
    "written": "2026-01-02T03:04:05Z",
}

Scores = Callable[[str, int], float]
"""(protocol, cur_nimg) -> value."""


def learning(protocol: str, cur_nimg: int) -> float:
    """Scores that improve with training: FID and KID fall, IS and F-score rise."""
    progress = 1 - math.exp(-cur_nimg / 2000)
    metric = get_protocol(protocol).metric
    return {
        "fid": 300 - 200 * progress,
        "kid": 0.3 - 0.2 * progress,
        "is": 1 + 3 * progress,
        "prc": 0.6 * progress,
    }[metric]


def write(path: Path, content: Any) -> None:
    """A JSON file; not synced as real records are, which would cost most of the tests' time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@dataclass(frozen=True)
class ResultsTree:
    """Writes parts of a results folder for one benchmark."""

    benchmark: Benchmark
    layout: Layout

    def run(self, experiment: str, seed: int = 0) -> RunSpec:
        return self.benchmark.run(experiment, seed)

    def folder(self, experiment: str, seed: int = 0) -> Path:
        run = self.run(experiment, seed)
        return self.layout.run_dir(experiment, run.fingerprint, seed)

    def lengths(self, experiment: str) -> list[int]:
        """Images shown at each snapshot, from the untrained generator on."""
        spec = self.benchmark.experiment(experiment)
        return spec.schedule.lengths(spec.training.snapshot_kimg)

    def plan(self, experiment: str, seed: int = 0) -> Path:
        """spec.json."""
        folder = self.folder(experiment, seed)
        write(folder / SPEC_JSON, self.run(experiment, seed).to_json())
        return folder

    def stats(self, experiment: str, seed: int = 0, until: int | None = None) -> Path:
        """stats.jsonl up to `until` images."""
        folder = self.folder(experiment, seed)
        folder.mkdir(parents=True, exist_ok=True)
        spec = self.benchmark.experiment(experiment)
        step = round(spec.training.stats_kimg * 1000)
        last = spec.schedule.total_nimg if until is None else until
        lines = [
            json.dumps({
                "cur_nimg": nimg, "loss_d": -nimg / 1e3 - seed, "loss_g": nimg / 2e3, "gradient_penalty": 10 / nimg,
                "drift": 0.001, "score_real": 1.0, "score_fake": -1.0, "images_per_second": 40.0,
                "seconds": nimg / 40, "memory_mb": 512.0,
            })
            for nimg in range(step, last + 1, step)
        ]  # fmt: skip
        (folder / STATS_JSONL).write_text("".join(line + "\n" for line in lines))
        return folder

    def train(
        self, experiment: str, seed: int = 0, device: str = "cpu", seconds: float = 36.0
    ) -> Path:
        """A finished training: spec, stats, grids, train.json (snapshots are listed, not written)."""
        folder = self.plan(experiment, seed)
        self.stats(experiment, seed)
        run = self.run(experiment, seed)
        snapshots = [
            {"file": snapshot_file(n), "cur_nimg": n, "sha256": f"{n:064x}", "seconds": seconds}
            for n in self.lengths(experiment)
        ]
        total = run.spec.schedule.total_nimg
        attempt = {
            "start_nimg": 0,
            "end_nimg": total,
            "seconds": seconds,
            "host": "laptop",
            "device": device,
        }
        write(folder / TRAIN_JSON, {
            "schema": "msgbench.train/1", "run": run.run_id, "experiment": experiment, "seed": seed,
            "tier": run.tier, "fingerprint": run.fingerprint,
            "dataset_fingerprint": self.dataset_fingerprint(run.spec.dataset.name),
            "cur_nimg": total, "seconds": seconds, "attempts": [{**attempt, "ended": "finished"}],
            "snapshots": snapshots, "images_per_second": 40.0, "provenance": {**PROVENANCE, "device": device},
        })  # fmt: skip
        return folder

    def grids(self, experiment: str, seed: int = 0) -> Path:
        """Grids of 6 x 6 latents at every scale for every snapshot."""
        folder = self.folder(experiment, seed)
        rng = np.random.default_rng(seed)
        for nimg in self.lengths(experiment):
            for scale in self.benchmark.experiment(experiment).model.scales:
                path = folder / grid_file(nimg, scale)
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 256, (6 * scale, 6 * scale, 3), np.uint8)
                Image.fromarray(pixels).save(path)
        return folder

    def record(self, protocol: str, value: float, **more: Any) -> dict[str, Any]:
        """One measured record."""
        card = get_protocol(protocol)
        return {
            "schema": "msgbench.record/1", "cur_nimg": None, "protocol": card.card(),
            "sample_set": {"source": "generated", "count": card.num_fake}, "value": value,
            "std": 0.05 if card.metric == "is" else None,
            "extractor": {"name": card.extractor, "sha256": "e" * 64}, "provenance": PROVENANCE, **more,
        }  # fmt: skip

    def evaluate(self, experiment: str, seed: int = 0, scores: Scores = learning) -> Path:
        """Records of every snapshot by every protocol, and evaluate.json."""
        folder = self.folder(experiment, seed)
        run = self.run(experiment, seed)
        lines = []
        for protocol in run.spec.evaluation.protocols:
            for nimg in self.lengths(experiment):
                file, value = record_file(protocol, nimg), scores(protocol, nimg)
                about = {
                    "run": run.run_id, "experiment": experiment, "seed": seed, "tier": run.tier,
                    "cur_nimg": nimg, "kimg": nimg / 1000, "fingerprint": run.fingerprint,
                }  # fmt: skip
                write(folder / file, self.record(protocol, value, **about))
                lines.append({"file": file, "protocol": protocol, "cur_nimg": nimg, "value": value})
        write(
            folder / EVALUATE_JSON,
            {"schema": "msgbench.evaluate/1", "run": run.run_id, "records": lines},
        )
        return folder

    def dataset(self, name: str = "cifar10", count: int | None = None) -> Path:
        """A store's manifest and a few images."""
        spec = self.benchmark.dataset(name)
        folder = self.layout.dataset_dir(name, spec.fingerprint)
        images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / IMAGES_NPY, images)
        total = count or spec.num_images or 50_000
        digest = "a" * 64
        manifest = Manifest(
            name=name, split=spec.split, count=total, resolution=spec.resolution,
            requested_images=spec.num_images, stand_in=spec.is_stand_in,
            complete=spec.source == "embedded" or total == 50_000,
            mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), images_sha256=digest, labels_sha256=None,
            label_names=None, files=(FileFact(name=IMAGES_NPY, bytes=1, sha256=digest),),
            source=SourceFacts(
                recipe=spec.source, recipe_version=1, form="test", archive=None, files=(), count=total,
                expected_count=total if spec.source == "embedded" else 50_000,
            ),
            rule_version=1, fingerprint=self.dataset_fingerprint(name, total),
        )  # fmt: skip
        (folder / MANIFEST_JSON).write_bytes(manifest.to_json())
        return folder

    def dataset_fingerprint(self, name: str = "cifar10", count: int | None = None) -> str:
        """Fingerprint of the content of the synthetic store."""
        spec = self.benchmark.dataset(name)
        total = count or spec.num_images or 50_000
        return content_fingerprint(total, spec.resolution, "a" * 64, None)

    def real(self, name: str = "cifar10", value: float = 5.5, control: float = 180.0) -> Path:
        """Scores of the real images by the Inception Scores of the tables, of the control by all protocols."""
        spec = self.benchmark.dataset(name)
        folder = self.layout.dataset_dir(name, spec.fingerprint)
        table = self.benchmark.tables["table3"]
        names = (table.protocol, *table.also)
        records = [self.record(p, value) for p in names if get_protocol(p).metric == "is"]
        of = {"fid": control, "kid": control / 1000, "is": 1.5}
        controls = [
            self.record(p, of[get_protocol(p).metric], control="pixel-gaussian") for p in names
        ]
        write(
            folder / REAL_JSON,
            {
                "schema": "msgbench.real/2",
                "dataset": name,
                "records": records,
                "controls": controls,
            },
        )
        return folder

    def observe(self, experiment: str, seed: int = 0, epochs: int = 24) -> Path:
        """Observations of fixed latents: changes that die away at every scale, scales that come to agree."""
        folder = self.folder(experiment, seed)
        spec = self.benchmark.experiment(experiment)
        total, lines = spec.schedule.total_nimg, []
        for epoch in range(epochs):
            nimg = max(1, total * epoch // epochs)
            left = math.exp(-epoch / 4) + 0.01 * (seed + 1)
            now = spec.schedule.at(nimg).resolution if spec.growing else None
            sides = [now] if now else list(spec.model.scales)
            below = [] if now else sides[:-1]
            lines.append(json.dumps({
                "cur_nimg": nimg, "epoch": epoch, "previous_nimg": None if epoch == 0 else nimg - total // epochs,
                "change": {str(s): left for s in sides} if epoch else {},
                "synchronisation": {str(s): left / 2 for s in below},
                "synchronisation_colour": {str(s): left / 8 for s in below},
                "synchronisation_brightness": {str(s): 3 * left / 8 for s in below}, "seconds": 0.1,
            }))  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OBSERVATIONS_JSONL).write_text("".join(line + "\n" for line in lines))
        return folder

    def complete(self, grids: bool = False) -> ResultsTree:
        """Everything that the tables need; with `grids`, the pictures too."""
        for name in self.benchmark.table_datasets():
            self.dataset(name)
            self.real(name)
        for experiment in self.benchmark.table_experiments():
            for seed in self.benchmark.experiment(experiment).seeds:
                self.train(experiment, seed)
                if grids:
                    self.grids(experiment, seed)
                self.evaluate(experiment, seed)
        return self


def write_results(benchmark: Benchmark, layout: Layout) -> ResultsTree:
    """Everything that tables, claims and figures are made from, for all tables of `all` and all seeds.

    Scores learn as `learning` says, with an offset of their own for each experiment and seed.
    """
    tree = ResultsTree(benchmark, layout)
    for name in benchmark.table_datasets():
        tree.dataset(name)
        tree.real(name)
    for index, experiment in enumerate(benchmark.table_experiments()):
        for seed in benchmark.experiment(experiment).seeds:
            tree.train(experiment, seed, device="NVIDIA H200", seconds=36_000.0 + 60 * index)
            tree.observe(experiment, seed)
            factor = 1 + 0.01 * index + 0.002 * seed

            def scores(protocol: str, nimg: int, factor: float = factor) -> float:
                return factor * learning(protocol, nimg)

            tree.evaluate(experiment, seed, scores)
    return tree
