"""Our scores equal torch-fidelity's own for the same images, whatever the batch size and the hardware's habits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from msgbench.data.store import Store
from msgbench.errors import MeasurementError
from msgbench.metrics.extractors.weights import resolve_weights
from msgbench.metrics.fidelity import Extractor, torch_fidelity
from msgbench.metrics.scores import (
    frechet_distance,
    inception_score,
    kernel_distance,
    statistics,
)
from msgbench.metrics.torchvision_stub import import_torchvision
from msgbench.protocols import SMALL


@pytest.fixture
def reals(drawn_store: Store) -> Tensor:
    """uint8 [120, 3, 8, 8]"""
    return torch.from_numpy(np.array(drawn_store.images)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture
def fakes(reals: Tensor) -> Tensor:
    """The reals with their channels turned: same shapes, other colours."""
    return reals.flip(1).contiguous()


def as_folder(images: Tensor, folder: Path) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{index:05d}.png")
    return folder


def test_parity_with_torch_fidelity_on_files(
    reals: Tensor, fakes: Tensor, small_extractor: Extractor, tmp_path: Path
) -> None:
    theirs = torch_fidelity().calculate_metrics(
        input1=str(as_folder(fakes, tmp_path / "fakes")),
        input2=str(as_folder(reals, tmp_path / "reals")),
        feature_extractor=SMALL,
        isc=True,
        fid=True,
        kid=True,
        kid_subsets=7,
        kid_subset_size=60,
        isc_splits=10,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        batch_size=32,
        verbose=False,
    )
    fake = small_extractor.features(fakes.split(50)).layers
    real = small_extractor.features(reals.split(50)).layers
    fid = frechet_distance(statistics(fake["features"]), statistics(real["features"])).value
    score = inception_score(fake["logits"], splits=10)
    kid = kernel_distance(fake["features"], real["features"], subsets=7, subset_size=60)
    assert fid > 0.1  # there is something to compare
    # float32 features of other batch sizes differ in the last digit; so do float32 means (theirs) and float64 (ours).
    assert fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6, abs=1e-5)
    assert score.value == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert score.std == pytest.approx(theirs["inception_score_std"], abs=1e-5)
    assert kid.value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-5)
    assert kid.std == pytest.approx(theirs["kernel_inception_distance_std"], abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 120])
def test_features_do_not_depend_on_the_batch_size(
    reals: Tensor, small_extractor: Extractor, batch_size: int
) -> None:
    expected = small_extractor.features(reals.split(40)).layers
    found = small_extractor.features(reals.split(batch_size)).layers
    for layer in ("features", "logits"):
        # float32 sums of up to 1,152 terms in another order; values are of order 1 to 10.
        assert (found[layer] - expected[layer]).abs().max().item() < 1e-5


def test_layers_follow_the_metrics() -> None:
    weights = resolve_weights(SMALL)
    one = torch.zeros([1, 3, 32, 32], dtype=torch.uint8)
    assert set(Extractor(weights, ["fid", "kid"]).features([one]).layers) == {"features"}
    assert set(Extractor(weights, ["is"]).features([one]).layers) == {"logits"}
    both = Extractor(weights, ["is", "fid"]).features([one])
    assert {name: list(x.shape) for name, x in both.layers.items()} == {
        "features": [1, 128],
        "logits": [1, 10],
    }
    assert len(both) == 1


def test_autocast_does_not_reach_the_extractor(reals: Tensor, small_extractor: Extractor) -> None:
    expected = small_extractor.features([reals]).layers["features"]
    with torch.autocast("cpu", torch.bfloat16):
        found = small_extractor.features([reals]).layers["features"]
    assert torch.equal(found, expected)


def test_tf32_is_off_inside_and_as_before_outside(reals: Tensor) -> None:
    def switches() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    extractor = Extractor(resolve_weights(SMALL))
    inside: list[tuple[bool, bool]] = []
    extractor._module.register_forward_pre_hook(lambda *_: inside.append(switches()))
    before = switches()
    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        extractor.features([reals])
        assert inside == [(False, False)]
        assert switches() == (True, True)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_features_that_are_not_finite_are_refused(reals: Tensor) -> None:
    extractor = Extractor(resolve_weights(SMALL))
    with torch.no_grad():
        extractor._module.net.head.bias.fill_(float("nan"))
    with pytest.raises(MeasurementError) as caught:
        extractor.features([reals])
    assert str(caught.value) == (
        "small-cifar10-v1: feature layer logits has values that are not finite"
    )


def test_torchvision_is_usable() -> None:
    library = import_torchvision()
    assert import_torchvision() is library  # once, and kept alive
    import torchvision

    assert torchvision.transforms.functional.pil_to_tensor(Image.new("RGB", (2, 2))).shape == (
        3,
        2,
        2,
    )
