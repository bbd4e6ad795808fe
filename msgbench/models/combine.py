"""The combine functions phi(image, activation) of the discriminator (paper, equations 9 to 13).

A combine function is a module, because some variants own weights; it says how many channels come
out, and the block that follows is built for them. A new variant is a class here, a case in
`make_combine` and one in `channels.discriminator_channels`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from msgbench.errors import ConfigError
from msgbench.models.channels import RGB_CHANNELS
from msgbench.models.layers import EqualizedConv2d, leaky_relu


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


class PhiLinCat(CombineFunction):
    """phi_lin_cat(x1, x2) = [r'(x1); x2]: the image through a 1x1 convolution first (equation 12).

    r' makes `image_features` channels (the paper: half of the block's width), with a bias. No activation follows, or
    a leaky ReLU where `activated`.
    """

    name = "phi_lin_cat"

    def __init__(
        self, activation_channels: int, image_features: int, activated: bool = False
    ) -> None:
        super().__init__()
        self.linear = EqualizedConv2d(RGB_CHANNELS, image_features, 1)
        self.act = leaky_relu() if activated else nn.Identity()
        self.out_channels = image_features + activation_channels

    def forward(self, image: Tensor, activation: Tensor) -> Tensor:
        features = self.act(self.linear(image.to(activation.dtype)))
        return torch.cat([features, activation], dim=1)


class PhiCatLin(CombineFunction):
    """phi_cat_lin(x1, x2) = r'([x1; x2]): concatenation through a 1x1 convolution (equation 13).

    r' gives as many channels as the activations have, without bias and activation, as in the authors' code.
    """

    name = "phi_cat_lin"

    def __init__(self, activation_channels: int) -> None:
        super().__init__()
        concatenated = RGB_CHANNELS + activation_channels
        self.linear = EqualizedConv2d(concatenated, activation_channels, 1, bias=False)
        self.out_channels = activation_channels

    def forward(self, image: Tensor, activation: Tensor) -> Tensor:
        return self.linear(torch.cat([image.to(activation.dtype), activation], dim=1))


COMBINE_FUNCTIONS = (PhiSimple.name, PhiLinCat.name, PhiCatLin.name)


def make_combine(
    name: str,
    activation_channels: int,
    image_features: int | None = None,
    lin_cat_activation: str = "linear",
) -> CombineFunction:
    """The combine function `name` for a block whose activations have `activation_channels` channels.

    `image_features`: channels that phi_lin_cat makes of the image; half of the activations' by default.
    `lin_cat_activation`: what follows in it, `linear` or `lrelu`.
    Raises ConfigError for a name that is not built.
    """
    match name:
        case PhiSimple.name:
            return PhiSimple(activation_channels)
        case PhiLinCat.name:
            features = image_features or max(1, activation_channels // 2)
            return PhiLinCat(activation_channels, features, lin_cat_activation == "lrelu")
        case PhiCatLin.name:
            return PhiCatLin(activation_channels)
        case _:
            raise ConfigError(f"model.combine is {name!r}; allowed: {', '.join(COMBINE_FUNCTIONS)}")
