"""What runs cost in hours: from measured throughput where there are records, else from arithmetic.

The unit is the hour of one device, a GPU or (in the smoke tier) a CPU. Preparing datasets, measuring real
images and making tables are not counted; they are minutes.
"""

from __future__ import annotations

import glob
import heapq
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from msgbench.analysis.cost.arithmetic import (
    evaluation_flops,
    measured_snapshots,
    sample_set_flops,
    sample_sets,
)
from msgbench.analysis.cost.disk import NO_DISK, Disk, run_disk, shared_disk
from msgbench.analysis.cost.hardware import CPU, Gpu, get_gpu, is_cpu, of_device
from msgbench.analysis.cost.measured import Devices, Measured
from msgbench.config import Benchmark, ExperimentSpec
from msgbench.layout import EVALUATE_JSON, STATES, TRAIN_JSON, Layout
from msgbench.models.arithmetic import run_flops, training_flops

Basis = Literal["measured", "estimated"]

# The paper's own card; smoke runs are made for a CPU.
DEFAULT_GPU = "V100"


@dataclass(frozen=True)
class RunCost:
    """One run (one seed) of an experiment, from nothing to measured."""

    device: str
    """Name of the hardware that the hours are of."""
    gpu: Gpu | None
    """What is known of it; None for hardware that is not in the list."""
    training_hours: float
    evaluation_hours: float
    training_basis: Basis
    evaluation_basis: Basis
    precision: str
    """What the training computes in."""
    measured_runs: int
    """Runs behind a measured training."""
    images_per_second: float

    @property
    def hours(self) -> float:
        """Training and measuring together."""
        return self.training_hours + self.evaluation_hours

    @property
    def on_cpu(self) -> bool:
        return is_cpu(self.device) or self.device == CPU

    @property
    def basis(self) -> str:
        """Where the hours come from, as a phrase."""
        if self.training_basis == "estimated":
            assert self.gpu is not None
            return f"estimated: {self.gpu.assumption(self.precision)}"
        runs = f"{self.measured_runs} run{'s' if self.measured_runs > 1 else ''}"
        if self.evaluation_basis == "measured":
            return f"measured: {runs} on {self.device}"
        return f"measured: {runs} on {self.device}; measuring estimated"


@dataclass(frozen=True)
class RunLeft:
    """What is left to do of one run, as fractions of training and of measuring."""

    seed: int
    training: float
    evaluation: float

    @property
    def is_done(self) -> bool:
        return self.training == 0 and self.evaluation == 0

    def hours(self, cost: RunCost) -> float:
        """Device-hours that are left."""
        return self.training * cost.training_hours + self.evaluation * cost.evaluation_hours


@dataclass(frozen=True)
class ExperimentCost:
    """All runs of one experiment."""

    name: str
    spec: ExperimentSpec
    run: RunCost
    left: tuple[RunLeft, ...]
    disk: Disk

    @property
    def hours(self) -> float:
        """From nothing."""
        return self.run.hours * len(self.left)

    @property
    def hours_left(self) -> float:
        """What is still to be spent."""
        return sum(left.hours(self.run) for left in self.left)

    @property
    def runs_left(self) -> int:
        return sum(not left.is_done for left in self.left)


@dataclass(frozen=True)
class BenchmarkCost:
    """Some experiments; what they share counts once."""

    tier: str
    lines: tuple[ExperimentCost, ...]
    shared: Disk
    """Stores and statistics of real images."""

    @property
    def num_runs(self) -> int:
        return sum(len(line.left) for line in self.lines)

    @property
    def runs_left(self) -> int:
        return sum(line.runs_left for line in self.lines)

    @property
    def hours(self) -> float:
        return sum(line.hours for line in self.lines)

    @property
    def hours_left(self) -> float:
        return sum(line.hours_left for line in self.lines)

    @property
    def disk(self) -> Disk:
        return sum((line.disk for line in self.lines), self.shared)

    @property
    def bases(self) -> tuple[str, ...]:
        """Where the hours come from, each phrase once."""
        return tuple(dict.fromkeys(line.run.basis for line in self.lines))

    @property
    def unit(self) -> str:
        """`GPU-hours`, or `CPU-hours` when no line needs a GPU."""
        return hours_of(line.run for line in self.lines)

    def wall_hours(self, parallel: int, left: bool = False) -> float:
        """From start to end with `parallel` devices that each do one run at a time, the longest first."""
        return makespan(_durations(self.lines, left), parallel)


