"""The 8-bit rule and sample sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from msgbench.config import EmaSpec, ModelSpec
from msgbench.data.pixels import to_uint8
from msgbench.errors import MeasurementError
from msgbench.models.build import build_generator
from msgbench.sampling import SampleSet, latents, noise_inputs
from msgbench.snapshots import SnapshotMeta, save_snapshot

LEVEL = 1 / 127.5


@pytest.mark.parametrize(
    ("value", "pixel"),
    [
        # x * 127.5 + 128, fraction dropped: half a level above -1 is the edge between 0 and 1.
        (-1.0, 0),
        (-1.0 + 0.49 * LEVEL, 0),
        (-1.0 + 0.51 * LEVEL, 1),
        (-0.5 * LEVEL - 1e-4, 127),
        (-0.5 * LEVEL + 1e-4, 127),
        (-1e-4, 127),
        (0.0, 128),
        (0.99 * LEVEL, 128),
        (1.01 * LEVEL, 129),
        (1.0 - 0.51 * LEVEL, 254),
        (1.0 - 0.49 * LEVEL, 255),
        (1.0, 255),
        (1.7, 255),
        (300.0, 255),
        (-1.01, 0),
        (-300.0, 0),
    ],
)
def test_to_uint8_golden_values(value: float, pixel: int) -> None:
    found = to_uint8(torch.tensor([value]))
    assert found.dtype == torch.uint8
    assert found.item() == pixel


def test_to_uint8_gives_back_every_grey_level() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)


def test_to_uint8_rounds_to_the_nearest_without_a_shift() -> None:
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    error = to_uint8(x).double() - (x + 1) * 127.5
    assert error.abs().max().item() <= 0.5 + 1e-4  # float32 scaling
    # Uniform in [-0.5, 0.5]: the mean of 100,000 has a deviation of 0.0009. Truncation would give -0.5.
    assert error.mean().item() == pytest.approx(0.0, abs=0.004)


def test_to_uint8_scales_in_float32_also_for_bfloat16_images() -> None:
    x = (torch.rand(10_000, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(torch.bfloat16)
    assert torch.equal(to_uint8(x), to_uint8(x.float()))
    scaled_in_bfloat16 = (x * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    assert not torch.equal(to_uint8(x), scaled_in_bfloat16)


def test_latents_depend_on_seed_and_index_alone() -> None:
    together = latents(range(0, 10), 16, seed=2020)
    apart = torch.cat([latents(range(0, 3), 16, 2020), latents(range(3, 10), 16, 2020)])
    assert torch.equal(together, apart)
    assert together.dtype == torch.float32
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[:1], latents(range(1), 16, seed=2021))
    # Golden: other numbers here mean another sample set under an old protocol version.
    digest = hashlib.sha256(latents(range(4), 512, 2020).numpy().tobytes()).hexdigest()
    assert digest[:16] == "d2ad5453eb72f50b"


def test_latents_are_standard_normal() -> None:
    z = latents(range(400), 128, seed=1).double()
    # 51,200 draws: deviations 0.0044 (mean) and 0.0031 (deviation); over indices each latent is fresh.
    assert z.mean().item() == pytest.approx(0.0, abs=0.02)
    assert z.std().item() == pytest.approx(1.0, abs=0.015)
    correlation = (z[:-1] * z[1:]).mean().item()
    assert correlation == pytest.approx(0.0, abs=0.02)


def test_noise_depends_on_seed_and_index_alone() -> None:
    sizes = (4, 4, 8)
    together = noise_inputs(range(0, 6), sizes, seed=2020)
    assert [list(part.shape) for part in together] == [[6, 1, 4, 4], [6, 1, 4, 4], [6, 1, 8, 8]]
    first, rest = (noise_inputs(indices, sizes, 2020) for indices in (range(0, 2), range(2, 6)))
    for whole, a, b in zip(together, first, rest, strict=True):
        assert torch.equal(whole, torch.cat([a, b]))
        assert whole.dtype == torch.float32
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[0], noise_inputs(range(6), sizes, 2021)[0])
    values = torch.cat([part.flatten() for part in noise_inputs(range(400), sizes, 1)]).double()
    # 38,400 draws: deviations 0.0051 (mean) and 0.0036 (deviation).
    assert values.mean().item() == pytest.approx(0.0, abs=0.025)
    assert values.std().item() == pytest.approx(1.0, abs=0.018)
    assert noise_inputs(range(6), (), 2020) == []
    # Golden, as that of the latents.
    parts = [part.numpy().tobytes() for part in noise_inputs(range(4), sizes, 2020)]
    assert hashlib.sha256(b"".join(parts)).hexdigest()[:16] == "e1da565007ca0d3c"


def test_a_sample_set_of_a_generator_with_noise_is_reproducible(tmp_path: Path) -> None:
    model = ModelSpec(family="stylegan", resolution=8, latent_size=16, width_multiplier=1 / 32)
    G = build_generator(model, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith("noise_weight"):
                parameter.fill_(1)
    path = tmp_path / "snapshot.safetensors"
    save_snapshot(path, G, meta_of(model))
    sets = [SampleSet(path, count=6, seed=seed, batch_size=3) for seed in (7, 7, 8)]
    images = [torch.cat(list(samples.batches())) for samples in sets]
    assert sets[0].checksum == sets[1].checksum != sets[2].checksum
    # The noise is part of the recipe: without it other pixels come out.
    z = latents(range(3), 16, 7)
    silent = [torch.zeros(3, 1, r, r) for r in (4, 4, 8, 8)]
    assert not torch.equal(to_uint8(G.eval()(z, silent)[-1]), images[0][:3])
    noise = noise_inputs(range(3), (4, 4, 8, 8), 7)
    difference = to_uint8(G(z, noise)[-1]).int() - images[0][:3].int()
    # Another memory order may move a pixel by one grey level.
    assert difference.abs().max() <= 1


def meta_of(model: ModelSpec) -> SnapshotMeta:
    return SnapshotMeta(
        model=model,
        run="tiny/01234567/seed0",
        experiment="tiny",
        seed=0,
        cur_nimg=0,
        run_fingerprint="0" * 64,
        dataset_fingerprint="1" * 64,
        ema=EmaSpec(beta=0.9),
    )


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    model = ModelSpec(family="progan", resolution=8, latent_size=16, width_multiplier=1 / 32)
    meta = meta_of(model)
    path = tmp_path / "snapshot.safetensors"
    save_snapshot(path, build_generator(model, torch.Generator().manual_seed(0)), meta)
    return path


def test_sample_set_is_a_recipe_with_a_checksum(snapshot: Path) -> None:
    samples = SampleSet(snapshot, count=10, seed=7, batch_size=4)
    assert samples.checksum is None
    batches = list(samples.batches())
    assert [list(batch.shape) for batch in batches] == [[4, 3, 8, 8], [4, 3, 8, 8], [2, 3, 8, 8]]
    assert all(batch.dtype == torch.uint8 for batch in batches)
    stream = np.concatenate([batch.numpy() for batch in batches]).tobytes()
    assert samples.checksum == hashlib.sha256(stream).hexdigest()
    assert samples.describe() == {
        "count": 10,
        "seed": 7,
        "batch_size": 4,
        "truncation": None,
        "pixels": "float32 * 127.5 + 128, clamped, fraction dropped",
        "latents": "numpy-pcg64(derive_seed(seed, index, 'sample-latent'))",
        "noise": "numpy-pcg64(derive_seed(seed, index, 'sample-noise')), for generators that take noise",
        "checksum": samples.checksum,
        "distinct": 10,
    }
    again = SampleSet(snapshot, count=10, seed=7, batch_size=4)
    list(again.batches())
    assert again.checksum == samples.checksum


def test_batch_size_moves_no_image_by_more_than_one_level(snapshot: Path) -> None:
    one = torch.cat(list(SampleSet(snapshot, 9, 7, batch_size=1).batches())).int()
    nine = torch.cat(list(SampleSet(snapshot, 9, 7, batch_size=9).batches())).int()
    assert (one - nine).abs().max().item() <= 1
    # Only values at the very edge of a level may differ: fewer than 1 in 100.
    assert (one != nine).float().mean().item() < 0.01


def test_a_generator_that_diverged_is_refused(snapshot: Path, tmp_path: Path) -> None:
    samples = SampleSet(snapshot, 10, 7, batch_size=4)
    meta = samples.meta
    G = build_generator(meta.model, torch.Generator().manual_seed(0))
    with torch.no_grad():
        next(iter(G.parameters())).fill_(float("inf"))
    broken = tmp_path / "broken.safetensors"
    save_snapshot(broken, G, meta)
    with pytest.raises(MeasurementError) as caught:
        next(SampleSet(broken, 10, 7, batch_size=4).batches())
    assert str(caught.value) == f"{broken}: generates values that are not finite (images 0 to 3)"
