"""Which file an extractor's weights come from, and proof that it is the right one. No torch: a planner may ask too."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from msgbench.errors import MeasurementError
from msgbench.protocols import INCEPTION, SMALL

SMALL_FILE = "small_cifar10_v1.safetensors"
SMALL_CARD = "small_cifar10_v1.md"
SMALL_SHA256 = "faa94d5b2e26387693b14ccb443a5b9d6b84af63baab10b9c7cd15906009af0b"

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
# A published file of this form carries the first eight hex digits of its sha256 in its name.
INCEPTION_SHA256_PREFIX = "6726825d"
INCEPTION_ENVIRONMENT = "MSGBENCH_INCEPTION_WEIGHTS"
INCEPTION_SOURCE = (
    f"get {INCEPTION_FILE} from release v0.2.0 of torch-fidelity on GitHub (toshas/torch-fidelity) and name its path "
    f"at weights.inception in config.yaml or in ${INCEPTION_ENVIRONMENT}"
)


@dataclass(frozen=True)
class ExtractorWeights:
    """An extractor's name, the file of its weights and the sha256 of that file: what a score's identity needs."""

    name: str
    path: Path
    sha256: str

    def identity(self) -> dict[str, str]:
        """The part that records and cache keys carry: name and sha256; where the file lies does not matter."""
        return {"name": self.name, "sha256": self.sha256}


def resolve_weights(extractor: str, inception: str | Path | None = None) -> ExtractorWeights:
    """The checked weights of `extractor`.

    `inception` is the configured path of the published Inception file (`weights.inception`); without it the
    environment variable MSGBENCH_INCEPTION_WEIGHTS is asked. Raises MeasurementError when the file is missing or is
    not the one that the extractor's name promises.
    """
    if extractor == SMALL:
        path = Path(__file__).parent / SMALL_FILE
        digest = _digest(path, f"{path}: is missing; reinstall msgbench, the file is a part of it")
        if digest != SMALL_SHA256:
            raise MeasurementError(
                f"{path}: has sha256 {digest[:8]}, {SMALL} is {SMALL_SHA256[:8]}; reinstall msgbench"
            )
        return ExtractorWeights(SMALL, path, digest)
    if extractor == INCEPTION:
        named = inception or os.environ.get(INCEPTION_ENVIRONMENT)
        if not named:
            raise MeasurementError(f"{INCEPTION}: no weights file is named; {INCEPTION_SOURCE}")
        path = Path(named).expanduser()
        digest = _digest(path, f"{path}: no such file for {INCEPTION}; {INCEPTION_SOURCE}")
        if not digest.startswith(INCEPTION_SHA256_PREFIX):
            raise MeasurementError(
                f"{path}: has sha256 {digest[:8]}, the published file has {INCEPTION_SHA256_PREFIX}; {INCEPTION_SOURCE}"
            )
        return ExtractorWeights(INCEPTION, path, digest)
    raise MeasurementError(f"extractor {extractor}: is not known; allowed: {SMALL}, {INCEPTION}")


def _digest(path: Path, missing: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise MeasurementError(missing) from None
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be read ({error.strerror})") from None
