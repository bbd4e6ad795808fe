"""The closed forms of the cost model against the built networks: torch's own counter, and the parameters."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from msgbench.models.arithmetic import (
    discriminator_macs,
    discriminator_parameters,
    generator_macs,
    generator_parameters,
)
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.describe import count_parameters
from msgbench.models.generator import draw_noise
from msgbench.models.precision import fuse_upsampling

CASES = [
    {},
    {"combine": "phi_lin_cat"},
    {"combine": "phi_cat_lin"},
    {"combine": "phi_lin_cat", "lin_cat_activation": "lrelu"},
    {"connections": "none"},
    {"connections": "middle", "combine": "phi_cat_lin"},
    {"mbstd": "last_block"},
    {"mbstd": "off", "pixel_norm": "off"},
    {"variant": "bmsg", "combine": "phi_lin_cat"},
    {"variant": "bbmsg", "combine": "phi_lin_cat", "mbstd": "last_block"},
    {"family": "stylegan"},
    {"family": "stylegan", "combine": "phi_simple", "connections": "coarse"},
]


@pytest.mark.parametrize("changes", CASES, ids=lambda changes: "-".join(map(str, changes.values())))
@pytest.mark.parametrize(("resolution", "width"), [(64, 0.1), (32, 1.0)])
def test_macs_and_parameters_are_those_of_the_built_networks(
    model_spec, changes, resolution, width
):
    spec = model_spec(resolution, width, **changes)
    with torch.device("meta"):
        G, D = build_generator(spec), build_discriminator(spec)
        assert generator_parameters(spec) == count_parameters(G)
        assert discriminator_parameters(spec) == count_parameters(D)
        # The arithmetic as published: upsampling and its convolution step by step.
        fuse_upsampling(G, False)
        fuse_upsampling(D, False)
        counter = FlopCounterMode(display=False)
        z, noise = torch.empty(1, spec.latent_size), draw_noise(G, 1, torch.Generator(), "meta")
        # The counter sees multiplications of matrices and convolutions: two operations for each pair.
        with counter:
            images = G.requires_grad_(False).eval()(z, noise)
        assert generator_macs(spec) == counter.get_total_flops() / 2
        with counter:
            D.requires_grad_(False)(images)
        assert discriminator_macs(spec) == counter.get_total_flops() / 2
