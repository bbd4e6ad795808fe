"""The gradient penalty against closed forms, a twin written differently, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from msgbench.config import ModelSpec
from msgbench.losses.penalties import (
    drift,
    gradient_norms,
    gradient_penalty,
    interpolate,
    norm_penalty,
)
from msgbench.models.build import build_discriminator

SCALES = (4, 8, 16)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pyramid(n: int, seed: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Independent random images of every scale, each [n, 3, R, R]."""
    generator = seeded(seed)
    return [torch.randn(n, 3, r, r, generator=generator, dtype=dtype) for r in SCALES]


def mixing(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(n, generator=seeded(99), dtype=dtype)


def small_discriminator(group_size: int) -> torch.nn.Module:
    """The real multi-scale D in float64, narrow, at 16 px."""
    spec = ModelSpec(
        family="progan", resolution=16, width_multiplier=0.01, mbstd_group_size=group_size
    )
    return build_discriminator(spec, seeded(5)).double()


class LinearCritic:
    """D(x) = sum_s <w_s, x_s>: the gradient is w_s everywhere."""

    def __init__(self, weights: list[Tensor]) -> None:
        self.weights = weights

    def __call__(self, images):
        return sum((w * x).flatten(1).sum(1) for w, x in zip(self.weights, images, strict=True))


class QuadraticCritic:
    """D(x) = sum_s a_s ||x_s||^2 / 2: the gradient is a_s x_s."""

    def __init__(self, a: list[float]) -> None:
        self.a = a

    def __call__(self, images):
        return sum(
            a / 2 * x.square().flatten(1).sum(1) for a, x in zip(self.a, images, strict=True)
        )


def unit_images(n: int) -> list[Tensor]:
    return [x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for x in pyramid(n, 4)]


def test_interpolation_weighs_the_real_with_u_and_shares_u_over_scales():
    reals, fakes = pyramid(3, 1), pyramid(3, 2)
    u = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)
    for x_hat, real, fake in zip(interpolate(reals, fakes, u), reals, fakes, strict=True):
        assert torch.equal(x_hat[0], fake[0])
        assert torch.equal(x_hat[1], real[1])
        torch.testing.assert_close(
            x_hat[2], 0.25 * real[2] + 0.75 * fake[2], rtol=1e-14, atol=1e-14
        )


def test_interpolated_images_are_independent_leaves():
    reals = [x.requires_grad_() for x in pyramid(2, 1)]
    for x_hat in interpolate(reals, pyramid(2, 2), mixing(2)):
        assert x_hat.is_leaf
        assert x_hat.requires_grad


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1, 1)])
def test_interpolation_wants_one_u_per_sample(shape):
    with pytest.raises(AssertionError, match="one u per sample"):
        interpolate(pyramid(3, 1), pyramid(3, 2), torch.rand(shape, generator=seeded()))


def test_interpolation_wants_the_same_scales():
    with pytest.raises(ValueError, match="zip"):
        interpolate(pyramid(2, 1), pyramid(2, 2)[:-1], mixing(2))


@pytest.mark.parametrize("target", [1.0, 750.0, 0.0])
def test_linear_critic(target):
    weights = [x[0] for x in pyramid(1, 3)]
    penalty = gradient_penalty(
        LinearCritic(weights), pyramid(5, 1), pyramid(5, 2), mixing(5), target
    )
    norms = [math.sqrt(sum(v * v for v in w.flatten().tolist())) for w in weights]
    # A sum over the scales instead of their mean would be three times as much.
    expected = sum((norm - target) ** 2 for norm in norms) / 3
    assert penalty.item() == pytest.approx(expected, rel=1e-12)


