"""The complete critic loss: what it adds up, with which weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from msgbench.config import LossSpec
from msgbench.losses.adversarial import wgan_d_loss
from msgbench.losses.penalties import drift, gradient_penalty
from msgbench.losses.wgan_gp import wgan_gp_d_loss


def images(n: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, r, r, generator=generator, dtype=torch.float64) for r in (4, 8)]


def critic(x):
    """A smooth critic whose gradient differs from sample to sample."""
    return torch.tanh(x[0].flatten(1).sum(1)) + x[1].square().flatten(1).sum(1) / 50


U = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)


def test_terms_are_weighted_and_add_up():
    reals, fakes = images(3, 1), images(3, 2)
    loss = wgan_gp_d_loss(critic, reals, fakes, U, gp_weight=7.0, gp_target=2.0, drift_weight=0.3)
    assert list(loss.terms) == ["adversarial", "gradient_penalty", "drift"]
    expected = {
        "adversarial": wgan_d_loss(critic(reals), critic(fakes)).item(),
        "gradient_penalty": 7.0 / 4.0 * gradient_penalty(critic, reals, fakes, U, 2.0).item(),
        "drift": 0.3 * drift(critic(reals)).item(),
    }
    for name, value in expected.items():
        assert loss.terms[name].item() == pytest.approx(value, rel=1e-12), name
    assert loss.total.item() == pytest.approx(sum(expected.values()), rel=1e-12)


def test_defaults_are_the_papers():
    """Weight 10, target 1, drift 0.001, here and in the config's LossSpec."""
    reals, fakes = images(3, 1), images(3, 2)
    spec = LossSpec(adversarial="wgan")
    assert (spec.gp_weight, spec.gp_target, spec.drift_weight) == (10.0, 1.0, 0.001)
    explicit = wgan_gp_d_loss(
        critic, reals, fakes, U, gp_weight=10.0, gp_target=1.0, drift_weight=0.001
    )
    assert wgan_gp_d_loss(critic, reals, fakes, U).total.item() == explicit.total.item()


def test_closed_form_for_a_linear_critic():
    """D = c * (sum over all pixels): every number of the loss follows by hand."""
    c = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def linear(x):
        return c * (x[0].flatten(1).sum(1) + x[1].flatten(1).sum(1))

    ones = [torch.ones(2, 3, r, r, dtype=torch.float64) for r in (4, 8)]
    zeros = [torch.zeros_like(x) for x in ones]
    loss = wgan_gp_d_loss(linear, ones, zeros, torch.tensor([0.2, 0.9], dtype=torch.float64))
    pixels, norm_4, norm_8 = 48 + 192, 48**0.5, 192**0.5
    penalty = ((0.5 * norm_4 - 1) ** 2 + (0.5 * norm_8 - 1) ** 2) / 2
    expected = -0.5 * pixels + 10 * penalty + 0.001 * (0.5 * pixels) ** 2
    assert loss.total.item() == pytest.approx(expected, rel=1e-12)
    loss.total.backward()
    slope = (0.5 * norm_4 - 1) * norm_4 + (0.5 * norm_8 - 1) * norm_8
    assert c.grad.item() == pytest.approx(-pixels + 10 * slope + 0.002 * 0.5 * pixels**2, rel=1e-12)


def test_reported_values_are_detached_and_per_scale():
    reals, fakes = images(3, 1), images(3, 2)
    loss = wgan_gp_d_loss(critic, reals, fakes, U)
    assert loss.gradient_norms.shape == (3, 2)
    assert torch.equal(loss.real_scores, critic(reals))
    assert torch.equal(loss.fake_scores, critic(fakes))
    for reported in (loss.gradient_norms, loss.real_scores, loss.fake_scores):
        assert not reported.requires_grad
    # Column 0 is the lowest scale: all of its 48 partial derivatives are 1 - tanh^2.
    x_hat = U.view(-1, 1, 1, 1) * reals[0] + (1 - U.view(-1, 1, 1, 1)) * fakes[0]
    slope = 1 - torch.tanh(x_hat.flatten(1).sum(1)) ** 2
    torch.testing.assert_close(loss.gradient_norms[:, 0], slope * 48**0.5, rtol=1e-9, atol=1e-12)


def test_nothing_reaches_what_made_the_fakes():
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    fakes = [x + shift for x in images(3, 2)]
    wgan_gp_d_loss(lambda x: weight * critic(x), images(3, 1), fakes, U).total.backward()
    assert shift.grad is None
    assert weight.grad.abs() > 0
