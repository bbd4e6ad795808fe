"""A convolution whose second derivatives are convolution gradients, too.

torch writes the gradient, by the weight, of an input gradient as a convolution whose kernel is as large as the image:
32 x 32 pixels in the penalty of a 32 px discriminator, 1024 x 1024 in that of the largest. No library is made for such
kernels. It is also the gradient of a convolution by its weight, with another pair of tensors, and libraries have a
function for that one.

With y = x * w, gradients g of y: the input gradient is linear in g and w, the weight gradient in g and x. So the
derivatives of each of the three are again two of the three, and all orders are covered.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> Tensor:
    """`torch.nn.functional.conv2d` of x [N, in, H, W] and weight [out, in, k, k] with other second derivatives.

    Values and first derivatives have the bits of torch's. Not for torch.func and torch.compile.
    """
    # In the graph y hangs on x and on the weight by two functions side by side: whoever asks for one gradient, as a
    # penalty does, is spared the other. One function of both would be asked for all that require a gradient. What a
    # function is given in a tuple it may use, and is not asked for.
    of_x = _OfInput.apply(x, (weight, bias), stride, padding)
    of_weight = _OfWeight.apply((x, of_x.shape), weight, bias, stride, padding)
    return cast(Tensor, _Joined.apply(of_x, of_weight))


class _OfInput(torch.autograd.Function):
    """The convolution, as a function of x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, others: tuple[Tensor, Tensor | None], stride: int, padding: int
    ) -> Tensor:
        weight, bias = others
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding
        return torch.nn.functional.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return (
            cast(Tensor, _InputGradient.apply(*gradients, weight, (x,), *ctx.how)),
            None,
            None,
            None,
        )


class _OfWeight(torch.autograd.Function):
    """What stands for the convolution as a function of weight and bias: its shape, without its values."""

    @staticmethod
    def forward(
        ctx: Any,
        others: tuple[Tensor, torch.Size],
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
    ) -> Tensor:
        x, shape = others
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding
        return x.new_zeros(()).expand(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, weight = ctx.saved_tensors
        _, for_weight, for_bias, *_ = ctx.needs_input_grad
        if not torch.is_grad_enabled():
            # Nobody derives further: one call for both.
            wanted = (False, for_weight, for_bias)
            bias_size = [weight.shape[0]] if for_bias else None
            found = _gradients(g, x, weight, ctx.how, wanted, bias_size)
            return None, found[1], found[2], None, None
        return (
            None,
            cast(Tensor, _WeightGradient.apply(g, x, (weight,), *ctx.how)) if for_weight else None,
            g.sum((0, 2, 3)) if for_bias else None,
            None,
            None,
        )


class _Joined(torch.autograd.Function):
    """The values of the first, hanging on both."""

    @staticmethod
    def forward(ctx: Any, of_x: Tensor, of_weight: Tensor) -> Tensor:
        return of_x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (g,) = gradients
        return g, g


class _InputGradient(torch.autograd.Function):
    """Of g [N, out, H', W'] and the weight: [N, in, H, W]; `like` holds x, whose values are not read."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, weight: Tensor, like: tuple[Tensor], stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(g, weight)
        ctx.how = stride, padding
        found = _gradients(g, *like, weight, ctx.how, (True, False, False), None)[0]
        assert found is not None
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gg,) = gradients
        g, weight = ctx.saved_tensors
        for_g, for_weight, *_ = ctx.needs_input_grad
        return (
            convolution(gg, weight, None, *ctx.how) if for_g else None,
            cast(Tensor, _WeightGradient.apply(g, gg, (weight,), *ctx.how)) if for_weight else None,
            None,
            None,
            None,
        )


class _WeightGradient(torch.autograd.Function):
    """Of g [N, out, H', W'] and x [N, in, H, W]: [out, in, k, k]; `like` holds the weight, not read."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, like: tuple[Tensor], stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.how = stride, padding
        found = _gradients(g, x, *like, ctx.how, (False, True, False), None)[1]
        assert found is not None
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gg,) = gradients
        g, x = ctx.saved_tensors
        for_g, for_x, *_ = ctx.needs_input_grad
        return (
            convolution(x, gg, None, *ctx.how) if for_g else None,
            cast(Tensor, _InputGradient.apply(g, gg, (x,), *ctx.how)) if for_x else None,
            None,
            None,
            None,
        )


def _gradients(
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    how: tuple[int, int],
    wanted: tuple[bool, bool, bool],
    bias_size: list[int] | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The library's gradients by x, weight and bias, as far as `wanted`."""
    stride, padding = how
    found = torch.ops.aten.convolution_backward(
        g, x, weight, bias_size, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, list(wanted)
    )
    return cast("tuple[Tensor | None, Tensor | None, Tensor | None]", tuple(found))
