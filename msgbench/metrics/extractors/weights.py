"""Which file an extractor's weights come from, and proof that it is the right one. No torch: a planner may ask too."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgbench.errors import MeasurementError
from msgbench.protocols import INCEPTION, SMALL, VGG16

SMALL_FILE = "small_cifar10_v1.safetensors"
SMALL_CARD = "small_cifar10_v1.md"
SMALL_SHA256 = "faa94d5b2e26387693b14ccb443a5b9d6b84af63baab10b9c7cd15906009af0b"


@dataclass(frozen=True)
class PublishedFile:
    """Weights that msgbench does not ship; their name carries the first eight hex digits of their sha256."""

    file: str
    sha256_prefix: str
    key: str
    """Key under `weights` in config.yaml."""
    environment: str
    origin: str

    @property
    def source(self) -> str:
        """Where the file is and where to name it, as the end of a sentence."""
        return (
            f"get {self.file} from {self.origin} and name its path at weights.{self.key} in config.yaml or in "
            f"${self.environment}"
        )


PUBLISHED = {
    INCEPTION: PublishedFile(
        "weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
        "inception",
        "MSGBENCH_INCEPTION_WEIGHTS",
        "release v0.2.0 of torch-fidelity on GitHub (toshas/torch-fidelity)",
    ),
    VGG16: PublishedFile(
        "vgg16-397923af.pth",
        "397923af",
        "vgg16",
        "MSGBENCH_VGG16_WEIGHTS",
        "download.pytorch.org/models (torchvision's VGG16, ImageNet weights, version 1)",
    ),
}


@dataclass(frozen=True)
class ExtractorWeights:
    """An extractor's name, the file of its weights and the sha256 of that file: what a score's identity needs."""

    name: str
    path: Path
    sha256: str

    def identity(self) -> dict[str, str]:
        """The part that records and cache keys carry: name and sha256; where the file lies does not matter."""
        return {"name": self.name, "sha256": self.sha256}


def resolve_weights(
    extractor: str, named: Mapping[str, str | Path | None] | None = None
) -> ExtractorWeights:
    """The checked weights of `extractor`.

    `named` holds the configured paths by their keys under `weights` in config.yaml; without one the extractor's
    environment variable is asked. Raises MeasurementError when the file is missing or is not the one that the
    extractor's name promises.
    """
    if extractor == SMALL:
        return _shipped()
    if extractor not in PUBLISHED:
        allowed = ", ".join((SMALL, *PUBLISHED))
        raise MeasurementError(f"extractor {extractor}: is not known; allowed: {allowed}")
    published = PUBLISHED[extractor]
    place = (named or {}).get(published.key) or os.environ.get(published.environment)
    if not place:
        raise MeasurementError(f"{extractor}: no weights file is named; {published.source}")
    path = Path(place).expanduser()
    digest = _digest(path, f"{path}: no such file for {extractor}; {published.source}")
    if not digest.startswith(published.sha256_prefix):
        raise MeasurementError(
            f"{path}: has sha256 {digest[:8]}, the published file has {published.sha256_prefix}; {published.source}"
        )
    return ExtractorWeights(extractor, path, digest)


def _shipped() -> ExtractorWeights:
    path = Path(__file__).parent / SMALL_FILE
    digest = _digest(path, f"{path}: is missing; reinstall msgbench, the file is a part of it")
    if digest != SMALL_SHA256:
        raise MeasurementError(
            f"{path}: has sha256 {digest[:8]}, {SMALL} is {SMALL_SHA256[:8]}; reinstall msgbench"
        )
    return ExtractorWeights(SMALL, path, digest)


def _digest(path: Path, missing: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise MeasurementError(missing) from None
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be read ({error.strerror})") from None
