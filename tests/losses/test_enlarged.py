"""Penalties of growing baselines: by the pixels of the full resolution, as ProGAN's and StyleGAN's code takes them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from msgbench.config import LossSpec
from msgbench.losses.discriminator import discriminator_loss

SPECS = {
    "gradient_penalty": LossSpec(adversarial="wgan", gp_target=3.0),
    "one_sided": LossSpec(adversarial="wgan", penalty="one_sided", gp_target=0.01),
    "r1": LossSpec(adversarial="non_saturating", penalty="r1", drift_weight=0.0),
}


def images(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, 8, 8, generator=generator, dtype=torch.float64)


def small_critic(x: list[Tensor]) -> Tensor:
    return torch.tanh(x[0] / 3).flatten(1).sum(1) + x[0].square().flatten(1).sum(1) / 20


def large_critic(x: list[Tensor]) -> Tensor:
    """What their code does with an image of full size: means of 4x4 squares first."""
    return small_critic([F.avg_pool2d(x[0], 4)])


def enlarged(x: Tensor) -> Tensor:
    return x.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


@pytest.mark.parametrize("penalty", SPECS)
def test_a_small_image_is_penalised_as_the_large_one_that_it_stands_for(penalty: str) -> None:
    spec, u = SPECS[penalty], torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    reals, fakes = images(1), images(2)

    def leaf(x: Tensor) -> list[Tensor]:
        return [x.clone().requires_grad_()]

    large = discriminator_loss(large_critic, leaf(enlarged(reals)), [enlarged(fakes)], u, spec)
    small = discriminator_loss(small_critic, leaf(reals), [fakes], u, spec, enlarged=4)
    assert small.total.item() == pytest.approx(large.total.item(), rel=1e-12)
    name = "r1" if penalty == "r1" else "gradient_penalty"
    assert small.terms[name].item() == pytest.approx(large.terms[name].item(), rel=1e-12)
    assert small.terms[name].item() > 0
    assert torch.allclose(small.gradient_norms, large.gradient_norms, rtol=1e-12)
    shown = discriminator_loss(small_critic, leaf(reals), [fakes], u, spec)
    assert torch.allclose(shown.gradient_norms, 4 * large.gradient_norms, rtol=1e-12)
