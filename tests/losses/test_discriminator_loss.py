"""The complete discriminator loss: what it adds up, with which weights."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from msgbench.config import LossSpec
from msgbench.losses.adversarial import d_loss, wgan_d_loss
from msgbench.losses.discriminator import DiscriminatorLoss, discriminator_loss
from msgbench.losses.penalties import drift, gradient_penalty


def images(n: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 3, r, r, generator=generator, dtype=torch.float64) for r in (4, 8)]


def critic(x):
    """A smooth critic whose gradient differs from sample to sample."""
    return torch.tanh(x[0].flatten(1).sum(1)) + x[1].square().flatten(1).sum(1) / 50


U = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)


def wgan_gp(D, reals, fakes, u, **options: float) -> DiscriminatorLoss:
    return discriminator_loss(D, reals, fakes, u, LossSpec(adversarial="wgan", **options))


def test_terms_are_weighted_and_add_up():
    reals, fakes = images(3, 1), images(3, 2)
    loss = wgan_gp(critic, reals, fakes, U, gp_weight=7.0, gp_target=2.0, drift_weight=0.3)
    assert list(loss.terms) == ["adversarial", "gradient_penalty", "drift"]
    expected = {
        "adversarial": wgan_d_loss(critic(reals), critic(fakes)).item(),
        "gradient_penalty": 7.0 / 4.0 * gradient_penalty(critic, reals, fakes, U, 2.0).item(),
        "drift": 0.3 * drift(critic(reals)).item(),
    }
    for name, value in expected.items():
        assert loss.terms[name].item() == pytest.approx(value, rel=1e-12), name
    assert loss.total.item() == pytest.approx(sum(expected.values()), rel=1e-12)


def test_drift_needs_no_penalty():
    reals, fakes = images(3, 1), images(3, 2)
    spec = LossSpec(adversarial="hinge", penalty="none", drift_weight=0.3)
    loss = discriminator_loss(critic, reals, fakes, None, spec)
    assert list(loss.terms) == ["adversarial", "drift"]
    wanted = d_loss("hinge", critic(reals), critic(fakes)) + 0.3 * drift(critic(reals))
    assert loss.total.item() == pytest.approx(wanted.item(), rel=1e-12)


def test_defaults_are_the_papers():
    spec = LossSpec(adversarial="wgan")
    assert (spec.penalty, spec.gp_weight, spec.gp_target) == ("gradient_penalty", 10.0, 1.0)
    assert (spec.gp_norm, spec.gp_mixing, spec.drift_weight) == ("each", "shared", 0.001)
    assert (spec.r1_gamma, spec.r1_gradient, spec.generator_batch) == (10.0, "total", "fresh")


def test_closed_form_for_a_linear_critic():
    """D = c * (sum over all pixels): every number of the loss follows by hand."""
    c = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def linear(x):
        return c * (x[0].flatten(1).sum(1) + x[1].flatten(1).sum(1))

    ones = [torch.ones(2, 3, r, r, dtype=torch.float64) for r in (4, 8)]
    zeros = [torch.zeros_like(x) for x in ones]
    loss = wgan_gp(linear, ones, zeros, torch.tensor([0.2, 0.9], dtype=torch.float64))
    pixels, norm_4, norm_8 = 48 + 192, 48**0.5, 192**0.5
    penalty = ((0.5 * norm_4 - 1) ** 2 + (0.5 * norm_8 - 1) ** 2) / 2
    expected = -0.5 * pixels + 10 * penalty + 0.001 * (0.5 * pixels) ** 2
    assert loss.total.item() == pytest.approx(expected, rel=1e-12)
    loss.total.backward()
    slope = (0.5 * norm_4 - 1) * norm_4 + (0.5 * norm_8 - 1) * norm_8
    assert c.grad.item() == pytest.approx(-pixels + 10 * slope + 0.002 * 0.5 * pixels**2, rel=1e-12)


def test_reported_values_are_detached_and_per_scale():
    reals, fakes = images(3, 1), images(3, 2)
    loss = wgan_gp(critic, reals, fakes, U)
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
    wgan_gp(lambda x: weight * critic(x), images(3, 1), fakes, U).total.backward()
    assert shift.grad is None
    assert weight.grad.abs() > 0


def chained(n: int, seed: int) -> list[Tensor]:
    top = images(n, seed)[-1].requires_grad_()
    return [torch.nn.functional.avg_pool2d(top, 2), top]


def test_r1_is_half_gamma_times_the_mean_square_norm():
    """D = c * (sum of squares at 8 px): the gradient is 2 c x, and the 4 px image is not connected."""
    c = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    reals = images(3, 1)
    spec = LossSpec(
        adversarial="non_saturating", penalty="r1", r1_gradient="partial", r1_gamma=4.0, drift_weight=0.0
    )  # fmt: skip
    loss = discriminator_loss(
        lambda x: c * x[1].square().flatten(1).sum(1), reals, images(3, 2), None, spec, (8,)
    )
    assert list(loss.terms) == ["adversarial", "r1"]
    squares = reals[1].square().flatten(1).sum(1)
    assert loss.terms["r1"].item() == pytest.approx(2.0 * squares.mean().item(), rel=1e-12)
    assert loss.penalised == (8,)
    torch.testing.assert_close(loss.gradient_norms, squares.sqrt()[:, None], rtol=1e-12, atol=0)
    (slope,) = torch.autograd.grad(loss.terms["r1"], c)
    assert slope.item() == pytest.approx(2 * 2.0 * squares.mean().item() / 0.5, rel=1e-12)


def test_total_r1_needs_a_chain_and_differs_from_partial_r1():
    fakes = images(3, 2)
    total = LossSpec(adversarial="non_saturating", penalty="r1")
    partial = LossSpec(adversarial="non_saturating", penalty="r1", r1_gradient="partial")
    unchained = [images(3, 1)[0], images(3, 1)[1].requires_grad_()]
    with pytest.raises(AssertionError, match="chained pyramid"):
        discriminator_loss(critic, unchained, fakes, None, total)
    reals = chained(3, 1)
    through = discriminator_loss(critic, reals, fakes, None, total)
    alone = discriminator_loss(critic, reals, fakes, None, partial)
    assert through.penalised == alone.penalised == (4, 8)
    # The 4 px image has no lower one: both forms agree there, and only there.
    torch.testing.assert_close(through.gradient_norms[:, 0], alone.gradient_norms[:, 0])
    assert not torch.allclose(through.gradient_norms[:, 1], alone.gradient_norms[:, 1], rtol=1e-3)
    assert torch.equal(through.terms["adversarial"], alone.terms["adversarial"])


NAMES = ["wgan", "non_saturating", "hinge", "lsgan", "ra_hinge", "ra_lsgan"]
PENALTIES = ["gradient_penalty", "one_sided", "r1", "none"]


@pytest.mark.parametrize(
    ("name", "penalty"),
    [pair for pair in itertools.product(NAMES, PENALTIES) if pair != ("wgan", "none")],
)
def test_every_loss_goes_with_every_penalty(name: str, penalty: str):
    spec = LossSpec(adversarial=name, penalty=penalty, drift_weight=0.0)
    reals, fakes = chained(3, 1), images(3, 2)
    loss = discriminator_loss(critic, reals, fakes, U, spec)
    expected = d_loss(name, critic(reals), critic(fakes)).item()
    assert loss.terms["adversarial"].item() == pytest.approx(expected, rel=1e-12)
    assert loss.total.item() == pytest.approx(sum(t.item() for t in loss.terms.values()), rel=1e-12)
    assert loss.gradient_norms.shape == (3, 0 if penalty == "none" else 2)
    assert len(loss.terms) == (1 if penalty == "none" else 2)


def test_options_of_the_gradient_penalty():
    """D = a x4-sum + b x8-sum: norms a sqrt(48) and b sqrt(192) for every sample."""
    a, b = 0.1, 0.2
    norms = (a * 48**0.5, b * 192**0.5)  # 0.69 and 2.77

    def penalty(**options: object) -> float:
        spec = LossSpec(adversarial="wgan", **options)
        loss = discriminator_loss(
            lambda x: a * x[0].flatten(1).sum(1) + b * x[1].flatten(1).sum(1),
            [x.requires_grad_() for x in images(3, 1)], images(3, 2), U, spec,
        )  # fmt: skip
        return loss.terms["gradient_penalty"].item()

    low, high = (norm - 1 for norm in norms)
    assert penalty() == pytest.approx(5 * (low**2 + high**2), rel=1e-12)
    assert penalty(penalty="one_sided") == pytest.approx(5 * high**2, rel=1e-12)
    joint = 10 * ((norms[0] ** 2 + norms[1] ** 2) ** 0.5 - 1) ** 2
    assert penalty(gp_norm="joint") == pytest.approx(joint, rel=1e-12)
    assert penalty(gp_norm="top") == pytest.approx(10 * high**2, rel=1e-12)


def test_the_top_alone_is_penalised_and_every_scale_is_looked_at():
    """What D learns from the penalty is the gradient penalty of its largest input, the others held fixed."""

    def entangled(x):
        return critic(x) * (1 + x[0].mean((1, 2, 3)))

    spec = LossSpec(adversarial="wgan", gp_norm="top", drift_weight=0.0)
    reals, fakes = images(3, 1), images(3, 2)
    loss = discriminator_loss(entangled, reals, fakes, U, spec)
    assert loss.penalised == (8,)
    each = discriminator_loss(entangled, reals, fakes, U, LossSpec(adversarial="wgan"))
    assert each.penalised == (4, 8)
    assert torch.equal(loss.gradient_norms, each.gradient_norms[:, 1:])
    low, high = (
        u * real + (1 - u) * fake
        for real, fake, u in zip(reals, fakes, [U.view(-1, 1, 1, 1)] * 2, strict=True)
    )
    high.requires_grad_()
    (gradient,) = torch.autograd.grad(entangled([low, high]).sum(), [high])
    expected = 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    assert loss.terms["gradient_penalty"].item() == pytest.approx(expected.item(), rel=1e-12)
