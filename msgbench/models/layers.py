"""Layers of ProGAN that the paper builds on: equalised learning rate, PixNorm, MinBatchStd, blur.

A layer starts without usable parameters (all NaN) until `draw_parameters` fills them, or a snapshot
is loaded into it: a network that nobody initialised cannot train unnoticed.

Equalised learning rate (ProGAN, section 4.1): weights are drawn from N(0, 1) and multiplied at run
time by gain / sqrt(fan_in); biases start at 0 and are not scaled.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msgbench.errors import ConfigError
from msgbench.models.convolution import convolution

# He gain of a leaky ReLU layer as ProGAN uses it; layers before no activation name theirs (1).
GAIN_LRELU = math.sqrt(2.0)
GAIN_LINEAR = 1.0

LRELU_SLOPE = 0.2

# Side of the larger image from which resampling and convolution are one operation; measured on a CPU, where the
# fused form is the slower one below it (1.7 to 3.4 times as fast above it, with both derivatives).
FUSED_FROM = 16

EPSILON = 1e-8


@runtime_checkable
class Drawable(Protocol):
    """A layer that owns parameters and knows how to draw them."""

    def draw_parameters(self, generator: torch.Generator) -> None: ...


def draw_parameters(module: nn.Module, generator: torch.Generator) -> None:
    """Fill all parameters of `module` from `generator`, a CPU generator; `module` must be on CPU.

    The order is that of `module.modules()` (registration order, outer before inner), and within a
    layer the weight alone takes random numbers. The initial bits are therefore a function of the
    spec and the generator's state, whatever device the network is moved to afterwards.
    """
    assert generator.device.type == "cpu", "initial parameters are drawn on CPU"
    for layer in module.modules():
        if isinstance(layer, Drawable):
            layer.draw_parameters(generator)


def widened(x: Tensor) -> Tensor:
    """`x` in at least float32: statistics are never taken in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def leaky_relu() -> nn.LeakyReLU:
    """The activation of all hidden layers, slope 0.2 (ProGAN, appendix A)."""
    return nn.LeakyReLU(LRELU_SLOPE)


