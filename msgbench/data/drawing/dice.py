"""Random numbers for the drawn dataset, the same bits on every platform and NumPy version.

NumPy promises a stable stream only for the raw words of its bit generators; the distributions of
`np.random.Generator` may change between versions, and `low + range * random()` may be fused into one
rounding by a C compiler. So the raw words are turned into numbers here, with one rounding per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_WORDS_AT_ONCE = 128
_TO_UNIT = 2.0**-53  # a float64 holds 53 bits exactly


class Dice:
    """Draws from one PCG64 stream; two `Dice` of the same seed roll the same numbers."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)
        self._units: list[float] = []

    def unit(self) -> float:
        """Uniform in [0, 1), 53 bits."""
        if not self._units:
            words = self._bits.random_raw(_WORDS_AT_ONCE)
            self._units = ((words >> np.uint64(11)) * _TO_UNIT).tolist()
        return self._units.pop()

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit()

    def near(self, centre: float, reach: float) -> float:
        """Bell-shaped around `centre`, never farther than `reach` (mean of three uniforms)."""
        return centre + reach * ((self.unit() + self.unit() + self.unit()) * (2.0 / 3.0) - 1.0)

    def whole(self, low: int, high: int) -> int:
        """One of the whole numbers low, low + 1, ..., high."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.unit() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.unit() * len(options))]

    def lattice(self, rows: int, columns: int) -> np.ndarray:
        """float32 [rows, columns], uniform in [0, 1), 24 bits each (exact in float32)."""
        words = self._bits.random_raw(rows * columns) >> np.uint64(40)
        return (words.astype(np.float32) * np.float32(2.0**-24)).reshape(rows, columns)
