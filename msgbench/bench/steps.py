"""`msgbench bench`: which steps to time, and what they cost in arithmetic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from msgbench.bench.record import Measured
from msgbench.config import Benchmark, ExperimentSpec, RunSpec
from msgbench.config.base import check_resolution
from msgbench.config.sentences import nearest, sentence
from msgbench.device import choose_device
from msgbench.errors import ConfigError
from msgbench.models.arithmetic import training_flops
from msgbench.training.bench import PLAIN, Authors, Case, Timing, bench
from msgbench.training.bench_authors import authors_label

PRECISIONS = ("float32", "tf32", "bfloat16")


def run_bench(
    benchmark: Benchmark,
    method: str,
    *,
    resolutions: Sequence[int],
    precisions: Sequence[str],
    batch_size: int,
    width: float,
    threads: int,
    rounds: int,
    device: str,
    compiled: bool = False,
    beside: Path | None = None,
) -> Measured:
    """Time `method` at every resolution and precision.

    `compiled`: each precision compiled, too. `beside`: a checkout of the authors' PyTorch code, which is timed, too,
    and needs a method of the first version's networks. Raises ConfigError
    for an unknown method or value.
    """
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ConfigError(
                f"--precision: {precision!r} is not allowed; allowed: {', '.join(PRECISIONS)}"
            )
    base = _experiment_of(benchmark, method)
    _check_numbers(base, resolutions, batch_size, width, threads, rounds)
    authors = None if beside is None else _authors(base, beside, width)
    on = choose_device(device)
    timings: list[Timing] = []
    for resolution in resolutions:
        plain = _case(
            benchmark, base, resolution, "float32", batch_size, width, threads, plain=True
        )
        cases = [
            _case(
                benchmark,
                base,
                resolution,
                precision,
                batch_size,
                width,
                threads,
                compiled=is_compiled,
            )
            for is_compiled in ((False, True) if compiled else (False,))
            for precision in precisions
        ]
        timings += bench([plain, *cases], on, rounds, threads, authors)
    options = [
        f"--method {method}",
        *(f"--resolution {resolution}" for resolution in resolutions),
        *(f"--precision {precision}" for precision in precisions),
        f"--batch-size {batch_size} --width {width:g} --threads {threads} --rounds {rounds}",
        *(["--compiled"] if compiled else []),
        *(["--beside BMSG-GAN"] if beside else []),
        f"--device {on.type}",
    ]
    return Measured.of(
        "training",
        f"msgbench bench {' '.join(options)} --out FOLDER",
        {"width": width, "threads": threads, "rounds": rounds},
        [asdict(timing) for timing in timings],
        timings[0].device,
    )


def default_precisions(device: str) -> list[str]:
    """What `device` (auto, cpu or cuda) computes in different ways; the CPU has no TF32."""
    return [p for p in PRECISIONS if p != "tf32" or choose_device(device).type == "cuda"]


def bench_run(
    benchmark: Benchmark,
    method: str,
    resolution: int,
    precision: str,
    batch_size: int,
    width: float,
) -> RunSpec:
    """The run whose steps `msgbench bench processes` times; raises ConfigError as `run_bench` does."""
    base = _experiment_of(benchmark, method)
    _check_numbers(base, [resolution], batch_size, width, 1, 1)
    return _case(benchmark, base, resolution, precision, batch_size, width, 1).run


def _authors(base: ExperimentSpec, checkout: Path, width: float) -> Authors:
    if base.model.variant != "bmsg" or width != 1:
        raise ConfigError(
            f"--beside: the authors' code has the networks of model.variant bmsg at full width, not those of "
            f"{base.method} at --width {width:g}; allowed: --method msg-gan-v1 --width 1"
        )
    return Authors(authors_label(checkout), checkout)


def _check_numbers(
    base: ExperimentSpec,
    resolutions: Sequence[int],
    batch_size: int,
    width: float,
    threads: int,
    rounds: int,
) -> None:
    """Refuse what no step can be built or timed with, under the names of the command line."""
    group = base.model.mbstd_group_size if base.model.mbstd != "off" else None
    whole_groups = group is None or batch_size < group or batch_size % group == 0
    fewer = f"1 to {group - 1}, or multiples of {group}" if group and group > 1 else ""
    checks: list[tuple[str, object, bool, str]] = [
        ("resolution", r, _is_resolution(r), "a power of two from 8 to 1024") for r in resolutions
    ]
    checks += [
        ("batch-size", batch_size, batch_size >= 1, "a whole number of at least 1"),
        ("batch-size", batch_size, whole_groups, f"{fewer} (model.mbstd_group_size)"),
        # Comparisons with nan are false.
        ("width", f"{width:g}", 0 < width <= 1, "a number greater than 0 and at most 1"),
        ("threads", threads, threads >= 1, "a whole number of at least 1"),
        ("rounds", rounds, rounds >= 1, "a whole number of at least 1"),
    ]
    for option, value, holds, allowed in checks:
        if not holds:
            raise ConfigError(f"--{option}: {value} is not allowed; allowed: {allowed}")


def _is_resolution(resolution: int) -> bool:
    try:
        check_resolution(resolution)
    except ValueError:
        return False
    return True


def _experiment_of(benchmark: Benchmark, method: str) -> ExperimentSpec:
    specs = {spec.method: spec for spec in reversed(benchmark.experiments.values())}
    if method not in specs:
        raise ConfigError(f"--method: {method!r} has no experiment{nearest(method, specs)}")
    return specs[method]


def _case(
    benchmark: Benchmark,
    base: ExperimentSpec,
    resolution: int,
    precision: str,
    batch_size: int,
    width: float,
    threads: int,
    plain: bool = False,
    compiled: bool = False,
) -> Case:
    raw = base.model_dump(mode="json")
    raw["dataset"] |= {"source": "embedded", "num_images": 1, "resolution": resolution}
    raw["dataset"] |= {"fit": None, "resize": None, "drawn": None}
    connections = base.model.connections_at(resolution)
    raw["model"] |= {
        "resolution": resolution,
        "width_multiplier": width,
        "connections": connections,
    }
    if base.growing is not None:
        # One step at full resolution, whatever batches and lengths the schedule has on its way there.
        raw["growing"] |= {
            "recipe": None,
            "stable_kimg": batch_size / 1000,
            "fade_kimg": 0.0,
            "batch_sizes": {},
            "repeats": 1,
        }
        raw["training"]["total_kimg"] = 10 * batch_size / 1000
    raw["training"] |= {"precision": precision, "batch_size": batch_size, "num_threads": threads}
    raw["training"] |= {"compile": "default" if compiled else "none"}
    try:
        spec = ExperimentSpec.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        raise ConfigError(sentence(error, ExperimentSpec, ("bench", base.method))) from None
    run = RunSpec(
        schema="msgbench.run/1",
        tier=benchmark.tier,
        experiment=f"bench-{resolution}",
        seed=0,
        fingerprint=spec.fingerprint,
        spec=spec,
    )
    label = PLAIN if plain else f"{precision} compiled" if compiled else precision
    return Case(label, run, training_flops(spec.model, spec.loss), plain)
