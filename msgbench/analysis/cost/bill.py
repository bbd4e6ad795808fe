"""The cost of a benchmark for people and for machines: lines, a table, a CSV; and whether it is accepted."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgbench.analysis.cost.disk import Disk
from msgbench.analysis.cost.estimate import (
    BenchmarkCost,
    ExperimentCost,
    RunCost,
    Workload,
    estimate_benchmark,
    hours_of,
)
from msgbench.config import Benchmark
from msgbench.errors import ConfigError
from msgbench.layout import Layout, short
from msgbench.models.arithmetic import flop_per_image

CSV_COLUMNS = (
    "experiment", "spec", "runs", "runs_left", "device", "training_basis", "evaluation_basis", "measured_runs",
    "images_shown", "gflop_per_image", "images_per_second", "hours_per_run", "hours", "hours_left",
    "wall_hours", "wall_hours_left", "peak_disk_gb", "final_disk_gb", "energy_kwh", "energy_kwh_left",
    "money", "money_left", "co2_kg", "co2_kg_left",
)  # fmt: skip
SHARED = "datasets and their statistics"
TOTAL = "total"


@dataclass(frozen=True)
class Rates:
    """What an hour of a device and a kWh cost, and how many devices work side by side."""

    parallel: int = 1
    price_per_hour: float | None = None
    watts: float | None = None
    """Power of one device at work; None = the data sheet's."""
    price_per_kwh: float | None = None
    co2_grams_per_kwh: float | None = None

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise ConfigError(
                f"--gpus: {self.parallel} is not allowed; allowed: a whole number from 1"
            )
        for option, value in (
            ("--price-per-gpu-hour", self.price_per_hour),
            ("--watts", self.watts),
            ("--price-per-kwh", self.price_per_kwh),
            ("--co2-grams-per-kwh", self.co2_grams_per_kwh),
        ):
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(
                    f"{option}: {value:g} is not allowed; allowed: a number of at least 0"
                )

    def watts_of(self, run: RunCost) -> float | None:
        """Power of the device of `run`; None when neither the user nor a data sheet says."""
        return self.watts if self.watts is not None else (run.gpu.watts if run.gpu else None)

    def energy(self, run: RunCost, hours: float) -> float | None:
        """kWh of `hours` on the device of `run`."""
        watts = self.watts_of(run)
        return None if watts is None else watts * hours / 1000

    def money(self, hours: float, energy: float | None) -> float | None:
        """Price of `hours` and of the energy; None when no price was given, or one cannot be applied."""
        parts = [] if self.price_per_hour is None else [self.price_per_hour * hours]
        if self.price_per_kwh is not None:
            if energy is None:
                return None
            parts.append(self.price_per_kwh * energy)
        return sum(parts) if parts else None

    def co2(self, energy: float | None) -> float | None:
        """kg of CO2 of `energy`."""
        if energy is None or self.co2_grams_per_kwh is None:
            return None
        return energy * self.co2_grams_per_kwh / 1000


def require_accepted(work: Workload) -> None:
    """Raise ConfigError when what a start of the paper tier would do costs more than `accept_gpu_hours`.

    Counted is what this start would really do: the asked target without what is done already. Other tiers
    pass.
    """
    benchmark = work.benchmark
    if benchmark.tier != "paper" or not work.to_do:
        return
    if work.hours > benchmark.accept_gpu_hours:
        raise ConfigError(
            f"accept_gpu_hours: {benchmark.accept_gpu_hours:g} does not cover the estimate of the paper tier, "
            f"{work.hours:,.0f} GPU-hours for the {_count(len(work.to_do), 'run')} that would be started now "
            f"({work.bases}); allowed: {math.ceil(work.hours)} or more"
        )


def announcement(work: Workload) -> str:
    """One line for the start of the workflow: tier, runs and hours, of what it will really do."""
    runs, to_do = len(work.runs), len(work.to_do)
    line = f"tier {work.benchmark.tier}: {to_do} of {_count(runs, 'run')} to do"
    if not to_do:
        return line
    unit = hours_of(work.costs_to_do)
    in_all = f"; {_hours(work.hours_in_all, unit)} for all {runs}" if to_do < runs else ""
    return (
        f"{line} ({len(work.train)} to train, {len(work.evaluate)} to measure), "
        f"about {_hours(work.hours, unit)} ({work.bases}){in_all}"
    )


