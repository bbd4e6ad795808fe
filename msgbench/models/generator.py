"""What the generators of all families share: images of the scales, growing, and noise that comes from outside.

No generator draws random numbers itself. Noise inputs are tensors that `draw_noise` makes from a torch.Generator,
so that whoever owns the randomness of a step owns that of the noise, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from msgbench.config import ModelSpec
from msgbench.models.channels import RGB_CHANNELS, channels
from msgbench.models.growing import Grows, active_scales, fade_of, faded
from msgbench.models.layers import GAIN_LINEAR, GAIN_LRELU, EqualizedConv2d, widened


class MultiScaleGenerator(Grows):
    """G: (z [N, latent_size], noise) -> images [N, 3, R, R] of all scales, lowest resolution first.

    A growing one gives a single image, of the resolution that `lod` says (models/growing.py); the parameters are
    the same.
    """

    # Noise inputs of each resolution.
    noise_per_scale = 0
    to_rgb: nn.ModuleDict

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.scales = spec.scales
        # Missing level of detail of a growing generator, 0 = full resolution; None: all scales at once.
        self.lod: float | None = 0.0 if spec.growing else None
        # Arithmetic of the blocks; latents are normalised and images returned in float32 or wider.
        self.compute_dtype: torch.dtype | None = None
        self.rgb_activation = nn.Tanh() if spec.to_rgb_activation == "tanh" else nn.Identity()

    def forward(self, z: Tensor, noise: Sequence[Tensor] = ()) -> list[Tensor]:
        raise NotImplementedError

    @property
    def active_scales(self) -> tuple[int, ...]:
        """Resolutions of the blocks that take part, lowest first: all of them but in a growing generator."""
        return active_scales(self.scales, self.lod)

    @property
    def noise_resolutions(self) -> tuple[int, ...]:
        """Resolution of each noise input, in the order in which they are used; none for a family without noise."""
        return tuple(r for r in self.active_scales for _ in range(self.noise_per_scale))

    def images_of(self, activations: Iterable[tuple[int, Tensor]]) -> list[Tensor]:
        """Images from (resolution, activations) of the active scales, lowest first (equations 5 to 8).

        A growing generator's one image is that of the last, faded with that of the one before (ProGAN, figure 2).
        """
        if self.lod is None:
            return [self._image(resolution, a) for resolution, a in activations]
        *_, (below, a_below), (top, a_top) = [(0, None), *activations]
        image = self._image(top, a_top)
        if fade_of(self.lod) > 0:
            assert a_below is not None, "the first resolution is not faded in"
            image = faded(image, self._image(below, a_below), self.fade_for(image.dtype))
        return [image]

    def _image(self, resolution: int, a: Tensor) -> Tensor:
        return self.rgb_activation(widened(self.to_rgb[str(resolution)](a)))

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
