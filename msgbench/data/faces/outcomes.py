"""The log of a set of faces as CSV: a line for each input, a line for each face, and the summary.

Photographs are called by their content. The one table with the names of files is for the user alone (names.csv, beside
the stores); nothing that is published reads it.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgbench.data.faces.decide import KEPT, NOT_CHOSEN, OUTCOMES, Decided, FaceOutcome
from msgbench.records import write_text

OUTCOMES_CSV, FACES_CSV, SUMMARY_CSV, NAMES_CSV = (
    "outcomes.csv",
    "faces.csv",
    "summary.csv",
    "names.csv",
)

_FACE_VALUES = (
    "face_px", "score", "sharpness", "brightness", "luma", "clipped", "turn_degrees", "shift", "padded",
)  # fmt: skip
# Lower edges; the last bin is open.
_BINS: dict[str, tuple[float, ...]] = {
    "face_px": (0, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768, 1024),
    "sharpness": (0, 0.06, 0.12, 0.18, 0.24, 0.3, 0.36, 0.42, 0.48, 0.54, 0.6, 0.7, 0.8),
    "brightness": tuple(range(0, 256, 16)),
    "clipped": (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 0.75),
}
_OF_BIN = {"face_px": "size"}


def write_outcomes(decided: Decided, folder: Path) -> None:
    """outcomes.csv, faces.csv and summary.csv in `folder`."""
    write_text(folder / OUTCOMES_CSV, _csv(_outcome_rows(decided)))
    write_text(folder / FACES_CSV, _csv(_face_rows(decided.faces)))
    write_text(folder / SUMMARY_CSV, _csv(_summary_rows(decided)))


def write_names(decided: Decided, path: Path) -> None:
    """Which photograph lies in which file: for the user, never to be passed on."""
    rows = [("photograph", "copy", "outcome", "file")]
    for one in decided.inputs:
        name = one.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        rows.append((one.id, str(one.copy), one.outcome, name))
    write_text(path, _csv(rows))


def counts(decided: Decided) -> dict[str, int]:
    """Inputs by outcome, all outcomes of inputs in their order; they sum up to the inputs."""
    found = Counter(one.outcome for one in decided.inputs)
    return {name: found[name] for name in OUTCOMES if name != NOT_CHOSEN}


def _csv(rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _outcome_rows(decided: Decided) -> Iterable[Sequence[object]]:
    yield (
        "photograph", "copy", "outcome", "reason", "face", "faces_found", "faces_kept", "width", "height",
        *_FACE_VALUES, "duplicate_of", "bits", "changes", "sha256",
    )  # fmt: skip
    for one in decided.inputs:
        seen, face = one.seen, one.deciding
        yield (
            one.id,
            one.copy,
            one.outcome,
            one.reason,
            "" if face is None else face.id,
            "" if seen is None else len(seen.faces),
            sum(found.outcome == KEPT for found in one.faces),
            *(("", "") if seen is None or seen.error else (seen.width, seen.height)),
            *_values(face),
            "" if face is None else face.duplicate_of,
            "" if face is None or face.bits is None else face.bits,
            "" if seen is None else " ".join(change.replace(" ", "-") for change in seen.changes),
            "" if seen is None else seen.sha256,
        )


def _face_rows(faces: list[FaceOutcome]) -> Iterable[Sequence[object]]:
    yield (
        "face", "outcome", "reason", "box", *_FACE_VALUES, "duplicate_of", "bits", "review", "hash",
    )  # fmt: skip
    for one in faces:
        yield (
            one.id,
            one.outcome,
            one.reason,
            box_text(one.face.box),
            *_values(one),
            one.duplicate_of,
            "" if one.bits is None else one.bits,
            one.review,
            one.face.hash,
        )


def box_text(box: Iterable[float]) -> str:
    """Left, top, width and height in whole pixels."""
    return " ".join(f"{number:.0f}" for number in box)


def _values(one: FaceOutcome | None) -> tuple[object, ...]:
    if one is None:
        return ("",) * len(_FACE_VALUES)
    face = one.face
    return (
        face.size,
        face.score,
        face.sharpness,
        f"{face.brightness:g}",
        face.luma,
        face.clipped,
        face.turn,
        "" if face.shift is None else face.shift,
        face.padded,
    )


def _summary_rows(decided: Decided) -> Iterable[Sequence[object]]:
    """Counts by outcome, then histograms of the deciding faces: all of them, and those that are kept."""
    yield "quantity", "outcome", "from", "below", "photographs", "kept"
    for name, count in counts(decided).items():
        yield "outcome", name, "", "", count, count if name == KEPT else 0
    faces = [one.deciding for one in decided.inputs if one.deciding is not None]
    for quantity, edges in _BINS.items():
        every, kept = Counter[int](), Counter[int]()
        for one in faces:
            value = float(getattr(one.face, _OF_BIN.get(quantity, quantity)))
            place = max(place for place, edge in enumerate(edges) if value >= edge)
            every[place] += 1
            kept[place] += one.outcome == KEPT
        for place, edge in enumerate(edges):
            below = edges[place + 1] if place + 1 < len(edges) else ""
            yield quantity, "", edge, below, every[place], kept[place]