def test_quadratic_critic_shows_the_shared_u():
    """Fakes 0 and reals of norm 1: norm_s of sample n is a_s * u_n, whatever the images are."""
    a = [0.5, 2.0, 3.0]
    reals = unit_images(4)
    fakes = [torch.zeros_like(x) for x in reals]
    u = torch.tensor([0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
    norms = gradient_norms(QuadraticCritic(a), interpolate(reals, fakes, u))
    expected = u[:, None] * torch.tensor(a, dtype=torch.float64)
    torch.testing.assert_close(norms, expected, rtol=1e-12, atol=1e-12)
    penalty = gradient_penalty(QuadraticCritic(a), reals, fakes, u)
    by_hand = sum((ai * un - 1) ** 2 for ai in a for un in u.tolist()) / 12
    assert penalty.item() == pytest.approx(by_hand, rel=1e-12)


def test_penalty_is_two_sided():
    norms = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    assert norm_penalty(norms[:, :1], 1.0).item() == 1.0
    assert norm_penalty(norms[:, 1:], 1.0).item() == 1.0


def test_penalty_of_norms_is_the_mean_over_samples_and_scales():
    norms = torch.tensor([[1.0, 2.0, 4.0], [3.0, 1.0, 1.0]], dtype=torch.float64)
    assert norm_penalty(norms, 1.0).item() == pytest.approx((0 + 1 + 9 + 4) / 6, rel=1e-15)


def looped_penalty(D, reals, fakes, u, target, groups) -> float:
    """Sample by sample: the gradient of the summed scores of a sample's group, in Python numbers."""
    n = len(u)
    total = 0.0
    for i in range(n):
        members = next(group for group in groups if i in group)
        mixed = tuple(
            torch.stack([r[j] * u[j] + f[j] - u[j] * f[j] for j in members])
            for r, f in zip(reals, fakes, strict=True)
        )
        gradients = torch.func.grad(
            lambda *images: D(list(images)).sum(), tuple(range(len(mixed)))
        )(*mixed)
        for g in gradients:
            squares = [v * v for v in g[members.index(i)].flatten().tolist()]
            total += (math.sqrt(math.fsum(squares)) - target) ** 2 / len(gradients)
    return total / n


def test_multi_scale_discriminator_equals_the_loop_without_groups():
    D = small_discriminator(group_size=1)
    reals, fakes, u = pyramid(3, 1), pyramid(3, 2), mixing(3)
    expected = looped_penalty(D, reals, fakes, u, 1.0, [[0], [1], [2]])
    assert gradient_penalty(D, reals, fakes, u).item() == pytest.approx(expected, rel=1e-10)


def test_multi_scale_discriminator_equals_the_loop_with_groups():
    """With MinBatchStd a sample's gradient includes its effect on the scores of its group."""
    D = small_discriminator(group_size=2)
    reals, fakes, u = pyramid(4, 1), pyramid(4, 2), mixing(4)
    expected = looped_penalty(D, reals, fakes, u, 1.0, [[0, 2], [1, 3]])
    penalty = gradient_penalty(D, reals, fakes, u).item()
    assert penalty == pytest.approx(expected, rel=1e-10)
    contiguous = looped_penalty(D, reals, fakes, u, 1.0, [[0, 1], [2, 3]])
    assert abs(penalty - contiguous) > 1e-6 * penalty


def test_float32_agrees_with_float64():
    D = small_discriminator(group_size=4)
    reals, fakes, u = pyramid(4, 1), pyramid(4, 2), mixing(4)
    double = gradient_penalty(D, reals, fakes, u).item()
    D.float()
    single = gradient_penalty(D, [x.float() for x in reals], [x.float() for x in fakes], u.float())
    # Rounding of a few thousand float32 operations; a wrong accumulation would show as 1e-3.
    assert single.item() == pytest.approx(double, rel=1e-5)
    assert single.dtype == torch.float32


def test_listing_every_scale_twice_changes_nothing():
    """Average, not sum: twice the inputs with the same gradients is the same penalty."""
    D = small_discriminator(group_size=4)
    reals, fakes, u = pyramid(4, 1), pyramid(4, 2), mixing(4)

    def twice(images):
        return D(images[:3]) + D(images[3:])

    once = gradient_penalty(D, reals, fakes, u).item()
    both = gradient_penalty(twice, reals + reals, fakes + fakes, u).item()
    assert both == pytest.approx(once, rel=1e-12)


def test_repeating_the_batch_changes_nothing():
    D = small_discriminator(group_size=1)
    reals, fakes, u = pyramid(3, 1), pyramid(3, 2), mixing(3)
    again = gradient_penalty(
        D, [x.repeat(2, 1, 1, 1) for x in reals], [x.repeat(2, 1, 1, 1) for x in fakes], u.repeat(2)
    )
    assert again.item() == pytest.approx(gradient_penalty(D, reals, fakes, u).item(), rel=1e-12)


def test_shifting_the_scores_changes_nothing_and_scaling_does():
    D = small_discriminator(group_size=4)
    reals, fakes, u = pyramid(4, 1), pyramid(4, 2), mixing(4)
    plain = gradient_penalty(D, reals, fakes, u)
    shifted = gradient_penalty(lambda x: D(x) + 3, reals, fakes, u)
    assert shifted.item() == pytest.approx(plain.item(), rel=1e-12)
    # norms and target scaled together: the penalty scales with the square.
    scaled = gradient_penalty(lambda x: 3 * D(x), reals, fakes, u, target=3.0)
    assert scaled.item() == pytest.approx(9 * plain.item(), rel=1e-12)


def test_swapping_real_and_fake_with_u_and_1_minus_u_changes_nothing():
    D = small_discriminator(group_size=4)
    reals, fakes, u = pyramid(4, 1), pyramid(4, 2), mixing(4)
    there = gradient_penalty(D, reals, fakes, u).item()
    assert gradient_penalty(D, fakes, reals, 1 - u).item() == pytest.approx(there, rel=1e-12)
    assert gradient_penalty(D, fakes, reals, u).item() != pytest.approx(there, rel=1e-6)


def test_zero_gradient_costs_target_squared_and_gives_no_nan():
    """D = theta ||x||^2 / 2 at x = 0: a bare root of a sum of squares gives NaN in backward here."""
    theta = torch.tensor(2.0, requires_grad=True)
    x = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    u = torch.tensor([0.3, 0.6])
    penalty = gradient_penalty(lambda images: theta * QuadraticCritic([1.0])(images), [x], [x], u)
    norm = 2 * math.sqrt(48)
    assert penalty.item() == pytest.approx((1 + (norm - 1) ** 2) / 2, rel=1e-6)
    penalty.backward()
    # Only the second sample moves theta: d/dtheta (theta sqrt(48) - 1)^2 / 2.
    assert theta.grad.item() == pytest.approx((norm - 1) * math.sqrt(48), rel=1e-6)


@pytest.mark.parametrize("size", [1e-15, 1e-6, 1e6, 1e15])
def test_norms_in_float32_hold_over_many_magnitudes(size):
    weights = [size * x[0] for x in pyramid(1, 3, torch.float32)]
    x_hats = interpolate(pyramid(2, 1, torch.float32), pyramid(2, 2, torch.float32), torch.ones(2))
    norms = gradient_norms(LinearCritic([w.requires_grad_() for w in weights]), x_hats)
    for s, w in enumerate(weights):
        exact = math.sqrt(math.fsum(v * v for v in w.flatten().tolist()))
        # float32 has 24 bits; the sum of 768 squares may lose a few.
        assert norms[:, s].tolist() == pytest.approx([exact] * 2, rel=1e-6)
    norms.sum().backward()
    # d norm / d w is a unit vector, for each of the two samples.
    assert [w.grad.norm().item() for w in weights] == pytest.approx([2.0] * 3, rel=1e-5)


def test_a_scale_that_d_ignores_is_an_error():
    with pytest.raises(RuntimeError, match="not have been used"):
        gradient_penalty(lambda x: x[0].flatten(1).sum(1), pyramid(2, 1), pyramid(2, 2), mixing(2))


def test_gradient_in_the_parameters_passes_gradcheck_on_a_smooth_critic():
    generator = seeded(8)
    reals = [torch.randn(2, 3, r, r, generator=generator, dtype=torch.float64) for r in (2, 4)]
    fakes = [torch.randn(2, 3, r, r, generator=generator, dtype=torch.float64) for r in (2, 4)]
    u = torch.tensor([0.2, 0.7], dtype=torch.float64)
    theta = [
        (0.3 * torch.randn(4, 3 * r * r, generator=generator, dtype=torch.float64)).requires_grad_()
        for r in (2, 4)
    ]

    def penalty(low: Tensor, high: Tensor) -> Tensor:
        def D(images):
            hidden = images[0].flatten(1) @ low.T + torch.tanh(images[1].flatten(1) @ high.T)
            return torch.nn.functional.softplus(hidden).sum(1)

        return gradient_penalty(D, reals, fakes, u)

    assert torch.autograd.gradcheck(penalty, theta, eps=1e-6, atol=1e-7, rtol=1e-5)


def test_gradient_in_the_parameters_of_the_multi_scale_discriminator():
    """d penalty / d theta along random directions, all parameters together and each one alone."""
    D = small_discriminator(group_size=4)
    reals, fakes, u = pyramid(4, 1), pyramid(4, 2), mixing(4)
    parameters = dict(D.named_parameters())
    gradient_penalty(D, reals, fakes, u).backward()
    generator = seeded(12)
    everything = {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64)
        for name, p in parameters.items()
    }
    directions = [everything, *({name: v} for name, v in everything.items())]
    # Leaky ReLU makes the penalty piecewise smooth; so short a step crosses no kink here, and
    # rounding of float64 still leaves 7 digits.
    step = 1e-7
    for direction in directions:
        analytic = sum(
            (parameters[name].grad * v).sum().item()
            for name, v in direction.items()
            if parameters[name].grad is not None
        )
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for name, v in direction.items():
                    parameters[name].add_(v, alpha=sign * step)
            values.append(gradient_penalty(D, reals, fakes, u).item())
            with torch.no_grad():
                for name, v in direction.items():
                    parameters[name].sub_(v, alpha=sign * step)
        numeric = (values[0] - values[1]) / (2 * step)
        assert analytic == pytest.approx(numeric, rel=1e-5, abs=1e-7), list(direction)[:2]


def test_drift_is_the_mean_square_of_real_scores():
    scores = torch.tensor([3.0, -1.0], dtype=torch.float64, requires_grad=True)
    value = drift(scores)
    assert value.item() == 5.0
    value.backward()
    assert scores.grad.tolist() == [3.0, -1.0]


def test_a_u_for_each_scale_mixes_each_scale_by_itself():
    reals, fakes = pyramid(2, 1), pyramid(2, 2)
    u = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]], dtype=torch.float64)
    low, middle, high = interpolate(reals, fakes, u)
    assert torch.equal(low[0], fakes[0][0])
    assert torch.equal(low[1], reals[0][1])
    assert torch.equal(middle[0], reals[1][0])
    torch.testing.assert_close(high[1], 0.25 * reals[2][1] + 0.75 * fakes[2][1])


def test_only_connected_scales_are_averaged():
    weights = [x[0] for x in pyramid(1, 3)]
    norms = [w.norm().item() for w in weights]

    def ignores_the_middle(images: list[Tensor]) -> Tensor:
        return sum((weights[s] * images[s]).flatten(1).sum(1) for s in (0, 2))

    penalty = gradient_penalty(
        ignores_the_middle, pyramid(5, 1), pyramid(5, 2), mixing(5), connected=(4, 16)
    )
    expected = ((norms[0] - 1) ** 2 + (norms[2] - 1) ** 2) / 2
    assert penalty.item() == pytest.approx(expected, rel=1e-12)


def test_one_sided_penalty_lets_small_norms_alone():
    norms = torch.tensor([[0.2, 3.0], [1.0, 0.0]], dtype=torch.float64)
    assert norm_penalty(norms, 1.0, one_sided=True).item() == 1.0
    assert norm_penalty(norms, 1.0).item() == pytest.approx((0.64 + 4 + 0 + 1) / 4, rel=1e-15)


def test_joint_norm_is_that_of_all_inputs_together():
    norms = torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    assert norm_penalty(norms, 1.0, joint=True).item() == (4.0**2 + 0) / 2
