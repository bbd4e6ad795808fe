"""The multi-scale discriminator: one critic that sees the images of all scales at once; and the growing one.

Paper: section 2 (equations 9 to 15) and Table 7. At the largest scale the image enters through from_rgb; at
every lower scale that is connected it is combined with the activations by phi. A MinBatchStd layer opens every
block (section 3.1). MSG-ProGAN pools after the activation; MSG-StyleGAN blurs before its second convolution and
pools before the activation, as in the authors' code. The baselines' discriminator is made of the same blocks, with a
from_rgb at every scale, and looks at one image of the resolution that it has grown to.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import RGB_CHANNELS, BlockChannels, discriminator_channels
from msgbench.models.combine import make_combine
from msgbench.models.growing import Grows, active_scales, fade_of
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


class ConvDownBlock(Block):
    """d^j of ProGAN's and StyleGAN's code: pooled inside the second convolution, then activated.

    `blurred`: StyleGAN's, with a blur before that convolution.
    """

    def __init__(self, plan: BlockChannels, group_size: int | None, blurred: bool) -> None:
        super().__init__(plan, group_size)
        self.blur = Blur() if blurred else nn.Identity()
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
        self.from_rgb_act = _from_rgb_activation(spec)
        self.combine = nn.ModuleDict()
        self.blocks = nn.ModuleDict()
        for plan in plans:
            name = str(plan.resolution)
            if plan.resolution in spec.connected[:-1]:
                self.combine[name] = make_combine(
                    spec.combine, plan.activation, plan.image_features, spec.lin_cat_activation
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


class GrowingDiscriminator(Grows):
    """D of the baselines: a list of one image [N, 3, R, R] of the resolution that `lod` says -> scores [N].

    While a resolution fades in, what its block hands on is mixed with what from_rgb makes of the image at half the
    size (ProGAN, figure 2). Parts are named by resolution, the largest first.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        # Arithmetic of the blocks; images come and scores go in float32 or wider.
        self.compute_dtype: torch.dtype | None = None
        self.scales = spec.scales
        self.lod: float | None = 0.0
        self.from_rgb = nn.ModuleDict()
        self.from_rgb_act = _from_rgb_activation(spec)
        self.blocks = nn.ModuleDict()
        for plan in discriminator_channels(spec):
            name = str(plan.resolution)
            self.from_rgb[name] = EqualizedConv2d(RGB_CHANNELS, plan.activation, 1)
            self.blocks[name] = _block(plan, spec)

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        assert self.lod is not None, "this class always grows"
        highest_first = active_scales(self.scales, self.lod)[::-1]
        if [image.shape[-1] for image in images] != [highest_first[0]]:
            raise ValueError(
                f"images of {[image.shape[-1] for image in images]} px for a discriminator that has grown to "
                f"{highest_first[0]} px"
            )
        image = images[0].to(self.compute_dtype or images[0].dtype)
        a = self._entered(image)
        for resolution in highest_first:
            a = self.blocks[str(resolution)](a)
            if resolution == highest_first[0] and fade_of(self.lod) > 0:
                smaller = self._entered(F.avg_pool2d(image, 2))
                a = torch.lerp(a, smaller, self.fade_for(a.dtype))
        return widened(a)

    def _entered(self, image: Tensor) -> Tensor:
        """The image as activations of its resolution."""
        return self.from_rgb_act(self.from_rgb[str(image.shape[-1])](image))


Discriminator = MultiScaleDiscriminator | GrowingDiscriminator


def _from_rgb_activation(spec: ModelSpec) -> nn.Module:
    return leaky_relu() if spec.from_rgb_activation == "lrelu" else nn.Identity()


def _block(plan: BlockChannels, spec: ModelSpec) -> Block:
    if plan.resolution == LOWEST_RESOLUTION:
        gain = GAIN_LRELU if spec.gains == "bmsg" else GAIN_LINEAR
        return CriticBlock(plan, spec.mbstd_group_size, gain)
    if spec.pooling == "before_activation":
        return ConvDownBlock(plan, spec.mbstd_group_size, blurred=spec.family == "stylegan")
    return DownBlock(plan, spec.mbstd_group_size)
