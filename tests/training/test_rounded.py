"""TF32's rounding, bit by bit."""

from __future__ import annotations

import struct

import pytest
import torch
import torch.nn.functional as F

from msgbench.training.rounded import Tf32Products, rounded_to_tf32


def test_ten_bits_of_mantissa_are_kept_ties_away_from_zero() -> None:
    step = 2.0**-10  # between neighbours from 1 to 2
    exact = {
        1.0: 1.0,
        1.0 + step: 1.0 + step,
        1.0 + 0.49 * step: 1.0,
        1.0 + 0.5 * step: 1.0 + step,  # a tie, away from zero
        1.0 + 1.5 * step: 1.0
        + 2 * step,  # a tie that rounding to even leaves at an even neighbour, too
        1.0 + 2.5 * step: 1.0 + 3 * step,  # and one where it would not
        1.9999999: 2.0,
        0.0: 0.0,
    }
    for sign in (1.0, -1.0):
        found = rounded_to_tf32(torch.tensor([sign * value for value in exact]))
        assert found.tolist() == [sign * value for value in exact.values()]


def test_what_is_no_number_stays_and_nothing_else_is_lost() -> None:
    odd = rounded_to_tf32(torch.tensor([float("inf"), float("-inf"), float("nan")]))
    assert odd[0] == float("inf")
    assert odd[1] == float("-inf")
    assert odd[2].isnan()
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(1))
    rounded = rounded_to_tf32(x)
    assert (rounded - x).abs().le(x.abs() * 2.0**-11).all()
    assert not torch.equal(rounded, x)
    bits = struct.unpack("10000I", struct.pack("10000f", *rounded.tolist()))
    assert all(value & 0x1FFF == 0 for value in bits)


def test_factors_are_rounded_forward_backward_and_twice_and_biases_are_not() -> None:
    generator = torch.Generator().manual_seed(2)
    x, w, b = (
        torch.randn(shape, generator=generator) for shape in ((2, 3, 6, 6), (4, 3, 3, 3), (4,))
    )
    with Tf32Products():
        found = F.conv2d(x, w, b, padding=1)
    expected = F.conv2d(rounded_to_tf32(x), rounded_to_tf32(w), b, padding=1)
    assert torch.equal(found, expected)
    m, n = torch.randn(5, 7, generator=generator), torch.randn(7, 3, generator=generator)
    with Tf32Products():
        assert torch.equal(m @ n, rounded_to_tf32(m) @ rounded_to_tf32(n))

    def twice(rounds: bool) -> torch.Tensor:
        leaf, weight = x.clone().requires_grad_(), w.clone().requires_grad_()

        def run() -> None:
            out = F.leaky_relu(F.conv2d(leaf, weight, padding=1), 0.2)
            (gradient,) = torch.autograd.grad(out.square().sum(), leaf, create_graph=True)
            gradient.square().sum().backward()

        if rounds:
            with Tf32Products():
                run()
        else:
            run()
        assert weight.grad is not None
        return weight.grad

    plain, coarse = twice(False), twice(True)
    # Seven products in a row, each off by at most 2 ** -10 of its size.
    assert 1e-5 < ((plain - coarse).norm() / plain.norm()).item() < 7 * 2.0**-10


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_numbers_of_other_sizes_are_left_alone(dtype: torch.dtype) -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(3)).to(dtype)
    with Tf32Products():
        found = x @ x
    assert torch.equal(found, x @ x)
