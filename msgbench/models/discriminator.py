"""The multi-scale discriminator: one critic that sees the images of all scales at once.

Paper: section 2 (equations 9 to 15) and Table 7. At the largest scale the image enters through a
linear from_rgb; at every lower scale it is combined with the activations by phi. A MinBatchStd layer
opens every block (section 3.1), and the average pooling follows the activation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import RGB_CHANNELS, channels
from msgbench.models.combine import make_combine
from msgbench.models.layers import (
    GAIN_LINEAR,
    EqualizedConv2d,
    EqualizedLinear,
    MinibatchStdDev,
    leaky_relu,
    widened,
)
from msgbench.units import LOWEST_RESOLUTION


class DownBlock(nn.Module):
    """d^j: combined input [N, in, H, W] -> activations [N, out, H/2, W/2] (equation 9; Table 7)."""

    def __init__(self, in_channels: int, width: int, out_channels: int, *, group_size: int) -> None:
        super().__init__()
        self.mbstd = MinibatchStdDev(group_size)
        self.conv0 = EqualizedConv2d(in_channels + 1, width, 3, padding=1)
        self.act0 = leaky_relu()
        self.conv1 = EqualizedConv2d(width, out_channels, 3, padding=1)
        self.act1 = leaky_relu()
        self.pool = nn.AvgPool2d(2)

    def forward(self, a: Tensor) -> Tensor:
        a = self.act0(self.conv0(self.mbstd(a)))
        return self.pool(self.act1(self.conv1(a)))


class CriticBlock(nn.Module):
    """d_critic: combined input [N, in, 4, 4] -> scores [N] (equation 15; Table 7, block 9)."""

    def __init__(self, in_channels: int, width: int, *, group_size: int) -> None:
        super().__init__()
        self.mbstd = MinibatchStdDev(group_size)
        self.conv0 = EqualizedConv2d(in_channels + 1, width, 3, padding=1)
        self.act0 = leaky_relu()
        self.conv1 = EqualizedConv2d(width, width, LOWEST_RESOLUTION)
        self.act1 = leaky_relu()
        self.dense = EqualizedLinear(width, 1, gain=GAIN_LINEAR)

    def forward(self, a: Tensor) -> Tensor:
        a = self.act0(self.conv0(self.mbstd(a)))
        a = self.act1(self.conv1(a))
        return self.dense(a.flatten(1)).squeeze(1)


def from_rgb(out_channels: int) -> EqualizedConv2d:
    """Largest image -> activations: a 1x1 convolution, linear in MSG-ProGAN (Table 7, block 1)."""
    return EqualizedConv2d(RGB_CHANNELS, out_channels, 1)


class MultiScaleDiscriminator(nn.Module):
    """D: images of all scales, lowest resolution first, each [N, 3, R, R] -> scores [N].

    `combine` holds one phi for every scale below the largest; parts are named by resolution and
    stand in the order in which they run, from the largest image down. Raises ValueError when the
    number of images is not that of the scales.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        # Arithmetic of the blocks; images come and scores go in float32 or wider.
        self.compute_dtype: torch.dtype | None = None
        self.scales = spec.scales
        self.from_rgb = from_rgb(channels(spec.resolution, spec))
        self.combine = nn.ModuleDict()
        self.blocks = nn.ModuleDict()
        for resolution in reversed(spec.scales):
            width = channels(resolution, spec)
            in_channels = width
            if resolution != spec.resolution:
                phi = make_combine(spec.combine, width)
                self.combine[str(resolution)] = phi
                in_channels = phi.out_channels
            self.blocks[str(resolution)] = (
                CriticBlock(in_channels, width, group_size=spec.mbstd_group_size)
                if resolution == LOWEST_RESOLUTION
                else DownBlock(
                    in_channels,
                    width,
                    channels(resolution // 2, spec),
                    group_size=spec.mbstd_group_size,
                )
            )

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        if len(images) != len(self.scales):
            raise ValueError(
                f"{len(images)} images for the {len(self.scales)} scales {self.scales}"
            )
        highest_first = list(reversed(images))
        dtype = self.compute_dtype or highest_first[0].dtype
        a = self.from_rgb(highest_first[0].to(dtype))
        for image, (resolution, block) in zip(highest_first, self.blocks.items(), strict=True):
            if resolution in self.combine:
                a = self.combine[resolution](image, a)
            a = block(a)
        return widened(a)
