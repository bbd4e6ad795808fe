"""Near-duplicates by perceptual hash: of whole photographs, of crops, and of the mirror images of both.

A photograph that was scaled, compressed or mirrored has nearly the hash of the original; a crop's hash also finds a
face whose surroundings were cut off. Who lies in which folder does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Faces of two copies of a photograph lie at the same place of it, up to this share of its sides.
_SAME_PLACE = 0.1
_WORDS = 4  # of 64 bits


class Fingerprints(NamedTuple):
    """What a face is compared by: hashes as hex digits, and where in its photograph it is (0 to 1)."""

    photograph: str
    photograph_mirrored: str
    crop: str
    crop_mirrored: str
    x: float
    y: float


class Match(NamedTuple):
    """The earlier face that another one is a copy of."""

    first: int
    bits: int
    """of 256 that differ"""
    mirrored: bool


def copies_of(faces: list[Fingerprints], bits: int) -> list[Match | None]:
    """For each face the nearest earlier one that is no copy itself and differs in at most `bits`; None: there is none.

    The order decides what is kept of copies: the first.
    """
    if not faces:
        return []
    words = {
        name: np.array([_words(getattr(face, name)) for face in faces], np.uint64)
        for name in ("photograph", "photograph_mirrored", "crop", "crop_mirrored")
    }
    x = np.array([face.x for face in faces])
    y = np.array([face.y for face in faces])
    found: list[Match | None] = []
    firsts: list[int] = []
    for index in range(len(faces)):
        rows = np.array(firsts, np.intp)
        match = _nearest(words, x, y, rows, index, bits) if firsts else None
        found.append(match)
        if match is None:
            firsts.append(index)
    return found


def _nearest(
    words: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    rows: np.ndarray,
    index: int,
    bits: int,
) -> Match | None:
    best: tuple[int, int, bool] | None = None
    for mirrored in (False, True):
        suffix = "_mirrored" if mirrored else ""
        crops = _distance(words["crop" + suffix][rows], words["crop"][index])
        whole = _distance(words["photograph" + suffix][rows], words["photograph"][index])
        there = 1.0 - x[rows] if mirrored else x[rows]
        apart = np.maximum(np.abs(there - x[index]), np.abs(y[rows] - y[index]))
        whole[apart > _SAME_PLACE] = 256
        distance = np.minimum(crops, whole)
        place = int(np.argmin(distance))
        candidate = (int(distance[place]), int(rows[place]), mirrored)
        if candidate[0] <= bits and (best is None or candidate < best):
            best = candidate
    return None if best is None else Match(best[1], best[0], best[2])


def _distance(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Bits in which rows of words differ from one."""
    return np.bitwise_count(many ^ one).sum(axis=1, dtype=np.int64)


def _words(digits: str) -> list[int]:
    assert len(digits) == 16 * _WORDS
    return [int(digits[16 * place : 16 * place + 16], 16) for place in range(_WORDS)]
