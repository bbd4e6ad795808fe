"""The embedded dataset: pictures that msgbench draws itself, so that a first run needs no download.

It is a stand-in to see a training work, never a substitute in a result; its manifest says so. Image i
is a function of (split, i, resolution) alone, with the same bits on every platform, and shows family
i mod 12: any first N images are balanced, and a label says which family an image belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from msgbench.config import DatasetSpec
from msgbench.data.drawing.abstracts import glows, marbles, patterns, rings, shapes
from msgbench.data.drawing.canvas import Canvas
from msgbench.data.drawing.creatures import faces, fish, flowers
from msgbench.data.drawing.dice import Dice
from msgbench.data.drawing.places import boats, hills, houses, nights
from msgbench.data.manifest import SourceFacts
from msgbench.data.sources.base import SourceImage
from msgbench.seeding import derive_seed

# Bumped by hand with every change that moves a pixel.
RECIPE_VERSION = 1

Painter = Callable[[Canvas, Dice], None]

FAMILIES: tuple[tuple[str, Painter], ...] = (
    ("shapes", shapes),
    ("hills", hills),
    ("faces", faces),
    ("patterns", patterns),
    ("boats", boats),
    ("flowers", flowers),
    ("glows", glows),
    ("houses", houses),
    ("fish", fish),
    ("marbles", marbles),
    ("nights", nights),
    ("rings", rings),
)


def draw(index: int, resolution: int, split: str) -> np.ndarray:
    """Image `index` of a split, uint8 [resolution, resolution, 3]; the same scene at every resolution."""
    name, paint = FAMILIES[index % len(FAMILIES)]
    canvas = Canvas(resolution)
    paint(canvas, Dice(derive_seed(RECIPE_VERSION, index, f"embedded-{split}-{name}")))
    return canvas.finish()


class Embedded:
    """The first `count` images of a split of the drawn dataset."""

    stand_in = True

    def __init__(self, count: int, resolution: int, split: str) -> None:
        self.count = count
        self.resolution = resolution
        self.split = split
        self.label_names: tuple[str, ...] | None = tuple(name for name, _ in FAMILIES)

    def __iter__(self) -> Iterator[SourceImage]:
        for index in range(self.count):
            label = index % len(FAMILIES)
            yield SourceImage(draw(index, self.resolution, self.split), label)

    def facts(self) -> SourceFacts:
        return SourceFacts(
            recipe="embedded",
            recipe_version=RECIPE_VERSION,
            form="drawn",
            archive=None,
            files=(),
            count=self.count,
            expected_count=self.count,
        )


def open_embedded(spec: DatasetSpec) -> Embedded:
    """The drawn dataset as `spec` asks for it."""
    assert spec.num_images is not None, "DatasetSpec demands num_images of the embedded source"
    return Embedded(spec.num_images, spec.resolution, spec.split)
