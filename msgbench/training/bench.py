"""Speed of a training step, measured beside a plain one in the same call.

One row a method, resolution and precision: images/s of a full step (one discriminator and one generator
update), the arithmetic it does per second, and the ratio to the plain eager float32 step: what one
writes first, without channels_last, with D's gradients in the generator step. Beside it, where a checkout is at hand,
the authors' own PyTorch code. Rounds of all rows alternate, so that a drifting machine moves all of them; the median
round counts. What a first step takes longer than that (compiling) is told apart. Of each eager row one more step is
counted, and the device's ceilings are measured, so that the row says what bounds it (bench_ceilings.py).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from msgbench.config import RunSpec
from msgbench.console import Progress
from msgbench.data.pyramid import real_pyramid
from msgbench.device import device_name, make_reproducible, peak_memory_mb, use_tf32
from msgbench.losses.adversarial import g_loss
from msgbench.losses.discriminator import discriminator_loss
from msgbench.training.bench_authors import authors_step
from msgbench.training.bench_ceilings import (
    Ceilings,
    Demand,
    measure_ceilings,
    measure_demand,
    synchronise,
)
from msgbench.training.compiled import Compiled
from msgbench.training.draws import generator_inputs, mixing
from msgbench.training.networks import Networks, seeded, update_ema
from msgbench.training.steps import both_steps, connected_scales, penalty_inputs

PLAIN = "plain float32"


@dataclass(frozen=True)
class Case:
    """One row: a run's spec, and whether its step is the plain one."""

    label: str
    run: RunSpec
    flop_per_image: float
    plain: bool = False


@dataclass(frozen=True)
class Authors:
    """The row of the authors' code in `checkout`, whose step is timed beside the cases."""

    label: str
    checkout: Path


@dataclass(frozen=True)
class Timing:
    """Result of one case."""

    label: str
    method: str
    resolution: int
    precision: str
    batch_size: int
    threads: int
    device: str
    seconds_per_step: float
    images_per_second: float
    gflop_per_second: float
    ratio_to_plain: float
    ratio_to_authors: float | None
    cpu_seconds_per_step: float
    """CPU time of the step: on a CPU what the clock would say, times the threads, if nothing else ran."""
    first_seconds: float
    peak_memory_mb: float
    ceiling_gflop_per_second: float
    """What the fastest convolution of the networks does here in this precision."""
    ceiling_gb_per_second: float
    kernels: int | None
    """Operations of one step run eagerly; None where it is compiled, as the next two."""
    traffic_gb: float | None
    arithmetic_seconds: float
    """What the convolutions of the step would take at that ceiling."""
    traffic_seconds: float | None
    """What everything else would take at the speed of a copy."""
    start_seconds: float | None
    """What only starting all the operations takes."""


def bench(
    cases: Sequence[Case],
    device: torch.device,
    rounds: int,
    threads: int,
    authors: Authors | None = None,
) -> list[Timing]:
    """Time `cases` (one of them plain) in alternating rounds of one step; the first round only warms up.

    The row of `authors`, where given, comes first: the plain case's networks, batch and arithmetic, by their code.
    """
    assert sum(case.plain for case in cases) == 1, "one plain case to compare with"
    make_reproducible(threads)
    steps = {case.label: _prepare(case, device) for case in cases}
    of_plain = next(case for case in cases if case.plain)
    if authors is not None:
        spec = of_plain.run.spec
        side, batch = spec.model.resolution, spec.training.batch_size
        steps[authors.label] = authors_step(authors.checkout, side, batch, device)
        cases = [replace(of_plain, label=authors.label), *cases]
    seconds: dict[str, list[float]] = {label: [] for label in steps}
    worked: dict[str, list[float]] = {label: [] for label in steps}
    with Progress("bench", (rounds + 1) * len(steps), "steps") as progress:
        for _ in range(rounds + 1):
            for label, step in steps.items():
                began = time.process_time()
                seconds[label].append(_timed(step, device))
                worked[label].append(time.process_time() - began)
                progress.advance()
    peak = round(peak_memory_mb(device))
    demands = {
        case.label: measure_demand(steps[case.label])
        for case in cases
        if case.run.spec.training.compile == "none"
    }
    ceilings = {
        precision: measure_ceilings(device, precision, of_plain.run.spec.training.batch_size)
        for precision in dict.fromkeys(case.run.spec.training.precision for case in cases)
    }
    first = {label: values.pop(0) for label, values in seconds.items()}
    medians = {label: statistics.median(values) for label, values in seconds.items()}
    work = {label: statistics.median(values[1:]) for label, values in worked.items()}
    compared = _Compared(
        medians[of_plain.label], None if authors is None else medians[authors.label]
    )
    return [
        _timing(
            case,
            _Taken(medians[case.label], work[case.label], first[case.label], peak),
            compared,
            ceilings[case.run.spec.training.precision],
            demands.get(case.label),
            device,
            threads,
        )
        for case in cases
    ]


