"""Multi-scale gradients: the loss reaches every scale of G and every block of D (paper, Figure 2)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from msgbench.config import LossSpec
from msgbench.losses.adversarial import wgan_g_loss
from msgbench.losses.discriminator import discriminator_loss
from msgbench.losses.functional import functional_input_gradients
from msgbench.models.build import build_discriminator, build_generator


def build_both(spec):
    G = build_generator(spec, torch.Generator().manual_seed(0))
    D = build_discriminator(spec, torch.Generator().manual_seed(1))
    return G, D


def latents(n: int, size: int) -> Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("resolution", "batch"), [(8, 4), (32, 4), (128, 4), (1024, 1)])
def test_generator_loss_reaches_to_rgb_at_every_scale(model_spec, resolution, batch):
    spec = model_spec(resolution, 0.01, latent_size=8)
    G, D = build_both(spec)
    wgan_g_loss(D(G(latents(batch, 8)))).backward()
    assert list(G.to_rgb) == [str(r) for r in spec.scales]
    for name, parameter in G.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_each_scale_has_a_path_of_its_own(model_spec):
    """Cutting the connection at one scale silences exactly that scale's to_rgb."""
    spec = model_spec(32, 0.01, latent_size=8)
    for cut in range(4):
        G, D = build_both(spec)
        images = G(latents(4, 8))
        images[cut] = images[cut].detach()
        wgan_g_loss(D(images)).backward()
        silent = [r for r, layer in G.to_rgb.items() if layer.weight.grad is None]
        assert silent == [str(spec.scales[cut])]


def test_lower_scales_reach_only_the_blocks_they_come_from(model_spec):
    """With every other connection cut, o_8 moves blocks 4 and 8 of G and no later block."""
    G, D = build_both(model_spec(32, 0.01, latent_size=8))
    images = [x if x.shape[-1] == 8 else x.detach() for x in G(latents(4, 8))]
    wgan_g_loss(D(images)).backward()
    moved = {name.split(".")[1] for name, p in G.named_parameters() if p.grad is not None}
    assert moved == {"4", "8"}


@pytest.mark.parametrize("resolution", [8, 32])
def test_discriminator_loss_reaches_every_parameter(model_spec, resolution):
    spec = model_spec(resolution, 0.01, latent_size=8)
    G, D = build_both(spec)
    fakes = G(latents(4, 8))
    reals = [torch.randn(x.shape, generator=torch.Generator().manual_seed(3)) for x in fakes]
    u = torch.tensor([0.1, 0.4, 0.6, 0.9])
    discriminator_loss(D, reals, fakes, u, LossSpec(adversarial="wgan")).total.backward()
    for name, parameter in D.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    # The discriminator's step never reaches the generator.
    assert all(parameter.grad is None for parameter in G.parameters())


def test_all_scales_reach_the_score(model_spec):
    D: nn.Module = build_discriminator(model_spec(32, 0.01), torch.Generator().manual_seed(1))
    images = [
        torch.randn(4, 3, r, r, generator=torch.Generator().manual_seed(r)).requires_grad_()
        for r in (4, 8, 16, 32)
    ]
    for gradient in torch.autograd.grad(D(images).sum(), images):
        assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "stylegan"},
        {"family": "stylegan", "combine": "phi_lin_cat", "connections": [8], "mbstd": "off"},
        {"combine": "phi_cat_lin", "connections": [4]},
        {"connections": "none"},
        {"variant": "bmsg", "mbstd_group_size": None},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_discriminator_differentiates_twice_by_torch_func_as_by_autograd(model_spec, changes):
    """What the penalties need: gradients by the connected images, and their gradients by the parameters."""
    spec = model_spec(16, 0.02, **changes)
    D = build_discriminator(spec, torch.Generator().manual_seed(1)).double()
    images = [
        torch.randn(4, 3, r, r, generator=torch.Generator().manual_seed(r), dtype=torch.float64)
        for r in spec.scales
    ]
    leaves = [image.requires_grad_() for image in images if image.shape[-1] in D.connected]
    by_autograd = torch.autograd.grad(D(images).sum(), leaves, create_graph=True)
    by_func = functional_input_gradients(D, images, D.connected)
    assert len(by_func) == len(by_autograd) == len(D.connected)
    penalties = [sum(g.square().sum() for g in form) for form in (by_autograd, by_func)]
    parameters = list(D.parameters())
    twice = [torch.autograd.grad(p, parameters, allow_unused=True) for p in penalties]
    for a, b in (*zip(by_autograd, by_func, strict=True), *zip(*twice, strict=True)):
        # The last layer's bias has no part in either.
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert sum(gradient is not None for gradient in twice[0]) >= len(parameters) // 2
