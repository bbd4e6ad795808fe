"""The arithmetic that speeds are divided by is the profiler's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from msgbench.config import LossSpec, ModelSpec
from msgbench.data.pyramid import real_pyramid
from msgbench.losses.adversarial import g_loss
from msgbench.losses.discriminator import discriminator_loss
from msgbench.models.arithmetic import training_flops
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.precision import fuse_upsampling
from msgbench.training.steps import frozen


class CountFlops(TorchDispatchMode):
    """Sums the profiler's own formulas over all operations (its module tracker cannot do double backward)."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


WGAN_GP = LossSpec(adversarial="wgan")


def counted_flops(resolution: int, fused: bool, loss: LossSpec = WGAN_GP) -> tuple[float, float]:
    """FLOP of training on one image, by the profiler's formulas and by ours."""
    model = ModelSpec(family="progan", resolution=resolution)
    with torch.device("meta"):
        G, D = build_generator(model), build_discriminator(model)
        fuse_upsampling(G, fused)
        z = torch.empty(4, 512)
        reals = [torch.empty(4, 3, r, r) for r in model.scales]
        u = torch.empty(4)
    with CountFlops() as counter:
        with torch.no_grad():
            fakes = G(z)
        chain = real_pyramid(reals[-1].requires_grad_())
        discriminator_loss(D, chain, fakes, u, loss).total.backward()
        reals = [real.detach() for real in reals]
        with frozen(D):
            beside = D(reals) if loss.relativistic else None
            g_loss(loss.adversarial, D(G(z)), beside).backward()
    return counter.flops / 4, training_flops(model, loss)


@pytest.mark.parametrize("resolution", [32, 256])
def test_the_analytic_count_is_the_profiler_s(resolution: int) -> None:
    counted, analytic = counted_flops(resolution, fused=False)
    # The analytic count also has the input gradients of the first layers, which nobody asks for.
    assert counted == pytest.approx(analytic, rel=0.01)


@pytest.mark.parametrize("adversarial", ["non_saturating", "ra_hinge"])
def test_the_count_of_other_recipes_is_the_profiler_s(adversarial: str) -> None:
    counted, analytic = counted_flops(32, fused=False, loss=LossSpec.published(adversarial))
    assert counted == pytest.approx(analytic, rel=0.01)


def test_fused_upsampling_does_less_than_the_published_arithmetic() -> None:
    counted, analytic = counted_flops(32, fused=True)
    assert 0.9 < counted / analytic < 0.95  # 5/9 of one convolution in two, of G's share of 4 in 18
