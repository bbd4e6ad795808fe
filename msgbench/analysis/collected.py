"""What was read of a benchmark's results: runs, datasets, what is missing of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from msgbench.analysis.gaps import protocol_gap
from msgbench.analysis.score_records import Record
from msgbench.analysis.stats_lines import read_stats
from msgbench.config import Benchmark, DatasetSpec, RunSpec
from msgbench.data.manifest import Manifest
from msgbench.layout import STATS_JSONL, Layout
from msgbench.retention import Deleted

SCORE_COLUMNS = (
    "experiment", "seed", "run", "protocol", "version", "metric", "direction", "extractor",
    "cur_nimg", "value", "std", "file",
)  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """A picture of fixed latents at one scale."""

    cur_nimg: int
    scale: int
    path: Path


@dataclass(frozen=True)
class Run:
    """One planned run and what its folder holds."""

    plan: RunSpec
    folder: Path
    train: Mapping[str, Any] | None
    records: tuple[Record, ...]
    grids: tuple[Grid, ...]
    job: Mapping[str, Any] | None
    deleted: tuple[Deleted, ...]
    """Snapshots that were deleted after measuring; their records stay."""
    reason: str | None
    """Why the run has no complete result; None when it is trained and measured."""

    @functools.cached_property
    def stats(self) -> pd.DataFrame:
        """stats.jsonl, one line a row, sorted by `cur_nimg`; empty when there is none.

        Read when first asked for: a published length has tens of thousands of lines, and no table needs them.
        """
        return read_stats(self.folder / STATS_JSONL)

    @property
    def run_id(self) -> str:
        return self.plan.run_id

    @property
    def label(self) -> str:
        """The run's name for people."""
        return f"{self.plan.experiment}, seed {self.plan.seed}"

    @property
    def seconds(self) -> float:
        """Training time over all attempts; 0 when it is not finished."""
        return float(self.train["seconds"]) if self.train is not None else 0.0

    @property
    def gpu_seconds(self) -> float:
        """`seconds`, each counted for every GPU in use; 0 on a CPU."""
        if self.train is None or not self.on_gpu:
            return 0.0
        # Records of versions that did not count them: a training has always used at most one.
        return float(self.train.get("gpu_seconds", self.seconds))

    @property
    def energy_joule(self) -> float | None:
        """What the GPUs took in all attempts; None when an attempt has not measured it."""
        attempts = (self.train or {}).get("attempts") or []
        found = [attempt.get("energy_joule") for attempt in attempts]
        known = [float(value) for value in found if isinstance(value, int | float)]
        return sum(known) if found and len(known) == len(found) else None

    @property
    def on_gpu(self) -> bool:
        """Whether the training ran on a GPU."""
        return any(not device.startswith("cpu") for device in self.devices)

    @property
    def devices(self) -> tuple[str, ...]:
        """Hardware of the attempts, each once, in order."""
        if self.train is None:
            return ()
        names = [str(attempt.get("device", "")) for attempt in self.train.get("attempts", [])]
        names.append(str((self.train.get("provenance") or {}).get("device", "")))
        return tuple(dict.fromkeys(name for name in names if name))

    def seconds_at(self, cur_nimg: int | None) -> float | None:
        """Training time when the snapshot of a length was taken; None when train.json does not say."""
        for snapshot in (self.train or {}).get("snapshots", []):
            if snapshot["cur_nimg"] == cur_nimg and isinstance(
                snapshot.get("seconds"), int | float
            ):
                return float(snapshot["seconds"])
        return None

    def of(self, protocol: str) -> tuple[Record, ...]:
        """Records of one protocol in its present version, by length of training."""
        return tuple(record for record in self.records if record.is_of(protocol))

    def gap(self, protocol: str) -> str | None:
        """Why the run has no complete result by one protocol; None when it has."""
        if self.train is None or not self.records:
            return self.reason
        return protocol_gap(self.train, self.records, protocol)


@dataclass(frozen=True)
class Dataset:
    """One dataset, its store's manifest and the scores of its own images."""

    spec: DatasetSpec
    folder: Path
    manifest: Manifest | None
    real: tuple[Record, ...]
    controls: tuple[Record, ...]
    """Scores of the control `pixel-gaussian` of these images."""
    floors: tuple[Record, ...]
    """Scores of real images against real images; `content["floor"]` says which."""
    reason: str | None
    """Why the images have no scores; None when they are prepared and measured."""

    @property
    def stand_in(self) -> bool:
        """Whether the images are msgbench's own drawings instead of the dataset."""
        return self.manifest.stand_in if self.manifest else self.spec.is_stand_in

    def of(self, protocol: str) -> Record | None:
        """The score of the real images by one protocol."""
        return next((record for record in self.real if record.is_of(protocol)), None)

    def control(self, protocol: str) -> Record | None:
        """The score of the control by one protocol."""
        return next((record for record in self.controls if record.is_of(protocol)), None)


@dataclass(frozen=True)
class Missing:
    """A piece of the benchmark that has no result, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class OtherRun:
    """A run that no table shows, found in the results folder, with the dataset it was trained on."""

    run: Run
    dataset: Dataset
    current: bool
    """Whether its spec is the one that config.yaml has now, apart from where the images come from."""


@dataclass(frozen=True)
class Collection:
    """Everything the tables of a benchmark need, as far as it exists."""

    benchmark: Benchmark
    layout: Layout
    runs: tuple[Run, ...]
    datasets: dict[str, Dataset]
    others: tuple[OtherRun, ...] = ()

    def runs_of(self, experiment: str) -> tuple[Run, ...]:
        """The planned runs of one experiment, in the order of its seeds."""
        return tuple(run for run in self.runs if run.plan.experiment == experiment)

    def missing(self) -> tuple[Missing, ...]:
        """Runs and datasets without a complete result."""
        found = [Missing(f"run {run.label}", run.reason) for run in self.runs if run.reason]
        for name, dataset in self.datasets.items():
            if dataset.reason:
                found.append(Missing(f"real images of {name}", dataset.reason))
        return tuple(found)

    def scores(self) -> pd.DataFrame:
        """All scores of all runs, one a row, columns SCORE_COLUMNS; `file` is relative to the tier's folder."""
        rows = [
            (
                run.plan.experiment, run.plan.seed, run.run_id, record.protocol, record.version, record.metric,
                record.direction, record.extractor, record.cur_nimg, record.value, record.std,
                record.path.relative_to(self.layout.root).as_posix(),
            )
            for run in self.runs
            for record in run.records
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
