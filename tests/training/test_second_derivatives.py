"""Steps whose penalties are derived by the library's own gradients train as those of torch's form do."""

from __future__ import annotations

import pytest
import torch

from msgbench.data.pyramid import real_pyramid
from msgbench.training.networks import Networks
from msgbench.training.steps import discriminator_step

from .conftest import tiny_run

CPU = torch.device("cpu")


@pytest.mark.parametrize("loss", [
    {"adversarial": "wgan"},
    {"adversarial": "non_saturating", "penalty": "r1", "r1_gamma": 10.0},
])  # fmt: skip
def test_a_step_s_gradients_are_the_same_but_for_rounding(loss: dict[str, object]) -> None:
    found = {}
    for how in ("autograd", "direct"):
        run = tiny_run(loss=loss, training={"second_derivatives": how})
        nets = Networks.build(run, CPU)
        assert nets.D.blocks["8"].conv0.direct is (how == "direct")  # type: ignore[union-attr,index]
        assert not any(getattr(layer, "direct", False) for layer in nets.G.modules())
        x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
        discriminator_step(nets, real_pyramid(x), run, 0)
        found[how] = [p.grad.clone() for p in nets.D.parameters() if p.grad is not None]
    assert len(found["direct"]) == len(found["autograd"]) > 10
    for ours, theirs in zip(found["direct"], found["autograd"], strict=True):
        # float32, sums of up to some thousand terms.
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
