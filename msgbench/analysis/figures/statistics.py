"""stats.jsonl as curves need it: of a long file only so many lines are read that every plotted point is a mean of some.

A training of published length writes tens of thousands of lines, and a figure shows a few hundred points.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from msgbench.analysis.stats_lines import read_stats

MOST_POINTS = 240
LINES_PER_POINT = 10


class Statistics(NamedTuple):
    """Numbers of a stats.jsonl, sorted by `cur_nimg`, and that every so-manieth line was read."""

    frame: pd.DataFrame
    every: int = 1


def read_some(path: Path) -> Statistics:
    """Evenly taken lines of a stats.jsonl, LINES_PER_POINT for each of MOST_POINTS; all of a shorter one.

    An empty frame when there is no file. Raises ResultsError as `read_stats`.
    """
    if not path.is_file():
        return Statistics(read_stats(path))
    lines = path.read_bytes().splitlines()
    every = math.ceil(len(lines) / (MOST_POINTS * LINES_PER_POINT))
    if every > 1:
        try:
            rows = json.loads(b"[" + b",".join(lines[every - 1 :: every]) + b"]")
            lengths = [row["cur_nimg"] for row in rows]
            # A resumed training states some lengths again: then all of it is read, and the later line holds.
            if all(type(n) is int for n in lengths) and lengths == sorted(set(lengths)):
                return Statistics(_numbers(rows), every)
        except (ValueError, KeyError, TypeError):
            pass  # reading all of it says which line is wrong
    return Statistics(read_stats(path))


def _numbers(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    return frame.select_dtypes("number")
