"""The measured parts of docs/performance.md: each stands between two marks and is a function of one record.

    <!-- bench: performance/steps.json -->
    the command, the conditions and the tables
    <!-- bench: end -->

The path is relative to the page. What stands outside of the marks is written by people.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgbench.bench.forms import shown
from msgbench.bench.record import Measured
from msgbench.errors import ResultsError
from msgbench.records import write_text

BEGIN = re.compile(r"<!-- bench: (?P<record>\S+\.json) -->")
END = "<!-- bench: end -->"


def made_page(page: Path) -> str:
    """The text of `page` with its measured parts as their records give them; raises ResultsError, naming the line."""
    try:
        lines = page.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ResultsError(f"{page}: cannot be read ({reason})") from None
    made: list[str] = []
    begun: int | None = None
    for number, line in enumerate(lines, 1):
        mark = BEGIN.fullmatch(line)
        if mark is not None:
            if begun is not None:
                raise ResultsError(f"{page}:{number}: expected {END!r} for line {begun} first")
            begun = number
            made += [line, "", *_part(page.parent / mark["record"]), ""]
        elif line == END:
            if begun is None:
                raise ResultsError(f"{page}:{number}: {line!r} ends nothing")
            begun = None
        if begun is None:
            made.append(line)
    if begun is not None:
        raise ResultsError(f"{page}:{begun}: {END!r} is missing")
    return "\n".join(made) + "\n"


def _part(path: Path) -> list[str]:
    measured = Measured.read(path)
    return [f"    {measured.command}", "", *shown(measured)]


def write_page(page: Path) -> None:
    """Write the measured parts of `page` anew."""
    write_text(page, made_page(page))


def require_page(page: Path) -> None:
    """Raise ResultsError unless the measured parts of `page` are what their records give."""
    if made_page(page) != page.read_text(encoding="utf-8"):
        raise ResultsError(
            f"{page}: is not what its records give; write it with `msgbench performance-page`"
        )
