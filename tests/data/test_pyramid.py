"""The real pyramid: right values, chained gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from msgbench.data.pixels import to_float
from msgbench.data.pyramid import growing_reals, real_pyramid


def images(resolution: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(resolution)
    return torch.rand(2, 3, resolution, resolution, generator=generator, dtype=dtype) * 2 - 1


@pytest.mark.parametrize("resolution", [4, 8, 32, 256])
def test_levels_equal_pooling_from_the_top(resolution: int) -> None:
    x = images(resolution)
    levels = real_pyramid(x)
    assert [level.shape[-1] for level in levels] == [4 * 2**k for k in range(len(levels))]
    assert levels[-1] is x
    for level in levels:
        step = resolution // level.shape[-1]
        # float32 sums in another order: a few units in the last place of numbers below 1
        torch.testing.assert_close(level, F.avg_pool2d(x, step), atol=1e-6, rtol=0)


def test_levels_are_means_by_definition() -> None:
    x = images(16, torch.float64)
    blocks = x.reshape(2, 3, 4, 4, 4, 4).mean(dim=(3, 5))
    torch.testing.assert_close(real_pyramid(x)[0], blocks, atol=1e-15, rtol=0)


def test_the_pyramid_is_chained() -> None:
    """The gradient of a lower level with respect to an intermediate one is that of pooling, not zero."""
    levels = real_pyramid(images(32).requires_grad_(True))
    lowest, others = levels[0], levels[1:]
    gradients = torch.autograd.grad(lowest.sum(), others, allow_unused=True)
    for level, gradient in zip(others, gradients, strict=True):
        assert gradient is not None, f"the {level.shape[-1]}-pixel level is beside the chain"
        share = (4 / level.shape[-1]) ** 2  # each pixel's part in its mean
        torch.testing.assert_close(gradient, torch.full_like(gradient, share), atol=1e-7, rtol=0)


def test_mirroring_before_the_pyramid_mirrors_every_scale() -> None:
    x = images(32)
    for level, mirrored in zip(real_pyramid(x), real_pyramid(x.flip(-1)), strict=True):
        torch.testing.assert_close(mirrored, level.flip(-1), atol=1e-6, rtol=0)


def test_no_level_is_rounded_to_8_bits() -> None:
    x = torch.zeros(1, 3, 8, 8)
    x[..., 0, 0] = 1 / 127.5
    assert real_pyramid(x)[0][0, 0, 0, 0].item() == pytest.approx(0.25 / 127.5, rel=1e-6)


def test_growing_reals_are_pooled_and_fade_like_the_generators_images() -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    small, smaller = torch.nn.functional.avg_pool2d(x, 2), torch.nn.functional.avg_pool2d(x, 4)
    assert torch.equal(growing_reals(x, 16, 0.0, rounded=False), x)
    assert torch.allclose(growing_reals(x, 4, 0.0, rounded=False), smaller, rtol=0, atol=1e-15)
    enlarged = smaller.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    half = growing_reals(x, 8, 0.25, rounded=False)
    assert torch.allclose(half, 0.75 * small + 0.25 * enlarged, rtol=0, atol=1e-15)


def test_growing_reals_are_rounded_at_every_resolution_as_numpy_rounds() -> None:
    """ProGAN's dataset tool: means as floats, each resolution rounded (half to even) when it is stored."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32)).astype(np.float32)
    x = to_float(torch.from_numpy(pixels.astype(np.uint8)))
    assert torch.equal(growing_reals(x, 32, 0.0), x)
    level = pixels
    for resolution in (16, 8, 4):
        level = (
            level[..., 0::2, 0::2]
            + level[..., 0::2, 1::2]
            + level[..., 1::2, 0::2]
            + level[..., 1::2, 1::2]
        ) * np.float32(0.25)
        stored = torch.from_numpy(np.rint(level).astype(np.uint8))
        assert torch.equal(growing_reals(x, resolution, 0.0), to_float(stored))
