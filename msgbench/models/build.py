"""From a ModelSpec to networks. The only place that knows which class a family is."""

from __future__ import annotations

import torch
from torch import nn

from msgbench.config import ModelSpec
from msgbench.errors import ConfigError
from msgbench.models.discriminator import MultiScaleDiscriminator
from msgbench.models.layers import draw_parameters
from msgbench.models.progan import MSGProGANGenerator


def build_generator(spec: ModelSpec, generator: torch.Generator | None = None) -> nn.Module:
    """G of `spec` on CPU: z [N, latent_size] -> list of images [N, 3, R, R], lowest R first.

    Parameters are drawn from `generator` (CPU) in the order of `G.modules()`. Without a generator
    they are NaN, for a caller that loads them from a snapshot or only wants shapes.
    """
    match spec.family:
        case "progan":
            return _drawn(MSGProGANGenerator(spec), generator)
        case _:
            raise ConfigError(f"model.family is {spec.family!r}; allowed: progan")


def build_discriminator(spec: ModelSpec, generator: torch.Generator | None = None) -> nn.Module:
    """D of `spec` on CPU: list of images [N, 3, R, R], lowest R first -> scores [N].

    Parameters as in `build_generator`.
    """
    match spec.family:
        case "progan":
            return _drawn(MultiScaleDiscriminator(spec), generator)
        case _:
            raise ConfigError(f"model.family is {spec.family!r}; allowed: progan")


def _drawn(module: nn.Module, generator: torch.Generator | None) -> nn.Module:
    if generator is not None:
        draw_parameters(module, generator)
    return module
