"""How many channels a network has at each resolution (paper, Tables 6 and 7). Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgbench.config import ModelSpec
from msgbench.units import LOWEST_RESOLUTION

# Below this a layer hardly learns anything; it is reached only by very small width multipliers.
FEWEST_CHANNELS = 4

RGB_CHANNELS = 3

# Dense layers between z and w in MSG-StyleGAN.
MAPPING_LAYERS = 8


def channels(resolution: int, spec: ModelSpec) -> int:
    """Channels c_R of the activations at R = `resolution`, a power of two from 4 on.

    c_R = min(fmap_base / 2^(log2(R) - 1), fmap_max), as in ProGAN and in the paper's Tables 6 and 7
    (512 up to 32 px, then halved at each doubling, 16 at 1024 px). `width_multiplier` scales the
    result, rounded half up, never below `FEWEST_CHANNELS`. The latent size is not scaled.
    """
    stage = resolution.bit_length() - 2
    published = min(spec.fmap_base // 2**stage, spec.fmap_max)
    return max(FEWEST_CHANNELS, math.floor(published * spec.width_multiplier + 0.5))


@dataclass(frozen=True)
class BlockChannels:
    """The channels of one block of the discriminator, from its inputs to what it hands on."""

    resolution: int
    activation: int
    """Channels of the activations that come in: from the block before, or from from_rgb."""
    image_features: int | None
    """Channels that the image gets before it is concatenated; None: its three, or no image comes in."""
    combined: int
    """Channels after the combine function."""
    mbstd: bool
    """Whether MinibatchStdDev adds one more."""
    width: int
    """Channels after the block's first convolution."""
    out: int
    """Channels after its second one."""


def discriminator_channels(spec: ModelSpec) -> list[BlockChannels]:
    """The blocks of the discriminator of `spec`, in the order in which they run: from the largest image down."""
    blocks = []
    handed_on = _width(spec.resolution, spec)
    for resolution in reversed(spec.scales):
        width = _width(resolution, spec)
        last = resolution == LOWEST_RESOLUTION
        features, combined = None, handed_on
        if resolution in spec.connected[:-1]:
            match spec.combine:
                case "phi_simple":
                    combined = handed_on + RGB_CHANNELS
                case "phi_lin_cat":
                    # "Half": of the block's own width, so that image and activations are equals in `bmsg`.
                    features = max(1, width // 2)
                    combined = handed_on + features
                case "phi_cat_lin":
                    combined = handed_on
        blocks.append(
            BlockChannels(
                resolution=resolution,
                activation=handed_on,
                image_features=features,
                combined=combined,
                mbstd=spec.mbstd == "every_block" or (last and spec.mbstd == "last_block"),
                width=width,
                out=width if last else _handed_on(resolution // 2, spec),
            )
        )
        handed_on = blocks[-1].out
    return blocks


def _width(resolution: int, spec: ModelSpec) -> int:
    """Channels inside a block of the discriminator."""
    return channels(resolution, spec) * (2 if spec.variant == "bbmsg" else 1)


def _handed_on(resolution: int, spec: ModelSpec) -> int:
    """Channels that the block above `resolution` leaves; the first version leaves room for as many from the image."""
    width = _width(resolution, spec)
    return width if spec.variant == "paper" else width - width // 2
