"""The same real images in versions that differ as peers' pipelines do: what docs/protocols.md measures.

A variant is a function uint8 [N, R, R, 3] -> uint8 [N, R', R', 3] that depends on nothing but its input and a fixed
seed. None of them takes part in a measurement; they show what a measurement's rules are worth.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from msgbench.seeding import derive_seed

Pixels = NDArray[np.uint8]
Variant = Callable[[Pixels], Pixels]

# Side of the images that the Inception network works on.
INCEPTION_SIDE = 299


def mirrored(images: Pixels) -> Pixels:
    """Every image flipped left-right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def jpeg(images: Pixels) -> Pixels:
    """Every image written as JPEG at Pillow's default quality of 75 and read again."""
    return np.stack([_through_jpeg(image) for image in images])


def truncated(images: Pixels) -> Pixels:
    """What `((x + 1) * 127.5).to(uint8)` makes of a generator's floats, which our rule would turn into `images`.

    The floats lie anywhere within half a grey level of a pixel's value; dropping the fraction then gives the value or
    the one below it, each in half of the cases.
    """
    generator = np.random.default_rng(derive_seed(0, 0, "truncated"))
    below = generator.random(images.shape) < 0.5
    return images - (below & (images > 0)).astype(np.uint8)


def min_max(images: Pixels) -> Pixels:
    """Every image stretched to 0..255 by its own least and largest value, as some grids for people are."""
    x = images.astype(np.float64)
    low, high = (f(x, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    return ((x - low) / np.maximum(high - low, 1) * 255 + 0.5).astype(np.uint8)


def bicubic_299(images: Pixels) -> Pixels:
    """Every image resized to 299 px by Pillow's bicubic filter and rounded, before the extractor sees it."""
    return _resized(images, INCEPTION_SIDE, Image.Resampling.BICUBIC)


def half_by_box(images: Pixels) -> Pixels:
    """Every image at half its side, by the mean of 2x2 pixels."""
    return _resized(images, images.shape[1] // 2, Image.Resampling.BOX)


def half_by_lanczos(images: Pixels) -> Pixels:
    """Every image at half its side, by Pillow's Lanczos filter."""
    return _resized(images, images.shape[1] // 2, Image.Resampling.LANCZOS)


VARIANTS: dict[str, Variant] = {
    "mirrored": mirrored,
    "truncated": truncated,
    "min-max": min_max,
    "jpeg-75": jpeg,
    "bicubic-299": bicubic_299,
    "half-box": half_by_box,
    "half-lanczos": half_by_lanczos,
}


def _resized(images: Pixels, side: int, how: Image.Resampling) -> Pixels:
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), how)) for image in images]
    )


def _through_jpeg(image: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=75)
    return np.asarray(Image.open(buffer))
