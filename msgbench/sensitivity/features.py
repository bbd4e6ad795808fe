"""What resize, flips, number of images, splits and quantisation move: the measured table of docs/protocols.md.

Made from real CIFAR-10 alone, by `msgbench sensitivity`. Features of the Inception network's lower layers (64, 192 and
768 values, at depths where its published weights suffice) stand for those of the last: they are cheap enough for a
CPU and move in the same directions. They are kept in the cache folder, one file an image set, so that a stopped run
goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from msgbench.config import fingerprint_of
from msgbench.console import Progress, say
from msgbench.data.store import Store
from msgbench.errors import MeasurementError
from msgbench.metrics.fidelity import Extractor
from msgbench.records import atomic_file
from msgbench.sensitivity.variants import VARIANTS, Pixels

LAYERS = ("64", "192", "768")
# Images of the training set, of the test set, and of each variant: two CPU cores see about four a second.
TRAIN, TEST, VARIED = 5_000, 2_000, 400
BATCH = 25
FORMAT = 1


@dataclass(frozen=True)
class Wanted:
    """An image set by name, its pixels, and what decides its features."""

    name: str
    pixels: Pixels
    dataset: str
    """Fingerprint of the store the images come from."""


def image_sets(train: Store, test: Store, scale: float = 1.0) -> Iterator[Wanted]:
    """The image sets of the table; `scale` below 1 takes that part of each."""
    counts = [round(scale * count) for count in (TRAIN, TEST, VARIED)]
    for store, count in ((train, counts[0]), (test, counts[1])):
        if len(store) < count:
            raise MeasurementError(
                f"{store.folder}: holds {len(store):,} images, the table needs {count:,}"
            )
    originals = np.array(train.images[: counts[2]])
    yield Wanted("test", np.array(test.images[: counts[1]]), test.manifest.fingerprint)
    for name, variant in VARIANTS.items():
        yield Wanted(name, variant(originals), train.manifest.fingerprint)
    yield Wanted("train", np.array(train.images[: counts[0]]), train.manifest.fingerprint)


def extract(sets: list[Wanted], extractor: Extractor, cache: Path) -> dict[str, dict[str, Tensor]]:
    """Features by set and layer, float32 [N, C]; what `cache` holds of the same images is not extracted again."""
    found = {}
    total = sum(len(wanted.pixels) for wanted in sets)
    with Progress("sensitivity", total, "images") as progress:
        for wanted in sets:
            path = _cache_file(cache, wanted, extractor)
            layers = _load(path)
            if layers is None:
                layers = _extract(wanted, extractor, progress)
                with atomic_file(path) as file:
                    file.write(serialise(layers))
            else:
                progress.advance(len(wanted.pixels), f"{wanted.name} was there")
            found[wanted.name] = layers
    return found


def _extract(wanted: Wanted, extractor: Extractor, progress: Progress) -> dict[str, Tensor]:
    images = torch.from_numpy(wanted.pixels).permute(0, 3, 1, 2).contiguous()
    parts: dict[str, list[Tensor]] = {}
    for batch in images.split(BATCH):
        for layer, values in extractor.features([batch]).layers.items():
            parts.setdefault(layer, []).append(values)
        progress.advance(len(batch), wanted.name)
    return {layer: torch.cat(values) for layer, values in parts.items()}


def _cache_file(cache: Path, wanted: Wanted, extractor: Extractor) -> Path:
    key = {
        "format": FORMAT,
        "set": wanted.name,
        "count": len(wanted.pixels),
        "dataset": wanted.dataset,
        "extractor": extractor.weights.identity(),
        "layers": list(LAYERS),
    }
    return cache / "sensitivity" / f"{fingerprint_of(key)[:32]}.safetensors"


def _load(path: Path) -> dict[str, Tensor] | None:
    if not path.exists():
        return None
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        say(f"{path}: is damaged; extracting these features again")
        return None