def plan_lines(benchmark: Benchmark, layout: Layout | None = None) -> list[str]:
    """The experiments of the tables with their length and cost, as lines for a person."""
    cost = estimate_benchmark(benchmark, layout)
    unit, scale = _scale(cost)
    rows = [("experiment", "spec", "seeds", "images shown", "GFLOP/image", f"{unit} a run")]
    for line in cost.lines:
        flops = flop_per_image(line.spec)
        rows.append(
            (
                line.name,
                short(line.spec.fingerprint),
                str(len(line.left)),
                f"{line.spec.schedule.total_nimg:,}",
                f"{flops / 1e9:,.3g}",
                _number(line.run.hours * scale),
            )
        )
    lines = [f"tier {benchmark.tier}: {len(cost.lines)} experiments, {cost.num_runs} runs"]
    lines += _aligned(rows, words=2)
    lines.append(
        f"estimate for all runs, training and measuring: {_hours(cost.hours, cost.unit)} "
        f"({'; '.join(cost.bases)})"
    )
    shown = {line.name for line in cost.lines}
    others = [name for name in benchmark.experiments if name not in shown]
    if others:
        lines.append(f"not part of all and not in the estimate: {', '.join(others)}")
    return lines


def bill_lines(cost: BenchmarkCost, rates: Rates, gpus_a_training: int = 1) -> list[str]:
    """The cost as lines for a person: a table of the experiments, and what it adds up to.

    `gpus_a_training`: how many are asked for to share one; GPU-hours count each of them.
    """
    lines = [
        f"tier {cost.tier}: {_count(len(cost.lines), 'experiment')}, {_count(cost.num_runs, 'run')}, "
        f"{cost.runs_left} to do"
    ]
    asked_money = rates.price_per_hour is not None or rates.price_per_kwh is not None
    unit, scale = _scale(cost)
    head = ["experiment", "runs", "to do", "images/s", f"{unit} a run", "all", "left",
            "peak GB", "final GB", "kWh", *(["money"] if asked_money else []), "basis"]  # fmt: skip
    rows = [tuple(head)]
    for line in cost.lines:
        energy = rates.energy(line.run, line.hours)
        money = [_cell(rates.money(line.hours, energy))] if asked_money else []
        rows.append(
            (
                line.name, str(len(line.left)), str(line.runs_left), _number(line.run.images_per_second),
                _number(line.run.hours * scale), _number(line.hours * scale), _number(line.hours_left * scale),
                _gb(line.disk.peak), _gb(line.disk.final), _cell(energy), *money, line.run.basis,
            )
        )  # fmt: skip
    rows.append((SHARED, *[""] * 6, _gb(cost.shared.peak), _gb(cost.shared.final),
                 *[""] * (len(head) - 9)))  # fmt: skip
    lines += _aligned(rows, words=1, last_is_word=True)
    lines += [_sum_line(cost, rates, left=False), _sum_line(cost, rates, left=True)]
    lines.append(
        f"disk: {_gb(cost.disk.peak)} GB when everything is trained and nothing measured, "
        f"{_gb(cost.disk.final)} GB at the end (two training states a run, snapshots as evaluation.keep says)"
    )
    lines += _notes(cost, rates)
    if gpus_a_training > 1:
        lines.append(
            f"{gpus_a_training} GPUs share each training (cluster.train): its GPU-hours stay about the same and "
            f"it ends about {gpus_a_training} times as soon; the wall time above is that of one GPU a run"
        )
    return lines


def _sum_line(cost: BenchmarkCost, rates: Rates, left: bool) -> str:
    hours = cost.hours_left if left else cost.hours
    energy = _energy(cost, rates, left)
    parts = [
        _hours(hours, cost.unit),
        f"{_hours(cost.wall_hours(rates.parallel, left), 'hours')} on {rates.parallel} at a time",
    ]
    if energy is not None:
        parts.append(f"{_number(energy)} kWh")
    money, co2 = rates.money(hours, energy), rates.co2(energy)
    if money is not None:
        parts.append(f"money {_number(money)}")
    if co2 is not None:
        parts.append(f"{_number(co2)} kg CO2")
    return f"{'left to do' if left else 'from nothing'}: {', '.join(parts)}"


def _notes(cost: BenchmarkCost, rates: Rates) -> list[str]:
    """What the numbers rest on, or why there are none."""
    notes = []
    if rates.watts is None:
        known = {line.run.gpu.name: line.run.gpu for line in cost.lines if line.run.gpu}
        for gpu in known.values():
            if gpu.watts is not None:
                notes.append(f"power of {gpu.name}: {gpu.watts:g} W ({_first(gpu.source)})")
        dark = {line.run.device for line in cost.lines if rates.watts_of(line.run) is None}
        notes += [f"power of {name}: not known; give --watts" for name in sorted(dark)]
    if len(kinds := {line.run.device for line in cost.lines}) > 1:
        notes.append(
            f"the hours are of different hardware ({', '.join(sorted(kinds))}); --gpu takes one alone"
        )
    return notes


