"""Optimizers by their name in the config.

The paper writes RMSprop, every released code runs Adam with beta1 = 0; both RMSprops are here, because PyTorch
and TensorFlow 1 mean different things by the name and the paper does not say which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from msgbench.config import OptimizerSpec


def make_optimizer(
    network: nn.Module, spec: OptimizerSpec, which: Literal["G", "D"], plain: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of `spec` for all parameters of `network`, which is G or D; as one kernel unless `plain`."""
    parameters, lr = network.parameters(), spec.lr_of(which)
    eps, alpha = spec.eps, spec.alpha
    assert eps is not None, "a resolved spec has its constants"
    if spec.algorithm == "adam":
        betas = (spec.beta1, spec.beta2)
        return torch.optim.Adam(
            parameters, lr=lr, betas=betas, eps=eps, fused=None if plain else True
        )
    assert alpha is not None, "a resolved spec has its constants"
    if spec.algorithm == "rmsprop_torch":
        return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, eps=eps)
    return RMSpropTF(parameters, lr=lr, alpha=alpha, eps=eps)


class RMSpropTF(torch.optim.Optimizer):
    """RMSProp of TensorFlow 1 without momentum: v <- alpha * v + (1 - alpha) * g^2, p <- p - lr * g / sqrt(v + eps).

    v starts at 1 and eps stands under the root. PyTorch's starts at 0 and adds eps to the root, which makes its
    first step 1 / sqrt(1 - alpha) learning rates long whatever the gradient is.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, alpha: float = 0.9, eps: float = 1e-10
    ) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of all parameters that have a gradient."""
        assert closure is None, "the steps of this package compute their loss themselves"
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                _update(parameters, [self._mean_square(p) for p in parameters], group)
        return None

    def _mean_square(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "square_avg" not in state:
            state["square_avg"] = torch.ones_like(parameter)
        mean_square: Tensor = state["square_avg"]
        return mean_square


def _update(parameters: list[Tensor], mean_squares: list[Tensor], group: dict[str, Any]) -> None:
    gradients = [p.grad for p in parameters if p.grad is not None]
    alpha = group["alpha"]
    torch._foreach_mul_(mean_squares, alpha)
    torch._foreach_addcmul_(mean_squares, gradients, gradients, value=1 - alpha)
    roots = torch._foreach_add(mean_squares, group["eps"])
    torch._foreach_sqrt_(roots)
    torch._foreach_addcdiv_(parameters, gradients, roots, value=-group["lr"])
