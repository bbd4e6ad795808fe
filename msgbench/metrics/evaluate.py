"""`msgbench evaluate`: measures the snapshots of a run, and what a run is seen against, by the declared protocols.

One record a snapshot and protocol, under metrics/ of the run directory, written as soon as it is known; a second call
measures only what has no valid record. `evaluate.json` comes last and lists them all. A generator is run once for all
protocols that share extractor, number of images and seed.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from msgbench.config import RunSpec
from msgbench.config.sentences import nearest
from msgbench.console import Progress, say
from msgbench.data.store import Store
from msgbench.device import device_name, make_reproducible
from msgbench.errors import MeasurementError
from msgbench.layout import (
    EVALUATE_JSON,
    MEASURING_ROOMS,
    METRICS,
    RETENTION_JSON,
    TRAIN_JSON,
    record_file,
    source_digest,
)
from msgbench.locks import FolderLock
from msgbench.metrics.controls import PIXEL_GAUSSIAN, GaussianRecipe, PixelGaussian
from msgbench.metrics.extractors.weights import ExtractorWeights, resolve_weights
from msgbench.metrics.fidelity import (
    Extractor,
    Features,
    Score,
    frechet_distance,
    inception_score,
    kernel_distance,
)
from msgbench.metrics.fidelity import statistics as statistics_of
from msgbench.metrics.real_statistics import RealReference, image_batches, real_count
from msgbench.protocols import PROTOCOLS, Protocol
from msgbench.records import provenance, read_json, remove_temporaries, sha256_file, write_json
from msgbench.retention import Deleted, Taken, delete_measured, deleted_of
from msgbench.sampling import SampleRecipe, SampleSet
from msgbench.units import nimg_to_kimg

RECORD_SCHEMA = "msgbench.record/1"
EVALUATION_SCHEMA = "msgbench.evaluate/1"
REAL_SCHEMA = "msgbench.real/2"
LOCK_PURPOSE = "evaluate"


def evaluate_run(
    run_dir: Path,
    store_dir: Path,
    cache: Path | None,
    inception: str | None = None,
    device: str | torch.device = "cpu",
) -> Path:
    """Measures every snapshot of the finished run in `run_dir` by the protocols of its spec; returns evaluate.json.

    `store_dir` is the store the run trained on, `cache` the folder for statistics of real images, `inception` the
    configured path of the published Inception weights. Waits for another evaluation of the same run. At the end the
    snapshots that `evaluation.keep` does not name are deleted; their records stay and are never made again.

    Raises MeasurementError when the run is not finished, a snapshot or the store is not the one the run was made with,
    a set is too small for its protocol, a score is not finite, or a protocol is new and a snapshot deleted;
    SnapshotError for a broken snapshot.
    """
    run = RunSpec.read(run_dir)
    entries = _trained_snapshots(run_dir)
    protocols = [_declared(name) for name in run.spec.evaluation.protocols]
    # The spec's threads, so that a measurement made again has the same bits.
    make_reproducible(run.spec.training.num_threads)
    with FolderLock(run_dir / METRICS, LOCK_PURPOSE, wait=True):
        store = Store.open(store_dir)
        weights = {
            name: resolve_weights(name, inception)
            for name in sorted({p.extractor for p in protocols})
        }
        deleted = deleted_of(run_dir, entries)
        job = _RunEvaluation(
            run_dir, run, store, protocols, weights, cache, torch.device(device), deleted
        )
        job.require_deleted_measured(entries)
        job.measure_missing(entries)
        summary = job.summary(entries)
        path = run_dir / EVALUATE_JSON
        if _stored(path) != summary:
            write_json(path, summary)
        delete_measured(run_dir, run, entries, say)
    return path


def evaluate_real(
    store_dir: Path,
    protocols: Sequence[str],
    out: Path,
    tier: str = "smoke",
    inception: str | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 100,
    cache: Path | None = None,
) -> Path:
    """What a run is seen against: the store's own images, and the control `pixel-gaussian`, by `protocols`.

    The real images are measured by the Inception Score protocols alone: FID and KID compare with these very images.
    The control is measured by all of them, against the same reals as a run. Writes `out` (`records` and `controls`, as
    in evaluate_run, without a run) unless it is there and still valid; `cache` is the folder for statistics of real
    images. Raises MeasurementError when the store is too small.
    """
    # One thread, as the rule has it: the same bits on every machine, and no crowd beside trainings.
    make_reproducible(1)
    wanted = [_declared(name) for name in protocols]
    store = Store.open(store_dir)
    weights = {
        name: resolve_weights(name, inception) for name in sorted({p.extractor for p in wanted})
    }
    job = _RealEvaluation(store, tier, wanted, weights, cache, torch.device(device), batch_size)
    stored = _stored(out) or {}
    content = {
        "schema": REAL_SCHEMA,
        "tier": tier,
        "dataset": _dataset(store),
        "records": job.images(_listed(stored, "records")),
        "controls": job.controls(_listed(stored, "controls")),
    }
    if stored != content:
        write_json(out, content)
    return out


@dataclass(frozen=True)
class _RealEvaluation:
    """One store and the protocols to measure its images and its control by; holds no state between calls."""

    store: Store
    tier: str
    protocols: list[Protocol]
    weights: dict[str, ExtractorWeights]
    cache: Path | None
    device: torch.device
    batch_size: int

    def images(self, known: list[Any]) -> list[dict[str, Any]]:
        """Records of the real images by the Inception Scores; those of `known` that still hold are kept."""
        features: dict[tuple[str, int], Features] = {}
        records = []
        for protocol in self.protocols:
            if protocol.metric != "is":
                continue
            # A dataset smaller than the protocol's number is measured whole; the record says on how many.
            count = min(len(self.store), protocol.num_real or len(self.store))
            identity = self._identity(protocol, {"source": "real images", "count": count})
            record = _current(known, identity)
            if record is None:
                began = time.monotonic()
                extractor = Extractor(self.weights[protocol.extractor], ["is"], self.device)
                key = (protocol.extractor, count)
                if key not in features:
                    title = f"real images of {self.store.manifest.name}"
                    with Progress(title, count, "images") as progress:
                        batches = image_batches(
                            self.store.images, count, self.batch_size, progress.advance
                        )
                        features[key] = extractor.features(batches)
                score = _score(protocol, features[key], extractor, None)
                record = _record(identity, score, self._origin(began))
            records.append(record)
        return records

    def controls(self, known: list[Any]) -> list[dict[str, Any]]:
        """Records of the control by every protocol; those of `known` that still hold are kept."""
        found: dict[str, dict[str, Any]] = {}
        groups: dict[tuple[str, int, int], list[Protocol]] = {}
        for protocol in self.protocols:
            record = _current(known, self._control_identity(protocol))
            if record is not None:
                found[protocol.name] = record
            else:
                key = (protocol.extractor, protocol.num_fake, protocol.seed)
                groups.setdefault(key, []).append(protocol)
        for group in groups.values():
            found |= self._measure_control(group)
        return [found[protocol.name] for protocol in self.protocols]

    def _measure_control(self, group: list[Protocol]) -> dict[str, dict[str, Any]]:
        """The records, by protocol, of one set of the control's images."""
        extractor = Extractor(
            self.weights[group[0].extractor], {p.metric for p in group}, self.device
        )
        references: dict[int, RealReference] = {}
        for protocol in group:
            if protocol.metric != "is":
                count = real_count(self.store, protocol)
                reference = RealReference(self.store, count, extractor, self.cache)
                reference = references.setdefault(count, reference)
                reference.statistics() if protocol.metric == "fid" else reference.features()
        began = time.monotonic()
        drawn = PixelGaussian(self.store.images, group[0].num_fake, group[0].seed, self.device)
        title = f"control {PIXEL_GAUSSIAN} of {self.store.manifest.name}"
        with Progress(title, group[0].num_fake, "images") as progress:
            features = extractor.features(drawn.batches(self.batch_size, progress.advance))
        generated = time.monotonic() - began
        records = {}
        for protocol in group:
            began = time.monotonic() - generated
            compared = None
            if protocol.metric != "is":
                compared = references[real_count(self.store, protocol)]
            score = _score(protocol, features, extractor, compared)
            record = _record(self._control_identity(protocol), score, self._origin(began))
            record["sample_set"]["checksum"] = drawn.checksum
            records[protocol.name] = record
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
            "dataset": _dataset(self.store),
            "extractor": self.weights[protocol.extractor].identity(),
            "measuring": _measuring_digest(),
        }

    def _origin(self, began: float) -> dict[str, Any]:
        return provenance(device_name(self.device), time.monotonic() - began)


