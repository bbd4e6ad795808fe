"""`msgbench evaluate --real STORE`: what a run is seen against.

Three kinds of records of one dataset, in one file. The *images* themselves, by the Inception Scores (the other
protocols compare with these very images). The *control* `pixel-gaussian`, by every protocol: what a score is without
having learned more than colours. The *floors*, by every comparing protocol: what a score is between real images that
no network made, which no method can be expected to go below.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from msgbench.console import Progress
from msgbench.data.store import Store
from msgbench.device import device_name, make_reproducible
from msgbench.errors import MeasurementError
from msgbench.metrics.controls import PIXEL_GAUSSIAN, GaussianRecipe, PixelGaussian
from msgbench.metrics.floors import Floors
from msgbench.metrics.measure import Group, Instruments, NamedWeights, Seen, group_of
from msgbench.metrics.reals import RealSet
from msgbench.metrics.record import (
    RECORD_SCHEMA,
    current,
    dataset_facts,
    declared,
    listed,
    make_record,
    measuring_digest,
    stored,
)
from msgbench.protocols import Protocol
from msgbench.records import provenance, write_json

REAL_SCHEMA = "msgbench.real/2"


def evaluate_real(
    store_dir: Path,
    protocols: Sequence[str],
    out: Path,
    tier: str = "smoke",
    mirror: bool = False,
    test_store: Path | None = None,
    weights: NamedWeights = None,
    device: str | torch.device = "cpu",
    batch_size: int = 100,
    cache: Path | None = None,
) -> Path:
    """Measures the images of a store, their control and their floors by `protocols`; returns `out`.

    `mirror` is whether trainings on the store flip its images, `test_store` the store of the dataset's test images, if
    it has any: they give a floor of their own. `out` (`records`, `controls` and `floors`, each as a run's records,
    without a run) is written unless it is there and still valid; `cache` is the folder for statistics of real images.
    Raises MeasurementError when the store is too small for a protocol, or the test images are of another size.
    """
    # One thread, as the rule has it: the same bits on every machine, and no crowd beside trainings.
    make_reproducible(1)
    store = Store.open(store_dir)
    test = _opened(test_store, store)  # hours before it is needed: it may not be there
    instruments = Instruments(
        declared(list(protocols)), store, mirror, weights, cache, torch.device(device)
    )
    job = _RealEvaluation(instruments, store, tier, batch_size)
    known = stored(out) or {}
    content = {
        "schema": REAL_SCHEMA,
        "tier": tier,
        "dataset": dataset_facts(store),
        "records": job.images(listed(known, "records")),
        "controls": job.controls(listed(known, "controls")),
        "floors": job.floors(listed(known, "floors"), test),
    }
    if known != content:
        write_json(out, content)
    return out


def _opened(test_store: Path | None, store: Store) -> Store | None:
    if test_store is None:
        return None
    test = Store.open(test_store)
    if test.resolution != store.resolution:
        raise MeasurementError(
            f"{test_store}: holds images of {test.resolution} pixels, the store of "
            f"{store.manifest.name} holds {store.resolution}"
        )
    return test


class _RealEvaluation:
    """One store and the instruments to measure its images, control and floors."""

    def __init__(self, instruments: Instruments, store: Store, tier: str, batch_size: int) -> None:
        self.instruments, self.store, self.tier = instruments, store, tier
        self.batch_size = batch_size

    def images(self, known: list[Any]) -> list[dict[str, Any]]:
        """Records of the real images by the Inception Scores; those of `known` that still hold are kept."""
        seen: dict[tuple[str, int], Seen] = {}
        records = []
        for protocol in self.instruments.protocols:
            if protocol.metric != "is":
                continue
            # A dataset smaller than the protocol's number is measured whole; the record says on how many.
            count = min(len(self.store), protocol.num_real or len(self.store))
            identity = self._identity(protocol, {"source": "real images", "count": count})
            record = current(known, identity)
            if record is None:
                began = time.monotonic()
                key = (protocol.extractor, count)
                if key not in seen:
                    seen[key] = self._see_images(protocol, count)
                score = self.instruments.score(protocol, seen[key])
                record = make_record(identity, score, self._origin(began))
            records.append(record)
        return records

    def _see_images(self, protocol: Protocol, count: int) -> Seen:
        title = f"real images of {self.store.manifest.name}"
        with Progress(title, count, "images") as progress:
            batches = RealSet(self.store, count).batches(self.batch_size, progress.advance)
            return Seen(self.instruments.extractor(protocol.extractor).features(batches))

    def controls(self, known: list[Any]) -> list[dict[str, Any]]:
        """Records of the control by every protocol; those of `known` that still hold are kept."""
        found: dict[str, dict[str, Any]] = {}
        groups: dict[Group, list[Protocol]] = {}
        for protocol in self.instruments.protocols:
            record = current(known, self._control_identity(protocol))
            if record is not None:
                found[protocol.name] = record
            else:
                groups.setdefault(group_of(protocol), []).append(protocol)
        for group in groups.values():
            found |= self._measure_control(group)
        return [found[protocol.name] for protocol in self.instruments.protocols]

    def _measure_control(self, group: list[Protocol]) -> dict[str, dict[str, Any]]:
        """The records, by protocol, of one set of the control's images."""
        first = group[0]
        self.instruments.prepare(group)
        began = time.monotonic()
        drawn = PixelGaussian(
            self.store.images, first.num_fake, first.seed, self.instruments.device
        )
        title = f"control {PIXEL_GAUSSIAN} of {self.store.manifest.name}"
        with Progress(title, first.num_fake, "images") as progress:
            batches = drawn.batches(self.batch_size, progress.advance)
            seen = Seen(self.instruments.extractor(first.extractor).features(batches))
        generated = time.monotonic() - began
        records = {}
        for protocol in group:
            began = time.monotonic() - generated
            score = self.instruments.score(protocol, seen)
            record = make_record(self._control_identity(protocol), score, self._origin(began))
            record["sample_set"]["checksum"] = drawn.checksum
            records[protocol.name] = record
        return records

    def floors(self, known: list[Any], test: Store | None) -> list[dict[str, Any]]:
        """Records of real images against real images; those of `known` that still hold are kept."""
        made = Floors(self.instruments, self.store, test, self.batch_size)
        records = []
        for protocol in self.instruments.protocols:
            for floor in made.of(protocol):
                identity = {"floor": floor.name, **self._identity(protocol, floor.sample_set)}
                identity["reals"] = floor.reals
                record = current(known, identity)
                if record is None:
                    began = time.monotonic()
                    record = make_record(identity, floor.score(), self._origin(began))
                records.append(record)
        return records

    def _control_identity(self, protocol: Protocol) -> dict[str, Any]:
        recipe = GaussianRecipe(protocol.num_fake, protocol.seed, fitted_on=len(self.store))
        return {"control": PIXEL_GAUSSIAN, **self._identity(protocol, asdict(recipe))}

    def _identity(self, protocol: Protocol, sample_set: dict[str, Any]) -> dict[str, Any]:
        """All that a record must state to be still valid, in the order it is written."""
        return {
            "schema": RECORD_SCHEMA,
            "tier": self.tier,
            "protocol": protocol.card(),
            "sample_set": sample_set,
            "dataset": dataset_facts(self.store),
            **self.instruments.facts(protocol),
            "measuring": measuring_digest(),
        }

    def _origin(self, began: float) -> dict[str, Any]:
        return provenance(device_name(self.instruments.device), time.monotonic() - began)
