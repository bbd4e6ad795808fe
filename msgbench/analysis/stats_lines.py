"""The numbers that a training states as it goes (stats.jsonl), as a frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from msgbench.errors import ResultsError


def read_stats(path: Path) -> pd.DataFrame:
    """The numbers of a stats.jsonl, sorted by `cur_nimg`; an empty frame when there is no file.

    A killed training may leave half a last line, which is dropped, and a resumed one states some
    lengths again: the later line holds.
    """
    if not path.is_file():
        return pd.DataFrame({"cur_nimg": pd.Series(dtype="int64")})
    rows = _stated_lines(path)
    by_length = {row["cur_nimg"]: row for row in rows}
    kept = rows if len(by_length) == len(rows) else list(by_length.values())
    if not kept:
        return pd.DataFrame({"cur_nimg": pd.Series(dtype="int64")})
    keys = dict.fromkeys(key for row in kept for key in row)
    columns = {key: [row.get(key) for row in kept] for key in keys}
    numeric = {key: values for key, values in columns.items() if _is_numeric(values)}
    return pd.DataFrame(numeric).sort_values("cur_nimg", ignore_index=True)


def _stated_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a stats.jsonl in the order of its lines."""
    lines = path.read_bytes().splitlines()
    try:
        # At once: a published length has tens of thousands of lines.
        rows: list[dict[str, Any]] = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except ValueError:
                if number == len(lines):
                    break
                raise ResultsError(f"{path}: line {number} is not valid JSON") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or type(row.get("cur_nimg")) is not int:
            raise ResultsError(f"{path}: line {number} has no cur_nimg")
    return rows


def _is_numeric(values: list[Any]) -> bool:
    """Whether a column holds numbers alone, as far as lines have it."""
    return {type(value) for value in values} <= {int, float, type(None)}
