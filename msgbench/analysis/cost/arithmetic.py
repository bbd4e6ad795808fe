"""What a training costs in arithmetic, from its spec alone: FLOP per image, parameters, snapshots.

Nothing is timed here. The count is that of the arithmetic as published (multiply-accumulates of convolutions and dense
layers; activations, norms and pooling are below 1 %).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgbench.config import ExperimentSpec, LossSpec, ModelSpec
from msgbench.models.channels import (
    MAPPING_LAYERS,
    RGB_CHANNELS,
    channels,
    discriminator_channels,
)
from msgbench.protocols import INCEPTION, SMALL, VGG16, Protocol, get_protocol
from msgbench.units import LOWEST_RESOLUTION

_FLOP_PER_MAC = 2

# Forward pass of a feature extractor on one image, FLOP.
_EXTRACTOR_FLOP = {INCEPTION: 11.4e9, VGG16: 31.0e9, SMALL: 0.06e9}


@dataclass(frozen=True)
class _Layer:
    """A convolution or dense layer: its weights, how often each is used for one image, its other parameters."""

    weights: int
    uses: int = 1
    others: int = 0


def _generator_layers(model: ModelSpec) -> Iterator[_Layer]:
    """The layers of G (paper, Table 6; StyleGAN with its mapping and the affine maps of its styles)."""
    styled, latent = model.family == "stylegan", model.latent_size
    if styled:
        yield from [_Layer(latent**2, others=latent)] * MAPPING_LAYERS
    before = latent
    for resolution in model.scales:
        width, pixels = channels(resolution, model), resolution**2
        biases = 0 if styled else width
        if resolution > LOWEST_RESOLUTION:
            yield _Layer(9 * before * width, pixels, biases)
        elif styled:
            yield _Layer(0, others=16 * width)  # the constant
        else:
            # A 4x4 convolution from one pixel: a dense layer to 16 pixels.
            yield _Layer(16 * before * width, others=biases)
        yield _Layer(9 * width**2, pixels, biases)
        if styled:
            # Of each of two layers: scale and shift from w; noise weights and biases of the channels.
            yield from [_Layer(2 * latent * width, others=2 * width + 2 * width)] * 2
        yield _Layer(RGB_CHANNELS * width, pixels, RGB_CHANNELS)
        before = width


def _discriminator_layers(model: ModelSpec) -> Iterator[_Layer]:
    """The layers of D (paper, Table 7) with its connections and combine function."""
    blocks = discriminator_channels(model)
    first = blocks[0].activation
    yield _Layer(RGB_CHANNELS * first, model.resolution**2, first)
    for block in blocks:
        pixels, width, out = block.resolution**2, block.width, block.out
        if block.image_features is not None:  # phi_lin_cat
            yield _Layer(RGB_CHANNELS * block.image_features, pixels, block.image_features)
        elif block.resolution in model.connected[:-1] and model.combine == "phi_cat_lin":
            yield _Layer((block.activation + RGB_CHANNELS) * block.combined, pixels)
        yield _Layer(9 * (block.combined + int(block.mbstd)) * width, pixels, width)
        if block.resolution == LOWEST_RESOLUTION:
            yield _Layer(16 * width * out, others=out)  # 4x4 valid convolution
            yield _Layer(out, others=1)
        else:
            yield _Layer(9 * width * out, pixels, out)


def generator_macs(model: ModelSpec) -> int:
    """Multiply-accumulates of one forward pass of G on one latent."""
    return sum(layer.weights * layer.uses for layer in _generator_layers(model))


def discriminator_macs(model: ModelSpec) -> int:
    """Multiply-accumulates of one forward pass of D on one image pyramid."""
    return sum(layer.weights * layer.uses for layer in _discriminator_layers(model))


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
    """Parameters of G."""
    return sum(layer.weights + layer.others for layer in _generator_layers(model))


def discriminator_parameters(model: ModelSpec) -> int:
    """Parameters of D."""
    return sum(layer.weights + layer.others for layer in _discriminator_layers(model))


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
