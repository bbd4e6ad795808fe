"""The optimizers against their formulas, and where PyTorch's and TensorFlow's RMSprop differ."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from msgbench.config import OptimizerSpec
from msgbench.training.optimizers import RMSpropTF, make_optimizer


class One(torch.nn.Module):
    """One float64 parameter, and a fixed gradient for it."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([value], dtype=torch.float64))

    def moved(self, optimizer: torch.optim.Optimizer, gradient: float) -> float:
        """By how much one step moves the parameter."""
        before = self.weight.item()
        self.weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        return self.weight.item() - before


def first_step(**spec: object) -> float:
    network = One(0.0)
    return network.moved(make_optimizer(network, OptimizerSpec(**spec), "G", plain=True), 2.0)


def test_adam_has_the_betas_of_its_spec() -> None:
    """Gradients 2 and 1 with 0.5 and 0.9, by hand: means 1 / 0.75 and 0.46 / 0.19 in the second step."""
    network = One(0.0)
    spec = OptimizerSpec(algorithm="adam", lr=0.01, beta1=0.5, beta2=0.9, eps=1e-12)
    optimizer = make_optimizer(network, spec, "D", plain=True)
    assert network.moved(optimizer, 2.0) == pytest.approx(-0.01, rel=1e-9)
    second = -0.01 * (1 / 0.75) / math.sqrt(0.46 / 0.19)
    assert network.moved(optimizer, 1.0) == pytest.approx(second, rel=1e-9)


def test_the_first_step_of_tensorflows_rmsprop() -> None:
    """Measured in TensorFlow 2.21's compat.v1 with gradient 2 and learning rate 0.003."""
    step = first_step(algorithm="rmsprop_tf", lr=0.003)
    assert step == pytest.approx(-0.0052623, abs=5e-8)
    assert step == pytest.approx(-0.003 * 2 / math.sqrt(0.9 + 0.1 * 4 + 1e-10), rel=1e-14)


def test_the_first_step_of_pytorchs_rmsprop_is_ten_learning_rates_long() -> None:
    step = first_step(algorithm="rmsprop_torch", lr=0.003)
    # v = 0.01 * 4: the root is a tenth of the gradient.
    assert step == pytest.approx(-0.03, rel=1e-6)


def test_the_first_step_of_adam_is_one_learning_rate_long() -> None:
    assert first_step(lr=0.003) == pytest.approx(-0.003, rel=1e-6)


def test_tensorflows_rmsprop_follows_its_recursion() -> None:
    network = One(1.0)
    optimizer = make_optimizer(network, OptimizerSpec(algorithm="rmsprop_tf", lr=0.01), "D")
    mean_square, weight = 1.0, 1.0
    for gradient in (3.0, -0.5, 0.0, 10.0, -2.0):
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        weight -= 0.01 * gradient / math.sqrt(mean_square + 1e-10)
        network.moved(optimizer, gradient)
        assert network.weight.item() == pytest.approx(weight, rel=1e-13)


def test_tensorflows_rmsprop_goes_on_from_its_saved_state() -> None:
    whole, halves = One(1.0), One(1.0)
    spec = OptimizerSpec(algorithm="rmsprop_tf")
    one, two = make_optimizer(whole, spec, "G"), make_optimizer(halves, spec, "G")
    for gradient in (3.0, -0.5):
        whole.moved(one, gradient)
        halves.moved(two, gradient)
    again = make_optimizer(halves, spec, "G")
    again.load_state_dict(two.state_dict())
    assert whole.moved(one, 0.7) == halves.moved(again, 0.7)


def test_a_parameter_without_a_gradient_stays() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))]
    weights[0].grad = torch.ones(2)
    optimizer = RMSpropTF(weights, lr=0.1)
    optimizer.step()
    assert weights[0].tolist() == pytest.approx([0.9] * 2)
    assert weights[1].tolist() == [1.0, 1.0]


def test_each_network_has_its_own_learning_rate() -> None:
    spec = OptimizerSpec(lr=0.003, d_lr=0.0003)
    rates = [make_optimizer(One(0.0), spec, which).param_groups[0]["lr"] for which in ("G", "D")]
    assert rates == [0.003, 0.0003]
    assert make_optimizer(One(0.0), OptimizerSpec(g_lr=0.1), "G").param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("algorithm", "constants"),
    [("adam", (1e-8, None)), ("rmsprop_torch", (1e-8, 0.99)), ("rmsprop_tf", (1e-10, 0.9))],
)
def test_constants_are_the_algorithms_own(
    algorithm: str, constants: tuple[float, float | None]
) -> None:
    spec = OptimizerSpec(algorithm=algorithm)
    assert (spec.eps, spec.alpha) == constants
    assert OptimizerSpec(algorithm=algorithm, eps=0.5).eps == 0.5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"alpha": 0.9}, "alpha 0.9 has no effect with algorithm adam; allowed: leave it empty"),
        ({"algorithm": "rmsprop_tf", "beta1": 0.5},
         "beta1 0.5 has no effect with algorithm rmsprop_tf; allowed: leave it at 0"),
        ({"algorithm": "rmsprop_torch", "beta2": 0.999},
         "beta2 0.999 has no effect with algorithm rmsprop_torch; allowed: leave it at 0.99"),
    ],
)  # fmt: skip
def test_constants_that_nothing_reads_are_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        OptimizerSpec(**values)
