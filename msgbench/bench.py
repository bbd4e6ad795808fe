"""`msgbench bench`: which steps to time, what they cost in arithmetic, and the table of what was measured.

Joins two floors that do not see each other: the training room does the timing, the analysis room knows
the arithmetic of a step.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from msgbench.config import Benchmark, ExperimentSpec, RunSpec
from msgbench.config.base import check_resolution
from msgbench.config.sentences import nearest, sentence
from msgbench.device import choose_device
from msgbench.errors import ConfigError
from msgbench.models.arithmetic import training_flops
from msgbench.records import provenance, write_text
from msgbench.training.bench import PLAIN, Authors, Case, Timing, bench
from msgbench.training.bench_authors import authors_label

PRECISIONS = ("float32", "bfloat16")


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
    out: Path | None,
    compiled: bool = False,
    beside: Path | None = None,
) -> list[str]:
    """Time `method` at every resolution and precision; the lines of the Markdown table.

    `compiled`: each precision compiled, too. `beside`: a checkout of the authors' PyTorch code, which is timed, too,
    and needs a method of the first version's networks. With `out` the folder gets bench.csv and bench.md. Raises
    ConfigError for an unknown method or value.
    """
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ConfigError(
                f"--precision: {precision!r} is not allowed; allowed: {', '.join(PRECISIONS)}"
            )
    base = _experiment_of(benchmark, method)
    _check_numbers(base, resolutions, batch_size, width, threads, rounds)
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {str(out)!r} is not allowed; allowed: a folder, or a new one")
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
    origin = provenance(timings[0].device)
    lines = _markdown(timings, width, rounds, origin)
    if out is not None:
        write_text(out / "bench.md", "\n".join(lines) + "\n")
        write_text(out / "bench.csv", _csv(timings, origin))
    return lines


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


def _markdown(
    timings: Sequence[Timing], width: float, rounds: int, origin: dict[str, Any]
) -> list[str]:
    first, versions = timings[0], origin["versions"]
    where = origin["cpu"] if first.device == "cpu" else first.device
    lines = [
        f"{where}, {first.threads} CPU threads, torch {versions['torch']}, {origin['written'][:10]}, "
        f"width multiplier {width:g}, median of {rounds} alternating rounds, commit {str(origin['commit'])[:10]}",
        "",
        "| method | px | step | batch | s/step | images/s | GFLOP/s | ratio to plain | to the authors' "
        "| CPU s/step | first step, s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {t.method} | {t.resolution} | {t.label} | {t.batch_size} | {t.seconds_per_step:.3g} "
        f"| {t.images_per_second:.3g} | {t.gflop_per_second:.4g} | {t.ratio_to_plain:.2f} "
        f"| {'' if t.ratio_to_authors is None else f'{t.ratio_to_authors:.2f}'} "
        f"| {t.cpu_seconds_per_step:.3g} | {t.first_seconds:.3g} |"
        for t in timings
    ]
    return lines


def _csv(timings: Sequence[Timing], origin: dict[str, Any]) -> str:
    buffer = io.StringIO()
    more = {
        "cpu": origin["cpu"],
        "torch": origin["versions"]["torch"],
        "commit": origin["commit"],
        "written": origin["written"],
    }
    writer = csv.DictWriter(buffer, [*(field.name for field in fields(Timing)), *more])
    writer.writeheader()
    for timing in timings:
        writer.writerow({**asdict(timing), **more})
    return buffer.getvalue()
