"""Steps whose penalties are derived by the library's own gradients train as those of torch's form do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from msgbench.bench.steps import bench_run
from msgbench.config import load_benchmark
from msgbench.data.pyramid import real_pyramid
from msgbench.training.networks import Networks
from msgbench.training.steps import discriminator_step

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("method", ["msg-progan", "msg-stylegan"])  # WGAN-GP and R1
def test_a_step_s_gradients_are_the_same_but_for_rounding(method: str) -> None:
    found = {}
    for how in ("autograd", "direct"):
        benchmark = load_benchmark(
            ROOT / "config.yaml",
            {"tier": "paper", "defaults": {"training": {"second_derivatives": how}}},
        )
        run = bench_run(benchmark, method, 16, "float32", 4, 0.04)
        nets = Networks.build(run, torch.device("cpu"))
        direct = [m.direct for m in nets.D.modules() if hasattr(m, "direct")]
        assert set(direct) == {how == "direct"}
        assert not any(getattr(layer, "direct", False) for layer in nets.G.modules())
        x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
        discriminator_step(nets, real_pyramid(x), run, 0)
        found[how] = {n: p.grad.clone() for n, p in nets.D.named_parameters() if p.grad is not None}
    assert len(found["autograd"]) > 10
    for name, expected in found["autograd"].items():
        # float32, sums of up to some thousand terms; relative to the layer's largest gradient.
        bound = 1e-4 * expected.abs().max().item()
        torch.testing.assert_close(found["direct"][name], expected, rtol=0, atol=bound)
