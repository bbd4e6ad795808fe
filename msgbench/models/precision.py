"""In which arithmetic a network computes. Parameters, inputs and outputs stay in float32 whatever it is.

`bfloat16` rounds weights and activations inside the blocks; statistics (MinBatchStd, PixNorm), images,
scores and what is derived from them (penalty norms, losses, averages) are float32. No loss scaling:
bfloat16 has float32's range.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from msgbench.models.layers import ConvDownsample2d, EqualizedConv2d, UpsampleConv2d

Precision = Literal["float32", "tf32", "bfloat16"]

_COMPUTE_DTYPE: dict[str, torch.dtype | None] = {
    "float32": None,
    "tf32": None,  # how the device multiplies float32 numbers (device.py)
    "bfloat16": torch.bfloat16,
}


def set_precision(network: nn.Module, precision: Precision) -> nn.Module:
    """Have `network` (a generator or discriminator of this room) compute in `precision`; returns it."""
    assert hasattr(network, "compute_dtype"), type(network).__name__
    setattr(network, "compute_dtype", _COMPUTE_DTYPE[precision])  # noqa: B010 (Module has no such field for types)
    return network


def fuse_upsampling(network: nn.Module, fused: bool) -> None:
    """Have up- or downsampling and its convolution run as one operation each in `network`, or step by step."""
    for layer in network.modules():
        if isinstance(layer, UpsampleConv2d | ConvDownsample2d):
            layer.fused = fused


def use_direct_second_derivatives(network: nn.Module) -> None:
    """Have the convolutions of `network` be derived twice by the library's own gradients (convolution.py)."""
    for layer in network.modules():
        if isinstance(layer, EqualizedConv2d):
            layer.direct = True


@torch.no_grad()
def use_channels_last(network: nn.Module) -> None:
    """Store the convolutions' weights pixel by pixel, the order that fast convolutions read; same values."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