@dataclass(frozen=True)
class _Taken:
    """What a case took: seconds of a step, CPU seconds of it, seconds of the first one, memory of all."""

    seconds: float
    work: float
    first: float
    peak_mb: float


@dataclass(frozen=True)
class _Compared:
    """Seconds of the steps that others are compared with."""

    plain: float
    authors: float | None


def _timing(
    case: Case,
    taken: _Taken,
    compared: _Compared,
    ceilings: Ceilings,
    demand: Demand | None,
    device: torch.device,
    threads: int,
) -> Timing:
    spec, batch, seconds = case.run.spec, case.run.spec.training.batch_size, taken.seconds
    flop, theirs = case.flop_per_image * batch, compared.authors
    return Timing(
        label=case.label,
        method=spec.method,
        resolution=spec.model.resolution,
        precision=spec.training.precision,
        batch_size=batch,
        threads=threads,
        device=device_name(device),
        seconds_per_step=round(seconds, 5),
        images_per_second=round(batch / seconds, 4),
        gflop_per_second=round(flop / seconds / 1e9, 2),
        ratio_to_plain=round(compared.plain / seconds, 3),
        ratio_to_authors=None if theirs is None else round(theirs / seconds, 3),
        cpu_seconds_per_step=round(taken.work, 4),
        first_seconds=round(taken.first, 3),
        peak_memory_mb=taken.peak_mb,
        ceiling_gflop_per_second=round(ceilings.flop_per_second / 1e9, 1),
        ceiling_gb_per_second=round(ceilings.bytes_per_second / 1e9, 2),
        kernels=None if demand is None else demand.kernels,
        traffic_gb=None if demand is None else round(demand.traffic_bytes / 1e9, 3),
        arithmetic_seconds=round(flop / ceilings.flop_per_second, 5),
        traffic_seconds=(
            None if demand is None else round(demand.traffic_bytes / ceilings.bytes_per_second, 5)
        ),
        start_seconds=(
            None if demand is None else round(demand.kernels * ceilings.seconds_per_kernel, 5)
        ),
    )


def _timed(step: Callable[[], None], device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    step()
    synchronise(device)
    return time.perf_counter() - began


def _prepare(case: Case, device: torch.device) -> Callable[[], None]:
    run, spec = case.run, case.run.spec
    nets = Networks.build(run, device, plain=case.plain)
    if spec.training.compile != "none":
        nets.compiled = Compiled(nets.G, nets.D, run)
    batch, side = spec.training.batch_size, spec.model.resolution
    x = torch.rand(batch, 3, side, side, generator=seeded(0, 0, "bench")).to(device) * 2 - 1
    beta = spec.ema.beta_for(batch)

    def step() -> None:
        use_tf32(spec.training.precision == "tf32")
        reals = [x] if spec.growing else real_pyramid(x)
        if case.plain:
            _plain_step(nets, reals, run)
        else:
            both_steps(nets, reals, run, 0, reals)
        update_ema(nets.G_ema, nets.G, beta)

    return step


def _plain_step(nets: Networks, reals: Sequence[torch.Tensor], run: RunSpec) -> None:
    """The step as one writes it first; the same mathematics as the real one."""
    spec, batch = run.spec.loss, len(reals[0])
    device = reals[0].device
    with torch.no_grad():
        fakes = generator_inputs(nets.G, run, batch, 0, "d").generate(nets.G)
    u, inputs = mixing(run, batch, len(reals), 0, device), penalty_inputs(reals, run)
    d_loss = discriminator_loss(nets.D, inputs, fakes, u, spec, connected_scales(nets.D))
    nets.opt_D.zero_grad()
    d_loss.total.backward()
    nets.opt_D.step()
    fake_scores = nets.D(generator_inputs(nets.G, run, batch, 0, "g").generate(nets.G))
    real_scores = nets.D(reals) if spec.relativistic else None
    loss = g_loss(spec.adversarial, fake_scores, real_scores)
    nets.opt_G.zero_grad()
    loss.backward()
    nets.opt_G.step()
