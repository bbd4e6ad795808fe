"""How many channels a network has at each resolution (paper, Tables 6 and 7). Needs no torch."""

from __future__ import annotations

import math

from msgbench.config import ModelSpec

# Below this a layer hardly learns anything; it is reached only by very small width multipliers.
FEWEST_CHANNELS = 4

RGB_CHANNELS = 3


def channels(resolution: int, spec: ModelSpec) -> int:
    """Channels c_R of the activations at R = `resolution`, a power of two from 4 on.

    c_R = min(fmap_base / 2^(log2(R) - 1), fmap_max), as in ProGAN and in the paper's Tables 6 and 7
    (512 up to 32 px, then halved at each doubling, 16 at 1024 px). `width_multiplier` scales the
    result, rounded half up, never below `FEWEST_CHANNELS`. The latent size is not scaled.
    """
    stage = resolution.bit_length() - 2
    published = min(spec.fmap_base // 2**stage, spec.fmap_max)
    return max(FEWEST_CHANNELS, math.floor(published * spec.width_multiplier + 0.5))
