"""What every adversarial loss that the configuration knows has to do, whatever its formula: a new one is held to it."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from msgbench.config import RELATIVISTIC
from msgbench.config.objective import Adversarial
from msgbench.losses.adversarial import d_loss, g_loss

NAMES = get_args(Adversarial)


@pytest.mark.parametrize("name", NAMES)
def test_d_pulls_reals_up_and_fakes_down_and_g_pulls_fakes_up(name: str) -> None:
    """By the gradients of scores of which D is not sure: lsgan's of a fake at 0 would be 0."""
    real = torch.tensor([-0.1, -0.2, 0.05], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(d_loss(name, real, fake), [real, fake])
    assert (of_real < 0).all()
    assert (of_fake > 0).all()
    loss = g_loss(name, fake, real if name in RELATIVISTIC else None)
    (of_fake,) = torch.autograd.grad(loss, [fake])
    assert (of_fake < 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_over_the_batch(name: str) -> None:
    """Twice the same batch is the same loss."""
    real = torch.tensor([0.5, -1.5], dtype=torch.float64)
    fake = torch.tensor([0.25, 2.0], dtype=torch.float64)
    once, twice = (
        d_loss(name, *scores) for scores in ((real, fake), (real.repeat(2), fake.repeat(2)))
    )
    torch.testing.assert_close(once, twice, rtol=1e-12, atol=0)
    real_scores = real if name in RELATIVISTIC else None
    doubled = real.repeat(2) if name in RELATIVISTIC else None
    torch.testing.assert_close(
        g_loss(name, fake, real_scores), g_loss(name, fake.repeat(2), doubled), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("name", RELATIVISTIC)
def test_a_relativistic_loss_sees_differences_alone(name: str) -> None:
    real = torch.tensor([0.5, -1.5], dtype=torch.float64)
    fake = torch.tensor([0.25, 2.0], dtype=torch.float64)
    torch.testing.assert_close(
        d_loss(name, real + 7, fake + 7), d_loss(name, real, fake), rtol=1e-12, atol=0
    )
