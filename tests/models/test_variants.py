"""The switches of ModelSpec: combine functions, the first version's networks, PixNorm, equalised rates, MinBatchStd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from msgbench.config import ModelSpec
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.combine import PhiCatLin, PhiLinCat
from msgbench.models.describe import discriminator_table, generator_table
from msgbench.models.layers import MinibatchStdDev, PixelNorm, draw_parameters

from .conftest import seeded

SQRT2 = math.sqrt(2)


def test_phi_lin_cat(slow):
    phi = PhiLinCat(4, 2)
    draw_parameters(phi, seeded())
    p = slow.with_random_parameters(phi)
    rng = np.random.default_rng(0)
    image, activation = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 4, 4, 4))
    features = slow.conv(image, p["linear.weight"], p["linear.bias"], SQRT2, 0)
    out = phi(torch.from_numpy(image), torch.from_numpy(activation)).detach().numpy()
    assert phi.out_channels == out.shape[1] == 6
    np.testing.assert_allclose(
        out, np.concatenate([features, activation], axis=1), rtol=1e-12, atol=1e-12
    )


def test_phi_lin_cat_with_an_activation(model_spec, slow):
    """The activation is that of the image's features alone, and no other draw, parameter or default changes by it."""
    changes = {"combine": "phi_lin_cat", "width_multiplier": 0.02}
    plain = build_discriminator(ModelSpec(family="progan", resolution=16, **changes), seeded())
    spec = ModelSpec(family="progan", resolution=16, lin_cat_activation="lrelu", **changes)
    active = build_discriminator(spec, seeded())
    for (name, a), (other, b) in zip(
        plain.named_parameters(), active.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(a, b)
    phi = active.combine["8"]
    p = slow.with_random_parameters(phi)
    rng = np.random.default_rng(0)
    channels = phi.out_channels - p["linear.bias"].shape[0]
    image, activation = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(2, channels, 8, 8))
    features = slow.lrelu(slow.conv(image, p["linear.weight"], p["linear.bias"], SQRT2, 0))
    out = phi(torch.from_numpy(image), torch.from_numpy(activation)).detach().numpy()
    np.testing.assert_allclose(
        out, np.concatenate([features, activation], axis=1), rtol=1e-12, atol=1e-12
    )
    assert (
        ModelSpec(family="progan", resolution=16, combine="phi_lin_cat").lin_cat_activation
        == "linear"
    )
    rows = [row.activation for row in discriminator_table(spec) if row.operation == "Conv 1 x 1"]
    assert rows == ["LReLU", "LReLU"]


def test_phi_cat_lin(slow):
    phi = PhiCatLin(4)
    draw_parameters(phi, seeded())
    assert [name for name, _ in phi.named_parameters()] == ["linear.weight"]
    p = slow.with_random_parameters(phi)
    rng = np.random.default_rng(0)
    image, activation = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 4, 4, 4))
    both = np.concatenate([image, activation], axis=1)
    out = phi(torch.from_numpy(image), torch.from_numpy(activation)).detach().numpy()
    assert phi.out_channels == out.shape[1] == 4
    np.testing.assert_allclose(
        out, slow.conv(both, p["linear.weight"], 0.0, SQRT2, 0), rtol=1e-12, atol=1e-12
    )


def test_the_papers_examples_of_block_3():
    """Section 6.1: lin_cat makes 32 channels of the image and 96 in all, cat_lin 64."""
    rows = {
        combine: [
            row.shape
            for row in discriminator_table(
                ModelSpec(family="progan", resolution=1024, combine=combine)
            )
            if row.block == 3 and row.operation in ("Conv 1 x 1", f"Concat/{combine}")
        ]
        for combine in ("phi_lin_cat", "phi_cat_lin")
    }
    assert rows["phi_lin_cat"] == [(32, 256, 256), (96, 256, 256)]
    assert rows["phi_cat_lin"] == [(67, 256, 256), (64, 256, 256)]


