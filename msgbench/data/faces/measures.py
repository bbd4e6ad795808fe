"""What is measured of a face: sharpness, exposure, and perceptual hashes.

All of it is taken at a size of its own, whatever the resolution of the set, so that a threshold means the same
everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import imagehash
import numpy as np
from PIL import Image, ImageOps

from msgbench.data.faces.detectors import Face

FACE_SIDE = 128  # px to which the face is scaled
_CLIPPED = 250
_HASH_SIDE = 16  # 16 x 16 bits


class Measured(NamedTuple):
    """Of the face alone, without what the crop has around it."""

    sharpness: float
    """fine detail over coarse detail"""
    brightness: float
    """90th percentile of luma, 0 to 255"""
    luma: float
    """mean of luma, 0 to 255"""
    clipped: float
    """share of pixels with a luma of at least 250"""


class Hashes(NamedTuple):
    """Perceptual hash of an image and of its mirror image, 256 bits as 64 hex digits."""

    plain: str
    mirrored: str


def measure(photograph: Image.Image, face: Face) -> Measured:
    """Sharpness and exposure of a face of an RGB photograph."""
    (x, y), half = face.centre, face.size / 2
    box = (
        max(0.0, x - half),
        max(0.0, y - half),
        min(float(photograph.width), x + half),
        min(float(photograph.height), y + half),
    )
    rounded = (int(box[0]), int(box[1]), -int(-box[2] // 1), -int(-box[3] // 1))
    gray = photograph.crop(rounded).convert("L")
    inside = (box[0] - rounded[0], box[1] - rounded[1], box[2] - rounded[0], box[3] - rounded[1])
    inside = (inside[0], inside[1], min(inside[2], gray.width), min(inside[3], gray.height))
    scaled = gray.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC, box=inside)
    luma = np.asarray(scaled)
    return Measured(
        sharpness=round(sharpness(luma.astype(np.float32)), 4),
        brightness=float(np.percentile(luma, 90, method="nearest")),
        luma=round(float(luma.mean(dtype=np.float64)), 2),
        clipped=round(float((luma >= _CLIPPED).mean()), 4),
    )


def sharpness(luma: np.ndarray) -> float:
    """Contrast of detail of about 1 px over that of about 4 px, float32 [H, W]; independent of brightness and contrast.

    Both are standard deviations of a difference of Gaussians (0.7 and 1.5 px, 3 and 6 px); 0 for a flat image.
    """
    fine, coarse = _band(luma, 0.7, 1.5), _band(luma, 3.0, 6.0)
    return fine / coarse if coarse > 0.1 else 0.0


def _band(luma: np.ndarray, narrow: float, wide: float) -> float:
    difference = cv2.GaussianBlur(luma, (0, 0), narrow) - cv2.GaussianBlur(luma, (0, 0), wide)
    return float(difference.std(dtype=np.float64))


def hashes(image: Image.Image) -> Hashes:
    """The hashes of an RGB image of any size."""
    gray = image.convert("L")
    if max(gray.size) > 4 * 256:  # far more than the hash sees
        gray = gray.reduce(max(gray.size) // 512)
    plain, mirrored = (imagehash.phash(one, _HASH_SIDE) for one in (gray, ImageOps.mirror(gray)))
    return Hashes(str(plain), str(mirrored))
