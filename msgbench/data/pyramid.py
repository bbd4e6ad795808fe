"""The pyramid of real images that the multi-scale discriminator sees (reference: MSG-GAN, section 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from msgbench.data.pixels import to_float
from msgbench.units import scales


def real_pyramid(x: torch.Tensor) -> list[torch.Tensor]:
    """Images at every scale, lowest (4x4) first, by repeated 2x2 average pooling.

    x: [N, C, R, R] float in [-1, 1], R a power of two from 4; mirror it before, so that all scales turn
    together. The last entry is x itself. Each level is pooled from the one above, never straight from the
    top: the values are the same, but only a chain lets a penalty's gradient with respect to a level
    include what the lower levels owe to it. No level is rounded back to 8 bits.
    """
    resolution = x.shape[-1]
    assert x.shape[-2:] == (resolution, resolution), f"expected square images, got {x.shape}"
    levels = [x]
    for scale in reversed(scales(resolution)[:-1]):
        levels.append(F.avg_pool2d(levels[-1], kernel_size=2))
        assert levels[-1].shape[-1] == scale
    levels.reverse()
    return levels


def growing_reals(
    x: torch.Tensor, resolution: int, fade: float, rounded: bool = True
) -> torch.Tensor:
    """What a growing discriminator sees of `x` [N, 3, R, R] at `resolution`: [N, 3, resolution, resolution].

    Means of 2x2 squares down to `resolution`, `rounded` to 8 bits as ProGAN's and StyleGAN's datasets hold them at
    every resolution, and of that the share `fade` in [0, 1) as it looks at half the resolution, enlarged again: reals
    fade as the generator's images do (ProGAN, section 2). `x` is 8-bit images in [-1, 1] (data/pixels.py).
    """
    smaller = x.shape[-1] > resolution
    if smaller and rounded:
        # Whole numbers and their means are exact in float32, so that halves are rounded as NumPy's rint does.
        x = torch.round((x + 1) * 127.5)
    while x.shape[-1] > resolution:
        x = F.avg_pool2d(x, 2)
    if smaller and rounded:
        x = to_float(torch.round(x))
    if fade == 0:
        return x
    return torch.lerp(x, F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="nearest"), fade)
