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


def set_lod(network: nn.Module, lod: float) -> None:
    """Have a growing generator or discriminator work at `lod`, from 0 to less than its number of scales.

    Raises ValueError for a network of all scales at once, or a `lod` that it has not.
    """
    if not isinstance(network, Grows) or network.lod is None:
        raise ValueError(f"{type(network).__name__} works at all scales at once: it has no lod")
    if not 0 <= lod <= len(network.scales) - 1:
        raise ValueError(f"lod {lod:g} is not allowed; allowed: 0 to {len(network.scales) - 1}")
    network.lod = lod


def faded(image: Tensor, smaller: Tensor, lod: float) -> Tensor:
    """`image` [N, C, R, R] with its share of `smaller` [N, C, R/2, R/2], enlarged by repeating pixels."""
    enlarged = F.interpolate(smaller, scale_factor=2, mode="nearest")
    return torch.lerp(image, enlarged, fade_of(lod))
