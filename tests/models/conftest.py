"""What the tests of the models share."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from msgbench.config import ModelSpec


@pytest.fixture
def model_spec() -> Callable[..., ModelSpec]:
    """A function (resolution, width_multiplier, mbstd_group_size, latent_size) -> ModelSpec."""

    def make(
        resolution: int,
        width_multiplier: float = 1.0,
        mbstd_group_size: int = 4,
        latent_size: int = 512,
    ) -> ModelSpec:
        return ModelSpec(
            family="progan",
            resolution=resolution,
            width_multiplier=width_multiplier,
            mbstd_group_size=mbstd_group_size,
            latent_size=latent_size,
        )

    return make


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