def hours_of(runs: Iterable[RunCost]) -> str:
    """What the hours of `runs` are hours of."""
    kinds = {run.on_cpu for run in runs}
    return {True: "CPU-hours", False: "GPU-hours"}[kinds.pop()] if len(kinds) == 1 else "hours"


def _durations(lines: Iterable[ExperimentCost], left: bool) -> list[float]:
    return [one.hours(line.run) if left else line.run.hours for line in lines for one in line.left]


def makespan(durations: Iterable[float], workers: int) -> float:
    """Time until `workers` have done all of `durations`, each taking the longest that is left."""
    ends = [0.0] * workers
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def training_hours(spec: ExperimentSpec, gpu: Gpu) -> float:
    """Hours of one training on `gpu` by arithmetic, no step shorter than it takes to launch its kernels."""
    pace = gpu.flop_per_hour(spec.training.precision)
    return sum(
        max(
            images * training_flops(spec.model, spec.loss, stretch.resolution) / pace,
            images / stretch.batch_size * gpu.least_step_seconds / 3600,
        )
        for stretch in spec.schedule.stretches
        for images in [stretch.end - stretch.start]
    )


@dataclass(frozen=True)
class CostModel:
    """Hours of runs of one tier: `measured` records first, `gpu` where there are none."""

    gpu: Gpu
    devices: Devices
    measured: Measured

    @classmethod
    def of(cls, tier: str, gpu: str | None = None, measured: Measured | None = None) -> CostModel:
        """The model of a tier; with `gpu` only records of that hardware count. ConfigError for an unknown one."""
        if gpu is not None:
            chosen = get_gpu(gpu)
            return cls(chosen, Devices(part_of_name=chosen.device), measured or Measured())
        smoke = tier == "smoke"
        return cls(
            get_gpu(CPU if smoke else DEFAULT_GPU), Devices(cpu=smoke), measured or Measured()
        )

    def run(self, spec: ExperimentSpec) -> RunCost:
        """One seed of `spec`."""
        total = spec.schedule.total_nimg
        found = self.measured.training_rate(spec, self.devices)
        if found is None:
            training = training_hours(spec, self.gpu)
            evaluation = evaluation_flops(spec) / self.gpu.flop_per_hour()
            return RunCost(
                device=self.gpu.name,
                gpu=self.gpu,
                training_hours=training,
                evaluation_hours=evaluation,
                training_basis="estimated",
                evaluation_basis="estimated",
                precision=spec.training.precision,
                measured_runs=0,
                images_per_second=total / training / 3600,
            )
        device, rate = found
        evaluation, basis = self._evaluation(spec, device)
        return RunCost(
            device=device,
            gpu=of_device(device),
            training_hours=total / rate.per_second / 3600,
            evaluation_hours=evaluation,
            training_basis="measured",
            evaluation_basis=basis,
            precision=spec.training.precision,
            measured_runs=rate.runs,
            images_per_second=rate.per_second,
        )

    def _evaluation(self, spec: ExperimentSpec, device: str) -> tuple[float, Basis]:
        """Hours of measuring one run on `device`."""
        seconds, basis = 0.0, "measured"
        for key in sample_sets(spec):
            rate = self.measured.evaluation_rate(spec, key, device)
            if rate is not None:
                seconds += 1 / rate.per_second
            else:
                gpu = of_device(device) or self.gpu
                seconds += 3600 * sample_set_flops(spec.model, key) / gpu.flop_per_hour()
                basis = "estimated"
        hours = measured_snapshots(spec) * seconds / 3600
        return hours, "measured" if basis == "measured" else "estimated"


