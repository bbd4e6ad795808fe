"""From a ModelSpec to networks. The only place that knows which class a family is."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from msgbench.config import ModelSpec
from msgbench.errors import ConfigError
from msgbench.models.discriminator import (
    Discriminator,
    GrowingDiscriminator,
    MultiScaleDiscriminator,
)
from msgbench.models.generator import MultiScaleGenerator
from msgbench.models.layers import EqualizedLayer, draw_parameters
from msgbench.models.progan import ProGANGenerator
from msgbench.models.stylegan import StyleGANGenerator

_GENERATORS: dict[str, type[ProGANGenerator] | type[StyleGANGenerator]] = {
    "progan": ProGANGenerator,
    "stylegan": StyleGANGenerator,
}

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def build_generator(
    spec: ModelSpec, generator: torch.Generator | None = None
) -> MultiScaleGenerator:
    """G of `spec` on CPU: z [N, latent_size] and noise -> list of images [N, 3, R, R], lowest R first.

    Parameters are drawn from `generator` (CPU) in the order of `G.modules()`. Without a generator
    they are NaN, for a caller that loads them from a snapshot or only wants shapes.
    """
    return _ready(_GENERATORS[_family(spec)](spec), spec, generator)


def build_discriminator(spec: ModelSpec, generator: torch.Generator | None = None) -> Discriminator:
    """D of `spec` on CPU: list of images [N, 3, R, R], lowest R first -> scores [N].

    Parameters as in `build_generator`. Growing networks make and take one image; they start at full resolution (lod 0).
    """
    _family(spec)
    if spec.growing:
        return _ready(GrowingDiscriminator(spec), spec, generator)
    return _ready(MultiScaleDiscriminator(spec), spec, generator)


def _family(spec: ModelSpec) -> str:
    if spec.family not in _GENERATORS:
        raise ConfigError(f"model.family is {spec.family!r}; allowed: {', '.join(_GENERATORS)}")
    return spec.family


def _ready(network: NetworkT, spec: ModelSpec, generator: torch.Generator | None) -> NetworkT:
    if not spec.equalized_lr:
        for layer in network.modules():
            if isinstance(layer, EqualizedLayer):
                layer.without_equalization()
    if generator is not None:
        draw_parameters(network, generator)
    return network