def test_defaults_hang_on_family_and_variant():
    def resolved(**fields):
        spec = ModelSpec(resolution=32, **fields)
        return (spec.combine, spec.mbstd, spec.mbstd_group_size, spec.gains, spec.pixel_norm)

    assert resolved(family="progan") == ("phi_simple", "every_block", 4, "progan", "after_3x3")
    assert resolved(family="stylegan") == ("phi_cat_lin", "every_block", 4, "progan", "off")
    bmsg = ("phi_lin_cat", "last_block", None, "bmsg", "after_3x3")
    assert resolved(family="progan", variant="bmsg") == bmsg
    assert resolved(family="progan", variant="bbmsg") == bmsg
    stated = ModelSpec(family="progan", variant="bmsg", resolution=32, mbstd="off", gains="progan")
    assert (stated.mbstd, stated.gains) == ("off", "progan")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"variant": "bmsg", "family": "stylegan", "combine": "phi_lin_cat", "pixel_norm": "off"},
         "variant bmsg does not fit family stylegan; allowed: paper"),
        ({"family": "stylegan", "pixel_norm": "after_3x3"},
         "pixel_norm after_3x3 does not fit family stylegan; allowed: off"),
        ({"family": "stylegan", "gains": "bmsg"},
         "gains bmsg does not fit family stylegan; allowed: progan"),
        ({"family": "progan", "variant": "bbmsg", "combine": "phi_simple"},
         "combine phi_simple does not fit variant bbmsg; allowed: phi_lin_cat"),
        ({"family": "stylegan", "lin_cat_activation": "lrelu"},
         "lin_cat_activation lrelu does not fit combine phi_cat_lin; allowed: linear"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        ModelSpec(resolution=32, **fields)


@pytest.mark.parametrize(("variant", "wider"), [("bmsg", 1), ("bbmsg", 2)])
def test_first_versions_discriminator(variant, wider):
    """Half of every block's channels come from its image; one statistic of the batch, at the end."""
    rows = discriminator_table(ModelSpec(family="progan", variant=variant, resolution=128))
    width = {128: 128 * wider, 64: 256 * wider, 32: 512 * wider, 8: 512 * wider, 4: 512 * wider}
    assert [row.shape[0] for row in rows if row.operation.startswith("FromRGB")] == [width[128]]
    for r in (64, 32, 8, 4):
        at = [row for row in rows if row.shape[-1] == r and row.block == 7 - int(math.log2(r)) + 1]
        assert next(row.shape[0] for row in at if row.operation == "Conv 1 x 1") == width[r] // 2
        assert next(row.shape[0] for row in at if row.operation.startswith("Concat")) == width[r]
        assert next(row.shape[0] for row in at if row.operation == "Conv 3 x 3") == width[r]
    statistics = [row for row in rows if row.operation == "MinBatchStd"]
    assert [(row.block, row.shape) for row in statistics] == [(6, (width[4] + 1, 4, 4))]


def test_first_versions_discriminator_equals_a_numpy_twin(model_spec, slow, slow_mbstd):
    """Half of every input from the image, the image's features first; one statistic of all samples, at 4x4."""
    spec = model_spec(16, 0.016, mbstd_group_size=None, variant="bmsg")
    D = build_discriminator(spec, seeded())
    p = slow.with_random_parameters(D)
    rng = np.random.default_rng(0)
    images = {r: rng.normal(size=(3, 3, r, r)) for r in (4, 8, 16)}

    a = slow.conv(images[16], p["from_rgb.weight"], p["from_rgb.bias"], SQRT2, 0)
    for r in (16, 8, 4):
        if r < 16:
            weight, bias = p[f"combine.{r}.linear.weight"], p[f"combine.{r}.linear.bias"]
            features = slow.conv(images[r], weight, bias, SQRT2, 0)
            assert features.shape == a.shape == (3, 4, r, r)
            a = np.concatenate([features, a], axis=1)
        if r == 4:
            a = slow_mbstd(a, 3)
        for conv, pad in (("conv0", 1), ("conv1", 0 if r == 4 else 1)):
            weight, bias = p[f"blocks.{r}.{conv}.weight"], p[f"blocks.{r}.{conv}.bias"]
            a = slow.lrelu(slow.conv(a, weight, bias, SQRT2, pad))
        if r > 4:
            a = slow.down(a)
    a = a[:, :, 0, 0]
    weight, bias = p["blocks.4.dense.weight"], p["blocks.4.dense.bias"]
    expected = (a @ weight.T * SQRT2 / math.sqrt(a.shape[1]) + bias)[:, 0]

    with torch.no_grad():
        scores = D([torch.from_numpy(images[r]) for r in (4, 8, 16)])
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_first_versions_gains():
    spec = ModelSpec(family="progan", variant="bmsg", resolution=16)
    with torch.device("meta"):
        G, D = build_generator(spec), build_discriminator(spec)
    assert G.blocks["4"].conv0.scale == pytest.approx(SQRT2 / math.sqrt(512))
    for layer in G.to_rgb.values():
        assert layer.scale == pytest.approx(SQRT2 / math.sqrt(512))
    assert D.blocks["4"].dense.scale == pytest.approx(SQRT2 / math.sqrt(512))
    for phi in D.combine.values():
        assert phi.linear.scale == pytest.approx(SQRT2 / math.sqrt(3))


def test_statistics_of_the_whole_batch(slow_mbstd):
    x = torch.randn(6, 3, 2, 2, generator=seeded(), dtype=torch.float64)
    out = MinibatchStdDev(None)(x)
    np.testing.assert_allclose(out.numpy(), slow_mbstd(x.numpy(), 6), rtol=1e-12, atol=1e-14)
    # Any batch fits.
    assert MinibatchStdDev(None)(x[:5]).shape == (5, 4, 2, 2)


@pytest.mark.parametrize(
    ("mbstd", "blocks"), [("every_block", [1, 2, 3]), ("last_block", [3]), ("off", [])]
)
@pytest.mark.parametrize("family", ["progan", "stylegan"])
def test_where_statistics_are_taken(model_spec, family, mbstd, blocks):
    rows = discriminator_table(model_spec(16, family=family, mbstd=mbstd))
    assert [row.block for row in rows if row.operation == "MinBatchStd"] == blocks


@pytest.mark.parametrize(
    ("pixel_norm", "normalised"),
    [
        ("after_3x3", {"Conv 3 x 3"}),
        ("after_all", {"Conv 3 x 3", "Conv 4 x 4"}),
        ("off", set()),
    ],
)
def test_where_the_generator_is_normalised(model_spec, pixel_norm, normalised):
    spec = model_spec(16, pixel_norm=pixel_norm)
    rows = generator_table(spec)
    assert {row.operation for row in rows if row.normalisation == "PixNorm"} == normalised
    with torch.device("meta"):
        G = build_generator(spec)
    # The latents are put on the sphere in any case.
    assert isinstance(G.normalise_latent, PixelNorm)
    count = sum(isinstance(layer, PixelNorm) for layer in G.modules())
    assert count == 1 + {"after_3x3": 5, "after_all": 6, "off": 0}[pixel_norm]


@pytest.mark.parametrize("family", ["progan", "stylegan"])
def test_without_equalised_rates_the_scale_is_in_the_weights(model_spec, family):
    """The same draw gives the same function; what differs is how far a step of an optimizer moves it."""
    changes = {"family": family, "latent_size": 12}
    on = build_discriminator(model_spec(16, 0.02, **changes), seeded())
    off = build_discriminator(model_spec(16, 0.02, equalized_lr=False, **changes), seeded())
    images = [torch.randn(4, 3, r, r, generator=seeded(r)) for r in (4, 8, 16)]
    torch.testing.assert_close(on(images), off(images), rtol=1e-4, atol=1e-5)
    on = build_generator(model_spec(16, 0.02, **changes), seeded())
    off = build_generator(model_spec(16, 0.02, equalized_lr=False, **changes), seeded())
    for (name, a), (_, b) in zip(on.named_modules(), off.named_modules(), strict=True):
        if hasattr(a, "scale"):
            slower = 0.01 if name.startswith("mapping.") else 1.0
            assert b.scale == slower
            torch.testing.assert_close(a.weight * a.scale, b.weight * slower)


def test_activations_at_the_ends(model_spec):
    spec = model_spec(8, 0.02, latent_size=8, to_rgb_activation="tanh")
    plain = build_generator(model_spec(8, 0.02, latent_size=8), seeded())
    bounded = build_generator(spec, seeded())
    z = torch.randn(2, 8, generator=seeded(1))
    for a, b in zip(bounded(z), plain(z), strict=True):
        torch.testing.assert_close(a, b.tanh())
    linear = build_discriminator(model_spec(8, 0.02), seeded())
    active = build_discriminator(model_spec(8, 0.02, from_rgb_activation="lrelu"), seeded())
    assert isinstance(linear.from_rgb_act, nn.Identity)
    assert isinstance(active.from_rgb_act, nn.LeakyReLU)
    images = [torch.randn(2, 3, r, r, generator=seeded(r)) for r in (4, 8)]
    assert not torch.allclose(linear(images), active(images), atol=1e-3)