class EqualizedLayer(nn.Module):
    """What equalised layers share: a weight used as weight * gain / sqrt(fan_in), and a bias.

    With `lr_multiplier` weights are drawn wider by its inverse, and weight and bias are multiplied by it
    when used: the layer starts as without it and learns so much slower (StyleGAN's mapping, 0.01).
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        *,
        fan_in: int,
        bias_size: int | None,
        gain: float,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(_undrawn(*weight_shape))
        self.bias = None if bias_size is None else nn.Parameter(_undrawn(bias_size))
        self.scale = gain / math.sqrt(fan_in) * lr_multiplier
        self.initial_std = 1 / lr_multiplier
        self.lr_multiplier = lr_multiplier

    def without_equalization(self) -> None:
        """Move gain / sqrt(fan_in) from the use of the weight to its draw; before parameters are drawn.

        The layer computes the same function at first, but large and small layers learn at other speeds.
        """
        self.initial_std *= self.scale / self.lr_multiplier
        self.scale = self.lr_multiplier

    @property
    def scaled_weight(self) -> Tensor:
        """The weight that the layer works with."""
        return self.weight * self.scale

    def scaled_bias(self, dtype: torch.dtype) -> Tensor | None:
        """The bias that the layer works with, in `dtype`, or None."""
        if self.bias is None:
            return None
        bias = self.bias if self.lr_multiplier == 1.0 else self.bias * self.lr_multiplier
        return bias.to(dtype)

    @torch.no_grad()
    def draw_parameters(self, generator: torch.Generator) -> None:
        """Weights from N(0, 1) or what the class says, biases 0."""
        self.weight.normal_(std=self.initial_std, generator=generator)
        if self.bias is not None:
            self.bias.zero_()

    def extra_repr(self) -> str:
        return f"weight={tuple(self.weight.shape)}, bias={self.bias is not None}, scale={self.scale:.4g}"


class EqualizedConv2d(EqualizedLayer):
    """Convolution [N, in, H, W] -> [N, out, H', W'], stride 1, fan_in = in * kernel_size^2."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        padding: int = 0,
        gain: float = GAIN_LRELU,
        bias: bool = True,
    ) -> None:
        super().__init__(
            (out_channels, in_channels, kernel_size, kernel_size),
            fan_in=in_channels * kernel_size**2,
            bias_size=out_channels if bias else None,
            gain=gain,
        )
        self.padding = padding
        # Whether second derivatives are the library's own gradients (convolution.py).
        self.direct = False

    @property
    def kernel_size(self) -> int:
        return self.weight.shape[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.scaled_weight, 1, self.padding)

    def convolve(self, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        """`x` convolved with `weight` and this layer's bias, in the arithmetic of `x`."""
        bias = self.scaled_bias(x.dtype)
        if self.direct:
            return convolution(x, weight.to(x.dtype), bias, stride, padding)
        return F.conv2d(x, weight.to(x.dtype), bias, stride=stride, padding=padding)


class UpsampleConv2d(EqualizedConv2d):
    """Nearest upsampling by 2, then a 3x3 convolution: [N, in, H, W] -> [N, out, 2H, 2W].

    Where it pays (`FUSED_FROM` pixels), both are one transposed convolution of stride 2, as in ProGAN's
    code ("fused_scale"): an upsampled pixel stands under several taps of the kernel, whose weights
    are summed once instead of being multiplied one by one. The same mathematics with 4 instead of 9
    products for each weight pair, in another order of rounding. `fused = False` does it step by step.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, gain: float = GAIN_LRELU, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, gain=gain, bias=bias)
        self.fused = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.fused or 2 * x.shape[-1] < FUSED_FROM:
            return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))
        # A transposed convolution turns its kernel round, and has its input channels first.
        kernel = F.pad(self.scaled_weight.transpose(0, 1).flip(2, 3), (1, 1, 1, 1))
        kernel = (
            kernel[:, :, 1:, 1:] + kernel[:, :, :-1, 1:] + kernel[:, :, 1:, :-1] + kernel[:, :, :-1, :-1]
        )  # fmt: skip
        return F.conv_transpose2d(
            x, kernel.to(x.dtype), self.scaled_bias(x.dtype), stride=2, padding=1
        )


class ConvDownsample2d(EqualizedConv2d):
    """3x3 convolution, then the mean of each 2x2 square: [N, in, H, W] -> [N, out, H/2, W/2].

    The counterpart of `UpsampleConv2d`: from `FUSED_FROM` input pixels one convolution of stride 2 with a 4x4
    kernel, 16 instead of 36 products for each output pixel and weight pair.
    """

    def __init__(self, in_channels: int, out_channels: int, *, gain: float = GAIN_LRELU) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, gain=gain)
        self.fused = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.fused or x.shape[-1] < FUSED_FROM:
            return F.avg_pool2d(super().forward(x), 2)
        # Each weight stands under the four pixels that are averaged: its kernel, moved and added up.
        kernel = F.avg_pool2d(F.pad(self.scaled_weight, (1, 1, 1, 1)), 2, stride=1)
        return self.convolve(x, kernel, stride=2, padding=1)


class EqualizedLinear(EqualizedLayer):
    """Fully connected layer [N, in] -> [N, out], fan_in = in."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        gain: float = GAIN_LRELU,
        bias: bool = True,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__(
            (out_features, in_features),
            fan_in=in_features,
            bias_size=out_features if bias else None,
            gain=gain,
            lr_multiplier=lr_multiplier,
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled_weight.to(x.dtype), self.scaled_bias(x.dtype))


class LatentConv4x4(EqualizedLayer):
    """The generator's "Conv 4x4": a latent [N, latent] -> [N, out, 4, 4] (paper, Table 6, block 1).

    It is a 4x4 convolution over a 1x1 image padded to see every kernel position, that is a dense
    layer with one bias per channel. As in ProGAN's code the gain is sqrt(2)/4 on a fan_in of the
    latent size: what a 4x4 convolution of gain sqrt(2) with its fan_in of 16 * latent size gives.
    """

    def __init__(
        self, latent_size: int, out_channels: int, *, gain: float = GAIN_LRELU / 4
    ) -> None:
        super().__init__(
            (latent_size, out_channels, 4, 4),
            fan_in=latent_size,
            bias_size=out_channels,
            gain=gain,
        )

    def forward(self, z: Tensor) -> Tensor:
        assert self.bias is not None
        weight = self.scaled_weight.flatten(1).to(z.dtype)
        out = (z @ weight).unflatten(1, self.weight.shape[1:])
        return out + self.bias.to(z.dtype).view(-1, 1, 1)


class PixelNorm(nn.Module):
    """Feature vectors of mean square 1: x / sqrt(mean over channels of x^2 + 1e-8) (ProGAN, 4.2).

    [N, C, H, W] -> the same; on latents [N, C] it is the paper's hypersphere normalisation
    z * sqrt(C) / ||z|| (section 3.1).
    """

    def forward(self, x: Tensor) -> Tensor:
        mean_square = widened(x).square().mean(dim=1, keepdim=True)
        return x * torch.rsqrt(mean_square + EPSILON).to(x.dtype)


class MinibatchStdDev(nn.Module):
    """Appends the mean standard deviation of a group of samples as one channel (ProGAN, section 3).

    [N, C, H, W] -> [N, C + 1, H, W]. Groups hold G = min(group_size, N) samples (None: all N) and are strided, as
    in ProGAN's code: with M = N / G groups, group m is the samples {m, m + M, m + 2M, ...}. Each
    (c, h, w) gives sqrt(biased variance over the group + 1e-8); the mean of these over C, H, W is the
    value of the new channel for every sample of the group.

    Raises ConfigError when the batch cannot be split into whole groups.
    """

    def __init__(self, group_size: int | None) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        group = n if self.group_size is None else min(self.group_size, n)
        if n % group:
            raise ConfigError(
                f"a batch of {n} images cannot be split into groups of "
                f"model.mbstd_group_size = {self.group_size}; "
                f"allowed: fewer images than that, or a multiple of it"
            )
        grouped = widened(x).unflatten(0, (group, n // group))
        variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)
        # The epsilon stands inside the root: its gradient stays finite where a group is constant.
        value = (variance + EPSILON).sqrt().mean(dim=(1, 2, 3), keepdim=True)
        return torch.cat([x, value.to(x.dtype).repeat(group, 1, height, width)], dim=1)


class Blur(nn.Module):
    """The binomial filter [1, 2, 1] x [1, 2, 1] / 16 on each channel, zero padded: [N, C, H, W] -> the same shape.

    Two means of 2x2 squares are that filter, and differentiate twice without a depthwise convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1, padding=1), 2, stride=1)


def _undrawn(*shape: int) -> Tensor:
    return torch.full(shape, math.nan, dtype=torch.float32)
