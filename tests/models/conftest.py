"""What the tests of the models share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from msgbench.config import ModelSpec
from msgbench.models.layers import ConvDownsample2d, UpsampleConv2d, draw_parameters


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of the test's own."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model_spec() -> Callable[..., ModelSpec]:
    """A function (resolution, width_multiplier, mbstd_group_size, latent_size, other fields) -> ModelSpec."""

    def make(
        resolution: int,
        width_multiplier: float = 1.0,
        mbstd_group_size: int | None = 4,
        latent_size: int = 512,
        family: str = "progan",
        **more: Any,
    ) -> ModelSpec:
        return ModelSpec(
            family=family,
            resolution=resolution,
            width_multiplier=width_multiplier,
            mbstd_group_size=mbstd_group_size,
            latent_size=latent_size,
            **more,
        )

    return make


class SlowLayers:
    """The layers once more in numpy and float64: slow, and plain to read."""

    @staticmethod
    def conv(
        x: np.ndarray, weight: np.ndarray, bias: np.ndarray | float, gain: float, pad: int
    ) -> np.ndarray:
        """Cross-correlation by a loop over kernel positions, equalised at run time."""
        out_channels, in_channels, kernel, _ = weight.shape
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        size = x.shape[-1] - kernel + 1
        out = np.zeros((len(x), out_channels, size, size))
        for dy in range(kernel):
            for dx in range(kernel):
                window = x[:, :, dy : dy + size, dx : dx + size]
                out += np.einsum("nihw,oi->nohw", window, weight[:, :, dy, dx])
        shift = np.asarray(bias)[..., None, None] if np.ndim(bias) else bias
        return out * gain / math.sqrt(in_channels * kernel**2) + shift

    @staticmethod
    def lrelu(x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, 0.2 * x)

    @staticmethod
    def pixnorm(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)

    @staticmethod
    def up(x: np.ndarray) -> np.ndarray:
        return x.repeat(2, axis=2).repeat(2, axis=3)

    @staticmethod
    def down(x: np.ndarray) -> np.ndarray:
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    @staticmethod
    def blur(x: np.ndarray) -> np.ndarray:
        size = x.shape[-1]
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        out = np.zeros_like(x)
        for dy, a in enumerate((1, 2, 1)):
            for dx, b in enumerate((1, 2, 1)):
                out += a * b / 16 * padded[..., dy : dy + size, dx : dx + size]
        return out

    @staticmethod
    def with_random_parameters(net: Any, names: tuple[str, ...] = ("bias",)) -> dict[str, Any]:
        """Make `net` float64 with biases (or parameters whose names end in `names`) that matter; as numpy arrays."""
        net.double()
        generator = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name.endswith(names):
                    parameter.normal_(generator=generator)
        return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


@pytest.fixture
def slow() -> type[SlowLayers]:
    """The twins of the layers in numpy."""
    return SlowLayers


@pytest.fixture
def slow_mbstd() -> Callable[[np.ndarray, int], np.ndarray]:
    """MinBatchStd by loops over groups and features, from ProGAN's definition."""

    def twin(x: np.ndarray, group_size: int) -> np.ndarray:
        n, channels, height, width = x.shape
        group = min(group_size, n)
        stride = n // group
        out = np.empty((n, channels + 1, height, width))
        out[:, :channels] = x
        for m in range(stride):
            members = [m + k * stride for k in range(group)]
            total = 0.0
            for c in range(channels):
                for h in range(height):
                    for w in range(width):
                        values = [x[i, c, h, w] for i in members]
                        mean = sum(values) / group
                        variance = sum((v - mean) ** 2 for v in values) / group
                        total += math.sqrt(variance + 1e-8)
            for i in members:
                out[i, channels] = total / (channels * height * width)
        return out

    return twin


def require_fused_is_the_same(
    layer: UpsampleConv2d | ConvDownsample2d, side: int, out_side: int
) -> None:
    """`layer` (6 to 5 channels, float64, not yet drawn) is one function, fused or not, with both its derivatives."""
    draw_parameters(layer, seeded())
    with torch.no_grad():
        layer.bias.copy_(torch.arange(5.0))
    x = torch.randn(2, 6, side, side, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    results = []
    for fused in (False, True):
        layer.fused = fused
        out = layer(x)
        assert out.shape == (2, 5, out_side, out_side)
        first = torch.autograd.grad(
            out.sin().sum(), [x, layer.weight, layer.bias], create_graph=True
        )
        second = torch.autograd.grad(first[0].square().sum(), [x, layer.weight])
        results.append([out, *first, *second])
    for step_by_step, fused in zip(*results, strict=True):
        torch.testing.assert_close(step_by_step, fused, rtol=1e-10, atol=1e-10)
