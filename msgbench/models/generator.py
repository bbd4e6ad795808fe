"""What the generators of all families share: images of every scale, and noise that comes from outside.

No generator draws random numbers itself. Noise inputs are tensors that `draw_noise` makes from a torch.Generator,
so that whoever owns the randomness of a step owns that of the noise, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import RGB_CHANNELS, channels
from msgbench.models.layers import GAIN_LINEAR, GAIN_LRELU, EqualizedConv2d


class MultiScaleGenerator(nn.Module):
    """G: (z [N, latent_size], noise) -> images [N, 3, R, R] of all scales, lowest resolution first."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        # Arithmetic of the blocks; latents are normalised and images returned in float32 or wider.
        self.compute_dtype: torch.dtype | None = None
        # Resolution of each noise input, in the order in which they are used; none by default.
        self.noise_resolutions: tuple[int, ...] = ()
        self.rgb_activation = nn.Tanh() if spec.to_rgb_activation == "tanh" else nn.Identity()

    def forward(self, z: Tensor, noise: Sequence[Tensor] = ()) -> list[Tensor]:
        raise NotImplementedError

    def check_noise(self, noise: Sequence[Tensor]) -> None:
        """Raise ValueError unless `noise` holds one input for each of `noise_resolutions`."""
        if len(noise) != len(self.noise_resolutions):
            raise ValueError(
                f"{len(noise)} noise inputs for the {len(self.noise_resolutions)} that this generator takes"
            )


def to_rgb(resolution: int, spec: ModelSpec) -> EqualizedConv2d:
    """r^i: activations -> image, a linear 1x1 convolution, of gain 1 unless the spec says (equations 5 to 8)."""
    gain = GAIN_LRELU if spec.gains == "bmsg" else GAIN_LINEAR
    return EqualizedConv2d(channels(resolution, spec), RGB_CHANNELS, 1, gain=gain)


def draw_noise(
    G: nn.Module,
    batch: int,
    generator: torch.Generator,
    device: str | torch.device | None = None,
) -> list[Tensor]:
    """Noise inputs of `G` for `batch` samples: standard normal [batch, 1, R, R], in the order of their use.

    Drawn on the device of `generator` and moved to `device`; a CPU generator therefore gives the same bits for
    every device. Empty for a family without noise; `generator` is then left as it is.
    """
    assert isinstance(G, MultiScaleGenerator), type(G).__name__
    drawn = (
        torch.randn(batch, 1, side, side, generator=generator, device=generator.device)
        for side in G.noise_resolutions
    )
    return [noise if device is None else noise.to(device) for noise in drawn]
