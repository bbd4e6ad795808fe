"""From a collection to samples: what each seed of an experiment scored, took and looked like."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msgbench.analysis.claims.outcome import Evidence, Sample
from msgbench.analysis.collected import Collection, Run
from msgbench.analysis.estimates import pick
from msgbench.analysis.score_records import Record
from msgbench.analysis.tables import METRIC_NAMES
from msgbench.errors import ResultsError
from msgbench.layout import (
    EVALUATE_JSON,
    OBSERVATIONS_JSONL,
    SAMPLES_JSON,
    STATS_JSONL,
    TRAIN_JSON,
)
from msgbench.protocols import Protocol, get_protocol

# Parts of a training that "first" and "last" mean.
TENTH, QUARTER = 0.1, 0.25

Measure = Callable[[Run], "Evidence | str"]
"""What a run is worth, or why it is worth nothing, as words that follow "seed 0: "."""


@dataclass(frozen=True)
class Measured:
    """What a claim may ask of a benchmark's runs."""

    collection: Collection

    def runs(self, experiment: str) -> tuple[Run, ...]:
        """Its planned runs; of an experiment that no table shows, those of the present spec that exist."""
        shown = self.collection.runs_of(experiment)
        if shown:
            return shown
        others = (other for other in self.collection.others if other.current)
        return tuple(other.run for other in others if other.run.plan.experiment == experiment)

    def protocol(self, table: str) -> Protocol | None:
        """The protocol of a table; None when the benchmark has no such table."""
        spec = self.collection.benchmark.tables.get(table)
        return None if spec is None else get_protocol(spec.protocol)

    def sample(self, experiment: str, label: str, unit: str, measure: Measure) -> Sample:
        """`measure` of each run of an experiment."""
        if experiment not in self.collection.benchmark.experiments:
            return Sample(label, unit, missing=(f"config.yaml has no experiment {experiment}",))
        runs = self.runs(experiment)
        if not runs:
            return Sample(label, unit, missing=(f"{experiment}: not run",))
        found: list[Evidence] = []
        seeds: dict[str, list[int]] = {}  # those without a number, by the reason
        for run in runs:
            result = f"not run: {run.reason}" if run.train is None else measure(run)
            if isinstance(result, str):
                seeds.setdefault(result, []).append(run.plan.seed)
            else:
                found.append(result)
        missing = tuple(
            f"{experiment}, seed{'s' if len(of) > 1 else ''} {', '.join(map(str, of))}: {reason}"
            for reason, of in seeds.items()
        )
        return Sample(label, unit, tuple(found), missing)

    def best(self, experiment: str, protocol: Protocol) -> Sample:
        """Each seed's best score."""
        metric = METRIC_NAMES[protocol.metric]

        def measure(run: Run) -> Evidence | str:
            gap = run.gap(protocol.name)
            picked = None if gap else pick(run.of(protocol.name))
            if picked is None:
                return gap or "no snapshot after 0 images was measured"
            return _score(run, picked.best, f"best {metric}")

        return self.sample(experiment, f"best {metric} of {experiment}", "", measure)

    def untrained(self, experiment: str, protocol: Protocol) -> Sample:
        """Each seed's score before training."""
        metric = METRIC_NAMES[protocol.metric]

        def measure(run: Run) -> Evidence | str:
            first = [record for record in run.of(protocol.name) if record.cur_nimg == 0]
            return (
                _score(run, first[0], f"{metric} untrained") if first else "0 images not measured"
            )

        return self.sample(experiment, f"{metric} of {experiment} untrained", "", measure)

    def images_at_best(self, experiment: str, protocol: Protocol) -> Sample:
        """Images shown at each seed's best score."""

        def measure(run: Run) -> Evidence | str:
            best = _best(run, protocol)
            if isinstance(best, str):
                return best
            what = f"{run.label}: images at best {protocol.name}"
            return Evidence(what, float(best.cur_nimg or 0), "images", best.path)

        return self.sample(experiment, f"images at the best of {experiment}", "images", measure)

    def hours_at_best(self, experiment: str, protocol: Protocol) -> Sample:
        """Device-hours of training at each seed's best score."""

        def measure(run: Run) -> Evidence | str:
            best = _best(run, protocol)
            if isinstance(best, str):
                return best
            return _hours(run, best, f"hours at best {protocol.name}")

        return self.sample(experiment, f"hours to the best of {experiment}", "h", measure)

    def reached(self, experiment: str, protocol: Protocol, target: float, by: str) -> Sample:
        """Images or device-hours at the first snapshot that scores at least as well as `target`."""
        unit = "images" if by == "images" else "h"

        def measure(run: Run) -> Evidence | str:
            gap = run.gap(protocol.name)
            if gap is not None:
                return gap
            sign = 1 if protocol.direction == "higher" else -1
            for record in sorted(run.of(protocol.name), key=lambda r: r.cur_nimg or 0):
                if record.cur_nimg and sign * (record.table_value - target) >= 0:
                    what = f"{by} at {protocol.name} {target:.4g}"
                    if by == "hours":
                        return _hours(run, record, what)
                    return Evidence(
                        f"{run.label}: {what}", float(record.cur_nimg), unit, record.path
                    )
            what = f"{run.label}: {protocol.name} {target:.4g} never reached"
            return Evidence(what, None, unit, run.folder / EVALUATE_JSON)

        return self.sample(experiment, f"{by} of {experiment} to {target:.4g}", unit, measure)

    def seconds_an_image(self, experiment: str, part: str) -> Sample:
        """Seconds an image of training in the `first` or `last` tenth of it, or in all of it (`mean`)."""

        def measure(run: Run) -> Evidence | str:
            found = seconds_an_image(run, part)
            if found is None:
                return f"{STATS_JSONL} says nothing of its speed"
            what = f"{run.label}: time of an image, {part}"
            return Evidence(what, found, "s", run.folder / STATS_JSONL)

        return self.sample(experiment, f"time of an image of {experiment}, {part}", "s", measure)

    def part(self, experiment: str, protocol: Protocol, part: str) -> Sample:
        """A part of each seed's final score."""

        def measure(run: Run) -> Evidence | str:
            records = run.of(protocol.name)
            if not records:
                return f"not measured by {protocol.name} (its evaluation.protocols)"
            last = max(records, key=lambda r: r.cur_nimg or 0)
            value = last.parts.get(part)
            if not isinstance(value, int | float):
                return f"{protocol.name} has no {part}"
            return Evidence(f"{run.label}: {part}, {protocol.name}", float(value), "", last.path)

        return self.sample(experiment, f"{part} of {experiment}", "", measure)

    def observed(
        self, experiment: str, label: str, unit: str, of: Callable[[Sequence[Line]], float | str]
    ) -> Sample:
        """`of` the lines of each run's observations."""

        def measure(run: Run) -> Evidence | str:
            path = run.folder / OBSERVATIONS_JSONL
            lines = observations(path)
            if not lines:
                return "no epoch of it was observed"
            value = of(lines)
            return (
                value
                if isinstance(value, str)
                else Evidence(f"{run.label}: {label}", value, unit, path)
            )

        return self.sample(experiment, f"{label} of {experiment}", unit, measure)

    def drawn(
        self,
        experiment: str,
        label: str,
        picture_set: str,
        of: Callable[[Mapping[str, Any]], float | str],
    ) -> Sample:
        """`of` the arrays of each run's picture set."""

        def measure(run: Run) -> Evidence | str:
            path = picture_arrays(run, picture_set)
            if path is None:
                return f"picture set {picture_set} not drawn (target samples)"
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    value = of(arrays)
            except (OSError, ValueError) as error:
                raise ResultsError(f"{path}: cannot be read ({error})") from None
            return (
                value
                if isinstance(value, str)
                else Evidence(f"{run.label}: {label}", value, "", path)
            )

        return self.sample(experiment, f"{label} of {experiment}", "", measure)


