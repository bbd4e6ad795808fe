"""Which snapshots of a run stay on disk after they were measured: the words of `evaluation.keep`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from msgbench.units import kimg_to_nimg

ALL = "all"
BEST = "best"
FINAL = "final"

_NUMBER = r"(\d+(?:\.\d+)?)"
_EVERY = re.compile(rf"every {_NUMBER} kimg")
_AT = re.compile(rf"{_NUMBER} kimg")

ALLOWED = "all, or a list of: best, final, 'every N kimg', 'N kimg'"


def as_words(value: object) -> object:
    """`keep: all` is a list of one word."""
    return [value] if isinstance(value, str) else value


def check_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """`words` when each is allowed; raises ValueError with what is allowed."""
    if not words:
        raise ValueError(f"[] is not allowed; allowed: {ALLOWED}")
    for word in words:
        every = _EVERY.fullmatch(word)
        if every is not None and kimg_to_nimg(float(every[1])) == 0:
            raise ValueError(f"{word!r} is not allowed; allowed: a distance of at least 0.001 kimg")
        if word not in (ALL, BEST, FINAL) and every is None and not _AT.fullmatch(word):
            raise ValueError(f"{word!r} is not allowed; allowed: {ALLOWED}")
    if ALL in words and len(words) > 1:
        raise ValueError(f"{list(words)} is not allowed; `all` stands alone")
    return words


@dataclass(frozen=True)
class Keep:
    """The words of `evaluation.keep`, understood."""

    words: tuple[str, ...]

    @property
    def everything(self) -> bool:
        """Whether nothing is ever deleted."""
        return ALL in self.words

    @property
    def best(self) -> bool:
        """Whether the best snapshots stay, whatever their length."""
        return BEST in self.words

    def reasons(self, lengths: Sequence[int]) -> dict[int, list[str]]:
        """Length (images shown) -> words that keep a snapshot of it, for all of `lengths` but the best.

        `every N kimg` keeps the first snapshot at or after each multiple of N thousand images, 0 among
        them; `N kimg` the first at or after N, or the last.
        """
        lengths = sorted(lengths)
        if not lengths:
            return {}
        kept: dict[int, list[str]] = {}
        for word in self.words:
            if word == ALL:
                chosen = list(lengths)
            elif word == FINAL:
                chosen = [lengths[-1]]
            elif match := _EVERY.fullmatch(word):
                step = kimg_to_nimg(float(match[1]))
                before = [-1, *lengths]
                # A multiple of the step lies after the snapshot before this one, and not after this one.
                chosen = [
                    length
                    for length, last in zip(lengths, before, strict=False)
                    if length // step > last // step
                ]
            elif match := _AT.fullmatch(word):
                wanted = kimg_to_nimg(float(match[1]))
                chosen = [next((n for n in lengths if n >= wanted), lengths[-1])]
            else:
                chosen = []
            for length in chosen:
                kept.setdefault(length, []).append(word)
        return kept

    def __str__(self) -> str:
        return ", ".join(self.words)
