"""The generator of MSG-ProGAN: ProGAN's generator with an RGB output at every scale.

Paper: section 2 (equations 1 to 8) and Table 6; PixNorm after every 3x3 convolution only (appendix
6.1). to_rgb is linear and images mean [-1, 1], as in the authors' code; equation 6 says [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import RGB_CHANNELS, channels
from msgbench.models.layers import (
    GAIN_LINEAR,
    EqualizedConv2d,
    LatentConv4x4,
    PixelNorm,
    UpsampleConv2d,
    leaky_relu,
    widened,
)
from msgbench.units import LOWEST_RESOLUTION


class FirstBlock(nn.Module):
    """g_gen: normalised latent [N, latent] -> activations [N, out, 4, 4] (Table 6, block 1)."""

    def __init__(self, latent_size: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = LatentConv4x4(latent_size, out_channels)
        self.act0 = leaky_relu()
        self.conv1 = EqualizedConv2d(out_channels, out_channels, 3, padding=1)
        self.act1 = leaky_relu()
        self.norm1 = PixelNorm()

    def forward(self, z: Tensor) -> Tensor:
        a = self.act0(self.conv0(z))
        return self.norm1(self.act1(self.conv1(a)))


class UpBlock(nn.Module):
    """g^i: [N, in, H, W] -> [N, out, 2H, 2W] (equation 1; Table 6, blocks 2 to 9)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = UpsampleConv2d(in_channels, out_channels)
        self.act0 = leaky_relu()
        self.norm0 = PixelNorm()
        self.conv1 = EqualizedConv2d(out_channels, out_channels, 3, padding=1)
        self.act1 = leaky_relu()
        self.norm1 = PixelNorm()

    def forward(self, a: Tensor) -> Tensor:
        a = self.norm0(self.act0(self.conv0(a)))
        return self.norm1(self.act1(self.conv1(a)))


def to_rgb(in_channels: int) -> EqualizedConv2d:
    """r^i: activations -> image, a linear 1x1 convolution of gain 1 (equations 5 to 8)."""
    return EqualizedConv2d(in_channels, RGB_CHANNELS, 1, gain=GAIN_LINEAR)


class MSGProGANGenerator(nn.Module):
    """G: z [N, latent_size] -> images of all scales, lowest resolution first (equation 4, Table 6).

    The latents are put on the hypersphere of radius sqrt(latent_size) here, so callers draw plain
    N(0, I). Images are float [N, 3, R, R], linear, nominally in [-1, 1]. Blocks and to_rgb layers
    are named by resolution.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        # Arithmetic of the blocks; latents are normalised and images returned in float32 or wider.
        self.compute_dtype: torch.dtype | None = None
        self.normalise_latent = PixelNorm()
        self.blocks = nn.ModuleDict()
        self.to_rgb = nn.ModuleDict()
        for resolution in spec.scales:
            out = channels(resolution, spec)
            self.blocks[str(resolution)] = (
                FirstBlock(spec.latent_size, out)
                if resolution == LOWEST_RESOLUTION
                else UpBlock(channels(resolution // 2, spec), out)
            )
            self.to_rgb[str(resolution)] = to_rgb(out)

    def forward(self, z: Tensor) -> list[Tensor]:
        a = self.normalise_latent(z)
        if self.compute_dtype is not None:
            a = a.to(self.compute_dtype)
        images = []
        for resolution, block in self.blocks.items():
            a = block(a)
            images.append(widened(self.to_rgb[resolution](a)))
        return images
