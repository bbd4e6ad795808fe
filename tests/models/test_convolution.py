"""A convolution with other second derivatives has the values and the derivatives of torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from msgbench.config import ModelSpec
from msgbench.models.build import build_discriminator
from msgbench.models.convolution import convolution
from msgbench.models.precision import use_direct_second_derivatives

# (kernel, stride, padding): of the blocks, of from_rgb, of the last layer, of StyleGAN's pooling.
SHAPES = [(3, 1, 1), (1, 1, 0), (4, 1, 0), (4, 2, 1)]


def drawn(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
def test_derivatives_of_all_orders_are_those_of_differences(
    kernel: int, stride: int, padding: int
) -> None:
    x, w, b = drawn(2, 3, 6, 6, seed=1), drawn(4, 3, kernel, kernel, seed=2), drawn(4, seed=3)

    def convolved(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return convolution(x, w, b, stride, padding)

    assert torch.autograd.gradcheck(convolved, (x, w, b), fast_mode=True)
    assert torch.autograd.gradgradcheck(convolved, (x, w, b), fast_mode=True)


@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_first_derivatives_have_torch_s_bits(
    kernel: int, stride: int, padding: int, dtype: torch.dtype
) -> None:
    found = []
    for function in (convolution, F.conv2d):
        x, w, b = (
            drawn(*shape, seed=seed).detach().to(dtype).requires_grad_()
            for seed, shape in enumerate([(2, 3, 6, 6), (4, 3, kernel, kernel), (4,)])
        )
        y = function(x, w, b, stride, padding)
        y.square().sum().backward()
        found.append([y.detach(), x.grad, w.grad, b.grad])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


@pytest.mark.parametrize("family", ["progan", "stylegan"])
def test_the_gradient_of_a_penalty_is_torch_s(family: Literal["progan", "stylegan"]) -> None:
    model = ModelSpec(family=family, resolution=32, fmap_base=64, fmap_max=8)
    D = build_discriminator(model, torch.Generator().manual_seed(1)).double()
    images = [drawn(4, 3, side, side, seed=side) for side in model.scales]

    def gradients() -> list[Tensor]:
        D.zero_grad()
        by_images = torch.autograd.grad(D(images).sum(), images, create_graph=True)
        penalty = sum(
            each.square().sum((1, 2, 3)).sqrt().sub(1).square().mean() for each in by_images
        )
        assert isinstance(penalty, Tensor)
        penalty.backward()
        return [p.grad.clone() for p in D.parameters() if p.grad is not None]

    expected = gradients()
    use_direct_second_derivatives(D)
    found = gradients()
    assert len(found) == len(expected) > 10
    for ours, theirs in zip(found, expected, strict=True):
        # float64 rounds at 1e-16; sums have up to 16,000 terms.
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_a_penalty_is_spared_the_weight_gradients_that_it_does_not_ask_for() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    def flops(function: Callable[..., Tensor], second: bool) -> int:
        x, w = drawn(2, 3, 6, 6, seed=1), drawn(4, 3, 3, 3, seed=2)
        with FlopCounterMode(display=False) as counter:
            y = function(x, w, None, 1, 1)
            (by_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
            if second:
                by_x.square().sum().backward()
        return counter.get_total_flops()

    # Forward and the input gradient; then the derivatives of both, for x and w each, less what torch's own form
    # and ours have in common.
    assert flops(convolution, False) == flops(F.conv2d, False) == 2 * flops_of_one()
    assert flops(convolution, True) == 6 * flops_of_one()


def flops_of_one() -> int:
    return (
        2 * 2 * 4 * 3 * 9 * 36
    )  # a multiplication and an addition; images, channels, taps, pixels


def test_no_kernel_is_as_large_as_an_image() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Kernels(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            if func.overloadpacket.__name__ == "convolution":
                self.largest = max(self.largest, args[1].shape[-1])
            return func(*args, **(kwargs or {}))

    def largest(direct: bool) -> int:
        D = build_discriminator(
            ModelSpec(family="progan", resolution=32, fmap_base=64, fmap_max=8),
            torch.Generator().manual_seed(1),
        )
        if direct:
            use_direct_second_derivatives(D)
        images = [torch.randn(4, 3, side, side, requires_grad=True) for side in (4, 8, 16, 32)]
        with Kernels() as seen:
            by_images = torch.autograd.grad(D(images).sum(), images, create_graph=True)
            torch.stack([each.square().sum() for each in by_images]).sum().backward()
        return seen.largest

    assert largest(direct=True) == 4
    assert (
        largest(direct=False) >= 32
    )  # what this is for; the day that it fails, torch has learned it
