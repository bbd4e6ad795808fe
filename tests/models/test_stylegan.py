"""MSG-StyleGAN: both networks against twins in numpy, gains, noise, the average w, truncation and mixing."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from msgbench.errors import ConfigError
from msgbench.losses.adversarial import wgan_g_loss
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.generator import draw_noise
from msgbench.models.layers import Blur, ConvDownsample2d
from msgbench.models.precision import fuse_upsampling, set_precision, use_channels_last
from msgbench.models.styles import mix_styles, redraw_noise, truncate
from msgbench.training.networks import update_ema

from .conftest import require_fused_is_the_same, seeded

SQRT2 = math.sqrt(2)


@pytest.fixture
def spec(model_spec):
    return model_spec(16, 0.012, mbstd_group_size=2, latent_size=9, family="stylegan")


def drawn(spec, batch: int = 2, seed: int = 1, dtype: torch.dtype = torch.float32):
    """G in eval mode with noise that counts, latents and noise."""
    G = build_generator(spec, seeded())
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith("noise_weight"):
                parameter.normal_(generator=seeded(5))
    z = torch.randn(batch, spec.latent_size, generator=seeded(seed))
    noise = draw_noise(G, batch, seeded(seed + 100))
    return G.to(dtype).eval(), z.to(dtype), [part.to(dtype) for part in noise]


def test_generator_equals_a_numpy_twin(spec, slow):
    G = build_generator(spec, seeded()).eval()
    p = slow.with_random_parameters(G, ("bias", "noise_weight", "constant.weight"))
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 9))
    noise = [rng.normal(size=(2, 1, r, r)) for r in (4, 4, 8, 8, 16, 16)]

    w = slow.pixnorm(z)
    for layer in range(0, 16, 2):
        weight, bias = p[f"mapping.layers.{layer}.weight"], p[f"mapping.layers.{layer}.bias"]
        w = slow.lrelu(w @ weight.T * 0.01 * SQRT2 / math.sqrt(9) + bias * 0.01)

    def epilogue(a, name, noise):
        a = a + noise * p[f"{name}.noise_bias.noise_weight"][:, None, None]
        a = slow.lrelu(a + p[f"{name}.noise_bias.bias"][:, None, None])
        mean = a.mean(axis=(2, 3), keepdims=True)
        a = (a - mean) / np.sqrt(a.var(axis=(2, 3), keepdims=True) + 1e-8)
        style = (
            w @ p[f"{name}.adain.affine.weight"].T / math.sqrt(9) + p[f"{name}.adain.affine.bias"]
        )
        scale, shift = np.split(style[:, :, None, None], 2, axis=1)
        return a * (scale + 1) + shift

    expected, a = [], np.repeat(p["blocks.4.constant.weight"], 2, axis=0)
    for index, r in enumerate((4, 8, 16)):
        if r > 4:
            a = slow.blur(slow.conv(slow.up(a), p[f"blocks.{r}.conv0.weight"], 0.0, SQRT2, 1))
        a = epilogue(a, f"blocks.{r}.epilogue0", noise[2 * index])
        a = slow.conv(a, p[f"blocks.{r}.conv1.weight"], 0.0, SQRT2, 1)
        a = epilogue(a, f"blocks.{r}.epilogue1", noise[2 * index + 1])
        expected.append(slow.conv(a, p[f"to_rgb.{r}.weight"], p[f"to_rgb.{r}.bias"], 1.0, 0))

    with torch.no_grad():
        images = G(torch.from_numpy(z), [torch.from_numpy(part) for part in noise])
    for image, twin in zip(images, expected, strict=True):
        # float64 sums in another order, divided by standard deviations of 4x4 pixels.
        np.testing.assert_allclose(image.numpy(), twin, rtol=1e-9, atol=1e-10)


def test_discriminator_equals_a_numpy_twin(spec, slow, slow_mbstd):
    D = build_discriminator(spec, seeded())
    p = slow.with_random_parameters(D)
    rng = np.random.default_rng(0)
    images = {r: rng.normal(size=(4, 3, r, r)) for r in (4, 8, 16)}

    a = slow.lrelu(slow.conv(images[16], p["from_rgb.weight"], p["from_rgb.bias"], SQRT2, 0))
    for r in (16, 8, 4):
        if r < 16:
            a = np.concatenate([images[r], a], axis=1)
            a = slow.conv(a, p[f"combine.{r}.linear.weight"], 0.0, SQRT2, 0)
        a = slow_mbstd(a, 2)
        weight, bias = p[f"blocks.{r}.conv0.weight"], p[f"blocks.{r}.conv0.bias"]
        a = slow.lrelu(slow.conv(a, weight, bias, SQRT2, 1))
        weight, bias = p[f"blocks.{r}.conv1.weight"], p[f"blocks.{r}.conv1.bias"]
        if r > 4:
            a = slow.lrelu(slow.down(slow.conv(slow.blur(a), weight, bias, SQRT2, 1)))
        else:
            a = slow.lrelu(slow.conv(a, weight, bias, SQRT2, 0))[:, :, 0, 0]
    weight, bias = p["blocks.4.dense.weight"], p["blocks.4.dense.bias"]
    expected = (a @ weight.T / math.sqrt(a.shape[1]) + bias)[:, 0]

    with torch.no_grad():
        scores = D([torch.from_numpy(images[r]) for r in (4, 8, 16)])
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_equalized_gains_of_every_layer(model_spec):
    spec = model_spec(64, family="stylegan")
    c = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256}
    with torch.device("meta"):
        nets = {"G": build_generator(spec), "D": build_discriminator(spec)}
    g = {f"mapping.layers.{i}": 0.01 * SQRT2 / math.sqrt(512) for i in range(0, 16, 2)}
    d = {"from_rgb": SQRT2 / math.sqrt(3), "blocks.4.dense": 1 / math.sqrt(c[4])}
    for r in c:
        if r > 4:
            g[f"blocks.{r}.conv0"] = SQRT2 / math.sqrt(9 * c[r // 2])
        g[f"blocks.{r}.conv1"] = SQRT2 / math.sqrt(9 * c[r])
        g |= {f"blocks.{r}.epilogue{i}.adain.affine": 1 / math.sqrt(512) for i in (0, 1)}
        g[f"to_rgb.{r}"] = 1 / math.sqrt(c[r])
        if r < 64:
            d[f"combine.{r}.linear"] = SQRT2 / math.sqrt(c[r] + 3)
        d[f"blocks.{r}.conv0"] = SQRT2 / math.sqrt(9 * (c[r] + 1))
        d[f"blocks.{r}.conv1"] = SQRT2 / math.sqrt((16 if r == 4 else 9) * c[r])
    for which, expected in (("G", g), ("D", d)):
        scales = {name: m.scale for name, m in nets[which].named_modules() if hasattr(m, "scale")}
        assert scales == pytest.approx(expected, rel=1e-12)


def test_parameters_as_drawn(spec):
    G = build_generator(spec, seeded())
    mapping = torch.cat([layer.weight.flatten() for layer in G.mapping.layers[::2]])
    # 648 draws of deviation 100: 5 standard errors.
    assert mapping.std().item() == pytest.approx(100, rel=5 / math.sqrt(2 * 648))
    assert torch.equal(G.blocks["4"].constant.weight, torch.ones(1, 6, 4, 4))
    for name, parameter in G.named_parameters():
        if name.endswith(("noise_weight", "bias")):
            assert torch.equal(parameter, torch.zeros_like(parameter)), name
    assert torch.equal(G.w_average, torch.zeros(9))


def test_noise_comes_from_the_generator_that_is_passed_in(spec):
    G, z, noise = drawn(spec)
    assert [tuple(part.shape) for part in noise] == [(2, 1, r, r) for r in (4, 4, 8, 8, 16, 16)]
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = G(z, noise)
    assert torch.equal(torch.random.get_rng_state(), before)
    again = G(z, draw_noise(G, 2, seeded(101)))
    other = G(z, draw_noise(G, 2, seeded(102)))
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.allclose(a, c, atol=1e-3)
    with pytest.raises(ValueError, match="0 noise inputs for the 6 that this generator takes"):
        G(z)


@pytest.mark.gpu
def test_noise_drawn_on_a_gpu_is_a_function_of_its_seed(spec):
    G = build_generator(spec, seeded()).to("cuda")
    first, again = (draw_noise(G, 2, torch.Generator("cuda").manual_seed(3)) for _ in range(2))
    assert {part.device.type for part in first} == {"cuda"}
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_generator_without_noise_takes_none(model_spec):
    G = build_generator(model_spec(8, 0.02, latent_size=8), seeded())
    generator = seeded(3)
    assert draw_noise(G, 2, generator) == []
    assert torch.equal(generator.get_state(), seeded(3).get_state())
    with pytest.raises(ValueError, match="1 noise inputs for the 0"):
        G(torch.zeros(1, 8), [torch.zeros(1, 1, 4, 4)])


def test_the_average_w_follows_training_passes_alone(spec):
    G, z, noise = drawn(spec, batch=8)
    G(z, noise)
    assert torch.equal(G.w_average, torch.zeros(9))
    G.train()
    w = G.mapping(z).detach().mean(dim=0)
    with torch.no_grad():
        G(z, noise)
    torch.testing.assert_close(G.w_average, 0.005 * w, rtol=1e-5, atol=1e-8)
    G(z, noise)
    torch.testing.assert_close(G.w_average, (0.005 + 0.995 * 0.005) * w, rtol=1e-5, atol=1e-8)
    # A buffer: saved, copied, and not trained.
    assert "w_average" in G.state_dict()
    assert "w_average" not in dict(G.named_parameters())
    assert torch.equal(copy.deepcopy(G).w_average, G.w_average)


def test_the_average_w_is_copied_into_the_averaged_generator(spec):
    G, z, noise = drawn(spec, batch=8)
    G_ema = copy.deepcopy(G)
    before = G_ema.mapping.layers[0].weight.clone()
    with torch.no_grad():
        G.train()(z, noise)
        G.mapping.layers[0].weight.add_(1)
    update_ema(G_ema, G, beta=0.9)
    assert torch.equal(G_ema.w_average, G.w_average)
    assert G.w_average.abs().max() > 0
    torch.testing.assert_close(G_ema.mapping.layers[0].weight, before + 0.1)


def test_truncation_moves_the_first_layers_towards_the_average(spec):
    G, z, _ = drawn(spec)
    G.w_average.normal_(generator=seeded(8))
    ws = G.broadcast(G.mapping(z))
    assert torch.equal(truncate(G, ws, 1.0), ws)
    halved = truncate(G, ws, 0.5, num_layers=4)
    torch.testing.assert_close(halved[:, :4], (ws[:, :4] + G.w_average) / 2)
    assert torch.equal(halved[:, 4:], ws[:, 4:])
    everywhere = truncate(G, ws, 0.0, num_layers=None)
    assert torch.equal(everywhere, G.w_average.expand_as(ws))


def test_mixing_takes_styles_at_the_named_layers(spec):
    G, z, noise = drawn(spec)
    other = torch.randn(2, 9, generator=seeded(50))
    plain, foreign = G(z, noise), G(other, noise)
    for layers, expected in (((), plain), (range(6), foreign)):
        mixed = mix_styles(G, z, other, layers, noise)
        for a, b in zip(mixed, expected, strict=True):
            # The same numbers from other places in memory: float32 sums may differ.
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    # Styles from 8x8 on: the 4x4 image is still the destination's, the others are neither's.
    mixed = mix_styles(G, z, other, (2, 3, 4, 5), noise)
    torch.testing.assert_close(mixed[0], plain[0], rtol=1e-4, atol=1e-5)
    assert all(not torch.allclose(mixed[i], plain[i], atol=1e-3) for i in (1, 2))
    assert all(not torch.allclose(mixed[i], foreign[i], atol=1e-3) for i in (1, 2))
    with pytest.raises(ConfigError, match=r"layers \[6\] are not allowed.*allowed: 0 to 5"):
        mix_styles(G, z, other, (0, 6), noise)


def test_pictures_of_styles_need_styles(model_spec):
    G = build_generator(model_spec(8, 0.02, latent_size=8), seeded())
    with pytest.raises(ConfigError, match="family progan has no styles"):
        mix_styles(G, torch.zeros(1, 8), torch.zeros(1, 8), (0,), [])


def test_noise_is_redrawn_for_the_same_latents(spec):
    G, z, _ = drawn(spec)
    draws = list(redraw_noise(G, z, 3, seeded(7)))
    again = list(redraw_noise(G, z, 3, seeded(7)))
    assert len(draws) == 3
    assert all(torch.equal(a[-1], b[-1]) for a, b in zip(draws, again, strict=True))
    assert not torch.allclose(draws[0][-1], draws[1][-1], atol=1e-3)
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith("noise_weight"):
                parameter.zero_()
    first, second = redraw_noise(G, z, 2, seeded(7))
    assert torch.equal(first[-1], second[-1])


def test_blur_is_the_binomial_filter(slow):
    x = torch.randn(2, 3, 6, 6, generator=seeded(), dtype=torch.float64)
    np.testing.assert_allclose(Blur()(x).numpy(), slow.blur(x.numpy()), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("side", [8, 16, 32])
def test_downsampling_fused_with_its_convolution_is_the_same_function(side):
    require_fused_is_the_same(ConvDownsample2d(6, 5).double(), side, side // 2)


def test_all_parameters_learn(spec):
    G, z, noise = drawn(spec, batch=4)
    D = build_discriminator(spec, seeded(1))
    wgan_g_loss(D(G(z, noise))).backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_bfloat16_and_memory_format_move_images_and_scores_little(spec):
    G, z, noise = drawn(spec, batch=4)
    D = build_discriminator(spec, seeded(1))
    exact = G(z, noise)
    scores = D(exact)
    for network in (G, D):
        use_channels_last(network)
        fuse_upsampling(network, False)
    for a, b in zip(G(z, noise), exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    for network in (G, D):
        set_precision(network, "bfloat16")
    for a, b in zip(G(z, noise), exact, strict=True):
        assert a.dtype == torch.float32
        # One rounding is 2^-9 relative; two dozen layers and norms of few pixels add up.
        assert 0 < ((a - b).norm() / b.norm()).item() < 0.15
    half = D(exact)
    assert half.dtype == torch.float32
    assert 0 < ((half - scores).norm() / scores.norm()).item() < 0.15