Line = Mapping[str, Any]
"""One observation: `cur_nimg`, and by resolution `change`, `synchronisation` and its two parts."""


def observations(path: Path) -> tuple[Line, ...]:
    """The lines of an observations.jsonl, by length; none without a file. A torn last line is left out."""
    if not path.is_file():
        return ()
    found: list[Line] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for index, text in enumerate(lines):
        try:
            line = json.loads(text)
            found.append({"cur_nimg": int(line["cur_nimg"]), **line})
        except (ValueError, KeyError, TypeError):
            if index + 1 < len(lines):
                raise ResultsError(f"{path}: line {index + 1} is no observation") from None
    return tuple(sorted(found, key=lambda line: line["cur_nimg"]))


def picture_arrays(run: Run, picture_set: str) -> Path | None:
    """The npz file of a run's picture set; None when it was not drawn."""
    path = run.folder / Path(SAMPLES_JSON).stem / f"{picture_set}.npz"
    return path if path.is_file() else None


def seconds_an_image(run: Run, part: str) -> float | None:
    """Mean seconds an image in the `first` or `last` tenth of a training, or in all of it (`mean`)."""
    stats = run.stats
    if "images_per_second" not in stats.columns:
        return None
    total = run.plan.spec.schedule.total_nimg
    speeds = stats["images_per_second"]
    match part:
        case "first":
            speeds = speeds[stats["cur_nimg"] <= TENTH * total]
        case "last":
            speeds = speeds[stats["cur_nimg"] > (1 - TENTH) * total]
    values = [float(v) for v in speeds if math.isfinite(v) and v > 0]
    return sum(1 / v for v in values) / len(values) if values else None


def _best(run: Run, protocol: Protocol) -> Record | str:
    gap = run.gap(protocol.name)
    picked = None if gap else pick(run.of(protocol.name))
    return picked.best if picked else gap or "no snapshot after 0 images was measured"


def _score(run: Run, record: Record, what: str) -> Evidence:
    return Evidence(f"{run.label}: {what}, {record.protocol}", record.table_value, "", record.path)


def _hours(run: Run, record: Record, what: str) -> Evidence | str:
    seconds = run.seconds_at(record.cur_nimg)
    if seconds is None or not run.seconds:
        return "train.json does not say how long it took"
    devices = run.gpu_seconds / run.seconds if run.on_gpu else 1.0
    return Evidence(f"{run.label}: {what}", seconds * devices / 3600, "h", run.folder / TRAIN_JSON)
