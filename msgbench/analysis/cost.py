"""What a training costs, from its spec alone: FLOPs per image and GPU-hours. Nothing is timed here.

The count is that of the arithmetic as published (multiply-accumulates of convolutions and dense
layers; activations, norms and pooling are below 1 %). GPU-hours follow from a stated fraction of a
named GPU's peak; they are an estimate to decide by, never a result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgbench.config import Benchmark, ExperimentSpec, LossSpec, ModelSpec
from msgbench.errors import ConfigError
from msgbench.layout import short
from msgbench.models.channels import RGB_CHANNELS, channels
from msgbench.protocols import INCEPTION, SMALL, Protocol, get_protocol
from msgbench.units import LOWEST_RESOLUTION

_FLOP_PER_MAC = 2

# Forward pass of a feature extractor on one image, FLOP.
_EXTRACTOR_FLOP = {INCEPTION: 11.4e9, SMALL: 0.06e9}


@dataclass(frozen=True)
class Gpu:
    """A GPU and how much of it a training is assumed to use."""

    name: str
    precision: str
    peak_flop_per_second: float
    """Dense peak of the data sheet at `precision`."""
    sustained: float
    """Fraction of the peak that a training is assumed to sustain."""

    @property
    def flop_per_hour(self) -> float:
        """Arithmetic done in one hour."""
        return self.peak_flop_per_second * self.sustained * 3600

    @property
    def assumption(self) -> str:
        """The estimate's assumption as a phrase."""
        peak = self.peak_flop_per_second / 1e12
        return f"one {self.name} at {self.sustained:.0%} of its {peak:g} TFLOP/s peak ({self.precision})"


# The paper's own card. Its tables imply 30 % (1024 px) to 70 % (256 px) of this peak for MSG-ProGAN
# with the penalty on; half of it lies between.
V100 = Gpu("V100", "float32", 15.7e12, 0.5)
A100 = Gpu("A100", "float32 without TF32", 19.5e12, 0.5)
H200 = Gpu("H200", "float32 without TF32", 67e12, 0.5)
GPUS = {gpu.name: gpu for gpu in (V100, A100, H200)}


def generator_macs(model: ModelSpec) -> int:
    """Multiply-accumulates of one forward pass of G on one latent (paper, Table 6)."""
    total = 0
    before = model.latent_size
    for resolution in model.scales:
        width, pixels = channels(resolution, model), resolution**2
        if resolution == LOWEST_RESOLUTION:
            # A 4x4 convolution from one pixel: a dense layer to 16 pixels.
            total += pixels * before * width + pixels * 9 * width * width
        else:
            total += pixels * 9 * (before * width + width * width)
        total += pixels * width * RGB_CHANNELS
        before = width
    return total


