"""`msgbench data check-faces`: do the detector and the thresholds sort the user's photographs for the right reasons?

Of every photograph that is kept, copies are made that are spoiled in one way, and looked at beside the originals: each
has to be left out for what was done to it. Photographs without any face are looked at, too. Nothing is kept but a
table.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageFilter, ImageOps

from msgbench.config import DatasetSpec, FacesSpec
from msgbench.data.faces.decide import (
    BLURRED,
    DARK,
    DUPLICATE,
    KEPT,
    NO_FACE,
    OUTCOMES,
    TOO_SMALL,
    UNLIKELY,
    UNREADABLE,
    Decided,
    FaceOutcome,
    decide,
)
from msgbench.data.faces.detectors import require_detector
from msgbench.data.faces.examine import Rules, look_at_all
from msgbench.data.faces.inputs import Input, list_inputs
from msgbench.data.faces.review import Review
from msgbench.data.sources.items import Item
from msgbench.data.sources.photographs import read_whole
from msgbench.errors import DatasetError

DARKENED_TO = 0.25
BLUR_PX = 4.0  # of a face of BLUR_FACE_PX, and in proportion
BLUR_FACE_PX = 128
SHRUNK_TO = 0.75  # of min_face_px
COMPRESSED_TO, COMPRESSED_QUALITY = 0.9, 60

Spoil = Callable[[Image.Image, FaceOutcome, FacesSpec], Image.Image]


class Kind(NamedTuple):
    """One way to spoil a photograph, and what has to become of it."""

    name: str
    words: str
    expected: tuple[str, ...]
    spoil: Spoil | None
    """None: the file itself, whole or cut"""
    quality: int = 95


def _darken(image: Image.Image, face: FaceOutcome, rules: FacesSpec) -> Image.Image:
    return image.point([int(level * DARKENED_TO) for level in range(256)] * 3)


def _blur(image: Image.Image, face: FaceOutcome, rules: FacesSpec) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(BLUR_PX * face.face.size / BLUR_FACE_PX))


def _shrink(image: Image.Image, face: FaceOutcome, rules: FacesSpec) -> Image.Image:
    return _scaled(image, SHRUNK_TO * rules.min_face_px / face.face.size)


def _compress(image: Image.Image, face: FaceOutcome, rules: FacesSpec) -> Image.Image:
    return _scaled(image, COMPRESSED_TO)


def _mirror(image: Image.Image, face: FaceOutcome, rules: FacesSpec) -> Image.Image:
    return ImageOps.mirror(image)


def _scaled(image: Image.Image, by: float) -> Image.Image:
    size = (max(1, round(image.width * by)), max(1, round(image.height * by)))
    return image.resize(size, Image.Resampling.LANCZOS)


_COPIED, _TRUNCATED = "copied", "truncated"
KINDS = (
    Kind("darkened", f"every level times {DARKENED_TO:g}", (DARK,), _darken),
    Kind("blurred", f"Gaussian, {BLUR_PX:g} px of a face of {BLUR_FACE_PX} px", (BLURRED,), _blur),
    Kind("shrunk", f"the face to {SHRUNK_TO:g} min_face_px", (TOO_SMALL,), _shrink),
    Kind(_COPIED, "the same file, under another person", (DUPLICATE,), None),
    Kind(
        "compressed",
        f"to {COMPRESSED_TO:g} of its size, JPEG of quality {COMPRESSED_QUALITY}",
        (DUPLICATE,),
        _compress,
        COMPRESSED_QUALITY,
    ),
    Kind("mirrored", "left and right exchanged", (DUPLICATE,), _mirror),
    Kind(_TRUNCATED, "the first half of the file", (UNREADABLE,), None),
)


class Row(NamedTuple):
    """One line of the table."""

    what: str
    words: str
    expected: str
    number: int
    right: int
    others: str
    """what else became of them"""


def check_faces(spec: DatasetSpec, not_faces: Path | None, workers: int) -> Iterator[str]:
    """A Markdown table about the photographs at the path of `spec`; raises DatasetError where none is kept."""
    require_detector(spec.face_rules, spec.name)
    yield f"| photographs ({spec.face_rules.detector}) | what was done | expected | number | so | share | else |"
    yield "|---|---|---|---:|---:|---:|---|"
    for row in _rows(spec, not_faces, workers):
        share = f"{row.right / row.number:.1%}" if row.number else "–"
        yield (
            f"| {row.what} | {row.words} | {row.expected} | {row.number:,} | {row.right:,} | {share} | {row.others} |"
        )


def _rows(spec: DatasetSpec, not_faces: Path | None, workers: int) -> Iterator[Row]:
    rules, inputs = spec.face_rules, list_inputs(spec)
    with tempfile.TemporaryDirectory(prefix="msgbench-faces-") as name:
        folder = Path(name)

        def decided_of(listed: list[Input], title: str) -> Decided:
            looked = look_at_all(listed, Rules.of(spec), folder / "seen", title, workers)
            return decide(looked, rules, Review(Path(), None, [], set()))

        found = decided_of(inputs, "photographs")
        yield from _originals(found)
        by_name = {one.item.name: one for one in inputs}
        kept = [
            (by_name[one.name], one.deciding)
            for one in found.inputs
            if one.outcome == KEPT and one.deciding is not None
        ]
        if not kept:
            raise DatasetError(f"{spec.path}: no photograph is kept, so there is none to spoil")
        for kind in KINDS:
            copies = [
                _write(folder / kind.name / f"{number:06d}.jpg", kind, original, face, rules)
                for number, (original, face) in enumerate(kept)
            ]
            beside = decided_of([one for one, _ in kept] + copies, kind.name)
            yield _judged(kind, beside, kept, copies)
        if not_faces is not None:
            listed = list_inputs(spec.model_copy(update={"path": str(not_faces)}))
            counted = Counter(one.outcome for one in decided_of(listed, "no faces").inputs)
            yield _row("not a face", str(not_faces.name), (NO_FACE, UNLIKELY), counted)


def _originals(found: Decided) -> Iterator[Row]:
    """All photographs, and those in which the detector finds one face and several that it is certain of."""
    groups: dict[str, Counter[str]] = {
        "all": Counter(),
        "with one face found": Counter(),
        "with several": Counter(),
    }
    for one in found.inputs:
        certain = sum(face.outcome != UNLIKELY for face in one.faces)
        groups["all"][one.outcome] += 1
        if certain:
            groups["with one face found" if certain == 1 else "with several"][one.outcome] += 1
    for name, counted in groups.items():
        yield _row(name, "as they are", (KEPT,), counted)


def _row(what: str, words: str, expected: tuple[str, ...], counted: Counter[str]) -> Row:
    others = ", ".join(
        f"{counted[name]} {name}" for name in OUTCOMES if counted[name] and name not in expected
    )
    right = sum(counted[name] for name in expected)
    return Row(what, words, " or ".join(expected), counted.total(), right, others)


def _write(path: Path, kind: Kind, original: Input, face: FaceOutcome, rules: FacesSpec) -> Input:
    """The spoiled copy of a photograph, as an input."""
    raw = original.item.read()
    if kind.spoil is not None:
        image, _ = read_whole(raw, original.item.where, web=True)
        buffer = io.BytesIO()
        kind.spoil(image, face, rules).save(buffer, "JPEG", quality=kind.quality)
        raw = buffer.getvalue()
    elif kind.name == _TRUNCATED:
        raw = raw[: len(raw) // 2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return Input(Item(f"{kind.name}/{path.name}", str(path)), len(raw), 0)


def _judged(
    kind: Kind, beside: Decided, kept: list[tuple[Input, FaceOutcome]], copies: list[Input]
) -> Row:
    """What became of the copies; of a copy and its original one is kept and the other one its copy, whichever it is."""
    outcome_of = {one.name: one.outcome for one in beside.inputs}
    counted: Counter[str] = Counter()
    for (original, _), copy in zip(kept, copies, strict=True):
        outcome = outcome_of[copy.item.name]
        if kind.expected == (DUPLICATE,) and outcome == KEPT:
            outcome = outcome_of[original.item.name]
        counted[outcome] += 1
    return _row(kind.name, kind.words, kind.expected, counted)