def _first(source: str) -> str:
    return source.split(". ", 1)[0]


def to_csv(cost: BenchmarkCost, rates: Rates) -> str:
    """The bill as CSV, columns CSV_COLUMNS: one row an experiment, one for what they share, the total."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in cost.lines:
        writer.writerow(_csv_row(line, cost, rates))
    writer.writerow({"experiment": SHARED, **_disk_columns(cost.shared)})
    energy, energy_left = _energy(cost, rates, left=False), _energy(cost, rates, left=True)
    writer.writerow(
        {
            "experiment": TOTAL,
            "runs": cost.num_runs,
            "runs_left": cost.runs_left,
            **_amounts(rates, cost.hours, cost.hours_left, energy, energy_left),
            "wall_hours": cost.wall_hours(rates.parallel),
            "wall_hours_left": cost.wall_hours(rates.parallel, left=True),
            **_disk_columns(cost.disk),
        }
    )
    return buffer.getvalue()


def _csv_row(line: ExperimentCost, cost: BenchmarkCost, rates: Rates) -> dict[str, Any]:
    alone = BenchmarkCost(cost.tier, (line,), Disk(0, 0))
    return {
        "experiment": line.name,
        "spec": short(line.spec.fingerprint),
        "runs": len(line.left),
        "runs_left": line.runs_left,
        "device": line.run.device,
        "training_basis": line.run.training_basis,
        "evaluation_basis": line.run.evaluation_basis,
        "measured_runs": line.run.measured_runs,
        "images_shown": line.spec.schedule.total_nimg,
        "gflop_per_image": flop_per_image(line.spec) / 1e9,
        "images_per_second": line.run.images_per_second,
        "hours_per_run": line.run.hours,
        **_amounts(
            rates,
            line.hours,
            line.hours_left,
            rates.energy(line.run, line.hours),
            rates.energy(line.run, line.hours_left),
        ),
        "wall_hours": alone.wall_hours(rates.parallel),
        "wall_hours_left": alone.wall_hours(rates.parallel, left=True),
        **_disk_columns(line.disk),
    }


def _amounts(
    rates: Rates, hours: float, hours_left: float, energy: float | None, energy_left: float | None
) -> dict[str, Any]:
    return {
        "hours": hours,
        "hours_left": hours_left,
        "energy_kwh": energy,
        "energy_kwh_left": energy_left,
        "money": rates.money(hours, energy),
        "money_left": rates.money(hours_left, energy_left),
        "co2_kg": rates.co2(energy),
        "co2_kg_left": rates.co2(energy_left),
    }


def _disk_columns(disk: Disk) -> dict[str, Any]:
    return {"peak_disk_gb": disk.peak / 1e9, "final_disk_gb": disk.final / 1e9}


def _energy(cost: BenchmarkCost, rates: Rates, left: bool) -> float | None:
    """kWh of all lines; None when the power of one of them is not known."""
    parts = [rates.energy(one.run, one.hours_left if left else one.hours) for one in cost.lines]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _aligned(
    rows: Sequence[tuple[str, ...]], words: int, last_is_word: bool = False
) -> Iterable[str]:
    """`rows` as lines in columns: the first `words` columns (and the last) to the left, numbers to the right."""
    columns = len(rows[0])
    widths = [max(len(row[column]) for row in rows) for column in range(columns)]
    for row in rows:
        cells = [
            text.ljust(width)
            if column < words or (last_is_word and column == columns - 1)
            else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _scale(cost: BenchmarkCost) -> tuple[str, float]:
    """The unit of a table's column and how many of it make an hour: minutes where all runs are that short."""
    if all(line.run.hours < 1 for line in cost.lines):
        return cost.unit.replace("hours", "minutes"), 60.0
    return cost.unit, 1.0


def _hours(hours: float, unit: str) -> str:
    """Hours with their unit; below an hour in minutes."""
    if hours < 1:
        return f"{_number(hours * 60)} {unit.replace('hours', 'minutes')}"
    return f"{_number(hours)} {unit}"


def _number(value: float) -> str:
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _cell(value: float | None) -> str:
    return "?" if value is None else _number(value)


def _gb(size: int) -> str:
    return f"{size / 1e9:,.2f}" if size < 100e9 else f"{size / 1e9:,.0f}"
