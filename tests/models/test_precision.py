"""bfloat16 inside the networks: what stays float32, and how far the results may move."""

from __future__ import annotations

import pytest
import torch

from msgbench.config import LossSpec, ModelSpec
from msgbench.losses.discriminator import discriminator_loss
from msgbench.losses.penalties import gradient_norms, interpolate
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.layers import EPSILON, MinibatchStdDev, PixelNorm
from msgbench.models.precision import set_precision

from .conftest import seeded

# One rounding to bfloat16 is at most 2^-9 relative; a dozen layers add up to a few percent.
A_FEW_PERCENT = 0.06


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return ModelSpec(family="progan", resolution=16, width_multiplier=0.125, latent_size=32)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).norm() / b.norm()).detach())


def test_generator_images_are_float32_and_near(spec: ModelSpec) -> None:
    G = build_generator(spec, seeded())
    z = torch.randn(4, 32, generator=seeded(1))
    exact = G(z)
    half = set_precision(G, "bfloat16")(z)
    assert all(p.dtype == torch.float32 for p in G.parameters())
    for a, b in zip(half, exact, strict=True):
        assert a.dtype == torch.float32
        assert 0 < relative(a, b) < A_FEW_PERCENT
    again = set_precision(G, "float32")(z)
    assert all(torch.equal(a, b) for a, b in zip(again, exact, strict=True))


def test_scores_penalty_norms_and_gradients_are_float32_and_near(spec: ModelSpec) -> None:
    D = build_discriminator(spec, seeded())
    sizes = (4, 8, 16)
    reals = [torch.rand(4, 3, r, r, generator=seeded(r)) * 2 - 1 for r in sizes]
    fakes = [torch.rand(4, 3, r, r, generator=seeded(r + 1)) * 2 - 1 for r in sizes]
    u = torch.rand(4, generator=seeded(2))
    results = {}
    for precision in ("float32", "bfloat16"):
        set_precision(D, precision)
        norms = gradient_norms(D, interpolate(reals, fakes, u))
        loss = discriminator_loss(D, reals, fakes, u, LossSpec(adversarial="wgan"))
        D.zero_grad()
        loss.total.backward()
        gradient = torch.cat([p.grad.flatten() for p in D.parameters() if p.grad is not None])
        results[precision] = (norms, loss.real_scores, loss.total, gradient)
    for half, exact in zip(results["bfloat16"], results["float32"], strict=True):
        assert half.dtype == torch.float32
        assert 0 < relative(half.detach(), exact.detach()) < 2 * A_FEW_PERCENT


def test_statistics_are_taken_in_float32() -> None:
    # 256 equal values but one: summed in bfloat16 (8 bits) the mean square would be off by percents.
    x = torch.full((1, 256, 1, 1), 0.1, dtype=torch.bfloat16)
    x[0, 0] = 4.0
    wide = x.float()
    expected = x * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + EPSILON).to(torch.bfloat16)
    assert torch.equal(PixelNorm()(x), expected)
    batch = (1000 + torch.arange(4).view(4, 1, 1, 1).expand(4, 64, 2, 2) * 8).to(torch.bfloat16)
    value = MinibatchStdDev(4)(batch)[:, -1]
    # Standard deviation of 0, 8, 16, 24 is 8.944; the mean 1012 is not a bfloat16 number (1008, 1016 are).
    assert torch.allclose(value.float(), torch.full_like(value.float(), 8.944), rtol=2**-8, atol=0)
