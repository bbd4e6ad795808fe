"""The papers' numbers as data: `paper_numbers.csv`, one printed number a row, exactly as printed.

Two papers: `cvpr2020` (the published one) and `arxiv-v1` (its first version). The file holds the
tables of results (Tables 1 to 5; Table 1 of the first version) and the numbers of running text and
captions. It does not hold the layer tables 6 and 7 (the tests of the models hold those) nor anything
that this project measured.

`origin` says whose number it is: `own` (the authors measured or chose it), `quoted` (they copied it
from another paper) or `author-code*` (they ran the official code of another paper; the `*` of the
tables). `note` names misprints and contradictions; the printed string is never corrected.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, get_args

Paper = Literal["cvpr2020", "arxiv-v1"]
Origin = Literal["own", "quoted", "author-code*"]

_FILE = Path(__file__).parent / "paper_numbers.csv"

_FACTORS = {"": 1.0, "K": 1e3, "M": 1e6}
_HOURS = {"hrs": 1.0, "days": 24.0}
_WORDS = {"two": 2.0}

_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)([KM]?)$")
_TIME = re.compile(r"^(\d+(?:\.\d+)?) (hrs|days)$")
_SQUARE = re.compile(r"^(\d+) ?[×x] ?(\d+)$")
_COUNTED = re.compile(r"^(\d+|two) (?:V100(?:-\d+GB| GPUs)|epochs|resolutions)$")


@dataclass(frozen=True)
class PaperNumber:
    """One printed number, or the dash that stands in its place."""

    paper: Paper
    table: str
    """`table1` to `table5`, or `text` for running text and captions."""
    row: str
    """Key of the row; the same keys stand under `tables` in config.yaml."""
    row_label: str
    """The row's label as printed."""
    column: str
    printed: str
    """The string exactly as printed, e.g. `12M`, `1.5 days`, `5.2`."""
    unit: str
    origin: Origin
    place: str
    """Where it stands in the paper."""
    note: str

    @property
    def value(self) -> float | None:
        """`parse_printed(printed)`."""
        return parse_printed(self.printed)


class Printed(NamedTuple):
    """What the paper prints in one cell."""

    printed: str
    value: float | None
    origin: Origin


def parse_printed(printed: str) -> float | None:
    """The number in a printed string; None where the paper prints none (`-`, `XXX`).

    `12M` and `8K` become counts, times become hours (`1.5 days` is 36), `32×32` its side in pixels,
    `8 V100-16GB` the number of GPUs. Raises ValueError for a form that no table has.
    """
    text = printed.strip()
    if text in ("-", "XXX"):
        return None
    if match := _NUMBER.match(text):
        # Through round: 1.7 * 1e6 is 1,700,000 images, not 1,699,999.9999999998.
        number = float(match[1]) * _FACTORS[match[2]]
        return float(round(number)) if match[2] else number
    if match := _TIME.match(text):
        return float(match[1]) * _HOURS[match[2]]
    if (match := _SQUARE.match(text)) and match[1] == match[2]:
        return float(match[1])
    if match := _COUNTED.match(text):
        return _WORDS[match[1]] if match[1] in _WORDS else float(match[1])
    raise ValueError(f"{printed!r} is not a number in a form that the papers print")


@functools.cache
def load_reference() -> tuple[PaperNumber, ...]:
    """All printed numbers, in the order of the papers."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names = [field.name for field in fields(PaperNumber)]
        assert reader.fieldnames == names, f"{_FILE.name}: columns {reader.fieldnames}"
        numbers = tuple(_number(line) for line in reader)
    assert len(numbers) == len(_index(numbers)), f"{_FILE.name}: one cell stands twice"
    return numbers


def _number(line: dict[str, str]) -> PaperNumber:
    paper, origin = line["paper"], line["origin"]
    assert paper in get_args(Paper), paper
    assert origin in get_args(Origin), origin
    return PaperNumber(
        paper=paper,  # type: ignore[arg-type]  # checked above
        table=line["table"],
        row=line["row"],
        row_label=line["row_label"],
        column=line["column"],
        printed=line["printed"],
        unit=line["unit"],
        origin=origin,  # type: ignore[arg-type]  # checked above
        place=line["place"],
        note=line["note"],
    )


_Key = tuple[str, str, str, str]


def _index(numbers: tuple[PaperNumber, ...]) -> dict[_Key, PaperNumber]:
    return {(n.paper, n.table, n.row, n.column): n for n in numbers}


@functools.cache
def _cells() -> dict[_Key, PaperNumber]:
    return _index(load_reference())


def cell(table: str, row: str, column: str, paper: Paper = "cvpr2020") -> PaperNumber:
    """The printed number of one cell with its place and note; KeyError when the paper has no such cell."""
    return _cells()[paper, table, row, column]


def printed_value(table: str, row: str, column: str, paper: Paper = "cvpr2020") -> Printed:
    """(printed string, its number or None, origin) of one cell; KeyError when there is no such cell."""
    number = cell(table, row, column, paper)
    return Printed(number.printed, number.value, number.origin)


def rows_of(table: str, paper: Paper = "cvpr2020") -> tuple[str, ...]:
    """Keys of the rows of one table, in printed order; empty when the paper has no such table."""
    rows = (n.row for n in load_reference() if n.paper == paper and n.table == table)
    return tuple(dict.fromkeys(rows))
