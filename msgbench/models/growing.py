"""Progressive growing inside the networks: how much of them takes part, and how a new resolution fades in.

ProGAN, section 2 and figure 2, in the terms of its code: `lod` is the level of detail that is still missing, 0 at full
resolution, 1 at half of it; a fraction says that a resolution is being faded in, 0.25 that a quarter is still
the enlarged smaller one. When it grows is not decided here (config/schedule.py).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def active_scales(scales: tuple[int, ...], lod: float | None) -> tuple[int, ...]:
    """Those of `scales` (lowest first) that a network works with at `lod`; None: all."""
    return scales if lod is None else scales[: len(scales) - math.floor(lod)]


def fade_of(lod: float) -> float:
    """Share of the smaller resolution: 0 where nothing fades, just below 1 where fading begins."""
    return lod - math.floor(lod)


class Grows(nn.Module):
    """A network that may grow: its scales, lowest first, and the missing level of detail (None: all scales at once)."""

    scales: tuple[int, ...]
    lod: float | None
    # The share of the smaller resolution as a number on the device (`fade_as_number`); None: by `lod`.
    fade_number: Tensor | None = None

    def fade_for(self, dtype: torch.dtype) -> float | Tensor:
        """Share of the smaller resolution now, for a mix in `dtype`."""
        assert self.lod is not None
        return fade_of(self.lod) if self.fade_number is None else self.fade_number.to(dtype)


def fade_as_number(network: nn.Module) -> None:
    """Have a growing `network` keep the share of a fade on its device, where it changes without another function.

    Its `lod` is then that of the middle of a fade as long as one goes on. Others are left as they are.
    """
    if isinstance(network, Grows) and network.lod is not None:
        device = next(network.parameters()).device
        network.fade_number = torch.tensor(fade_of(network.lod), device=device)


def set_lod(network: nn.Module, lod: float) -> None:
    """Have a growing generator or discriminator work at `lod`, from 0 to less than its number of scales.

    Raises ValueError for a network of all scales at once, or a `lod` that it has not.
    """
    if not isinstance(network, Grows) or network.lod is None:
        raise ValueError(f"{type(network).__name__} works at all scales at once: it has no lod")
    if not 0 <= lod <= len(network.scales) - 1:
        raise ValueError(f"lod {lod:g} is not allowed; allowed: 0 to {len(network.scales) - 1}")
    if network.fade_number is not None:
        network.fade_number.fill_(fade_of(lod))
        lod = math.floor(lod) + (0.5 if fade_of(lod) > 0 else 0.0)
    network.lod = lod


def faded(image: Tensor, smaller: Tensor, fade: float | Tensor) -> Tensor:
    """`image` [N, C, R, R] with the share `fade` of `smaller` [N, C, R/2, R/2], enlarged by repeating pixels."""
    enlarged = F.interpolate(smaller, scale_factor=2, mode="nearest")
    return torch.lerp(image, enlarged, fade)
