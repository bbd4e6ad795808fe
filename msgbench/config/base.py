"""What all specs share: frozen pydantic models, fingerprints, and which resolutions exist."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict

from msgbench.units import HIGHEST_RESOLUTION


class Spec(BaseModel):
    """Base of all specs: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def fingerprint_of(payload: object) -> str:
    """sha256 (hex) of the canonical JSON of `payload`: sorted keys, no spaces, no NaN."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_resolution(resolution: int) -> None:
    """Raise ValueError unless `resolution` is a power of two from 8 to 1024."""
    if not 8 <= resolution <= HIGHEST_RESOLUTION or resolution & (resolution - 1):
        raise ValueError(
            f"resolution {resolution} is not allowed; allowed: a power of two from 8 to 1024"
        )
