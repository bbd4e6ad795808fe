"""What networks cost in arithmetic, from their spec alone: multiply-accumulates, FLOP per image, parameters.

Nothing is timed here, and torch is not needed. The count is that of the arithmetic as published (convolutions and dense
layers; activations, norms and pooling are below 1 %). Networks that grow are counted at a resolution they grow through.
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
from msgbench.units import LOWEST_RESOLUTION

FLOP_PER_MAC = 2

# What a device could compute in the time that the smallest step takes, about: without it the time of tiny images of a
# growing training would seem to be next to nothing.
STEP_FLOP = {"cpu": 5e8, "cuda": 5e11}


@dataclass(frozen=True)
class _Layer:
    """A convolution or dense layer: its weights, how often each is used for one image, its other parameters."""

    weights: int
    uses: int = 1
    others: int = 0
    resolution: int = 0
    """Of the block it stands in."""
    between: bool = False
    """Whether it turns activations into an image or an image into activations."""

    def takes_part(self, model: ModelSpec, resolution: int) -> bool:
        """Whether networks of `model` use it at `resolution`: a growing one has one image, of that resolution."""
        if not model.growing:
            return True
        return self.resolution == resolution if self.between else self.resolution <= resolution


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
            yield _Layer(9 * before * width, pixels, biases, resolution)
        elif styled:
            yield _Layer(0, others=16 * width)  # the constant
        else:
            # A 4x4 convolution from one pixel: a dense layer to 16 pixels.
            yield _Layer(16 * before * width, others=biases)
        yield _Layer(9 * width**2, pixels, biases, resolution)
        if styled:
            # Of each of two layers: scale and shift from w; noise weights and biases of the channels.
            styles = _Layer(2 * latent * width, others=2 * width + 2 * width, resolution=resolution)
            yield from [styles] * 2
        yield _Layer(RGB_CHANNELS * width, pixels, RGB_CHANNELS, resolution, between=True)
        before = width


def _discriminator_layers(model: ModelSpec) -> Iterator[_Layer]:
    """The layers of D (paper, Table 7) with its connections and combine function."""
    blocks = discriminator_channels(model)
    for block in blocks if model.growing else blocks[:1]:  # from_rgb
        entered, side = block.activation, block.resolution
        yield _Layer(RGB_CHANNELS * entered, side**2, entered, side, between=True)
    for block in blocks:
        pixels, width, out = block.resolution**2, block.width, block.out
        at = block.resolution
        if block.image_features is not None:  # phi_lin_cat
            yield _Layer(RGB_CHANNELS * block.image_features, pixels, block.image_features, at)
        elif block.resolution in model.connected[:-1] and model.combine == "phi_cat_lin":
            yield _Layer((block.activation + RGB_CHANNELS) * block.combined, pixels, 0, at)
        yield _Layer(9 * (block.combined + int(block.mbstd)) * width, pixels, width, at)
        if block.resolution == LOWEST_RESOLUTION:
            yield _Layer(16 * width * out, others=out)  # 4x4 valid convolution
            yield _Layer(out, others=1)
        else:
            yield _Layer(9 * width * out, pixels, out, at)


def generator_macs(model: ModelSpec, resolution: int | None = None) -> int:
    """Multiply-accumulates of one forward pass of G on one latent; of a growing G at `resolution` (None: full)."""
    return _macs(_generator_layers(model), model, resolution)


def discriminator_macs(model: ModelSpec, resolution: int | None = None) -> int:
    """Multiply-accumulates of one forward pass of D on one image pyramid; of a growing D on one image."""
    return _macs(_discriminator_layers(model), model, resolution)


def _macs(layers: Iterator[_Layer], model: ModelSpec, resolution: int | None) -> int:
    at = resolution or model.resolution
    return sum(layer.weights * layer.uses for layer in layers if layer.takes_part(model, at))


def training_flops(model: ModelSpec, loss: LossSpec, resolution: int | None = None) -> float:
    """FLOP of training on one real image: one discriminator step and one generator step.

    In forward passes (backward to inputs and to weights count as one each):
    D step: G without gradients 1 G, D on real and fake forward and backward 6 D, gradient penalty
    6 D (forward, input gradient, and twice that again for its own backward). G step: 3 G and 2 D, as D's
    weights need no gradient there. 4 G + 14 D with the penalty, 4 G + 8 D without. R1 shares the forward pass and
    the backward through it with the adversarial term: 3 D (input gradient, and twice that for its own backward).
    A relativistic generator step looks at reals, too: 1 D. Growing networks are counted at `resolution` (None: full);
    what fades, twice in G and D at once, is below 1 %.
    """
    penalty = {"r1": 3, "none": 0}.get(loss.penalty, 6 if loss.gp_weight > 0 else 0)
    passes = 8 + penalty + int(loss.relativistic)
    macs = 4 * generator_macs(model, resolution) + passes * discriminator_macs(model, resolution)
    return float(FLOP_PER_MAC * macs)


def run_flops(spec: ExperimentSpec, until: int | None = None, each_step: float = 0.0) -> float:
    """FLOP of a whole training, or of its first `until` images; every step counts `each_step` more."""
    end = spec.schedule.total_nimg if until is None else until
    return sum(
        max(0, min(stretch.end, end) - stretch.start)
        * (
            training_flops(spec.model, spec.loss, stretch.resolution)
            + each_step / stretch.batch_size
        )
        for stretch in spec.schedule.stretches
    )


def images_left(spec: ExperimentSpec, nimg: int, each_step: float = 0.0) -> float:
    """What is left of a training after `nimg` images, in images of the phase that is trained then."""
    phase = spec.schedule.at(nimg)
    left = run_flops(spec, each_step=each_step) - run_flops(spec, nimg, each_step)
    now = training_flops(spec.model, spec.loss, phase.resolution)
    return left / (now + each_step / phase.batch_size)


def flop_per_image(spec: ExperimentSpec) -> float:
    """FLOP of training on one real image, in the mean over the whole training."""
    return run_flops(spec) / spec.schedule.total_nimg


def generator_parameters(model: ModelSpec) -> int:
    """Parameters of G."""
    return sum(layer.weights + layer.others for layer in _generator_layers(model))


def discriminator_parameters(model: ModelSpec) -> int:
    """Parameters of D."""
    return sum(layer.weights + layer.others for layer in _discriminator_layers(model))
