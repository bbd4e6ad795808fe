"""What observations of fixed latents and picture sets are worth as one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from msgbench.analysis.claims.measured import QUARTER, Line

# Of its last value: near enough to say that scales agree.
SYNCHRONISED = 2.0


def change(side: int | None, part: str) -> Callable[[Sequence[Line]], float | str]:
    """Mean change at a resolution (None: the largest of each line) in the first or last quarter of its epochs."""

    def of(lines: Sequence[Line]) -> float | str:
        values = []
        for line in lines:
            changes = line.get("change") or {}
            key = str(side) if side is not None else max(changes, key=int, default="")
            if key in changes:
                values.append(float(changes[key]))
        if len(values) < 4:
            return f"{len(values)} epochs with a change at {side or 'full'} px; four are needed"
        quarter = max(1, int(QUARTER * len(values)))
        chosen = values[:quarter] if part == "first" else values[-quarter:]
        return sum(chosen) / len(chosen)

    return of


def agrees_from(lines: Sequence[Line], key: str) -> float | str:
    """The part of the training after which the mean difference over scales stays within twice its last value."""
    found = [(line["cur_nimg"], _mean(line.get(key))) for line in lines]
    known = [(nimg, value) for nimg, value in found if value is not None]
    if len(known) < 4:
        return f"{len(known)} epochs with {key}; four are needed"
    last = known[-1][1]
    late = [nimg for nimg, value in known if value > SYNCHRONISED * last]
    first_agreeing = next((n for n, _ in known if not late or n > late[-1]), known[-1][0])
    return float(first_agreeing / known[-1][0])


def _mean(by_scale: object) -> float | None:
    if not isinstance(by_scale, dict) or not by_scale:
        return None
    return sum(map(float, by_scale.values())) / len(by_scale)


def apart(arrays: Mapping[str, Any]) -> float | str:
    """Mean squared difference of each scale from the next larger one, pooled, in units of [-1, 1]; mean over scales."""
    sides = sorted(int(name.removeprefix("scale_")) for name in arrays if name.startswith("scale_"))
    if len(sides) < 2:
        return "its picture set has one scale"
    images = {s: np.asarray(arrays[f"scale_{s:04d}"], np.float64) / 127.5 for s in sides}
    found = []
    for side in sides[:-1]:
        above = images.get(2 * side)
        if above is None:
            continue
        n, _, _, channels = above.shape
        pooled = above.reshape(n, side, 2, side, 2, channels).mean(axis=(2, 4))
        found.append(float(((images[side] - pooled) ** 2).mean()))
    return sum(found) / len(found) if found else "its picture set has no neighbouring scales"


def deviation(arrays: Mapping[str, Any]) -> float | str:
    """Mean deviation of a pixel over draws of the noise, in units of [-1, 1]."""
    return float(np.mean(arrays["deviation"])) if "deviation" in arrays else "it holds no deviation"
