"""Whether documents that are made from published records still are what the records give."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from msgbench.analysis.first_training import PLOTS, make_walkthrough
from msgbench.analysis.result_table import make_result_table
from msgbench.config import Benchmark
from msgbench.errors import ResultsError


def require_result_table(benchmark: Benchmark, folder: Path, readme: Path) -> None:
    """Raise ResultsError unless the table in `readme` is the one that the records in `folder` give."""
    made = make_result_table(benchmark, folder, readme)
    if made != readme.read_text(encoding="utf-8"):
        raise ResultsError(
            f"{readme}: its result table is not the one that {folder} gives; write it with `msgbench results-table`"
        )


def require_walkthrough(published: Path, page: Path) -> None:
    """Raise ResultsError unless `page` and its pictures are what the records `published` give.

    Of pictures the pixels count, not the bytes, which hang on the version of zlib; of plots, whose edges fonts may
    move, the size.
    """
    again = f"make it again with `msgbench walkthrough {published} --out {page}`"
    with tempfile.TemporaryDirectory() as folder:
        made = make_walkthrough(published, Path(folder) / page.name, place=page)
        try:
            same = made.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
        except OSError as error:
            raise ResultsError(f"{page}: cannot be read ({error.strerror})") from None
        if not same:
            raise ResultsError(f"{page}: is not what {published} gives; {again}")
        pictures = {path.name for path in made.with_suffix("").glob("*.png")}
        kept = {path.name for path in page.with_suffix("").glob("*.png")}
        for name in sorted(pictures ^ kept):
            where = page.with_suffix("") / name
            wrong = "is missing" if name in pictures else f"is none that {published} gives"
            raise ResultsError(f"{where}: {wrong}; {again}")
        for name in sorted(pictures):
            where = page.with_suffix("") / name
            if not _same(made.with_suffix("") / name, where, name in PLOTS):
                raise ResultsError(f"{where}: is not what {published} gives; {again}")


def _same(made: Path, kept: Path, plot: bool) -> bool:
    try:
        with Image.open(made) as ours, Image.open(kept) as theirs:
            if ours.size != theirs.size:
                return False
            return plot or bool((np.asarray(ours) == np.asarray(theirs)).all())
    except (OSError, ValueError):
        return False
