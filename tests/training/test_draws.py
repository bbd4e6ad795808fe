"""What a step draws is torch's stream of (seed, images shown, purpose): new in every step, under promised names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from msgbench.config import RunSpec
from msgbench.models.build import build_generator
from msgbench.seeding import derive_seed
from msgbench.training.draws import generator_inputs, mixing
from msgbench.training.share import Part

from .test_growing import METHODS
from .test_methods import run_of

CPU = torch.device("cpu")
BATCH = 4


def stream(run: RunSpec, nimg: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(run.seed, nimg, purpose))


def styles_always_mixed() -> RunSpec:
    stylegan = METHODS["stylegan"]
    return run_of({**stylegan, "loss": {**stylegan["loss"], "style_mixing": 1.0}})


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("nimg", [0, 24])
@pytest.mark.parametrize("step", ["d", "g"])
def test_latents_noise_and_styles_are_those_of_their_purpose(
    step: str, nimg: int, seed: int
) -> None:
    """Another name, or a moment that is not asked for, would change the bits of every finished training."""
    run = styles_always_mixed().model_copy(update={"seed": seed})
    G = build_generator(run.spec.model)
    size = run.spec.model.latent_size
    drawn = generator_inputs(G, run, BATCH, nimg, step)
    latents = torch.randn(BATCH, size, generator=stream(run, nimg, f"latents-{step}"))
    assert torch.equal(drawn.z, latents)
    noise = stream(run, nimg, f"noise-{step}")
    assert [tuple(one.shape) for one in drawn.noise] == [
        (BATCH, 1, side, side) for side in G.noise_resolutions
    ]
    for one in drawn.noise:
        assert torch.equal(one, torch.randn(one.shape, generator=noise))
    assert drawn.mixing is not None
    other = torch.randn(BATCH, size, generator=stream(run, nimg, f"mixing-{step}-latents"))
    assert torch.equal(drawn.mixing.z, other)
    choice = stream(run, nimg, f"mixing-{step}")
    torch.rand((), generator=choice)  # whether styles are mixed
    assert drawn.mixing.cutoff == int(torch.randint(1, G.num_layers, (), generator=choice))


def test_a_generator_s_step_can_take_the_latents_of_the_discriminator_s_and_nothing_else() -> None:
    run = styles_always_mixed()
    G = build_generator(run.spec.model)
    of_d, of_g, shared = (
        generator_inputs(G, run, BATCH, 8, *which) for which in (("d",), ("g",), ("g", "d"))
    )
    assert torch.equal(shared.z, of_d.z)
    assert not torch.equal(shared.z, of_g.z)
    assert torch.equal(shared.noise[0], of_g.noise[0])
    assert not torch.equal(shared.noise[0], of_d.noise[0])


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        ({"gp_mixing": "shared"}, (BATCH,)),
        ({"gp_mixing": "per_scale"}, (BATCH, 2)),
        ({"penalty": "one_sided", "gp_mixing": "per_scale"}, (BATCH, 2)),
        ({"adversarial": "non_saturating", "penalty": "r1", "drift_weight": 0.0}, None),
    ],
)
def test_where_the_penalty_looks(loss: dict[str, Any], shape: tuple[int, ...] | None) -> None:
    run = run_of({"loss": loss})
    drawn = [mixing(run, BATCH, 2, nimg, CPU) for nimg in (0, 4)]
    if shape is None:
        assert drawn == [None, None]
        return
    for u, nimg in zip(drawn, (0, 4), strict=True):
        assert u is not None
        assert torch.equal(u, torch.rand(shape, generator=stream(run, nimg, "interpolation")))


def test_a_part_has_the_draws_of_its_own_samples() -> None:
    run = styles_always_mixed()
    drawn = generator_inputs(build_generator(run.spec.model), run, BATCH, 0, "d")
    part = Part(BATCH, groups=2, first=1, count=1)  # samples 1 and 3
    own = drawn.of(part)
    assert torch.equal(own.z, drawn.z[[1, 3]])
    assert all(torch.equal(a, b[[1, 3]]) for a, b in zip(own.noise, drawn.noise, strict=True))
    assert own.mixing is not None
    assert drawn.mixing is not None
    assert torch.equal(own.mixing.z, drawn.mixing.z[[1, 3]])
    assert own.mixing.cutoff == drawn.mixing.cutoff
