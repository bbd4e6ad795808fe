"""`msgbench evaluate --images` and `--snapshot`: the same protocols for images and generators from anywhere.

One file with one record a protocol; a row of a table may name it (`record` under `tables` in config.yaml). A record
that lies there already and states what would be measured, of the same pixels or snapshot, is taken over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import torch
from torch import Tensor

from msgbench.console import Progress, say
from msgbench.data.image_set import ImageSet
from msgbench.data.store import Store
from msgbench.device import device_name, make_reproducible
from msgbench.errors import MeasurementError
from msgbench.metrics.measure import Group, Instruments, NamedWeights, Seen, group_of
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
from msgbench.metrics.scores import confirmed_distance
from msgbench.protocols import Protocol
from msgbench.records import provenance, sha256_file, write_json
from msgbench.sampling import SampleSet
from msgbench.snapshots import read_meta

MEASURED_SCHEMA = "msgbench.measured/1"


class Images(Interface):
    """A set of images to be measured, of one number and seed."""

    def batches(self, on_batch: Callable[[int], None]) -> Iterator[Tensor]:
        """uint8 [n, 3, R, R]."""

    def recipe(self) -> dict[str, Any]:
        """What of the set records state before a pass: all but what a pass finds."""

    def describe(self) -> dict[str, Any]:
        """The set as records state it; complete after a pass."""

    def are_those_of(self, record: dict[str, Any], title: str) -> bool:
        """Whether a record of the same recipe is of these very images; may take a pass, shown under `title`."""


@dataclass(frozen=True)
class Measured:
    """What is measured, by name, and how to get its images for a protocol."""

    title: str
    facts: dict[str, Any]
    images_for: Callable[[Protocol], Images]


def evaluate_images(
    place: Path,
    protocols: Sequence[str],
    out: Path,
    store_dir: Path | None = None,
    mirror: bool = False,
    copies: bool = False,
    weights: NamedWeights = None,
    device: str | torch.device = "cpu",
    batch_size: int = 100,
    cache: Path | None = None,
    again: bool = False,
) -> Path:
    """Measures the images in a folder or ZIP file, in the order of their names; returns `out`.

    `store_dir` holds the real images that the protocols compare with (not needed for an Inception Score), `mirror` is
    whether a training on them would flip. A set with more images than a protocol asks for gives its first ones. What
    `out` states of the same pixels, protocol, reals and extractor is kept, unless `again`. Raises DatasetError for
    unfit images, MeasurementError for what a protocol cannot be made of.
    """
    instruments = _instruments(protocols, store_dir, mirror, weights, cache, device)
    store = instruments.store
    side = None if store is None else store.resolution

    def images_for(protocol: Protocol) -> Images:
        found = ImageSet(place, protocol.num_fake, side, copies)
        if found.available > found.count:
            say(
                f"{place}: holds {found.available:,} images; {protocol.name} takes the first {found.count:,}"
            )
        return _Files(found, batch_size)

    facts = {"images": {"name": place.name}}
    return _measure(Measured(str(place), facts, images_for), instruments, out, again)


def evaluate_snapshot(
    snapshot: Path,
    protocols: Sequence[str],
    out: Path,
    store_dir: Path | None = None,
    mirror: bool = False,
    weights: NamedWeights = None,
    device: str | torch.device = "cpu",
    batch_size: int = 100,
    cache: Path | None = None,
    again: bool = False,
) -> Path:
    """Measures the images of one snapshot, whatever made it; returns `out`. Arguments as of `evaluate_images`.

    Raises MeasurementError when the store is not the one it was trained on (imported snapshots do not say), or holds
    images of another size; SnapshotError for a broken file.
    """
    meta = read_meta(snapshot)
    instruments = _instruments(protocols, store_dir, mirror, weights, cache, device)
    store = instruments.store
    if store is not None:
        manifest = store.manifest
        if meta.model.resolution != manifest.resolution:
            raise MeasurementError(
                f"{snapshot}: makes images of {meta.model.resolution} pixels, the store of {manifest.name} holds "
                f"{manifest.resolution}"
            )
        if meta.imported is None and meta.dataset_fingerprint != manifest.fingerprint:
            raise MeasurementError(
                f"{snapshot}: was trained on dataset {meta.dataset_fingerprint[:8]}, the store holds "
                f"{manifest.name} {manifest.fingerprint[:8]}"
            )
    facts = {
        "snapshot": {
            "file": snapshot.name,
            "sha256": sha256_file(snapshot),
            "run": meta.run,
            "imported": meta.imported,
        },
        "cur_nimg": meta.cur_nimg,
    }

    def images_for(protocol: Protocol) -> Images:
        return _Samples(
            SampleSet(snapshot, protocol.num_fake, protocol.seed, batch_size, instruments.device)
        )

    return _measure(Measured(str(snapshot), facts, images_for), instruments, out, again)


@dataclass(frozen=True)
class _Files:
    set_: ImageSet
    batch_size: int

    def batches(self, on_batch: Callable[[int], None]) -> Iterator[Tensor]:
        return self.set_.batches(self.batch_size, on_batch)

    def recipe(self) -> dict[str, Any]:
        return self.set_.describe()

    def describe(self) -> dict[str, Any]:
        return {**self.recipe(), "checksum": self.set_.checksum}

    def are_those_of(self, record: dict[str, Any], title: str) -> bool:
        if self.set_.checksum is None:
            # Decoding alone: a small part of what measuring takes.
            with Progress(title, self.set_.count, "images") as progress:
                for _ in self.set_.batches(self.batch_size, progress.advance):
                    pass
        return bool(record["sample_set"].get("checksum") == self.set_.checksum)


@dataclass(frozen=True)
class _Samples:
    set_: SampleSet

    def batches(self, on_batch: Callable[[int], None]) -> Iterator[Tensor]:
        for batch in self.set_.batches():
            yield batch
            on_batch(len(batch))

    def recipe(self) -> dict[str, Any]:
        return {"source": "generated", **self.set_.recipe.describe()}

    def describe(self) -> dict[str, Any]:
        return {**self.recipe(), **self.set_.found()}

    def are_those_of(self, record: dict[str, Any], title: str) -> bool:
        return True  # the snapshot's sha256 and the recipe, which the record states, decide them


def _instruments(
    protocols: Sequence[str],
    store_dir: Path | None,
    mirror: bool,
    weights: NamedWeights,
    cache: Path | None,
    device: str | torch.device,
) -> Instruments:
    wanted = declared(list(protocols))
    for protocol in wanted:
        if protocol.compares and store_dir is None:
            raise MeasurementError(
                f"{protocol.name}: compares with real images; name their store with --store"
            )
    make_reproducible(max(1, torch.get_num_threads()))
    store = None if store_dir is None else Store.open(store_dir)
    return Instruments(wanted, store, mirror, weights, cache, torch.device(device))


def _measure(measured: Measured, instruments: Instruments, out: Path, again: bool) -> Path:
    images: dict[Group, Images] = {}
    for protocol in instruments.protocols:
        if group_of(protocol) not in images:
            images[group_of(protocol)] = measured.images_for(protocol)
    known = stored(out) or {}
    found = {} if again else _on_record(measured, instruments, images, known, out)
    if found:
        say(
            f"{measured.title}: {out} has {', '.join(found)} of the same images already, which stands; "
            "--again measures anew"
        )
    groups: dict[Group, list[Protocol]] = {}
    for protocol in instruments.protocols:
        if protocol.name not in found:
            groups.setdefault(group_of(protocol), []).append(protocol)
    instruments.prepare(protocol for group in groups.values() for protocol in group)
    for key, group in groups.items():
        began = time.monotonic()
        with Progress(f"evaluate {measured.title}", group[0].num_fake, "images") as progress:
            batches = images[key].batches(progress.advance)
            seen = Seen(instruments.extractor(group[0].extractor).features(batches))
        for protocol in group:
            origin = provenance(device_name(instruments.device), time.monotonic() - began)
            identity = _identity(measured, instruments, protocol, images[key].describe())
            record = make_record(identity, instruments.score(protocol, seen), origin)
            if protocol.metric == "fid":
                record["torch_fidelity"] = _confirmed(instruments, protocol, seen)
            found[protocol.name] = record
    records = [found[protocol.name] for protocol in instruments.protocols]
    content = {"schema": MEASURED_SCHEMA, "title": measured.title, "records": records}
    if known != content:
        write_json(out, content)
    return out


def _on_record(
    measured: Measured,
    instruments: Instruments,
    images: dict[Group, Images],
    known: dict[str, Any],
    out: Path,
) -> dict[str, dict[str, Any]]:
    """By protocol, the records of `known` (at `out`) that state exactly what would be measured."""
    records = [_under_present_name(record, measured.facts) for record in listed(known, "records")]
    found = {}
    for protocol in instruments.protocols:
        set_ = images[group_of(protocol)]
        identity = _identity(measured, instruments, protocol, set_.recipe())
        record = current(records, identity)
        title = f"compare {measured.title} with {out.name}"
        if record is not None and set_.are_those_of(record, title):
            found[protocol.name] = record
    return found


def _under_present_name(record: Any, facts: dict[str, Any]) -> Any:
    """`record` with the name that its images or snapshot have now: no file's name decides a score."""
    if not isinstance(record, dict):
        return record
    renamed = dict(record)
    if "images" in record and "images" in facts:
        renamed["images"] = facts["images"]
    if isinstance(record.get("snapshot"), dict) and "snapshot" in facts:
        renamed["snapshot"] = {**record["snapshot"], "file": facts["snapshot"]["file"]}
    return renamed


def _confirmed(instruments: Instruments, protocol: Protocol, seen: Seen) -> float:
    """torch-fidelity's own FID: such a record is made for a table."""
    reference = instruments.reference(protocol)
    assert reference is not None
    layer = instruments.extractor(protocol.extractor).layer_for("fid")
    return confirmed_distance(seen.statistics(layer), reference.statistics()).value


def _identity(
    measured: Measured, instruments: Instruments, protocol: Protocol, sample_set: dict[str, Any]
) -> dict[str, Any]:
    store = instruments.store
    return {
        "schema": RECORD_SCHEMA,
        **measured.facts,
        "protocol": protocol.card(),
        "sample_set": sample_set,
        "dataset": None if store is None else dataset_facts(store),
        **instruments.facts(protocol),
        "measuring": measuring_digest(),
    }
