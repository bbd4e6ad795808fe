"""Adversarial terms against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from msgbench.losses.adversarial import d_loss, g_loss, wgan_d_loss, wgan_g_loss


def test_critic_loss_is_mean_fake_minus_mean_real():
    real = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([-1.0, 0.5, -2.5], dtype=torch.float64, requires_grad=True)
    loss = wgan_d_loss(real, fake)
    assert loss.item() == -1.0 - 3.0
    loss.backward()
    assert real.grad.tolist() == [-1 / 3] * 3
    assert fake.grad.tolist() == [1 / 3] * 3


def test_generator_loss_is_minus_mean_fake():
    fake = torch.tensor([1.0, 2.0, -9.0, 2.0], dtype=torch.float64, requires_grad=True)
    loss = wgan_g_loss(fake)
    assert loss.item() == 1.0
    loss.backward()
    assert fake.grad.tolist() == [-0.25] * 4


def test_critic_loss_ignores_a_common_shift_of_scores():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([4.0, 0.5])
    # Small integers and halves: exact in float32.
    assert wgan_d_loss(real + 64, fake + 64) == wgan_d_loss(real, fake)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


REAL, FAKE = [0.5, -2.0, 3.25], [-0.25, 1.5, -4.0]
R, F = mean(REAL), mean(FAKE)


def relu(x: float) -> float:
    return max(0.0, x)


# name -> discriminator's and generator's loss of REAL and FAKE, in Python numbers.
CLOSED: dict[str, tuple[float, float]] = {
    "wgan": (F - R, -F),
    "non_saturating": (
        mean([softplus(f) for f in FAKE]) + mean([softplus(-r) for r in REAL]),
        mean([softplus(-f) for f in FAKE]),
    ),
    "hinge": (mean([relu(1 - r) for r in REAL]) + mean([relu(1 + f) for f in FAKE]), -F),
    "lsgan": (
        mean([(r - 1) ** 2 for r in REAL]) / 2 + mean([f**2 for f in FAKE]) / 2,
        mean([(f - 1) ** 2 for f in FAKE]) / 2,
    ),
    # First version, equations 10 to 13.
    "ra_hinge": (
        mean([relu(1 - (r - F)) for r in REAL]) + mean([relu(1 + (f - R)) for f in FAKE]),
        mean([relu(1 + (r - F)) for r in REAL]) + mean([relu(1 - (f - R)) for f in FAKE]),
    ),
    "ra_lsgan": (
        mean([(r - F - 1) ** 2 for r in REAL]) + mean([(f - R + 1) ** 2 for f in FAKE]),
        mean([(f - R - 1) ** 2 for f in FAKE]) + mean([(r - F + 1) ** 2 for r in REAL]),
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_losses_equal_their_formulas(name: str) -> None:
    real, fake = (torch.tensor(scores, dtype=torch.float64) for scores in (REAL, FAKE))
    for_d, for_g = CLOSED[name]
    assert d_loss(name, real, fake).item() == pytest.approx(for_d, rel=1e-14)
    assert g_loss(name, fake, real).item() == pytest.approx(for_g, rel=1e-14)


@pytest.mark.parametrize("name", CLOSED)
def test_gradients_equal_finite_differences(name: str) -> None:
    real, fake = (
        torch.tensor(scores, dtype=torch.float64, requires_grad=True) for scores in (REAL, FAKE)
    )
    losses: tuple[Callable[..., torch.Tensor], ...] = (
        lambda r, f: d_loss(name, r, f),
        lambda r, f: g_loss(name, f, r),
    )
    for loss in losses:
        assert torch.autograd.gradcheck(loss, (real, fake), eps=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["ra_hinge", "ra_lsgan"])
def test_relativistic_losses_need_reals_and_see_only_differences(name: str) -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([4.0, 0.5])
    with pytest.raises(AssertionError, match="needs the scores of reals"):
        g_loss(name, fake)
    assert d_loss(name, real + 64, fake + 64) == d_loss(name, real, fake)
    assert g_loss(name, fake + 64, real + 64) == g_loss(name, fake, real)


@pytest.mark.parametrize("name", ["hinge", "ra_hinge"])
def test_a_hinge_that_is_satisfied_has_no_gradient(name: str) -> None:
    real = torch.tensor([5.0, 6.0], requires_grad=True)
    loss = d_loss(name, real, torch.tensor([-5.0, -4.0]))
    assert loss.item() == 0.0
    loss.backward()
    assert real.grad is not None
    assert real.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("score", [1e4, -1e4])
def test_the_logistic_losses_stay_finite(score: float) -> None:
    scores = torch.tensor([score], requires_grad=True)
    loss = d_loss("non_saturating", scores, -scores)
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(scores.grad).all()