@dataclass(frozen=True)
class _RunEvaluation:
    """One run, its store and the protocols to measure; holds no state between calls."""

    run_dir: Path
    run: RunSpec
    store: Store
    protocols: list[Protocol]
    weights: dict[str, ExtractorWeights]
    cache: Path | None
    device: torch.device
    deleted: Mapping[int, Deleted]
    """Snapshots that were deleted after they were measured, by length."""

    def require_deleted_measured(self, entries: list[Taken]) -> None:
        """Raises MeasurementError when a deleted snapshot has no valid record by one of the protocols.

        Its records are valid whatever sources measured it: a change of a score is a new version of its protocol.
        """
        lacking: dict[str, list[float]] = {}
        earlier = 0
        for entry in entries:
            if entry.cur_nimg not in self.deleted:
                continue
            for protocol in self.protocols:
                record = _stored(self.run_dir / record_file(protocol.name, entry.cur_nimg))
                identity = self._identity(entry, protocol)
                measuring = identity.pop("measuring")
                if not _is_current(record, identity):
                    lacking.setdefault(protocol.name, []).append(nimg_to_kimg(entry.cur_nimg))
                elif record is not None and record.get("measuring") != measuring:
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

    def measure_missing(self, entries: list[Taken]) -> None:
        """Writes a record for each (snapshot, protocol) that has no valid one."""
        there = [entry for entry in entries if entry.cur_nimg not in self.deleted]
        missing = [(entry, group) for entry in there for group in self._groups(entry)]
        if not missing:
            return
        self._check_store()
        extractors = self._extractors({group[0].extractor for _, group in missing})
        # Before the sampling, so that a store that is too small fails at once and one progress is shown at a time.
        references = self._references(
            extractors, [protocol for _, group in missing for protocol in group]
        )
        total = sum(group[0].num_fake for _, group in missing)
        with Progress(f"evaluate {self.run.run_id}", total, "images") as progress:
            for entry, group in missing:
                self._measure(entry, group, extractors[group[0].extractor], references, progress)

    def _extractors(self, names: set[str]) -> dict[str, Extractor]:
        """Each extractor with the layers that this run's protocols need."""
        return {
            name: Extractor(
                self.weights[name],
                {p.metric for p in self.protocols if p.extractor == name},
                self.device,
            )
            for name in names
        }

    def _references(
        self, extractors: dict[str, Extractor], protocols: list[Protocol]
    ) -> dict[tuple[str, int | None], RealReference]:
        """What each of `protocols` compares with, keyed by (extractor, num_real); computed or read from the cache."""
        references: dict[tuple[str, int | None], RealReference] = {}
        for protocol in protocols:
            if protocol.metric == "is":
                continue
            key = (protocol.extractor, protocol.num_real)
            if key not in references:
                count = real_count(self.store, protocol)
                references[key] = RealReference(
                    self.store, count, extractors[protocol.extractor], self.cache
                )
            if protocol.metric == "fid":
                references[key].statistics()
            else:
                references[key].features()
        return references

    def _groups(self, entry: Taken) -> Iterator[list[Protocol]]:
        """Protocols of `entry` that still have to be measured, together when they need the same features."""
        groups: dict[tuple[str, int, int], list[Protocol]] = {}
        for protocol in self.protocols:
            path = self.run_dir / record_file(protocol.name, entry.cur_nimg)
            if not _is_current(_stored(path), self._identity(entry, protocol)):
                groups.setdefault(
                    (protocol.extractor, protocol.num_fake, protocol.seed), []
                ).append(protocol)
        yield from groups.values()

    def _measure(
        self,
        entry: Taken,
        group: list[Protocol],
        extractor: Extractor,
        references: dict[tuple[str, int | None], RealReference],
        progress: Progress,
    ) -> None:
        """Generates one sample set and writes the records of all protocols in `group`."""
        began = time.monotonic()
        samples = self._samples(entry, group[0])
        features = extractor.features(_counted(samples.batches(), progress, entry))
        generated = time.monotonic() - began
        for protocol in group:
            began = time.monotonic()
            reference = references.get((protocol.extractor, protocol.num_real))
            score = _score(protocol, features, extractor, reference)
            origin = provenance(device_name(self.device), generated + time.monotonic() - began)
            record = _record(self._identity(entry, protocol), score, origin)
            record["sample_set"]["checksum"] = samples.checksum
            path = self.run_dir / record_file(protocol.name, entry.cur_nimg)
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_temporaries(path.parent)
            write_json(path, record)

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
            "dataset": _dataset(self.store),
            "run_fingerprint": self.run.fingerprint,
            "extractor": self.weights[protocol.extractor].identity(),
            "measuring": _measuring_digest(),
        }

    def summary(self, entries: list[Taken]) -> dict[str, Any]:
        """The content of evaluate.json: a function of the records alone."""
        lines = []
        for entry in entries:
            for protocol in self.protocols:
                file = record_file(protocol.name, entry.cur_nimg)
                record = read_json(self.run_dir / file)
                lines.append(
                    {
                        "file": file,
                        "protocol": protocol.name,
                        "cur_nimg": entry.cur_nimg,
                        "kimg": nimg_to_kimg(entry.cur_nimg),
                        "value": record["value"],
                        "std": record["std"],
                    }
                )
        return {
            "schema": EVALUATION_SCHEMA,
            "run": self.run.run_id,
            "experiment": self.run.experiment,
            "seed": self.run.seed,
            "tier": self.run.tier,
            "run_fingerprint": self.run.fingerprint,
            "dataset_fingerprint": self.store.manifest.fingerprint,
            "measuring": _measuring_digest(),
            "records": lines,
        }


