"""What measuring costs in arithmetic, from an experiment's spec alone: snapshots, sample sets, FLOP.

What the networks cost stands in models/arithmetic.py.
"""

from __future__ import annotations

from msgbench.config import ExperimentSpec, ModelSpec
from msgbench.models.arithmetic import FLOP_PER_MAC, generator_macs
from msgbench.protocols import INCEPTION, SMALL, VGG16, Protocol, get_protocol

# Forward pass of a feature extractor on one image, FLOP.
_EXTRACTOR_FLOP = {INCEPTION: 11.4e9, VGG16: 31.0e9, SMALL: 0.06e9}


def lengths(spec: ExperimentSpec, every_kimg: float) -> list[int]:
    """Images shown at 0, at each multiple of `every_kimg` before the end, and at the end."""
    return spec.schedule.lengths(every_kimg)


def measured_snapshots(spec: ExperimentSpec) -> int:
    """Snapshots of one run: the untrained generator, every `snapshot_kimg`, and the end."""
    return len(lengths(spec, spec.training.snapshot_kimg))


SampleSetKey = tuple[str, int, int]
"""(extractor, images, seed): protocols that agree in it share generated images and their features."""


def sample_sets(spec: ExperimentSpec) -> tuple[SampleSetKey, ...]:
    """What is generated for every snapshot of one run, each set once."""
    protocols = [get_protocol(name) for name in spec.evaluation.protocols]
    return tuple(dict.fromkeys(sample_set_of(protocol) for protocol in protocols))


def sample_set_of(protocol: Protocol) -> SampleSetKey:
    """The set of images that `protocol` is measured on."""
    return (protocol.extractor, protocol.num_fake, protocol.seed)


def sample_set_flops(model: ModelSpec, key: SampleSetKey) -> float:
    """FLOP of generating and seeing one set of images."""
    extractor, count, _ = key
    return float(count * (FLOP_PER_MAC * generator_macs(model) + _EXTRACTOR_FLOP[extractor]))


def evaluation_flops(spec: ExperimentSpec) -> float:
    """FLOP of measuring all snapshots of one run; protocols that share a sample set share its cost."""
    per_snapshot = sum(sample_set_flops(spec.model, key) for key in sample_sets(spec))
    return measured_snapshots(spec) * per_snapshot
