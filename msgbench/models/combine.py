"""The combine functions phi(image, activation) of the discriminator (paper, equations 9 to 13).

A combine function is a module, because some variants own weights; it says how many channels come
out, and the block that follows is built for them. A new variant is a class here and a case in
`make_combine`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from msgbench.errors import ConfigError
from msgbench.models.channels import RGB_CHANNELS


class CombineFunction(nn.Module):
    """phi: image [N, 3, H, W] and activation [N, p, H, W] -> [N, out_channels, H, W]."""

    # The name in config.yaml and in layer tables.
    name: str
    out_channels: int

    def forward(self, image: Tensor, activation: Tensor) -> Tensor:
        raise NotImplementedError


class PhiSimple(CombineFunction):
    """phi_simple(x1, x2) = [x1; x2]: channelwise concatenation, the image first (equation 11)."""

    name = "phi_simple"

    def __init__(self, activation_channels: int) -> None:
        super().__init__()
        self.out_channels = RGB_CHANNELS + activation_channels

    def forward(self, image: Tensor, activation: Tensor) -> Tensor:
        return torch.cat([image.to(activation.dtype), activation], dim=1)


def make_combine(name: str, activation_channels: int) -> CombineFunction:
    """The combine function `name` for a block whose activations have `activation_channels` channels.

    Raises ConfigError for a name that is not built.
    """
    match name:
        case PhiSimple.name:
            return PhiSimple(activation_channels)
        case _:
            raise ConfigError(f"model.combine is {name!r}; allowed: {PhiSimple.name}")
