"""`msgbench evaluate RUN`: measures the snapshots of a run by the protocols of its spec, in one process.

One record a snapshot and protocol, under metrics/ of the run directory, written as soon as it is known; a second call
measures only what has no valid record. `evaluate.json` comes last and lists them all, with the best and the final
snapshot by each protocol. A generator is run once for all protocols that share extractor, number of images and seed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from msgbench.config import RunSpec
from msgbench.console import Progress, say
from msgbench.data.store import Store
from msgbench.device import device_name, make_reproducible
from msgbench.errors import MeasurementError
from msgbench.layout import EVALUATE_JSON, METRICS, RETENTION_JSON, TRAIN_JSON, record_file
from msgbench.locks import FolderLock
from msgbench.metrics.confirm import Confirmations
from msgbench.metrics.measure import Group, Instruments, NamedWeights, Seen, group_of
from msgbench.metrics.record import (
    RECORD_SCHEMA,
    dataset_facts,
    declared,
    is_current,
    is_of_same_protocol,
    make_record,
    measuring_digest,
    stored,
)
from msgbench.metrics.run_snapshots import planned_lengths, taken_so_far, trained_snapshots
from msgbench.metrics.summary import summarise
from msgbench.protocols import Protocol
from msgbench.records import provenance, remove_temporaries, sha256_file, write_json
from msgbench.retention import Deleted, Taken, delete_measured, deleted_of
from msgbench.sampling import SampleRecipe, SampleSet
from msgbench.units import nimg_to_kimg

LOCK_PURPOSE = "evaluate"


def evaluate_run(
    run_dir: Path,
    store_dir: Path,
    cache: Path | None,
    weights: NamedWeights = None,
    device: str | torch.device = "cpu",
) -> Path:
    """Measures every snapshot of the finished run in `run_dir` by the protocols of its spec; returns evaluate.json.

    `store_dir` is the store the run trained on, `cache` the folder for statistics of real images, `weights` the
    configured paths of published extractors. Waits for another evaluation of the same run. At the end the snapshots
    that `evaluation.keep` does not name are deleted; their records stay and are never made again.

    Raises MeasurementError when the run is not finished, a snapshot or the store is not the one the run was made with,
    a set is too small for its protocol, a score is not finite, or a protocol is new and a snapshot deleted;
    SnapshotError for a broken snapshot.
    """
    run = RunSpec.read(run_dir)
    entries = trained_snapshots(run_dir)
    job = RunEvaluation(run_dir, run, store_dir, cache, weights, torch.device(device), entries)
    with FolderLock(run_dir / METRICS, LOCK_PURPOSE, wait=True):
        remove_temporaries(run_dir, EVALUATE_JSON)
        job.require_deleted_measured()
        job.measure_missing()
        job.confirm()
        summary = summarise(run_dir, run, job.store.manifest.fingerprint, entries)
        path = run_dir / EVALUATE_JSON
        if stored(path) != summary:
            write_json(path, summary)
        delete_measured(run_dir, run, entries, say)
    return path


def evaluate_live(
    run_dir: Path,
    store_dir: Path,
    cache: Path | None,
    weights: NamedWeights = None,
    device: str | torch.device = "cpu",
) -> int:
    """Measures what a run that still trains has taken so far; returns how many of its planned snapshots are measured.

    Writes the records that evaluate_run would write and finds again, and no evaluate.json; deletes nothing. Raises
    MeasurementError when there is no snapshot yet, else as evaluate_run.
    """
    run = RunSpec.read(run_dir)
    entries = taken_so_far(run_dir)
    job = RunEvaluation(run_dir, run, store_dir, cache, weights, torch.device(device), entries)
    with FolderLock(run_dir / METRICS, LOCK_PURPOSE, wait=True):
        job.measure_missing()
    planned = planned_lengths(run)
    say(f"{run.run_id}: {len(entries)} of {len(planned)} planned snapshots are taken and measured")
    return len(entries)


class RunEvaluation:
    """One run, its store, and the measuring of its snapshots `entries`."""

    def __init__(
        self,
        run_dir: Path,
        run: RunSpec,
        store_dir: Path,
        cache: Path | None,
        weights: NamedWeights,
        device: torch.device,
        entries: list[Taken],
    ) -> None:
        self.run_dir, self.run, self.device, self.entries = run_dir, run, device, entries
        self.protocols = declared(run.spec.evaluation.protocols)
        # The spec's threads, so that a measurement made again has the same bits.
        make_reproducible(run.spec.training.num_threads)
        self.store = Store.open(store_dir)
        self.instruments = Instruments(
            self.protocols, self.store, run.spec.dataset.mirror, weights, cache, device
        )
        self.deleted: Mapping[int, Deleted] = deleted_of(run_dir, entries)
        self.confirmations = Confirmations(self.instruments)

    def require_deleted_measured(self) -> None:
        """Raises MeasurementError when a deleted snapshot has no valid record by one of the protocols.

        Its records are valid whatever sources measured it: a change of a score is a new version of its protocol.
        """
        lacking: dict[str, list[float]] = {}
        earlier = 0
        for entry in self.entries:
            if entry.cur_nimg not in self.deleted:
                continue
            for protocol in self.protocols:
                record = stored(self.run_dir / record_file(protocol.name, entry.cur_nimg))
                identity = self._identity(entry, protocol)
                if not is_of_same_protocol(record, identity):
                    lacking.setdefault(protocol.name, []).append(nimg_to_kimg(entry.cur_nimg))
                elif not is_current(record, identity):
                    earlier += 1
        for name, lengths in lacking.items():
            more = f" (and {len(lacking) - 1} more protocols)" if len(lacking) > 1 else ""
            raise MeasurementError(
                f"{self.run_dir}: {name}{more} has no valid record of the snapshots at "
                f"{', '.join(f'{kimg:g}' for kimg in lengths)} kimg, which were deleted after measuring "
                f"({RETENTION_JSON}); take it out of evaluation.protocols, or put the files back: from a copy, or by "
                "training again (remove the run directory, set evaluation.keep to all, and run the target `runs` or "
                "`measurements`)"
            )
        if earlier:
            say(
                f"{self.run.run_id}: {earlier} records of deleted snapshots were made by earlier sources of the same "
                "protocol versions and are kept"
            )

    def measure_missing(self) -> None:
        """Writes a record for each (snapshot, protocol) that has no valid one."""
        there = [entry for entry in self.entries if entry.cur_nimg not in self.deleted]
        missing = [(entry, group) for entry in there for group in self._missing_groups(entry)]
        if not missing:
            return
        self._check_store()
        # Before the sampling, so that a store that is too small fails at once and one progress is shown at a time.
        self.instruments.prepare(protocol for _, group in missing for protocol in group)
        total = sum(group[0].num_fake for _, group in missing)
        with Progress(f"evaluate {self.run.run_id}", total, "images") as progress:
            for entry, group in missing:
                self._measure(entry, group, progress)

    def confirm(self) -> None:
        """Adds torch-fidelity's own FID to the records that tables show: the best and the final of each protocol."""
        for protocol in self.protocols:
            if protocol.metric != "fid":
                continue
            values = {
                entry.cur_nimg: float(record["value"])
                for entry in self.entries
                if (record := stored(self.run_dir / record_file(protocol.name, entry.cur_nimg)))
            }
            shown = {protocol.best(values), max(values, default=None)}
            for entry in self.entries:
                if entry.cur_nimg in shown and entry.cur_nimg not in self.deleted:
                    self._confirm(entry, protocol)

    def _confirm(self, entry: Taken, protocol: Protocol) -> None:
        path = self.run_dir / record_file(protocol.name, entry.cur_nimg)
        record = stored(path)
        if record is None or "torch_fidelity" in record:
            return
        held = self.confirmations.held(protocol, entry.cur_nimg)
        if held is None:  # measured by a process that ended before
            with Progress(f"confirm {self.run.run_id}", protocol.num_fake, "images") as progress:
                seen, _ = self._see(entry, protocol, progress)
            self.confirmations.hold(protocol, entry.cur_nimg, seen, record["value"])
        value = self.confirmations.value(protocol, entry.cur_nimg)
        origin = record.pop("provenance")
        write_json(path, {**record, "torch_fidelity": value, "provenance": origin})

    def _missing_groups(self, entry: Taken) -> list[list[Protocol]]:
        """Protocols of `entry` that still have to be measured, together when they need the same features."""
        groups: dict[Group, list[Protocol]] = {}
        for protocol in self.protocols:
            path = self.run_dir / record_file(protocol.name, entry.cur_nimg)
            if not is_current(stored(path), self._identity(entry, protocol)):
                groups.setdefault(group_of(protocol), []).append(protocol)
        return list(groups.values())

    def _measure(self, entry: Taken, group: list[Protocol], progress: Progress) -> None:
        """Generates one sample set and writes the records of all protocols in `group`."""
        began = time.monotonic()
        seen, samples = self._see(entry, group[0], progress)
        generated = time.monotonic() - began
        for protocol in group:
            began = time.monotonic()
            score = self.instruments.score(protocol, seen)
            origin = provenance(device_name(self.device), generated + time.monotonic() - began)
            record = make_record(self._identity(entry, protocol), score, origin)
            record["sample_set"] |= samples.found()
            path = self.run_dir / record_file(protocol.name, entry.cur_nimg)
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_temporaries(path.parent)
            write_json(path, record)
            if protocol.metric == "fid":
                self.confirmations.hold(protocol, entry.cur_nimg, seen, score.value)

    def _see(self, entry: Taken, protocol: Protocol, progress: Progress) -> tuple[Seen, SampleSet]:
        """The images of `protocol` for `entry` through its extractor."""
        samples = self._samples(entry, protocol)
        batches = _counted(samples.batches(), progress, entry)
        seen = Seen(self.instruments.extractor(protocol.extractor).features(batches))
        if samples.distinct == 1 < len(samples):
            say(
                f"{self.run_dir / entry.file}: all {len(samples):,} images are the same; they are measured as they are"
            )
        return seen, samples

    def _samples(self, entry: Taken, protocol: Protocol) -> SampleSet:
        """The sample set of `protocol` for `entry`, after checking that the snapshot is the one it claims to be."""
        path = self.run_dir / entry.file
        if path.exists() and (digest := sha256_file(path)) != entry.sha256:
            raise MeasurementError(
                f"{path}: has sha256 {digest[:8]}, {TRAIN_JSON} says {entry.sha256[:8]}; the file was changed after "
                "the training"
            )
        batch_size = self.run.spec.evaluation.batch_size
        samples = SampleSet(path, protocol.num_fake, protocol.seed, batch_size, self.device)
        meta = samples.meta
        if meta.run_fingerprint != self.run.fingerprint or meta.seed != self.run.seed:
            raise MeasurementError(
                f"{path}: is a snapshot of run {meta.run} with seed {meta.seed}, not of {self.run.run_id}"
            )
        if meta.cur_nimg != entry.cur_nimg:
            raise MeasurementError(
                f"{path}: was taken at {meta.cur_nimg} images, {TRAIN_JSON} says {entry.cur_nimg}"
            )
        manifest = self.store.manifest
        if meta.dataset_fingerprint != manifest.fingerprint:
            raise MeasurementError(
                f"{path}: was trained on dataset {meta.dataset_fingerprint[:8]}, the store holds "
                f"{manifest.name} {manifest.fingerprint[:8]}"
            )
        return samples

    def _check_store(self) -> None:
        """Refuses before hours of sampling what would fail after it."""
        resolution = self.run.spec.model.resolution
        if self.store.manifest.resolution != resolution:
            raise MeasurementError(
                f"{self.run.run_id}: makes images of {resolution} pixels, the store of "
                f"{self.store.manifest.name} holds {self.store.manifest.resolution}"
            )

    def _identity(self, entry: Taken, protocol: Protocol) -> dict[str, Any]:
        """All that a record of (entry, protocol) must state to be still valid, in the order it is written."""
        recipe = SampleRecipe(protocol.num_fake, protocol.seed, self.run.spec.evaluation.batch_size)
        return {
            "schema": RECORD_SCHEMA,
            "run": self.run.run_id,
            "experiment": self.run.experiment,
            "seed": self.run.seed,
            "tier": self.run.tier,
            "cur_nimg": entry.cur_nimg,
            "kimg": nimg_to_kimg(entry.cur_nimg),
            "protocol": protocol.card(),
            "sample_set": {"source": "generated", **recipe.describe()},
            "snapshot": {"file": entry.file, "sha256": entry.sha256},
            "dataset": dataset_facts(self.store),
            "run_fingerprint": self.run.fingerprint,
            **self.instruments.facts(protocol),
            "measuring": measuring_digest(),
        }


def _counted(
    batches: Iterator[torch.Tensor], progress: Progress, entry: Taken
) -> Iterator[torch.Tensor]:
    """`batches`, each reported to `progress` when the next one is asked for, i.e. after its features."""
    for batch in batches:
        yield batch
        progress.advance(len(batch), f"snapshot at {nimg_to_kimg(entry.cur_nimg):g} kimg")
