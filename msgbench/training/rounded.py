"""TF32's rounding on hardware without it: to see what it does to a training, not to be fast.

A GPU that computes products in TF32 rounds both factors from 23 to 10 bits of mantissa, ties away from zero, and adds
up in float32 (NVIDIA A100 architecture white paper). Rounding the factors first and multiplying in float32 is the same
arithmetic but for the order of sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Convolutions and matrix products as autograd runs them, and which of their arguments are factors; biases are added,
# and addends of a product stay as they are.
FACTORS = {
    "convolution": (0, 1),
    "convolution_backward": (0, 1, 2),
    "mm": (0, 1),
    "addmm": (1, 2),
    "bmm": (0, 1),
    "baddbmm": (1, 2),
}
_DROPPED_BITS = 13


class Tf32Products(TorchDispatchMode):
    """While entered, the factors of all convolutions and matrix products of float32 numbers are rounded as TF32 does.

    Works below autograd, so that backward passes and those of penalties are rounded, too.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        factors = FACTORS.get(func.overloadpacket.__name__, ())
        rounded = [
            rounded_to_tf32(value)
            if index in factors and isinstance(value, Tensor) and value.dtype == torch.float32
            else value
            for index, value in enumerate(args)
        ]
        return func(*rounded, **(kwargs or {}))


def rounded_to_tf32(x: Tensor) -> Tensor:
    """`x` float32 of any shape with 10 bits of mantissa, to nearest, ties away from zero; infinite and NaN stay so."""
    bits = x.view(torch.int32)
    half = 1 << (_DROPPED_BITS - 1)
    # The sign is apart from the magnitude, so that adding to the bits moves away from zero on either side.
    rounded = ((bits + half) & -(1 << _DROPPED_BITS)).view(torch.float32)
    return torch.where(x.isfinite(), rounded, x)
