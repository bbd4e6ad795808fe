"""What MSG-StyleGAN's latents and noise can be used for in pictures: truncation, mixing, other noise.

Nothing here takes part in training or in measuring. `G` is a generator with styles, in eval mode.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from msgbench.errors import ConfigError
from msgbench.models.generator import MultiScaleGenerator, draw_noise
from msgbench.models.stylegan import StyleGANGenerator

# StyleGAN's own choice: only the layers of the lowest resolutions are truncated.
TRUNCATED_LAYERS = 8


def truncate(
    G: nn.Module, ws: Tensor, psi: float, num_layers: int | None = TRUNCATED_LAYERS
) -> Tensor:
    """ws [N, L, latent] drawn towards the average: w_average + psi * (w - w_average) in the first `num_layers` layers.

    psi 1 changes nothing, 0 gives every sample the average; None stands for all layers.
    """
    styled = _styled(G)
    head = ws[:, :num_layers]
    return torch.cat(
        [torch.lerp(styled.w_average.to(ws.dtype), head, psi), ws[:, head.shape[1] :]], 1
    )


def mix_styles(
    G: nn.Module,
    destination: Tensor,
    source: Tensor,
    layers: Collection[int],
    noise: Sequence[Tensor],
    psi: float = 1.0,
) -> list[Tensor]:
    """Images of the latents `destination` [N, latent] that take the styles of `source` [N, latent] at `layers`.

    `layers` are numbers from 0 (4x4) to L - 1; the paper's Figure 9 takes 0 to 3 (coarse), 4 to 7 (middle) and
    8 to 17 (fine). Raises ConfigError for a layer that the generator has not.
    """
    styled = _styled(G)
    wrong = sorted(set(layers) - set(range(styled.num_layers)))
    if wrong:
        raise ConfigError(
            f"layers {wrong} are not allowed in a style mixing; allowed: 0 to {styled.num_layers - 1}"
        )
    taken = torch.zeros(styled.num_layers, dtype=torch.bool, device=destination.device)
    taken[sorted(layers)] = True
    kept, other = (styled.broadcast(styled.mapping(z)) for z in (destination, source))
    ws = torch.where(taken[:, None], other, kept)
    return styled.synthesise(truncate(G, ws, psi), noise)


def redraw_noise(
    G: nn.Module, z: Tensor, draws: int, generator: torch.Generator
) -> Iterator[list[Tensor]]:
    """Images of the same latents z [N, latent] under `draws` draws of the noise, one after the other.

    For a generator without noise inputs all draws are equal.
    """
    assert isinstance(G, MultiScaleGenerator), type(G).__name__
    for _ in range(draws):
        yield G(z, draw_noise(G, len(z), generator, z.device))


def _styled(G: nn.Module) -> StyleGANGenerator:
    if not isinstance(G, StyleGANGenerator):
        raise ConfigError("model.family progan has no styles to truncate or mix; allowed: stylegan")
    return G