def estimate_benchmark(
    benchmark: Benchmark,
    layout: Layout | None = None,
    model: CostModel | None = None,
    experiments: Iterable[str] | None = None,
) -> BenchmarkCost:
    """What `experiments` (default: all that the tables show) cost and what of it is left to do.

    Without `layout` nothing is looked up: all is to be done, and nothing was measured.
    """
    names = list(benchmark.table_experiments() if experiments is None else experiments)
    model = model or default_model(benchmark, layout)
    lines = []
    for name in names:
        spec = benchmark.experiment(name)
        lines.append(
            ExperimentCost(
                name=name,
                spec=spec,
                run=model.run(spec),
                left=tuple(run_left(benchmark, layout, name, seed) for seed in spec.seeds),
                disk=run_disk(spec).times(len(spec.seeds)),
            )
        )
    shared = NO_DISK if layout is None else shared_disk(benchmark, layout, names)
    return BenchmarkCost(benchmark.tier, tuple(lines), shared)


def default_model(benchmark: Benchmark, layout: Layout | None) -> CostModel:
    """The tier's model with everything that was measured below `layout`."""
    measured = Measured() if layout is None else Measured.read(layout.results)
    return CostModel.of(benchmark.tier, None, measured)


def run_left(benchmark: Benchmark, layout: Layout | None, experiment: str, seed: int) -> RunLeft:
    """What the run's folder says is left: nothing once it is measured; training from its newest state."""
    if layout is None:
        return RunLeft(seed, 1.0, 1.0)
    spec = benchmark.experiment(experiment)
    folder = layout.run_dir(experiment, spec.fingerprint, seed)
    # Not Path.is_file and Path.glob, which raise in a folder that must not be entered.
    if os.path.isfile(folder / TRAIN_JSON):
        return RunLeft(seed, 0.0, 0.0 if os.path.isfile(folder / EVALUATE_JSON) else 1.0)
    cards = glob.glob(f"{glob.escape(str(folder / STATES))}/*.json")
    saved = [Path(card).stem.rpartition("-")[2] for card in cards]
    reached = max((int(label) for label in saved if label.isdigit()), default=0)
    return RunLeft(seed, max(0.0, 1 - run_flops(spec, reached) / run_flops(spec)), 1.0)


class Workload:
    """What one start of the workflow is going to do: trainings and measurements by (experiment, seed)."""

    def __init__(
        self,
        benchmark: Benchmark,
        layout: Layout,
        runs: Iterable[tuple[str, int]],
        train: Iterable[tuple[str, int]],
        evaluate: Iterable[tuple[str, int]],
    ) -> None:
        """`runs` are all that the target asks for, done or not."""
        self.benchmark, self.layout = benchmark, layout
        self.train, self.evaluate = set(train), set(evaluate)
        self.runs = set(runs) | self.train | self.evaluate

    @property
    def to_do(self) -> set[tuple[str, int]]:
        """Runs of which something is to be done."""
        return self.train | self.evaluate

    @cached_property
    def costs(self) -> dict[str, RunCost]:
        """One run of each experiment."""
        model = default_model(self.benchmark, self.layout)
        names = dict.fromkeys(name for name, _ in sorted(self.runs))
        return {name: model.run(self.benchmark.experiment(name)) for name in names}

    @cached_property
    def hours(self) -> float:
        """What is going to be spent; a training that was interrupted counts from its newest state."""
        training = sum(
            run_left(self.benchmark, self.layout, *run).training * self.costs[run[0]].training_hours
            for run in self.train
        )
        return training + sum(self.costs[name].evaluation_hours for name, _ in self.evaluate)

    @property
    def hours_in_all(self) -> float:
        """What all runs of the target cost from nothing."""
        return sum(self.costs[name].hours for name, _ in self.runs)

    @property
    def costs_to_do(self) -> list[RunCost]:
        """One run of each experiment of which something is to be done."""
        names = {name for name, _ in self.to_do}
        return [cost for name, cost in self.costs.items() if name in names]

    @property
    def bases(self) -> str:
        """Where the hours come from."""
        return "; ".join(dict.fromkeys(cost.basis for cost in self.costs_to_do))
