"""What trainings and measurements took: throughput from the records of finished runs of all tiers.

A record counts for a spec when it is the same spec, or one with the same network, penalty, precision,
batch and threads: learning rate, length and dataset do not change the time of a step.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgbench.analysis.cost.arithmetic import SampleSetKey
from msgbench.analysis.cost.hardware import is_cpu
from msgbench.config import RELATIVISTIC, ExperimentSpec
from msgbench.layout import METRICS, PUBLISHED, SPEC_JSON, TRAIN_JSON
from msgbench.records import read_json

# Runs whose measurements are read for one network: more would hardly move the mean.
_MOST_RUNS_READ = 8

# What the use of a record raises that is not as it was written.
_UNUSABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)

Key = str
Device = str


def step_key(spec: Mapping[str, Any]) -> Key:
    """What decides the time of a step on a device, of a spec as JSON."""
    training, loss = spec["training"], spec["loss"]
    payload: dict[str, Any] = {
        "model": spec["model"],
        "penalty": loss.get("penalty", "gradient_penalty"),
        "relativistic": loss["adversarial"] in RELATIVISTIC,
        "optimizer": spec["optimizer"]["algorithm"],
        "precision": training.get("precision", "float32"),
        "batch_size": training["batch_size"],
        "num_threads": training["num_threads"],
    }
    if spec.get("growing") is not None:
        # The records hold means over whole trainings: their steps are alike where all of them are.
        payload |= {"growing": spec["growing"], "total_kimg": training["total_kimg"]}
    return json.dumps(payload, sort_keys=True)


def _completed(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recorded spec with the fields that were added since; a default is what was done before there was a field."""
    try:
        return ExperimentSpec.model_validate_json(json.dumps(spec)).model_dump(mode="json")
    except ValueError:
        return spec  # of another version: it counts as far as it is the same


@dataclass
class Rate:
    """Work done and the time it took, on one device."""

    amount: float = 0.0
    seconds: float = 0.0
    runs: int = 0

    def add(self, amount: float, seconds: float) -> None:
        self.amount += amount
        self.seconds += seconds
        self.runs += 1

    @property
    def per_second(self) -> float:
        return self.amount / self.seconds


@dataclass
class Measured:
    """Records below a results folder, by what decides their time."""

    training: dict[Key, dict[Device, Rate]] = field(default_factory=dict)
    """Images trained on, and the seconds of all devices together; by network, then by device."""
    runs: dict[Key, list[Path]] = field(default_factory=dict)
    """Finished runs by network."""
    unreadable: list[Path] = field(default_factory=list)
    """Records that could not be used."""
    _evaluation: dict[Key, dict[Device, dict[SampleSetKey, Rate]]] = field(default_factory=dict)

    @classmethod
    def read(cls, results: Path) -> Measured:
        """All finished trainings below `results`, of every tier, and the published ones."""
        found = cls()
        for path in sorted(results.glob(f"*/runs/*/*/seed*/{TRAIN_JSON}")):
            try:
                spec = read_json(path.parent / SPEC_JSON)["spec"]
                key = found._add(spec, read_json(path))
                found.runs.setdefault(key, []).append(path.parent)
            except _UNUSABLE:
                found.unreadable.append(path)
        for path in sorted((results / PUBLISHED).glob("*.json")):
            try:
                content = read_json(path)
                found._add(content["spec"], content)
            except _UNUSABLE:
                found.unreadable.append(path)
        return found

    def _add(self, spec: Mapping[str, Any], train: Mapping[str, Any]) -> Key:
        key = step_key(_completed(spec))
        shares: dict[Device, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
        for attempt in train["attempts"]:
            images, seconds = shares[str(attempt["device"])]
            shares[str(attempt["device"])] = (
                images + int(attempt["end_nimg"]) - int(attempt["start_nimg"]),
                seconds + float(attempt["seconds"]) * int(attempt.get("processes", 1)),
            )
        if spec.get("growing") is not None and len(shares) > 1:
            # Who trained the small images says nothing of the large ones.
            shares.clear()
        for device, (images, seconds) in shares.items():
            if images > 0 and seconds > 0:
                rates = self.training.setdefault(key, {})
                rates.setdefault(device, Rate()).add(images, seconds)
        return key

    def training_rate(self, spec: ExperimentSpec, devices: Devices) -> tuple[Device, Rate] | None:
        """Images per second of trainings like `spec` on the allowed device with most of them."""
        rates = self.training.get(step_key(spec.model_dump(mode="json")), {})
        allowed = [(device, rate) for device, rate in rates.items() if devices.allow(device)]
        return max(allowed, key=lambda pair: pair[1].amount, default=None)

    def evaluation_rate(
        self, spec: ExperimentSpec, sample_set: SampleSetKey, device: Device
    ) -> Rate | None:
        """Sets measured per second, of networks like that of `spec` on `device`; None without records."""
        key = step_key(spec.model_dump(mode="json"))
        if key not in self._evaluation:
            self._evaluation[key] = defaultdict(dict)
            for run_dir in self.runs.get(key, ())[-_MOST_RUNS_READ:]:
                for on, measured_set, seconds in _measured_sets(run_dir):
                    rates = self._evaluation[key][on]
                    rates.setdefault(measured_set, Rate()).add(1, seconds)
        return self._evaluation[key].get(device, {}).get(sample_set)


@dataclass(frozen=True)
class Devices:
    """Which devices' records may stand for a line."""

    part_of_name: str | None = None
    """None: every device that `cpu` and `gpu` let through."""
    cpu: bool = True
    gpu: bool = True

    def allow(self, device: Device) -> bool:
        """Whether records made on `device` count."""
        if self.part_of_name is not None:
            return self.part_of_name in device
        return self.cpu if is_cpu(device) else self.gpu


def _measured_sets(run_dir: Path) -> Iterator[tuple[Device, SampleSetKey, float]]:
    """(device, sample set, seconds) of everything that was measured of a run, snapshot by snapshot.

    Protocols on one set share the time of generating it, which each of their records states: the longest
    of them counts.
    """
    found: dict[tuple[int, Device, SampleSetKey], float] = {}
    for path in (run_dir / METRICS).glob("*/*.json"):
        try:
            record = read_json(path)
            card, origin = record["protocol"], record["provenance"]
            measured_set = (str(card["extractor"]), int(card["num_fake"]), int(card["seed"]))
            key = (int(record["cur_nimg"]), str(origin["device"]), measured_set)
            seconds = float(origin["seconds"])
        except _UNUSABLE:
            continue  # a broken record is refused where its value is used
        found[key] = max(found.get(key, 0.0), seconds)
    for (_, device, measured_set), seconds in found.items():
        yield device, measured_set, seconds
