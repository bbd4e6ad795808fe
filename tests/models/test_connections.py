"""Which scales enter the discriminator: levels and lists in the spec, scores and gradients in the network."""

from __future__ import annotations

import pytest
import torch

from msgbench.config import ModelSpec
from msgbench.losses.adversarial import wgan_g_loss
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.generator import draw_noise

from .conftest import seeded

ALL = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


@pytest.mark.parametrize(
    ("connections", "resolution", "expected"),
    [
        ("all", 1024, ALL),
        ("none", 1024, (1024,)),
        ("coarse", 1024, (4, 8, 1024)),
        ("middle", 1024, (16, 32, 1024)),
        ("fine", 1024, (64, 128, 256, 512, 1024)),
        ("fine", 128, (64, 128)),
        ("middle", 32, (16, 32)),
        ("fine", 32, (32,)),
        ([16, 8], 32, (8, 16, 32)),
        ([32], 32, (32,)),
        ([], 32, (32,)),
    ],
)
def test_levels_and_lists_resolve_to_resolutions(connections, resolution, expected):
    spec = ModelSpec(family="progan", resolution=resolution, connections=connections)
    assert spec.connected == spec.connections == expected
    # What is written to spec.json is the list, and it reads back the same.
    assert spec.model_dump(mode="json")["connections"] == list(expected)
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    with torch.device("meta"):
        D = build_discriminator(spec)
    assert D.connected == expected
    assert list(D.combine) == [str(r) for r in reversed(expected[:-1])]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"connections": "coarser"},
            "'coarser' is not allowed; allowed: none, coarse, middle, fine, all, or a list of resolutions",
        ),
        (
            {"connections": [4, "8"]},
            r"\[4, '8'\] is not allowed; allowed: none, coarse, middle, fine, all, or a list",
        ),
        ({"connections": [4, 12]}, "connections name the resolution 12; allowed: 4, 8, 16, 32"),
        ({"connections": [64]}, "connections name the resolution 64; allowed: 4, 8, 16, 32"),
        ({"connections": [4, 4]}, r"connections \[4, 4, 32\] name one resolution twice"),
    ],
)
def test_bad_connections_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        ModelSpec(family="progan", resolution=32, **changes)


CASES = [
    ("progan", "paper", "phi_simple"),
    ("progan", "paper", "phi_lin_cat"),
    ("progan", "paper", "phi_cat_lin"),
    ("progan", "bmsg", "phi_lin_cat"),
    ("stylegan", "paper", "phi_simple"),
    ("stylegan", "paper", "phi_lin_cat"),
    ("stylegan", "paper", "phi_cat_lin"),
]
LISTS = [(4, 8, 16, 32), (32,), (4, 32), (8, 16, 32)]


@pytest.mark.parametrize(("family", "variant", "combine"), CASES)
@pytest.mark.parametrize("connected", LISTS)
def test_gradients_reach_connected_scales_and_no_other(
    model_spec, family, variant, combine, connected
):
    spec = model_spec(
        32, 0.01, latent_size=8, family=family, variant=variant, combine=combine,
        connections=connected,
    )  # fmt: skip
    G, D = build_generator(spec, seeded(0)), build_discriminator(spec, seeded(1))
    images = G(torch.randn(4, 8, generator=seeded(2)), draw_noise(G, 4, seeded(3)))
    gradients = torch.autograd.grad(
        wgan_g_loss(D(images)), images, allow_unused=True, retain_graph=True
    )
    for resolution, gradient in zip(spec.scales, gradients, strict=True):
        if resolution in connected:
            assert gradient.isfinite().all()
            assert gradient.abs().max() > 0
        else:
            assert gradient is None or torch.equal(gradient, torch.zeros_like(gradient))
    wgan_g_loss(D(images)).backward()
    moved = [int(r) for r, layer in G.to_rgb.items() if layer.weight.grad is not None]
    assert moved == list(connected)
    # Everything in D takes part, whatever is connected.
    for name, parameter in D.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("family", "variant", "combine"), CASES)
def test_scores_depend_on_connected_images_alone(model_spec, family, variant, combine):
    spec = model_spec(32, 0.01, family=family, variant=variant, combine=combine, connections=[8])
    D = build_discriminator(spec, seeded(1))
    images = {r: torch.randn(4, 3, r, r, generator=seeded(r)) for r in spec.scales}
    before = D(list(images.values()))
    for resolution in spec.scales:
        changed = images | {resolution: images[resolution] + 1}
        assert torch.equal(D(list(changed.values())), before) == (resolution in (4, 16))
