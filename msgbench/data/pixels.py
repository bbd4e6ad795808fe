"""The one rule between 8-bit pixels and the networks' range [-1, 1], both ways.

Rounding moves FID; therefore grids, samples and measurements all come through here.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_uint8(x: Tensor) -> Tensor:
    """Float [...] in [-1, 1] -> uint8 [...]: `x * 127.5 + 128`, clamped, fraction dropped (round half up).

    The rule of StyleGAN's official metrics. The cast to float32 comes first: in bfloat16 the scaling
    alone would be wrong by more than one grey level.
    """
    return (x.to(torch.float32) * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def to_float(x: Tensor) -> Tensor:
    """Pixels [...] from 0 to 255, uint8 or whole floats -> float32 [...] in [-1, 1]: `x / 127.5 - 1`."""
    return x.to(torch.float32) / 127.5 - 1
