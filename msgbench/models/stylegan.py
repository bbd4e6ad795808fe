"""The generator of MSG-StyleGAN: StyleGAN's, with an RGB output at every scale; and StyleGAN's own, which grows.

Paper: section 3.1; the network is that of the authors' code. Latents become w by the mapping; every layer of the
synthesis adds noise, is activated, normalised (instance norm) and restyled by w (AdaIN). There is no PixNorm but
that of the latents. Only the growing one is trained with mixed styles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import MAPPING_LAYERS, channels
from msgbench.models.generator import MultiScaleGenerator, to_rgb
from msgbench.models.layers import (
    EPSILON,
    GAIN_LINEAR,
    Blur,
    EqualizedConv2d,
    EqualizedLinear,
    PixelNorm,
    UpsampleConv2d,
    leaky_relu,
    widened,
)
from msgbench.units import LOWEST_RESOLUTION

MAPPING_LR_MULTIPLIER = 0.01
# What the average of w keeps of itself at each training forward pass.
W_AVERAGE_BETA = 0.995
LAYERS_PER_BLOCK = 2


class Mapping(nn.Module):
    """z [N, latent] -> w [N, latent]: normalised, then eight dense layers that learn a hundred times slower."""

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.normalise_latent = PixelNorm()
        layers: list[nn.Module] = []
        for _ in range(MAPPING_LAYERS):
            dense = EqualizedLinear(latent_size, latent_size, lr_multiplier=MAPPING_LR_MULTIPLIER)
            layers += [dense, leaky_relu()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.normalise_latent(z))


class Constant(nn.Module):
    """The learned input of the synthesis, ones at first: batch size N -> [N, out, 4, 4]."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        shape = (1, out_channels, LOWEST_RESOLUTION, LOWEST_RESOLUTION)
        self.weight = nn.Parameter(torch.full(shape, torch.nan))

    @torch.no_grad()
    def draw_parameters(self, generator: torch.Generator) -> None:
        """Ones; takes no random numbers."""
        self.weight.fill_(1)

    def forward(self, batch: int) -> Tensor:
        return self.weight.expand(batch, -1, -1, -1)


