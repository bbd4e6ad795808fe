"""Compiled steps compute what eager ones do; and a machine without a compiler trains all the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from msgbench.config import RunSpec
from msgbench.data.pyramid import growing_reals, real_pyramid
from msgbench.training.compiled import Compiled
from msgbench.training.loop import train
from msgbench.training.networks import Networks
from msgbench.training.steps import both_steps

from . import ranks
from .conftest import MakeRun, tiny_run
from .test_loop import command
from .test_sharing import in_float64 as in_float64

# What torch's compiler says of its own parts.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# Traced and derived as torch.compile does it, computed by the kernels of eager mode.
TRACED = "aot_eager"


def steps_of(run: RunSpec, backend: str | None, dtype: torch.dtype) -> tuple[list[float], Any]:
    """What two steps report, and all gradients of the second; compiled by `backend`, None: eager."""
    nets = Networks.build(run, torch.device("cpu"))
    for network in (nets.G, nets.D):
        network.to(dtype)
    if backend is not None:
        nets.compiled = Compiled(nets.G, nets.D, run, backend)
    reported: list[float] = []
    for step, lod in enumerate((0.75, 0.25) if run.spec.growing else (None, None)):
        if lod is not None:
            nets.grow_to(lod)
        generator = torch.Generator().manual_seed(step)
        x = (torch.rand(8, 3, 8, 8, generator=generator) * 2 - 1).to(dtype)
        reals = real_pyramid(x) if lod is None else [growing_reals(x, 8, lod)]
        beside = reals if run.spec.loss.relativistic else None
        for report in both_steps(nets, reals, run, 8 * step, beside):
            reported += report.values.tolist()
    gradients = {
        f"{part}.{name}": parameter.grad
        for part in ("G", "D")
        for name, parameter in getattr(nets, part).named_parameters()
        if parameter.grad is not None
    }
    return reported, gradients


def assert_close(name: str, backend: str, dtype: torch.dtype, tolerance: float) -> None:
    """Reports, and gradients by the size of the largest of their network, agree to `tolerance`."""
    eager, compiled = (steps_of(ranks.spec_of(name), by, dtype) for by in (None, backend))
    assert compiled[0] == pytest.approx(eager[0], rel=tolerance, abs=tolerance)
    assert eager[1].keys() == compiled[1].keys()
    for part in ("G", "D"):
        sizes = [float(g.abs().max()) for key, g in eager[1].items() if key.startswith(part)]
        assert max(sizes) > 1e-3
        for key, gradient in eager[1].items():
            if key.startswith(part):
                difference = float((gradient - compiled[1][key]).abs().max())
                assert difference <= tolerance * max(sizes), key


def test_the_traced_step_is_the_eager_one(in_float64: None) -> None:
    """Both penalties' derivatives in torch.func's form against autograd's, through updates of both networks."""
    assert_close("msg-progan", TRACED, torch.float64, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ranks.METHODS if name != "msg-progan"])
def test_every_method_is_traced(name: str, in_float64: None) -> None:
    assert_close(name, TRACED, torch.float64, 1e-12)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", ["msg-progan", "msg-stylegan", "first version's", "growing progan"]
)
def test_compiled_kernels_round_a_little_otherwise(name: str) -> None:
    """float32, after an update by Adam, which makes differences of 1e-7 larger; eager threads differ as much."""
    assert_close(name, "inductor", torch.float32, 2e-3)


def test_a_fade_goes_on_without_another_function(in_float64: None) -> None:
    run = ranks.spec_of("growing progan")
    nets = Networks.build(run, torch.device("cpu"))
    for network in (nets.G, nets.D, nets.G_ema):
        network.double()
    nets.compiled = Compiled(nets.G, nets.D, run, TRACED)
    seen = []
    for lod in (0.75, 0.5, 0.25):
        nets.grow_to(lod)
        assert nets.G_ema.lod == lod
        z = torch.randn(8, run.spec.model.latent_size)
        assert torch.equal(nets.G(z)[0], nets.G(z)[0])
        seen.append((nets.G.lod, float(nets.G.fade_for(torch.float64))))
    assert seen == [(0.5, 0.75), (0.5, 0.5), (0.5, 0.25)]


def test_compiling_is_part_of_an_experiment_and_not_compiling_is_none() -> None:
    plain, compiled = tiny_run(), tiny_run(compile="default")
    assert tiny_run(compile="none").fingerprint == plain.fingerprint
    assert compiled.fingerprint != plain.fingerprint


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_machine_without_a_compiler_says_so_and_trains(
    make_run: MakeRun, store_dir: Path, tmp_path: Path
) -> None:
    run_dir, plain = make_run("a", compile="default"), make_run("b")
    without = {
        **os.environ, "PATH": str(tmp_path), "CXX": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        command(run_dir, store_dir, "--device", "cpu"),
        env=without, stderr=subprocess.PIPE, text=True, check=True, timeout=300,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "training.compile default" in line]
    assert len(said) == 1, done.stderr
    assert "nothing can be compiled here" in said[0]
    train(plain, store_dir, "cpu")
    states = [folder / "states/training-state-0000000048.pt" for folder in (run_dir, plain)]
    one, other = (torch.load(path, weights_only=True)["networks"]["G"] for path in states)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.gpu
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", ["msg-progan", "msg-stylegan", "first version's", "growing stylegan"]
)
def test_a_gpu_compiles_every_kind_of_method(name: str) -> None:
    found = {}
    for backend in (None, "inductor"):
        run, device = ranks.spec_of(name), torch.device("cuda")
        nets = Networks.build(run, device)
        if backend is not None:
            nets.compiled = Compiled(nets.G, nets.D, run, backend)
        if run.spec.growing:
            nets.grow_to(0.25)
        x = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(device) * 2 - 1
        reals = [growing_reals(x, 8, 0.25)] if run.spec.growing else real_pyramid(x)
        reports = both_steps(nets, reals, run, 0, reals)
        found[backend] = [value for report in reports for value in report.values.tolist()]
    assert found["inductor"] == pytest.approx(found[None], rel=1e-3, abs=1e-4)
