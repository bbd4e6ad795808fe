"""How much disk a benchmark needs: at its fullest, and when everything is measured and thinned out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgbench.analysis.cost.arithmetic import (
    lengths,
    measured_snapshots,
)
from msgbench.config import Benchmark, DatasetSpec, ExperimentSpec
from msgbench.config.keep import Keep
from msgbench.config.published import PUBLISHED
from msgbench.data.manifest import Manifest
from msgbench.layout import MANIFEST_JSON, Layout
from msgbench.models.arithmetic import discriminator_parameters, generator_parameters
from msgbench.models.channels import RGB_CHANNELS
from msgbench.protocols import INCEPTION, SMALL, VGG16, get_protocol
from msgbench.units import kimg_to_nimg

_FLOAT_BYTES = 4
# Metadata of one tensor in a snapshot, and of a snapshot.
_TENSOR_BYTES, _SNAPSHOT_BYTES = 100, 1_200
# What a training state holds beside the numbers, per tensor of parameters (five copies and their names).
_STATE_TENSOR_BYTES = 2_300
STATES_KEPT = 2

# 6 x 6 images a grid; as PNG hardly smaller than raw while a generator still makes noise.
_GRID_IMAGES = 36
# One line of stats.jsonl and its TensorBoard events; one measured record.
_STATS_BYTES, _RECORD_BYTES = 1_000, 3_500

# Features of the layer that FID and KID use.
_FEATURES = {INCEPTION: 2048, VGG16: 4096, SMALL: 128}
# Images of sources that publish no number of photographs, where the spec does not say how many are used.
_PUBLISHED_IMAGES = {
    ("cifar10", "train"): 50_000,
    ("cifar10", "test"): 10_000,
    ("cifar10", "all"): 60_000,
    ("indian_celebs", "train"): 3_000,  # as the paper prints it; a folder of your own
}


@dataclass(frozen=True)
class Disk:
    """Bytes at the fullest moment and at the end."""

    peak: int
    final: int

    def __add__(self, other: Disk) -> Disk:
        return Disk(self.peak + other.peak, self.final + other.final)

    def times(self, count: int) -> Disk:
        """The same for `count` of it."""
        return Disk(self.peak * count, self.final * count)


NO_DISK = Disk(0, 0)


def snapshot_bytes(spec: ExperimentSpec) -> int:
    """One snapshot: G_ema in float32."""
    tensors = 6 * len(spec.model.scales)
    return (
        _FLOAT_BYTES * generator_parameters(spec.model) + _TENSOR_BYTES * tensors + _SNAPSHOT_BYTES
    )


def state_bytes(spec: ExperimentSpec) -> int:
    """One training state: G, D and two moments of each, and G_ema."""
    G, D = generator_parameters(spec.model), discriminator_parameters(spec.model)
    tensors = 10 * len(spec.model.scales)
    return _FLOAT_BYTES * (4 * G + 3 * D) + _STATE_TENSOR_BYTES * tensors


def run_disk(spec: ExperimentSpec) -> Disk:
    """One run. Peak: trained, not measured, one state being written beside the two that are kept."""
    training = spec.training
    taken = measured_snapshots(spec)
    grid = sum(_GRID_IMAGES * scale**2 * RGB_CHANNELS for scale in spec.model.scales)
    lines = math.ceil(spec.schedule.total_nimg / kimg_to_nimg(training.stats_kimg))
    records = taken * len(spec.evaluation.protocols) * _RECORD_BYTES
    # The observer's float images: of the last epoch, and of the one before each kept state.
    observed = (STATES_KEPT + 1) * _FLOAT_BYTES * grid
    beside = grid * len(lengths(spec, training.grid_kimg)) + lines * _STATS_BYTES + records
    beside += observed
    state, snapshot = state_bytes(spec), snapshot_bytes(spec)
    return Disk(
        peak=beside + (STATES_KEPT + 1) * state + taken * snapshot,
        final=beside + STATES_KEPT * state + kept_snapshots(spec) * snapshot,
    )


def kept_snapshots(spec: ExperimentSpec) -> int:
    """Snapshots of one run that stay, at most: the best by each protocol may be others than the rest."""
    taken = lengths(spec, spec.training.snapshot_kimg)
    keep = Keep(spec.evaluation.keep)
    best = len(spec.evaluation.protocols) if keep.best else 0
    return min(len(taken), len(keep.reasons(taken)) + best)


def shared_disk(benchmark: Benchmark, layout: Layout, experiments: list[str]) -> Disk:
    """The stores of the datasets of `experiments` and the cached statistics of their real images."""
    used: dict[str, set[str]] = {}
    for name in experiments:
        spec = benchmark.experiment(name)
        used.setdefault(spec.dataset.name, set()).update(spec.evaluation.protocols)
    total = 0
    for name, protocols in used.items():
        dataset = benchmark.dataset(name)
        images, size = _store(dataset, layout)
        total += size
        compared = [p for p in map(get_protocol, protocols) if p.compares]
        # Features of the reals, each set of them once (the floors need them for FID, too).
        for extractor, stream in {
            (p.extractor, p.reals == "stream" and p.num_real) for p in compared
        }:
            total += _FLOAT_BYTES * _FEATURES[extractor] * (stream or images)
        # Mean, covariance and its root, float64.
        for extractor, _ in {(p.extractor, p.reals) for p in compared if p.metric == "fid"}:
            width = _FEATURES[extractor]
            total += 2 * _FLOAT_BYTES * (2 * width**2 + width)
    return Disk(total, total)


def _store(dataset: DatasetSpec, layout: Layout) -> tuple[int, int]:
    """(images, bytes) of a dataset's store: as prepared, else as its source is published.

    Nothing for images of yours that were not prepared yet: nobody has counted them.
    """
    path = layout.dataset_dir(dataset.name, dataset.fingerprint) / MANIFEST_JSON
    if path.is_file():
        manifest = Manifest.read(path)
        return manifest.count, sum(fact.bytes for fact in manifest.files)
    published = _PUBLISHED_IMAGES.get((dataset.source, dataset.split))
    if dataset.source in PUBLISHED:
        published = PUBLISHED[dataset.source].counts.get(dataset.split, published)
    stated = [n for n in (dataset.num_images, dataset.drawn, published) if n is not None]
    count = min(stated, default=0)
    return count, count * (dataset.resolution**2 * RGB_CHANNELS + 1)