def discriminator_macs(model: ModelSpec) -> int:
    """Multiply-accumulates of one forward pass of D on one image pyramid (paper, Table 7, phi_simple)."""
    top = model.resolution
    total = top**2 * RGB_CHANNELS * channels(top, model)
    for resolution in reversed(model.scales):
        width, pixels = channels(resolution, model), resolution**2
        combined = width if resolution == top else width + RGB_CHANNELS
        total += pixels * 9 * (combined + 1) * width  # one more channel: MinBatchStd
        if resolution == LOWEST_RESOLUTION:
            total += pixels * width * width + width  # 4x4 valid convolution, dense layer
        else:
            total += pixels * 9 * width * channels(resolution // 2, model)
    return total


def training_flops(model: ModelSpec, loss: LossSpec) -> float:
    """FLOP of training on one real image: one discriminator step and one generator step.

    In forward passes (backward to inputs and to weights count as one each):
    D step: G without gradients 1 G, D on real and fake forward and backward 6 D, gradient penalty
    6 D (forward, input gradient, and twice that again for its own backward). G step: 3 G and 2 D, as D's
    weights need no gradient there. 4 G + 14 D with the penalty, 4 G + 8 D without.
    """
    penalty = 6 if loss.gp_weight > 0 else 0
    macs = 4 * generator_macs(model) + (8 + penalty) * discriminator_macs(model)
    return float(_FLOP_PER_MAC * macs)


def measured_snapshots(spec: ExperimentSpec) -> int:
    """Snapshots of one run: the untrained generator, every `snapshot_kimg`, and the end."""
    training = spec.training
    return 1 + math.ceil(training.total_nimg / training.in_batches(training.snapshot_kimg))


def evaluation_flops(spec: ExperimentSpec) -> float:
    """FLOP of measuring all snapshots of one run; protocols that share a sample set share its cost."""
    protocols = [get_protocol(name) for name in spec.evaluation.protocols]
    sets: dict[tuple[str, int, int], Protocol] = {
        (protocol.extractor, protocol.num_fake, protocol.seed): protocol for protocol in protocols
    }
    generate = _FLOP_PER_MAC * generator_macs(spec.model)
    per_snapshot = sum(
        protocol.num_fake * (generate + _EXTRACTOR_FLOP[protocol.extractor])
        for protocol in sets.values()
    )
    return float(measured_snapshots(spec) * per_snapshot)


@dataclass(frozen=True)
class RunCost:
    """Estimate for one run (one seed) of an experiment."""

    training_flop: float
    evaluation_flop: float
    gpu: Gpu

    @property
    def training_gpu_hours(self) -> float:
        return self.training_flop / self.gpu.flop_per_hour

    @property
    def evaluation_gpu_hours(self) -> float:
        return self.evaluation_flop / self.gpu.flop_per_hour

    @property
    def gpu_hours(self) -> float:
        """Training and measuring together."""
        return self.training_gpu_hours + self.evaluation_gpu_hours


@dataclass(frozen=True)
class BenchmarkCost:
    """Estimate for everything that the tables of a benchmark need; shared experiments count once."""

    runs: dict[str, tuple[RunCost, int]]
    """Experiment -> (estimate of one run, number of runs)."""
    gpu: Gpu

    @property
    def gpu_hours(self) -> float:
        return sum(cost.gpu_hours * count for cost, count in self.runs.values())

    @property
    def num_runs(self) -> int:
        return sum(count for _, count in self.runs.values())


def estimate_run(spec: ExperimentSpec, gpu: Gpu = V100) -> RunCost:
    """What one seed of `spec` costs from nothing to measured."""
    training = spec.training.total_nimg * training_flops(spec.model, spec.loss)
    return RunCost(training, evaluation_flops(spec), gpu)


def estimate_benchmark(benchmark: Benchmark, gpu: Gpu = V100) -> BenchmarkCost:
    """What all tables of `benchmark` cost from nothing."""
    runs = {}
    for name in benchmark.table_experiments():
        spec = benchmark.experiment(name)
        runs[name] = (estimate_run(spec, gpu), len(spec.seeds))
    return BenchmarkCost(runs, gpu)


def require_accepted(benchmark: Benchmark, gpu: Gpu = V100) -> None:
    """Raise ConfigError when the paper tier costs more than `accept_gpu_hours`; other tiers pass."""
    if benchmark.tier != "paper":
        return
    cost = estimate_benchmark(benchmark, gpu)
    if cost.gpu_hours > benchmark.accept_gpu_hours:
        raise ConfigError(
            f"accept_gpu_hours: {benchmark.accept_gpu_hours:g} does not cover the estimate of the paper tier, "
            f"{cost.gpu_hours:,.0f} GPU-hours for {cost.num_runs} runs ({gpu.assumption}); "
            f"allowed: {math.ceil(cost.gpu_hours)} or more"
        )


def plan_lines(benchmark: Benchmark, gpu: Gpu = V100) -> list[str]:
    """The experiments of the tables with their length and cost, as lines for a person."""
    cost = estimate_benchmark(benchmark, gpu)
    rows = [("experiment", "spec", "seeds", "images shown", "GFLOP/image", "GPU-hours a run")]
    for name, (run, seeds) in cost.runs.items():
        spec = benchmark.experiment(name)
        flops = training_flops(spec.model, spec.loss)
        rows.append(
            (
                name,
                short(spec.fingerprint),
                str(seeds),
                f"{spec.training.total_nimg:,}",
                f"{flops / 1e9:,.3g}",
                _hours(run.gpu_hours),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"tier {benchmark.tier}: {len(cost.runs)} experiments, {cost.num_runs} runs"]
    for row in rows:
        # Words to the left, numbers to the right.
        cells = [
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    lines.append(
        f"estimate for all runs, training and measuring: {_hours(cost.gpu_hours)} GPU-hours ({gpu.assumption})"
    )
    others = [name for name in benchmark.experiments if name not in cost.runs]
    if others:
        lines.append(f"in no table and not in the estimate: {', '.join(others)}")
    return lines


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
