"""The growing baselines: their size, their one image, and that nothing jumps where a fade begins or ends."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from msgbench.config import ModelSpec
from msgbench.models.arithmetic import (
    discriminator_macs,
    discriminator_parameters,
    generator_macs,
    generator_parameters,
)
from msgbench.models.build import build_discriminator, build_generator
from msgbench.models.describe import count_parameters, discriminator_table, generator_table
from msgbench.models.generator import draw_noise
from msgbench.models.growing import set_lod
from msgbench.models.stylegan import StyleMixing

FAMILIES = ("progan", "stylegan")


def spec_of(family: str, resolution: int = 32, **changes: object) -> ModelSpec:
    small = {"latent_size": 8, "fmap_base": 64, "fmap_max": 8, "mbstd_group_size": 2}
    return ModelSpec.model_validate(
        {"family": family, "resolution": resolution, "growing": True, **small, **changes}
    )


def networks(family: str, **changes: object):
    spec = spec_of(family, **changes)
    G = build_generator(spec, torch.Generator().manual_seed(1)).double().eval()
    D = build_discriminator(spec, torch.Generator().manual_seed(2)).double().eval()
    return G, D


def drawn(G, batch: int = 4):
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(batch, 8, generator=generator, dtype=torch.float64)
    return z, [noise.double() for noise in draw_noise(G, batch, torch.Generator().manual_seed(4))]


def grown(lod: float, *nets: torch.nn.Module) -> None:
    for net in nets:
        set_lod(net, lod)


@pytest.mark.parametrize(
    ("resolution", "progan_D"),
    [(32, 20_726_785), (128, 22_941_313), (256, 23_052_353), (1024, 23_087_249)],
)
def test_parameters_are_those_of_the_published_baselines(resolution, progan_D):
    """G has the count of the MSG generators: to_rgb at every scale belongs to both."""
    counts = {"progan": {32: 20_719_628, 128: 22_933_394, 256: 23_044_309, 1024: 23_079_115},
              "stylegan": {32: 22_841_356, 128: 25_843_858, 256: 26_086_229, 1024: 26_219_627}}  # fmt: skip
    for family in FAMILIES:
        spec = ModelSpec(family=family, resolution=resolution, growing=True)
        with torch.device("meta"):
            assert count_parameters(build_generator(spec)) == counts[family][resolution]
            assert count_parameters(build_discriminator(spec)) == progan_D
        assert generator_parameters(spec) == counts[family][resolution]
        assert discriminator_parameters(spec) == progan_D


def test_progans_generator_for_cifar10_has_its_1_3_million():
    small = {"latent_size": 128, "fmap_base": 4096, "fmap_max": 128}
    spec = ModelSpec(family="progan", resolution=32, growing=True, **small)
    assert generator_parameters(spec) == pytest.approx(1.30e6, rel=0.005)


def test_networks_are_progans_unless_told_otherwise():
    spec = ModelSpec(family="progan", resolution=32, growing=True)
    assert (spec.pixel_norm, spec.from_rgb_activation) == ("after_all", "lrelu")
    assert (spec.mbstd, spec.pooling, spec.connected) == ("last_block", "before_activation", (32,))
    styled = ModelSpec(family="stylegan", resolution=32, growing=True)
    assert (styled.mbstd, styled.from_rgb_activation, styled.pixel_norm) == (
        "last_block",
        "lrelu",
        "off",
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lod", [0, 0.25, 1, 1.999, 2, 2.5, 3])
def test_one_image_of_the_resolution_that_has_been_grown_to(family, lod):
    G, D = networks(family)
    grown(lod, G, D)
    images = G(*drawn(G))
    assert [tuple(image.shape) for image in images] == [(4, 3, 32 >> int(lod), 32 >> int(lod))]
    assert D(images).shape == (4,)
    with pytest.raises(ValueError, match="grown to"):
        D([F.avg_pool2d(images[0], 2)])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_output_is_continuous_at_both_ends_of_a_fade(family, level):
    """A fade begins with the enlarged image of before, and ends with the image of after; D's scores alike."""
    G, D = networks(family)
    z, _ = drawn(G)
    tiny = 1e-9

    grown(level + 1, G, D)
    small = G(z, drawn(G)[1])[0]
    before = D([small])
    grown(level + 1 - tiny, G, D)
    begun = G(z, drawn(G)[1])[0]
    enlarged = F.interpolate(small, scale_factor=2, mode="nearest")
    assert torch.allclose(begun, enlarged, rtol=0, atol=1e-6)
    assert torch.allclose(D([enlarged]), before, rtol=0, atol=1e-6)

    grown(level + tiny, G, D)
    ending = G(z, drawn(G)[1])[0]
    scores = D([ending])
    grown(level, G, D)
    after = G(z, drawn(G)[1])[0]
    assert torch.allclose(ending, after, rtol=0, atol=1e-6)
    assert torch.allclose(scores, D([after]), rtol=0, atol=1e-6)
    # Neither end is the other: something was faded.
    assert (begun - after).abs().max() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_half_way_is_the_mean_of_both_images(family):
    G, _ = networks(family)
    z, noise = drawn(G)
    at = {}
    for lod in (0.0, 0.5, 1.0):
        grown(lod, G)
        at[lod] = G(z, noise[: len(G.noise_resolutions)])[0]
    expected = (at[0.0] + F.interpolate(at[1.0], scale_factor=2, mode="nearest")) / 2
    assert torch.allclose(at[0.5], expected, rtol=0, atol=1e-12)


