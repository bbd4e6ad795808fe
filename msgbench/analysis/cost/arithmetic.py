"""What a training costs in arithmetic, from its spec alone: FLOP per image, parameters, snapshots.

Nothing is timed here. The count is that of the arithmetic as published (multiply-accumulates of convolutions and dense
layers; activations, norms and pooling are below 1 %).
"""

from __future__ import annotations

from msgbench.config import ExperimentSpec, LossSpec, ModelSpec
from msgbench.models.channels import RGB_CHANNELS, channels
from msgbench.protocols import INCEPTION, SMALL, Protocol, get_protocol
from msgbench.units import LOWEST_RESOLUTION

_FLOP_PER_MAC = 2

# Forward pass of a feature extractor on one image, FLOP.
_EXTRACTOR_FLOP = {INCEPTION: 11.4e9, SMALL: 0.06e9}


def generator_macs(model: ModelSpec) -> int:
    """Multiply-accumulates of one forward pass of G on one latent (paper, Table 6)."""
    total = 0
    before = model.latent_size
    for resolution in model.scales:
        width, pixels = channels(resolution, model), resolution**2
        if resolution == LOWEST_RESOLUTION:
            # A 4x4 convolution from one pixel: a dense layer to 16 pixels.
            total += pixels * before * width + pixels * 9 * width * width
        else:
            total += pixels * 9 * (before * width + width * width)
        total += pixels * width * RGB_CHANNELS
        before = width
    return total


def discriminator_macs(model: ModelSpec) -> int:
    """Multiply-accumulates of one forward pass of D on one image pyramid (paper, Table 7, phi_simple)."""
    top = model.resolution
    total = top**2 * RGB_CHANNELS * channels(top, model)
    for resolution in reversed(model.scales):
        width, pixels = channels(resolution, model), resolution**2
        combined = width if resolution == top else width + RGB_CHANNELS
        total += pixels * 9 * (combined + 1) * width  # one more channel: MinBatchStd
        if resolution == LOWEST_RESOLUTION:
            total += pixels * width * width + width  # 4x4 valid convolution, dense layer
        else:
            total += pixels * 9 * width * channels(resolution // 2, model)
    return total


def training_flops(model: ModelSpec, loss: LossSpec) -> float:
    """FLOP of training on one real image: one discriminator step and one generator step.

    In forward passes (backward to inputs and to weights count as one each):
    D step: G without gradients 1 G, D on real and fake forward and backward 6 D, gradient penalty
    6 D (forward, input gradient, and twice that again for its own backward). G step: 3 G and 2 D, as D's
    weights need no gradient there. 4 G + 14 D with the penalty, 4 G + 8 D without. R1 shares the forward pass and
    the backward through it with the adversarial term: 3 D (input gradient, and twice that for its own backward).
    A relativistic generator step looks at reals, too: 1 D.
    """
    penalty = {"r1": 3, "none": 0}.get(loss.penalty, 6 if loss.gp_weight > 0 else 0)
    passes = 8 + penalty + int(loss.relativistic)
    macs = 4 * generator_macs(model) + passes * discriminator_macs(model)
    return float(_FLOP_PER_MAC * macs)


def generator_parameters(model: ModelSpec) -> int:
    """Weights and biases of G (paper, Table 6)."""
    total, before = 0, model.latent_size
    for resolution in model.scales:
        width = channels(resolution, model)
        first = 16 if resolution == LOWEST_RESOLUTION else 9
        total += first * before * width + width + 9 * width**2 + width
        total += (width + 1) * RGB_CHANNELS
        before = width
    return total


def discriminator_parameters(model: ModelSpec) -> int:
    """Weights and biases of D (paper, Table 7, phi_simple)."""
    top = model.resolution
    total = (RGB_CHANNELS + 1) * channels(top, model)
    for resolution in model.scales:
        width = channels(resolution, model)
        combined = width if resolution == top else width + RGB_CHANNELS
        total += 9 * (combined + 1) * width + width  # one more channel: MinBatchStd
        if resolution == LOWEST_RESOLUTION:
            total += 16 * width**2 + width + width + 1  # 4x4 valid convolution, dense layer
        else:
            out = channels(resolution // 2, model)
            total += 9 * width * out + out
    return total


def lengths(spec: ExperimentSpec, every_kimg: float) -> list[int]:
    """Images shown at 0, at each multiple of `every_kimg` before the end, and at the end."""
    total, step = spec.training.total_nimg, spec.training.in_batches(every_kimg)
    return [*range(0, total, step), total]


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
    return float(count * (_FLOP_PER_MAC * generator_macs(model) + _EXTRACTOR_FLOP[extractor]))


def evaluation_flops(spec: ExperimentSpec) -> float:
    """FLOP of measuring all snapshots of one run; protocols that share a sample set share its cost."""
    per_snapshot = sum(sample_set_flops(spec.model, key) for key in sample_sets(spec))
    return measured_snapshots(spec) * per_snapshot
