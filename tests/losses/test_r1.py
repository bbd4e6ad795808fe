"""R1: total derivatives against the recursion, partial ones against leaves, autograd against torch.func."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from msgbench.config import ModelSpec
from msgbench.data.pyramid import real_pyramid
from msgbench.losses.functional import functional_input_gradients, total_gradients
from msgbench.losses.penalties import (
    connected_inputs,
    gradient_norms,
    input_gradients,
    interpolate,
    norm_penalty,
    norms_of,
    r1_penalty,
)
from msgbench.models.build import build_discriminator


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def discriminator(group_size: int = 2) -> torch.nn.Module:
    """The real multi-scale D in float64, narrow, at 16 px."""
    spec = ModelSpec(
        family="progan", resolution=16, width_multiplier=0.01, mbstd_group_size=group_size
    )
    return build_discriminator(spec, seeded(5)).double()


def top_images(n: int, seed: int = 1) -> Tensor:
    return torch.randn(n, 3, 16, 16, generator=seeded(seed), dtype=torch.float64)


def upsampled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def partial(D: torch.nn.Module, top: Tensor) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in real_pyramid(top)]
    return input_gradients(D(leaves), leaves)


def total(D: torch.nn.Module, top: Tensor) -> list[Tensor]:
    reals = real_pyramid(top.detach().requires_grad_())
    return input_gradients(D(reals), reals)


def test_total_derivatives_follow_the_recursion_from_the_lowest_scale():
    """g_4 = p_4 and g_R = p_R + upsampled(g_{R/2}) / 4, of the real multi-scale discriminator."""
    D, top = discriminator(), top_images(4)
    partials, totals = partial(D, top), total(D, top)
    expected = partials[0]
    torch.testing.assert_close(totals[0], expected, rtol=1e-12, atol=1e-12)
    for own, found in zip(partials[1:], totals[1:], strict=True):
        expected = own + upsampled(expected) / 4
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
        assert (found - own).norm() > 0.05 * own.norm(), "the lower scales have their part"


def test_the_top_gradient_is_the_derivative_along_a_direction():
    """A finite difference of the scores when the top image moves and all scales with it."""
    D, top = discriminator(), top_images(4)
    direction = top_images(4, seed=7)
    analytic = (total(D, top)[-1] * direction).sum().item()
    step = 1e-6
    scores = [D(real_pyramid(top + sign * step * direction)).sum().item() for sign in (1, -1)]
    assert analytic == pytest.approx((scores[0] - scores[1]) / (2 * step), rel=1e-6)


def test_r1_is_the_mean_over_scales_and_samples():
    gradients = [x.double() for x in (torch.ones(2, 3, 4, 4), 2 * torch.ones(2, 3, 8, 8))]
    gradients[0][1] = 0
    # 48, 0 at 4 px and 4 * 192 twice at 8 px.
    assert r1_penalty(gradients).item() == (48 + 0 + 768 + 768) / 4


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("connected", [None, (4, 16), (16,)])
def test_torch_func_and_autograd_give_the_same_r1(whole: bool, connected: tuple[int, ...] | None):
    D, top = discriminator(), top_images(4)
    expected_gradients = connected_inputs(total(D, top) if whole else partial(D, top), connected)
    expected = r1_penalty(expected_gradients)
    found = r1_penalty(functional_input_gradients(D, real_pyramid(top), connected, total=whole))
    assert len(expected_gradients) == (3 if connected is None else len(connected))
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    same_parameter_gradients(D, expected, found)


@pytest.mark.parametrize("one_sided", [True, False])
def test_torch_func_and_autograd_give_the_same_gradient_penalty(one_sided: bool):
    D = discriminator()
    reals, fakes = real_pyramid(top_images(4)), real_pyramid(top_images(4, seed=2))
    x_hats = interpolate(reals, fakes, torch.rand(4, generator=seeded(9), dtype=torch.float64))
    # A target among the norms, so that the one-sided form has both kinds.
    target = gradient_norms(D, x_hats).median().item()
    expected = norm_penalty(gradient_norms(D, x_hats), target, one_sided=one_sided)
    norms = norms_of(functional_input_gradients(D, x_hats))
    found = norm_penalty(norms, target, one_sided=one_sided)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    same_parameter_gradients(D, expected, found)


def same_parameter_gradients(D: torch.nn.Module, expected: Tensor, found: Tensor) -> None:
    parameters = list(D.parameters())
    ours = torch.autograd.grad(found, parameters, allow_unused=True)
    theirs = torch.autograd.grad(expected, parameters, allow_unused=True)
    assert sum(g is not None and bool(g.abs().max() > 0) for g in theirs) > len(parameters) / 2
    for one, other in zip(ours, theirs, strict=True):
        zero = torch.zeros(())
        scale = max((other if other is not None else zero).abs().max().item(), 1e-6)
        difference = (one if one is not None else zero) - (other if other is not None else zero)
        assert difference.abs().max().item() <= 1e-9 * scale


def test_total_gradients_leave_the_lowest_scale_alone():
    partials = [torch.full((1, 1, r, r), float(r)) for r in (4, 8, 16)]
    low, middle, high = total_gradients(partials)
    assert low.unique().tolist() == [4.0]
    assert middle.unique().tolist() == [8.0 + 1.0]
    assert high.unique().tolist() == [16.0 + 9.0 / 4]