def _score(
    protocol: Protocol, features: Features, extractor: Extractor, reference: RealReference | None
) -> Score:
    """The value of `protocol` for an image set; `reference` is needed for FID and KID."""
    seen = features.layers[extractor.layer_for(protocol.metric)]
    if protocol.metric == "is":
        assert protocol.splits is not None
        return inception_score(seen, protocol.splits)
    assert reference is not None
    if protocol.metric == "fid":
        return frechet_distance(statistics_of(seen), reference.statistics())
    assert protocol.kid_subsets is not None
    assert protocol.kid_subset_size is not None
    return kernel_distance(
        seen, reference.features(), protocol.kid_subsets, protocol.kid_subset_size
    )


def _dataset(store: Store) -> dict[str, Any]:
    """The store as records name it; `stand_in` says that it is not the published dataset."""
    manifest = store.manifest
    return {
        "name": manifest.name,
        "split": manifest.split,
        "count": manifest.count,
        "resolution": manifest.resolution,
        "stand_in": manifest.stand_in,
        "fingerprint": manifest.fingerprint,
    }


def _record(identity: dict[str, Any], score: Score, origin: dict[str, Any]) -> dict[str, Any]:
    return {**identity, "value": score.value, "std": score.std, "provenance": origin}


def _current(known: list[Any], identity: dict[str, Any]) -> dict[str, Any] | None:
    """The first record of `known` that states a value for exactly `identity`."""
    return next((record for record in known if _is_current(record, identity)), None)


