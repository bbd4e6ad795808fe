"""G and D as wholes: gains, initial bits, forward passes against twins in plain numpy."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch

from msgbench.config import ModelSpec
from msgbench.errors import ConfigError
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.combine import PhiSimple, make_combine

from .conftest import seeded

SQRT2 = math.sqrt(2)


def expected_generator_scales(spec, c):
    """Runtime factor of every layer of G, from ProGAN's gains: gain / sqrt(fan_in)."""
    scales = {"blocks.4.conv0": SQRT2 / 4 / math.sqrt(spec.latent_size)}
    scales["blocks.4.conv1"] = SQRT2 / math.sqrt(c[4] * 9)
    for r in (8, 16, 32, 64):
        scales[f"blocks.{r}.conv0"] = SQRT2 / math.sqrt(c[r // 2] * 9)
        scales[f"blocks.{r}.conv1"] = SQRT2 / math.sqrt(c[r] * 9)
    return scales | {f"to_rgb.{r}": 1 / math.sqrt(c[r]) for r in (4, 8, 16, 32, 64)}


def expected_discriminator_scales(c):
    """Runtime factor of every layer of D; +1 is MinBatchStd's channel, +3 the image's."""
    scales = {"from_rgb": SQRT2 / math.sqrt(3)}
    for r in (64, 32, 16, 8, 4):
        image = 0 if r == 64 else 3
        scales[f"blocks.{r}.conv0"] = SQRT2 / math.sqrt((c[r] + image + 1) * 9)
        scales[f"blocks.{r}.conv1"] = SQRT2 / math.sqrt(c[r] * (16 if r == 4 else 9))
    return scales | {"blocks.4.dense": 1 / math.sqrt(c[4])}


def test_equalized_gains_of_every_layer(model_spec):
    spec = model_spec(64)
    c = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256}
    with torch.device("meta"):
        nets = {"G": build_generator(spec), "D": build_discriminator(spec)}
    expected = {"G": expected_generator_scales(spec, c), "D": expected_discriminator_scales(c)}
    for which, net in nets.items():
        scales = {name: m.scale for name, m in net.named_modules() if hasattr(m, "scale")}
        assert scales == pytest.approx(expected[which], rel=1e-12)
        # No layer outside the equalised ones owns parameters.
        owners = {name.rpartition(".")[0] for name, _ in net.named_parameters()}
        assert owners == set(scales)


def bits(net: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_initial_bits_are_a_function_of_the_generator_alone(model_spec, build):
    spec = model_spec(16, 0.02, latent_size=8)
    torch.manual_seed(1)
    first = bits(build(spec, seeded(7)))
    torch.manual_seed(2)
    assert bits(build(spec, seeded(7))) == first
    assert bits(build(spec, seeded(8))) != first


def test_building_leaves_the_global_generator_alone(model_spec):
    before = torch.random.get_rng_state()
    build_generator(model_spec(8, 0.02), seeded())
    build_discriminator(model_spec(8, 0.02), seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_a_generator_all_parameters_are_nan(model_spec):
    for build in (build_generator, build_discriminator):
        assert all(p.isnan().all() for p in build(model_spec(8, 0.02)).parameters())


def test_output_is_a_list_from_lowest_to_highest(model_spec):
    G = build_generator(model_spec(32, 0.02, latent_size=8), seeded())
    images = G(torch.randn(2, 8, generator=seeded(1)))
    assert [tuple(x.shape) for x in images] == [(2, 3, r, r) for r in (4, 8, 16, 32)]
    D = build_discriminator(model_spec(32, 0.02), seeded())
    assert D(images).shape == (2,)


def test_only_the_direction_of_z_matters(model_spec):
    G = build_generator(model_spec(8, 0.02, latent_size=8), seeded()).double()
    z = torch.randn(3, 8, generator=seeded(1), dtype=torch.float64)
    for a, b in zip(G(z), G(7 * z), strict=True):
        # epsilon 1e-8 of the normalisation against mean squares of about 1 and 49.
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert not torch.allclose(G(z)[0], G(-z)[0], atol=0.01)


def test_discriminator_refuses_a_wrong_number_of_images(model_spec):
    D = build_discriminator(model_spec(16, 0.02), seeded())
    images = [torch.zeros(2, 3, r, r) for r in (8, 16)]
    with pytest.raises(ValueError, match=r"2 images for the 3 scales \(4, 8, 16\)"):
        D(images)


def test_group_statistics_reach_the_score(model_spec):
    """A sample's score depends on its own group {m, m + M, ...} and on no other."""
    D = build_discriminator(model_spec(8, 0.02, mbstd_group_size=2), seeded())
    images = [torch.randn(4, 3, r, r, generator=seeded(r)) for r in (4, 8)]
    before = D(images)
    for image in images:
        image[3] = 0
    differs = D(images) != before
    assert differs.tolist() == [False, True, False, True]


def test_unknown_names_are_config_errors(model_spec):
    with pytest.raises(
        ConfigError,
        match=r"model\.combine is 'phi_none'; allowed: phi_simple, phi_lin_cat, phi_cat_lin",
    ):
        make_combine("phi_none", 8)
    foreign = ModelSpec.model_construct(**{**model_spec(8).model_dump(), "family": "dcgan"})
    for build in (build_generator, build_discriminator):
        with pytest.raises(
            ConfigError, match=r"model\.family is 'dcgan'; allowed: progan, stylegan"
        ):
            build(foreign)


def test_phi_simple_puts_the_image_first():
    phi = PhiSimple(5)
    image, activation = torch.ones(1, 3, 2, 2), torch.zeros(1, 5, 2, 2)
    out = phi(image, activation)
    assert phi.out_channels == out.shape[1] == 8
    assert out[0, :, 0, 0].tolist() == [1] * 3 + [0] * 5


# The twins below are numpy in float64, written from Tables 6 and 7 with the state dict as input.


def test_generator_equals_a_numpy_twin(model_spec, slow):
    G = build_generator(model_spec(16, 0.012, latent_size=9), seeded())
    p = slow.with_random_parameters(G)
    z = np.random.default_rng(0).normal(size=(2, 9))

    a = slow.pixnorm(z)
    a = np.einsum("nl,lchw->nchw", a, p["blocks.4.conv0.weight"]) * SQRT2 / 4 / math.sqrt(9)
    a = slow.lrelu(a + p["blocks.4.conv0.bias"][:, None, None])
    a = slow.pixnorm(
        slow.lrelu(slow.conv(a, p["blocks.4.conv1.weight"], p["blocks.4.conv1.bias"], SQRT2, 1))
    )
    expected = [slow.conv(a, p["to_rgb.4.weight"], p["to_rgb.4.bias"], 1.0, 0)]
    for r in (8, 16):
        a = slow.up(a)
        for conv in ("conv0", "conv1"):
            weight, bias = p[f"blocks.{r}.{conv}.weight"], p[f"blocks.{r}.{conv}.bias"]
            a = slow.pixnorm(slow.lrelu(slow.conv(a, weight, bias, SQRT2, 1)))
        expected.append(slow.conv(a, p[f"to_rgb.{r}.weight"], p[f"to_rgb.{r}.bias"], 1.0, 0))

    with torch.no_grad():
        images = G(torch.from_numpy(z))
    for image, twin in zip(images, expected, strict=True):
        # float64 sums in another order.
        np.testing.assert_allclose(image.numpy(), twin, rtol=1e-10, atol=1e-12)


def test_discriminator_equals_a_numpy_twin(model_spec, slow, slow_mbstd):
    D = build_discriminator(model_spec(16, 0.012, mbstd_group_size=2), seeded())
    p = slow.with_random_parameters(D)
    rng = np.random.default_rng(0)
    images = {r: rng.normal(size=(4, 3, r, r)) for r in (4, 8, 16)}

    a = slow.conv(images[16], p["from_rgb.weight"], p["from_rgb.bias"], SQRT2, 0)
    for r in (16, 8, 4):
        if r < 16:
            a = np.concatenate([images[r], a], axis=1)
        a = slow_mbstd(a, 2)
        for conv, pad in (("conv0", 1), ("conv1", 0 if r == 4 else 1)):
            weight, bias = p[f"blocks.{r}.{conv}.weight"], p[f"blocks.{r}.{conv}.bias"]
            a = slow.lrelu(slow.conv(a, weight, bias, SQRT2, pad))
        if r > 4:
            a = slow.down(a)
    a = a[:, :, 0, 0]
    weight, bias = p["blocks.4.dense.weight"], p["blocks.4.dense.bias"]
    expected = (a @ weight.T / math.sqrt(a.shape[1]) + bias)[:, 0]

    with torch.no_grad():
        scores = D([torch.from_numpy(images[r]) for r in (4, 8, 16)])
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-10, atol=1e-12)