def test_a_faded_in_discriminator_mixes_features_behind_the_new_block():
    G, D = networks("progan")
    images = G(*drawn(G))
    grown(0.5, D)
    new = D.blocks["32"](D.from_rgb_act(D.from_rgb["32"](images[0])))
    old = D.from_rgb_act(D.from_rgb["16"](F.avg_pool2d(images[0], 2)))
    a = (new + old) / 2
    for name in ("16", "8", "4"):
        a = D.blocks[name](a)
    assert torch.allclose(D(images), a, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_what_takes_part_gets_gradients(family):
    G, D = networks(family)
    grown(1.5, G, D)
    D(G(*drawn(G))).sum().backward()
    touched = {
        name for name, p in [*G.named_parameters(), *D.named_parameters()] if p.grad is not None
    }
    assert any(name.startswith("blocks.16.") for name in touched)
    assert not any(".32." in f".{name}" for name in touched)
    # The image that fades out keeps its way to the loss.
    assert "to_rgb.8.weight" in touched
    assert "from_rgb.8.weight" in touched
    assert "to_rgb.4.weight" not in touched


def test_at_full_resolution_it_is_the_largest_image_of_the_msg_generator():
    grows = spec_of("progan")
    all_at_once = ModelSpec.model_validate(
        {**grows.model_dump(), "growing": False, "connections": "all"}
    )
    one = build_generator(grows, torch.Generator().manual_seed(1))
    other = build_generator(all_at_once, torch.Generator().manual_seed(1))
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one(z)[0], other(z)[-1])


@pytest.mark.parametrize("lod", [-0.1, 4, 3.5])
def test_a_level_that_is_not_there_is_refused(lod):
    G, _ = networks("progan")
    with pytest.raises(ValueError, match=r"lod \S+ is not allowed"):
        set_lod(G, lod)


def test_networks_of_all_scales_do_not_grow():
    G = build_generator(spec_of("progan", growing=False))
    with pytest.raises(ValueError, match="all scales at once"):
        set_lod(G, 1)


def test_mixed_styles_change_the_layers_behind_the_cutoff_alone():
    G, _ = networks("stylegan")
    z, noise = drawn(G)
    other = torch.flip(z, dims=(0,))
    ws, ws_other = (G.broadcast(G.mapping(part)) for part in (z, other))
    mixed = torch.cat([ws[:, :3], ws_other[:, 3:]], dim=1)
    assert torch.equal(G(z, noise, StyleMixing(other, 3))[0], G.synthesise(mixed, noise)[0])
    assert not torch.equal(G(z, noise, StyleMixing(other, 3))[0], G(z, noise)[0])


def test_the_average_of_w_follows_the_first_latents():
    """As in StyleGAN's code: mixing comes after the average has been updated."""
    averages = []
    for mixing in (False, True):
        G, _ = networks("stylegan")
        G.train()
        z, noise = drawn(G)
        G(z, noise, StyleMixing(torch.flip(z, dims=(1,)), 2) if mixing else None)
        averages.append(G.w_average.clone())
    assert torch.equal(*averages)
    assert averages[0].abs().sum() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_arithmetic_at_a_resolution_is_that_of_networks_built_for_it(family):
    """Up to 16 px a network that grows to 32 does what one does that ends there."""
    large, small = (spec_of(family, r, fmap_base=8192, fmap_max=32) for r in (32, 16))
    assert generator_macs(large, 16) == generator_macs(small)
    assert discriminator_macs(large, 16) == discriminator_macs(small)
    assert generator_macs(large, 32) > generator_macs(large, 16)


def test_layer_tables_show_the_layers_of_full_resolution():
    spec = spec_of("progan")
    shapes = [row.shape for row in generator_table(spec) if row.operation == "ToRGB"]
    assert shapes == [(3, 32, 32)]
    operations = [row.operation for row in discriminator_table(spec)]
    assert operations.count("MinBatchStd") == 1
    assert sum(operation.startswith("FromRGB") for operation in operations) == 1