class NoiseBias(nn.Module):
    """x [N, C, H, W] + noise [N, 1, H, W] times a learned weight per channel, + a bias; both are 0 at first."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.noise_weight = nn.Parameter(torch.full((num_channels,), torch.nan))
        self.bias = nn.Parameter(torch.full((num_channels,), torch.nan))

    @torch.no_grad()
    def draw_parameters(self, generator: torch.Generator) -> None:
        """Zeros; takes no random numbers."""
        self.noise_weight.zero_()
        self.bias.zero_()

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        weight, bias = (p.to(x.dtype).view(-1, 1, 1) for p in (self.noise_weight, self.bias))
        return x + noise.to(x.dtype) * weight + bias


class AdaIN(nn.Module):
    """Instance norm, then scale and shift by an affine map of w: x [N, C, H, W], w [N, latent] -> [N, C, H, W].

    Biased variance, epsilon 1e-8; the map gives (s0, s1) and the result is x * (s0 + 1) + s1.
    """

    def __init__(self, latent_size: int, num_channels: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(latent_size, 2 * num_channels, gain=GAIN_LINEAR)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        wide = widened(x)
        centred = wide - wide.mean(dim=(2, 3), keepdim=True)
        variance = centred.square().mean(dim=(2, 3), keepdim=True)
        scale, shift = self.affine(w).unflatten(1, (2, -1))[..., None, None].unbind(1)
        return (centred * torch.rsqrt(variance + EPSILON) * (scale + 1) + shift).to(x.dtype)


class Epilogue(nn.Module):
    """What follows each convolution: noise, bias, activation, AdaIN."""

    def __init__(self, latent_size: int, num_channels: int) -> None:
        super().__init__()
        self.noise_bias = NoiseBias(num_channels)
        self.act = leaky_relu()
        self.adain = AdaIN(latent_size, num_channels)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        return self.adain(self.act(self.noise_bias(x, noise)), w)


class StyledBlock(nn.Module):
    """One resolution of the synthesis: two layers, each with its w of ws [N, 2, latent] and its noise.

    The first block (4x4) starts from the constant; the others from the activations of the one before, upsampled,
    convolved and blurred: [N, in, H, W] -> [N, out, 2H, 2W].
    """

    def __init__(self, resolution: int, spec: ModelSpec) -> None:
        super().__init__()
        out = channels(resolution, spec)
        if resolution == LOWEST_RESOLUTION:
            self.constant = Constant(out)
        else:
            self.conv0 = UpsampleConv2d(channels(resolution // 2, spec), out, bias=False)
            self.blur = Blur()
        self.epilogue0 = Epilogue(spec.latent_size, out)
        self.conv1 = EqualizedConv2d(out, out, 3, padding=1, bias=False)
        self.epilogue1 = Epilogue(spec.latent_size, out)

    def forward(
        self, a: Tensor | None, ws: Tensor, noise: Sequence[Tensor], dtype: torch.dtype
    ) -> Tensor:
        a = self.constant(len(ws)).to(dtype) if a is None else self.blur(self.conv0(a))
        a = self.epilogue0(a, ws[:, 0], noise[0])
        return self.epilogue1(self.conv1(a), ws[:, 1], noise[1])


@dataclass(frozen=True)
class StyleMixing:
    """Mixing regularisation of one step (StyleGAN, section 3.1): the layers from `cutoff` on follow other latents."""

    z: Tensor
    """The other latents [N, latent_size]."""
    cutoff: int | Tensor
    """The first layer that follows them, from 1 to the number of layers less 1; a tensor [] where it is compiled."""


class StyleGANGenerator(MultiScaleGenerator):
    """G: z [N, latent_size] and noise -> images of all scales, lowest resolution first.

    In training mode each forward pass moves `w_average` towards the batch's mean w. The average is a buffer: part
    of states and snapshots, copied (not averaged) into G_ema, used by truncation alone. Noise comes from outside:
    `draw_noise`, two inputs for each resolution.
    """

    noise_per_scale = LAYERS_PER_BLOCK
    w_average: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.mapping = Mapping(spec.latent_size)
        self.register_buffer("w_average", torch.zeros(spec.latent_size))
        self.blocks = nn.ModuleDict()
        self.to_rgb = nn.ModuleDict()
        for resolution in spec.scales:
            self.blocks[str(resolution)] = StyledBlock(resolution, spec)
            self.to_rgb[str(resolution)] = to_rgb(resolution, spec)

    @property
    def num_layers(self) -> int:
        """Layers that take a w of their own: two for each active resolution."""
        return len(self.noise_resolutions)

    def forward(
        self, z: Tensor, noise: Sequence[Tensor] = (), mixing: StyleMixing | None = None
    ) -> list[Tensor]:
        w = self.mapping(z)
        if self.training:
            with torch.no_grad():
                self.w_average.lerp_(w.mean(dim=0).to(self.w_average.dtype), 1 - W_AVERAGE_BETA)
        ws = self.broadcast(w)
        if mixing is not None:
            other = self.broadcast(self.mapping(mixing.z))
            ws = self._mixed(ws, other, mixing.cutoff)
        return self.synthesise(ws, noise)

    def _mixed(self, ws: Tensor, other: Tensor, cutoff: int | Tensor) -> Tensor:
        if isinstance(cutoff, int):
            return torch.cat([ws[:, :cutoff], other[:, cutoff:]], dim=1)
        layers = torch.arange(self.num_layers, device=ws.device).view(1, -1, 1)
        return torch.where(layers < cutoff, ws, other)

    def broadcast(self, w: Tensor) -> Tensor:
        """w [N, latent] -> ws [N, num_layers, latent], the same for every layer."""
        return w.unsqueeze(1).expand(-1, self.num_layers, -1)

    def synthesise(self, ws: Tensor, noise: Sequence[Tensor]) -> list[Tensor]:
        """ws [N, num_layers, latent] and noise -> images of all scales; no statistic is touched."""
        self.check_noise(noise)
        return self.images_of(self._activations(ws, noise))

    def _activations(self, ws: Tensor, noise: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
        dtype = self.compute_dtype or ws.dtype
        a: Tensor | None = None
        for index, resolution in enumerate(self.active_scales):
            layers = slice(LAYERS_PER_BLOCK * index, LAYERS_PER_BLOCK * (index + 1))
            a = self.blocks[str(resolution)](a, ws[:, layers], noise[layers], dtype)
            yield resolution, a
