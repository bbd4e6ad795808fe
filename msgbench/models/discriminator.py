"""The multi-scale discriminator: one critic that sees the images of all scales at once.

Paper: section 2 (equations 9 to 15) and Table 7. At the largest scale the image enters through from_rgb; at
every lower scale that is connected it is combined with the activations by phi. A MinBatchStd layer opens every
block (section 3.1). MSG-ProGAN pools after the activation; MSG-StyleGAN blurs before its second convolution and
pools before the activation, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import RGB_CHANNELS, BlockChannels, discriminator_channels
from msgbench.models.combine import make_combine
from msgbench.models.layers import (
    GAIN_LINEAR,
    GAIN_LRELU,
    Blur,
    ConvDownsample2d,
    EqualizedConv2d,
    EqualizedLinear,
    MinibatchStdDev,
    leaky_relu,
    widened,
)
from msgbench.units import LOWEST_RESOLUTION


class Block(nn.Module):
    """What opens every block: MinibatchStdDev where there is one, a 3x3 convolution and its activation."""

    def __init__(self, plan: BlockChannels, group_size: int | None) -> None:
        super().__init__()
        self.mbstd = MinibatchStdDev(group_size) if plan.mbstd else nn.Identity()
        in_channels = plan.combined + (1 if plan.mbstd else 0)
        self.conv0 = EqualizedConv2d(in_channels, plan.width, 3, padding=1)
        self.act0 = leaky_relu()

    def opened(self, a: Tensor) -> Tensor:
        """[N, combined, H, W] -> [N, width, H, W]."""
        return self.act0(self.conv0(self.mbstd(a)))


class DownBlock(Block):
    """d^j: combined input [N, in, H, W] -> activations [N, out, H/2, W/2] (equation 9; Table 7)."""

    def __init__(self, plan: BlockChannels, group_size: int | None) -> None:
        super().__init__(plan, group_size)
        self.conv1 = EqualizedConv2d(plan.width, plan.out, 3, padding=1)
        self.act1 = leaky_relu()
        self.pool = nn.AvgPool2d(2)

    def forward(self, a: Tensor) -> Tensor:
        return self.pool(self.act1(self.conv1(self.opened(a))))


class BlurDownBlock(Block):
    """d^j of MSG-StyleGAN: blurred before, pooled inside the second convolution, then activated."""

    def __init__(self, plan: BlockChannels, group_size: int | None) -> None:
        super().__init__(plan, group_size)
        self.blur = Blur()
        self.conv1 = ConvDownsample2d(plan.width, plan.out)
        self.act1 = leaky_relu()

    def forward(self, a: Tensor) -> Tensor:
        return self.act1(self.conv1(self.blur(self.opened(a))))


class CriticBlock(Block):
    """d_critic: combined input [N, in, 4, 4] -> scores [N] (equation 15; Table 7, block 9)."""

    def __init__(self, plan: BlockChannels, group_size: int | None, gain: float) -> None:
        super().__init__(plan, group_size)
        self.conv1 = EqualizedConv2d(plan.width, plan.out, LOWEST_RESOLUTION)
        self.act1 = leaky_relu()
        self.dense = EqualizedLinear(plan.out, 1, gain=gain)

    def forward(self, a: Tensor) -> Tensor:
        a = self.act1(self.conv1(self.opened(a)))
        return self.dense(a.flatten(1)).squeeze(1)


class MultiScaleDiscriminator(nn.Module):
    """D: images of all scales, lowest resolution first, each [N, 3, R, R] -> scores [N].

    Only images of the resolutions in `connected` are looked at (lowest first; the largest always); `combine` holds
    one phi for each of these below the largest. Parts are named by resolution and stand in the order in which they
    run, from the largest image down. Raises ValueError when the number of images is not that of the scales.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        # Arithmetic of the blocks; images come and scores go in float32 or wider.
        self.compute_dtype: torch.dtype | None = None
        self.scales = spec.scales
        self.connected = spec.connected
        plans = discriminator_channels(spec)
        self.from_rgb = EqualizedConv2d(RGB_CHANNELS, plans[0].activation, 1)
        self.from_rgb_act = leaky_relu() if spec.from_rgb_activation == "lrelu" else nn.Identity()
        self.combine = nn.ModuleDict()
        self.blocks = nn.ModuleDict()
        for plan in plans:
            name = str(plan.resolution)
            if plan.resolution in spec.connected[:-1]:
                self.combine[name] = make_combine(
                    spec.combine, plan.activation, plan.image_features
                )
            self.blocks[name] = _block(plan, spec)

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        if len(images) != len(self.scales):
            raise ValueError(
                f"{len(images)} images for the {len(self.scales)} scales {self.scales}"
            )
        highest_first = list(reversed(images))
        dtype = self.compute_dtype or highest_first[0].dtype
        a = self.from_rgb_act(self.from_rgb(highest_first[0].to(dtype)))
        for image, (resolution, block) in zip(highest_first, self.blocks.items(), strict=True):
            if resolution in self.combine:
                a = self.combine[resolution](image, a)
            a = block(a)
        return widened(a)


def _block(plan: BlockChannels, spec: ModelSpec) -> Block:
    if plan.resolution == LOWEST_RESOLUTION:
        gain = GAIN_LRELU if spec.gains == "bmsg" else GAIN_LINEAR
        return CriticBlock(plan, spec.mbstd_group_size, gain)
    if spec.family == "stylegan":
        return BlurDownBlock(plan, spec.mbstd_group_size)
    return DownBlock(plan, spec.mbstd_group_size)