def _listed(content: dict[str, Any], key: str) -> list[Any]:
    """The list at `key`, or an empty one when there is none."""
    listed = content.get(key)
    return listed if isinstance(listed, list) else []


def _is_current(record: Any, identity: dict[str, Any]) -> bool:
    """Whether `record` states a value for exactly `identity`; more keys (checksum, provenance) do not matter."""
    if not isinstance(record, dict) or "value" not in record:
        return False
    sample_set = record.get("sample_set")
    if isinstance(sample_set, dict):
        sample_set = {key: value for key, value in sample_set.items() if key != "checksum"}
    stated = {**record, "sample_set": sample_set}
    return all(stated.get(key) == value for key, value in identity.items())


def _declared(name: str) -> Protocol:
    """The protocol called `name`; MeasurementError with the nearest name when there is none."""
    if name not in PROTOCOLS:
        raise MeasurementError(f"protocol {name}: is not declared{nearest(name, PROTOCOLS)}")
    return PROTOCOLS[name]


@functools.cache
def _measuring_digest() -> str:
    return source_digest(*MEASURING_ROOMS)


def _stored(path: Path) -> dict[str, Any] | None:
    """The JSON object at `path`, or None when there is none that can be read."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        content = read_json(path)
        if isinstance(content, dict):
            return content
    return None


def _trained_snapshots(run_dir: Path) -> list[Taken]:
    """The snapshots that train.json lists, by length; MeasurementError when there is none."""
    path = run_dir / TRAIN_JSON
    try:
        listed = read_json(path)["snapshots"]
        entries = [Taken(str(e["file"]), int(e["cur_nimg"]), str(e["sha256"])) for e in listed]
    except FileNotFoundError:
        raise MeasurementError(
            f"{run_dir}: has no {TRAIN_JSON}; the training is not finished"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise MeasurementError(
            f"{path}: is not a valid list of snapshots; train the run again"
        ) from None
    if not entries:
        raise MeasurementError(f"{path}: lists no snapshot to measure")
    return sorted(entries, key=lambda entry: entry.cur_nimg)


def _counted(
    batches: Iterator[torch.Tensor], progress: Progress, entry: Taken
) -> Iterator[torch.Tensor]:
    """`batches`, each reported to `progress` when the next one is asked for, i.e. after its features."""
    for batch in batches:
        yield batch
        progress.advance(len(batch), f"snapshot at {nimg_to_kimg(entry.cur_nimg):g} kimg")
