"""review.csv: the user's decisions, which every later run obeys.

One line for each face: its id, its box, `keep` or `drop`, and why. The program only ever adds lines for faces that
have none, and leaves every other byte alone. A decision belongs to the content of a photograph and to a place in it: it
holds under other thresholds, another detector, other file names and another order.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from msgbench.config import DatasetSpec
from msgbench.errors import DatasetError
from msgbench.layout import review_csv
from msgbench.records import atomic_file

COLUMNS = ("face", "box", "decision", "why")
DECISIONS = ("keep", "drop")
_ID = re.compile(r"(p[0-9a-f]{12})(?:-(\d+))?")
_DELIMITERS = (",", ";", "\t")
# Boxes of one face by two detectors overlap by more, those of two faces by less.
_SAME_FACE = 0.3

Box = tuple[float, float, float, float]


class Decision(NamedTuple):
    """One decided line."""

    photograph: str
    box: Box | None
    """None: of the whole photograph"""
    keep: bool
    why: str
    line: int
    """of the file, for sentences"""


class Review:
    """All decided lines of a review.csv, and what the file holds besides."""

    def __init__(
        self, path: Path, content: bytes | None, decisions: list[Decision], listed: set[str]
    ) -> None:
        self.path, self.content = path, content
        self.decisions = decisions
        self._listed = listed
        self._by_photograph: dict[str, list[Decision]] = {}
        for decision in decisions:
            self._by_photograph.setdefault(decision.photograph, []).append(decision)
        self._matched: set[int] = set()

    @classmethod
    def read(cls, path: Path) -> Review:
        """The decisions at `path`, none where there is no file; raises DatasetError, naming the line."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return cls(path, None, [], set())
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
        rows = _rows(path, content)
        decisions, listed = [], set()
        decided: dict[tuple[str, Box | None], Decision] = {}
        for line, row in rows:
            listed.add(row["face"])
            decision = _decision(path, line, row)
            if decision is None:
                continue
            key = (decision.photograph, decision.box)
            other = decided.setdefault(key, decision)
            if other.keep != decision.keep:
                raise DatasetError(
                    f"{path}: lines {other.line} and {line} decide {row['face']} differently; expected one decision"
                )
            decisions.append(decision)
        return cls(path, content, decisions, listed)

    @property
    def sha256(self) -> str:
        """Of the decisions alone: lines without one change nothing."""
        texts = sorted(json.dumps([d.photograph, d.box, d.keep, d.why]) for d in self.decisions)
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()

    def of_face(self, photograph: str, box: Iterable[float]) -> Decision | None:
        """The decision about the face at `box`, else about its whole photograph; None: there is none."""
        left, top, width, height = box
        found: tuple[float, Decision] | None = None
        for decision in self._by_photograph.get(photograph, ()):
            if decision.box is None:
                continue
            overlap = _overlap(decision.box, (left, top, width, height))
            if overlap >= _SAME_FACE and (found is None or overlap > found[0]):
                found = overlap, decision
        if found is None:
            return self.of_photograph(photograph)
        self._matched.add(found[1].line)
        return found[1]

    def of_photograph(self, photograph: str) -> Decision | None:
        """The decision about a whole photograph."""
        for decision in self._by_photograph.get(photograph, ()):
            if decision.box is None:
                self._matched.add(decision.line)
                return decision
        return None

    @property
    def unmatched(self) -> list[Decision]:
        """Decisions about faces that nobody asked for: their photograph is not there, or has no face at that place."""
        return [decision for decision in self.decisions if decision.line not in self._matched]

    def add(self, faces: Iterable[tuple[str, Iterable[float]]]) -> bool:
        """Append a line for each face (id, box) that has none; False, and nothing done: it was edited meanwhile."""
        fresh = [(face, box) for face, box in faces if face not in self._listed]
        try:
            now = self.path.read_bytes() if self.path.exists() else None
            if now != self.content:
                return False
            if not fresh and now is not None:
                return True
            text = now or (",".join(COLUMNS) + "\n").encode()
            if not text.endswith(b"\n"):
                text += b"\n"
            delimiter, ending = _dialect(text)
            for face, box in fresh:
                fields = (face, " ".join(f"{number:.0f}" for number in box), "", "")
                text += (delimiter.join(fields) + ending).encode()
            with atomic_file(self.path) as file:
                file.write(text)
        except OSError as error:
            raise DatasetError(f"{self.path}: cannot be written ({error.strerror})") from None
        self.content = text
        return True


def review_path(spec: DatasetSpec, store_dir: Path) -> Path:
    """Where the decisions about the faces of a dataset lie."""
    chosen = spec.face_rules.review
    return Path(chosen).expanduser() if chosen else review_csv(store_dir)


def review_digest(spec: DatasetSpec, store_dir: Path) -> str:
    """Digest of the decisions, for the workflow; of a malformed file a word, so that `prepare` says what is wrong."""
    try:
        return Review.read(review_path(spec, store_dir)).sha256[:16]
    except DatasetError:
        return "malformed"


def _dialect(content: bytes) -> tuple[str, str]:
    """What a spreadsheet separated the fields and ended the lines with."""
    header = content.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")
    delimiter = max(_DELIMITERS, key=header.count)
    return delimiter, "\r\n" if header.endswith("\r") else "\n"


def _rows(path: Path, content: bytes) -> list[tuple[int, dict[str, str]]]:
    """Line number and fields of every line but empty ones."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: is not a UTF-8 text; save it as CSV in UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_dialect(content)[0], strict=True)
    found: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise DatasetError(
                f"{path}: its first line has no column {missing[0]}; expected {', '.join(COLUMNS)}"
            )
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            if len(row) < len(header):
                row += [""] * (len(header) - len(row))
            found.append(
                (
                    reader.line_num,
                    {name: row[header.index(name)].strip() for name in COLUMNS},
                )
            )
            if any(field.strip() for field in row[len(header) :]):
                raise DatasetError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, the first line {len(header)}; put a text "
                    "with commas in quotes"
                )
    except csv.Error as error:
        raise DatasetError(f"{path}: line {reader.line_num} is no CSV ({error})") from None
    return found


def _decision(path: Path, line: int, row: dict[str, str]) -> Decision | None:
    where = f"{path}: line {line}"
    match = _ID.fullmatch(row["face"])
    if match is None:
        raise DatasetError(
            f"{where}: face {row['face']!r} is not allowed; allowed: an id as in faces.csv, or of a whole photograph"
        )
    word = row["decision"].lower()
    if word == "":
        return None
    if word not in DECISIONS:
        raise DatasetError(
            f"{where}: decision {row['decision']!r} is not allowed; allowed: keep, drop, or nothing"
        )
    photograph, number = match.groups()
    if number is None:
        if word == "keep":
            raise DatasetError(
                f"{where}: decision keep does not fit the whole photograph {photograph}; allowed: drop, or the id of "
                "one of its faces"
            )
        return Decision(photograph, None, False, row["why"], line)
    try:
        left, top, width, height = (float(text) for text in row["box"].split())
    except ValueError:
        raise DatasetError(
            f"{where}: box {row['box']!r} is not allowed; allowed: left, top, width and height of the face as in "
            "faces.csv"
        ) from None
    return Decision(photograph, (left, top, width, height), word == "keep", row["why"], line)


def _overlap(one: Box, other: Box) -> float:
    """Area of the intersection over that of the union."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / (one[2] * one[3] + other[2] * other[3] - both)
