"""What bounds a step: counted by hand where that is possible."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from msgbench.training.bench_ceilings import measure_ceilings, measure_demand

CPU = torch.device("cpu")


def test_traffic_is_what_is_read_and_written() -> None:
    x, y = torch.zeros(1000), torch.zeros(1000)
    one = measure_demand(lambda: x + y)
    assert (one.kernels, one.traffic_bytes) == (1, 3 * 4000)  # two are read, one is written
    in_place = measure_demand(lambda: x.add_(y))
    assert (in_place.kernels, in_place.traffic_bytes) == (1, 3 * 4000)
    assert measure_demand(lambda: torch._foreach_add_([x, y], 1.0)).traffic_bytes == 2 * 8000
    assert measure_demand(lambda: x.copy_(y)).traffic_bytes == 2 * 4000
    assert measure_demand(lambda: x.zero_()).traffic_bytes == 4000


def test_views_cost_nothing_and_expanded_tensors_what_they_hold() -> None:
    x = torch.zeros(4, 250)
    views = measure_demand(lambda: x.view(1000)[10:].unsqueeze(0))
    assert (views.kernels, views.traffic_bytes) == (0, 0)
    # One number, shown 1,000 times, is read, and 1,000 are written.
    assert measure_demand(lambda: torch.zeros(1).expand(1000) + 1.0).traffic_bytes == (
        4 + 4 + 4000  # of zeros, of what is read, of what is written
    )


def test_products_are_arithmetic_and_no_traffic_backward_and_twice_backward() -> None:
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    w = torch.randn(5, 3, 3, 3, requires_grad=True)

    def penalty() -> None:
        out = F.conv2d(x, w, padding=1)
        (gradient,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        gradient.sum().backward()

    demand = measure_demand(penalty)
    assert demand.kernels >= 6
    forward = measure_demand(lambda: F.conv2d(x, w, padding=1))
    assert (forward.kernels, forward.traffic_bytes) == (1, 0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ceilings_are_rates(precision: str) -> None:
    found = measure_ceilings(CPU, precision, 1)
    # Between a microcontroller's and ten of the fastest GPUs'.
    assert 1e7 < found.flop_per_second < 1e16
    assert 1e7 < found.bytes_per_second < 1e14
    assert 1e-8 < found.seconds_per_kernel < 1e-2
