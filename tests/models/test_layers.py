"""The layers against closed forms and slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from msgbench.errors import ConfigError
from msgbench.models.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    LatentConv4x4,
    MinibatchStdDev,
    PixelNorm,
    UpsampleConv2d,
    draw_parameters,
    leaky_relu,
)

from .conftest import require_fused_is_the_same, seeded


def test_equalized_conv_scales_the_weight_and_not_the_bias():
    layer = EqualizedConv2d(6, 5, 3, padding=1, gain=1.7).double()
    draw_parameters(layer, seeded())
    with torch.no_grad():
        layer.bias.copy_(torch.arange(5.0))
    x = torch.randn(2, 6, 4, 4, generator=seeded(1), dtype=torch.float64)
    expected = F.conv2d(x, layer.weight, padding=1) * 1.7 / math.sqrt(6 * 9)
    expected = expected + torch.arange(5.0).view(1, 5, 1, 1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_upsampling_fused_with_its_convolution_is_the_same_function(side):
    require_fused_is_the_same(UpsampleConv2d(6, 5).double(), side, 2 * side)


def test_equalized_linear_scales_the_weight_and_not_the_bias():
    layer = EqualizedLinear(10, 3, gain=0.5).double()
    draw_parameters(layer, seeded())
    with torch.no_grad():
        layer.bias.copy_(torch.arange(3.0))
    x = torch.randn(4, 10, generator=seeded(1), dtype=torch.float64)
    expected = x @ layer.weight.T * 0.5 / math.sqrt(10) + torch.arange(3.0)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_latent_layer_is_a_4x4_transposed_convolution_of_a_1x1_image():
    layer = LatentConv4x4(7, 5).double()
    draw_parameters(layer, seeded())
    with torch.no_grad():
        layer.bias.copy_(torch.arange(5.0))
    z = torch.randn(3, 7, generator=seeded(1), dtype=torch.float64)
    weight = layer.weight * math.sqrt(2) / math.sqrt(16 * 7)
    expected = F.conv_transpose2d(z[:, :, None, None], weight, layer.bias)
    torch.testing.assert_close(layer(z), expected, rtol=1e-12, atol=1e-12)


def test_without_bias_nothing_is_added():
    layer = EqualizedConv2d(3, 3, 1, bias=False)
    draw_parameters(layer, seeded())
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert torch.equal(layer(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize(
    "layer",
    [EqualizedConv2d(64, 64, 3), EqualizedLinear(256, 144), LatentConv4x4(64, 36)],
    ids=lambda layer: type(layer).__name__,
)
def test_weights_are_standard_normal_and_biases_zero(layer):
    draw_parameters(layer, seeded(3))
    n = layer.weight.numel()
    # 5 standard errors of mean and of variance of n normal draws: chance of a false alarm 1e-6.
    assert abs(layer.weight.mean().item()) < 5 / math.sqrt(n)
    assert abs(layer.weight.var().item() - 1) < 5 * math.sqrt(2 / n)
    assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_undrawn_layers_give_nan():
    out = EqualizedConv2d(2, 2, 1)(torch.ones(1, 2, 1, 1))
    assert out.isnan().all()


def test_parameters_are_drawn_in_registration_order():
    net = nn.Sequential(EqualizedConv2d(2, 3, 3), nn.LeakyReLU(), EqualizedLinear(4, 2))
    draw_parameters(net, seeded(5))
    by_hand = seeded(5)
    for layer in (net[0], net[2]):
        assert torch.equal(layer.weight, torch.empty_like(layer.weight).normal_(generator=by_hand))


def test_pixel_norm_closed_form():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64).view(2, 2, 1, 1)
    out = PixelNorm()(x).flatten(1)
    # mean(9, 16) = 12.5
    root = math.sqrt(12.5 + 1e-8)
    torch.testing.assert_close(
        out,
        torch.tensor([[3 / root, 4 / root], [0.0, 0.0]], dtype=torch.float64),
        rtol=1e-14,
        atol=0,
    )


def test_pixel_norm_epsilon_is_1e_8_inside_the_root():
    x = torch.full((1, 4, 1, 1), 1e-4, dtype=torch.float64)
    # mean square 1e-8 equals epsilon: the output is 1 / sqrt(2).
    torch.testing.assert_close(PixelNorm()(x), x / x / math.sqrt(2), rtol=1e-12, atol=0)


def test_pixel_norm_works_on_each_position_alone():
    x = torch.randn(2, 8, 3, 3, generator=seeded())
    out = PixelNorm()(x)
    mean_square = out.square().mean(dim=1)
    # float32 rounding of 8 squares, and epsilon relative to a mean square of about 1.
    torch.testing.assert_close(mean_square, torch.ones(2, 3, 3), rtol=1e-6, atol=1e-6)
    changed = x.clone()
    changed[1, :, 2, 2] *= -9
    differs = (PixelNorm()(changed) != out).any(dim=1)
    assert differs.nonzero().tolist() == [[1, 2, 2]]


def test_latents_land_on_the_hypersphere():
    z = 3 * torch.randn(16, 512, generator=seeded(), dtype=torch.float64)
    out = PixelNorm()(z)
    expected = z * math.sqrt(512) / torch.linalg.vector_norm(z, dim=1, keepdim=True)
    # epsilon 1e-8 against a mean square of about 9: relative 6e-10.
    torch.testing.assert_close(out, expected, rtol=2e-9, atol=0)
    torch.testing.assert_close(
        torch.linalg.vector_norm(out, dim=1),
        torch.full((16,), math.sqrt(512), dtype=torch.float64),
        rtol=2e-9,
        atol=0,
    )


def test_leaky_relu_slope():
    assert leaky_relu()(torch.tensor([-10.0, 10.0])).tolist() == [-2.0, 10.0]


@pytest.mark.parametrize(
    ("n", "group_size"), [(8, 4), (12, 4), (4, 4), (3, 4), (1, 4), (6, 2), (5, 1), (6, 6)]
)
def test_mbstd_equals_the_slow_twin(slow_mbstd, n, group_size):
    x = torch.randn(n, 3, 2, 2, generator=seeded(n), dtype=torch.float64)
    out = MinibatchStdDev(group_size)(x)
    np.testing.assert_allclose(
        out.numpy(), slow_mbstd(x.numpy(), group_size), rtol=1e-12, atol=1e-14
    )


def test_mbstd_groups_are_strided():
    # Groups of 2 among 4 samples: {0, 2} and {1, 3}. Equal within those, different across;
    # contiguous groups {0, 1}, {2, 3} would see a deviation of 1 everywhere.
    x = torch.tensor([0.0, 2.0, 0.0, 2.0], dtype=torch.float64).view(4, 1, 1, 1)
    out = MinibatchStdDev(2)(x)[:, 1].flatten()
    torch.testing.assert_close(out, torch.full((4,), 1e-4, dtype=torch.float64), rtol=1e-12, atol=0)
    # Only group {1, 3} varies, by a standard deviation of 5.
    x = torch.tensor([0.0, 0.0, 0.0, 10.0], dtype=torch.float64).view(4, 1, 1, 1)
    out = MinibatchStdDev(2)(x)[:, 1].flatten()
    torch.testing.assert_close(
        out, torch.tensor([1e-4, 5.0, 1e-4, 5.0], dtype=torch.float64), rtol=1e-9, atol=0
    )


def test_mbstd_leaves_the_input_in_front_and_differentiates_constant_groups():
    x = torch.ones(4, 2, 2, 2, requires_grad=True)
    out = MinibatchStdDev(4)(x)
    assert torch.equal(out[:, :2], x)
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_mbstd_refuses_a_batch_that_does_not_fit():
    with pytest.raises(ConfigError) as error:
        MinibatchStdDev(4)(torch.zeros(6, 1, 1, 1))
    assert str(error.value) == (
        "a batch of 6 images cannot be split into groups of model.mbstd_group_size = 4; "
        "allowed: fewer images than that, or a multiple of it"
    )
