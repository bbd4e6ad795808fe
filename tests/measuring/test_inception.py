"""The published Inception through our code path, on real CIFAR-10, against values pinned beside the weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from msgbench.metrics.extractors.train_small import read_split
from msgbench.metrics.extractors.weights import ExtractorWeights
from msgbench.metrics.fidelity import Extractor
from msgbench.metrics.scores import frechet_distance, statistics
from msgbench.protocols import INCEPTION
from msgbench.records import sha256_file

# FID of the first 900 training images (data_batch_1) against the first 900 test images, by feature layer.
PINNED = {"64": 0.034780, "192": 0.172287, "768": 0.166299}


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_fid_of_the_genuine_inception_up_to_feature_768(
    shared_folder: Path, tmp_path: Path
) -> None:
    expand = shared_folder / "weights" / "expand_inception.py"
    if not expand.exists():
        pytest.skip("genuine Inception not run: there is no ../shared/weights/expand_inception.py")
    path = tmp_path / "inception.pth"
    subprocess.run([sys.executable, str(expand), str(path)], check=True)
    # The file's BatchNorm is folded and its upper part is NaN, so it cannot have the published sha256.
    weights = ExtractorWeights(INCEPTION, path, sha256_file(path))
    extractor = Extractor(weights, layers=list(PINNED))
    folder = shared_folder / "data" / "cifar-10-batches-bin"
    train, test = (
        extractor.features(read_split(folder, split)[0][:900].split(50)).layers
        for split in ("train", "test")
    )
    for layer, pinned in PINNED.items():
        found = frechet_distance(statistics(train[layer]), statistics(test[layer])).value
        assert found == pytest.approx(pinned, rel=1e-3), layer
