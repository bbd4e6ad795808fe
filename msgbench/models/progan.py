"""The generator of MSG-ProGAN: ProGAN's generator with an RGB output at every scale; and ProGAN's own, which grows.

Paper: section 2 (equations 1 to 8) and Table 6; PixNorm after every 3x3 convolution only (appendix
6.1). to_rgb is linear and images mean [-1, 1], as in the authors' code; equation 6 says [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import channels
from msgbench.models.generator import MultiScaleGenerator, to_rgb
from msgbench.models.layers import (
    GAIN_LRELU,
    EqualizedConv2d,
    LatentConv4x4,
    PixelNorm,
    UpsampleConv2d,
    leaky_relu,
)
from msgbench.units import LOWEST_RESOLUTION


class FirstBlock(nn.Module):
    """g_gen: normalised latent [N, latent] -> activations [N, out, 4, 4] (Table 6, block 1)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        out = channels(LOWEST_RESOLUTION, spec)
        gain = GAIN_LRELU if spec.gains == "bmsg" else GAIN_LRELU / 4
        self.conv0 = LatentConv4x4(spec.latent_size, out, gain=gain)
        self.act0 = leaky_relu()
        self.norm0 = pixel_norm(spec.pixel_norm == "after_all")
        self.conv1 = EqualizedConv2d(out, out, 3, padding=1)
        self.act1 = leaky_relu()
        self.norm1 = pixel_norm(spec.pixel_norm != "off")

    def forward(self, z: Tensor) -> Tensor:
        a = self.norm0(self.act0(self.conv0(z)))
        return self.norm1(self.act1(self.conv1(a)))


class UpBlock(nn.Module):
    """g^i: [N, in, H, W] -> [N, out, 2H, 2W] (equation 1; Table 6, blocks 2 to 9)."""

    def __init__(self, resolution: int, spec: ModelSpec) -> None:
        super().__init__()
        out, normalised = channels(resolution, spec), spec.pixel_norm != "off"
        self.conv0 = UpsampleConv2d(channels(resolution // 2, spec), out)
        self.act0 = leaky_relu()
        self.norm0 = pixel_norm(normalised)
        self.conv1 = EqualizedConv2d(out, out, 3, padding=1)
        self.act1 = leaky_relu()
        self.norm1 = pixel_norm(normalised)

    def forward(self, a: Tensor) -> Tensor:
        a = self.norm0(self.act0(self.conv0(a)))
        return self.norm1(self.act1(self.conv1(a)))


def pixel_norm(normalised: bool) -> nn.Module:
    """PixNorm, or nothing in its place."""
    return PixelNorm() if normalised else nn.Identity()


class ProGANGenerator(MultiScaleGenerator):
    """G: z [N, latent_size] -> images of all scales, lowest resolution first (equation 4, Table 6).

    The latents are put on the hypersphere of radius sqrt(latent_size) here, so callers draw plain
    N(0, I). Images are float [N, 3, R, R], linear, nominally in [-1, 1]. Blocks and to_rgb layers
    are named by resolution. There are no noise inputs.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.normalise_latent = PixelNorm()
        self.blocks = nn.ModuleDict()
        self.to_rgb = nn.ModuleDict()
        for resolution in spec.scales:
            first = resolution == LOWEST_RESOLUTION
            block = FirstBlock(spec) if first else UpBlock(resolution, spec)
            self.blocks[str(resolution)] = block
            self.to_rgb[str(resolution)] = to_rgb(resolution, spec)

    def forward(self, z: Tensor, noise: Sequence[Tensor] = ()) -> list[Tensor]:
        self.check_noise(noise)
        a = self.normalise_latent(z)
        if self.compute_dtype is not None:
            a = a.to(self.compute_dtype)
        return self.images_of(self._activations(a))

    def _activations(self, a: Tensor) -> Iterator[tuple[int, Tensor]]:
        for resolution in self.active_scales:
            a = self.blocks[str(resolution)](a)
            yield resolution, a
