"""The published Inception through our code path, on real CIFAR-10, against values pinned beside the weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from torch import Tensor

from msgbench.metrics.extractors.train_small import read_split
from msgbench.metrics.extractors.weights import ExtractorWeights
from msgbench.metrics.fidelity import Extractor, frechet_distance, statistics
from msgbench.protocols import INCEPTION
from msgbench.records import sha256_file

# FID of the first 900 images of data_batch_1 against as many of another batch, by feature layer.
PINNED = {
    "test_batch": {"64": 0.034780, "192": 0.172287, "768": 0.166299},
    "data_batch_2": {"64": 0.024164, "192": 0.123090, "768": 0.167317},
}
ROW_BYTES = 3073

FeaturesOf = Callable[[str], dict[str, Tensor]]


@pytest.fixture(scope="module")
def features_of(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> FeaturesOf:
    """Features of the first 900 images of a batch by layer; each batch is looked at once (minutes on a CPU)."""
    expand = shared_folder / "weights" / "expand_inception.py"
    if not expand.exists():
        pytest.skip("genuine Inception not run: there is no ../shared/weights/expand_inception.py")
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    subprocess.run([sys.executable, str(expand), str(path)], check=True)
    # The file's BatchNorm is folded and its upper part is NaN, so it cannot have the published sha256.
    weights = ExtractorWeights(INCEPTION, path, sha256_file(path))
    extractor = Extractor(weights, layers=list(PINNED["test_batch"]))
    folder = shared_folder / "data" / "cifar-10-batches-bin"
    # Where each batch begins in its split.
    second = (folder / "data_batch_1.bin").stat().st_size // ROW_BYTES
    begins = {
        "data_batch_1": ("train", 0),
        "data_batch_2": ("train", second),
        "test_batch": ("test", 0),
    }

    @cache
    def features(batch: str) -> dict[str, Tensor]:
        split, start = begins[batch]
        images = read_split(folder, split)[0][start : start + 900]
        return extractor.features(images.split(50)).layers

    return features


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("other", PINNED)
def test_fid_of_the_genuine_inception_up_to_feature_768(
    features_of: FeaturesOf, other: str
) -> None:
    first, second = features_of("data_batch_1"), features_of(other)
    for layer, pinned in PINNED[other].items():
        found = frechet_distance(statistics(first[layer]), statistics(second[layer])).value
        assert found == pytest.approx(pinned, rel=1e-3), layer
