"""Looking at photographs: every face detected, cropped and measured, without any threshold.

A process does one photograph; its crops are files of their own in a folder beside the stores, and what was seen is a
line of a journal there, written after them. Killed at any moment, the next run looks at what has no line. What was
seen is a function of a file's bytes and of the rules alone.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import imagehash
import numpy as np
import scipy
from PIL import Image, ImageDraw

from msgbench.config import DatasetSpec, FacesSpec, fingerprint_of
from msgbench.config.published import PUBLISHED, Filter
from msgbench.console import Progress
from msgbench.data.faces.crop import cut, place
from msgbench.data.faces.detectors import Face, described, find_faces, open_detector
from msgbench.data.faces.inputs import Input
from msgbench.data.faces.measures import hashes, measure
from msgbench.data.pool import ordered_map
from msgbench.data.sources.photographs import DECODING_VERSION, libraries, read_whole
from msgbench.errors import DatasetError

# Bumped by hand when the same photograph would be seen in another way.
EXAMINE_VERSION = 1
# Crops are made at this side, or at the set's where that is larger; smaller sets are made from them.
CROP_SIDE = 256
_THUMBNAIL_SIDE = 256
_JOURNAL = "seen.jsonl"
_ID_DIGITS = 12
# Photographs that a process needs to be worth its start.
_WORK_OF_A_PROCESS = 20
_BOX = (255, 64, 64)


class FaceSeen(NamedTuple):
    """One face and everything measured of it; lengths in pixels of the photograph."""

    box: list[float]
    score: float
    size: float
    turn: float
    """degrees by which the crop is turned"""
    shift: float | None
    """None: the crop does not fit into the photograph"""
    padded: float
    enlarged: bool
    """whether the crop has fewer pixels than its file"""
    sharpness: float
    brightness: float
    luma: float
    clipped: float
    hash: str
    mirrored: str
    crop_bytes: int
    """size of its file; 0: there is none"""


class Seen(NamedTuple):
    """One photograph and its faces, the largest first."""

    sha256: str
    width: int
    height: int
    changes: list[str]
    """rules that changed it when it was decoded (sources/photographs.py)"""
    hash: str
    mirrored: str
    error: str | None
    """why it is no photograph, without its name; None when it is one"""
    faces: list[FaceSeen]

    @property
    def id(self) -> str:
        """How everything that is written calls it: a letter, so that no spreadsheet takes it for a number."""
        return "p" + self.sha256[:_ID_DIGITS]

    def face_id(self, number: int) -> str:
        return f"{self.id}-{number}"


class Rules(NamedTuple):
    """What decides how a photograph is seen."""

    detector: str
    yunet: str | None
    margin: float
    align: bool
    pad: str
    resize: Filter
    side: int

    @classmethod
    def of(cls, spec: DatasetSpec) -> Rules:
        faces: FacesSpec = spec.face_rules
        resize = spec.resize or PUBLISHED[spec.source].resize
        side = max(CROP_SIDE, spec.resolution)
        return cls(faces.detector, faces.yunet, faces.margin, faces.align, faces.pad, resize, side)

    def key(self) -> str:
        """Fingerprint of the rules and of everything that carries them out."""
        payload = {
            "rules": [*self._replace(yunet=None)],
            "versions": [EXAMINE_VERSION, DECODING_VERSION],
            "libraries": all_libraries(),
            "detector": described(open_detector(self.detector, self.yunet)),
        }
        return fingerprint_of(payload)


def all_libraries() -> dict[str, str]:
    """Versions of what decodes, detects, scales and hashes."""
    return {
        **libraries(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "imagehash": imagehash.__version__,
    }


class _Task(NamedTuple):
    input: Input
    rules: Rules
    folder: str


def crop_file(folder: Path, face_id: str) -> Path:
    """The crop of a face."""
    return folder / "crops" / f"{face_id}.png"


def thumbnail_file(folder: Path, photograph_id: str) -> Path:
    """A photograph with its faces marked, small; of those with a face that has no crop, and of those without faces."""
    return folder / "photographs" / f"{photograph_id}.jpg"


def look_at(task: _Task) -> Seen | str:
    """One photograph; a text when its file cannot be read at all."""
    input_, rules, folder = task.input, task.rules, Path(task.folder)
    try:
        raw = input_.item.read()
    except DatasetError as error:
        return str(error).removeprefix(f"{input_.item.where}: ")
    digest = hashlib.sha256(raw).hexdigest()
    try:
        photograph, changes = read_whole(raw, "", web=True)
    except DatasetError as error:
        return Seen(digest, 0, 0, [], "", "", str(error).removeprefix(": "), [])
    detector = open_detector(rules.detector, rules.yunet)
    found = find_faces(detector, photograph)
    seen = Seen(
        digest, photograph.width, photograph.height, list(changes), *hashes(photograph), None, []
    )
    for number, face in enumerate(found):
        seen.faces.append(_look_at_face(photograph, face, seen.face_id(number), rules, folder))
    if not all(face.crop_bytes for face in seen.faces) or not seen.faces:
        thumbnail_file(folder, seen.id).write_bytes(_thumbnail(photograph, found))
    return seen


def _look_at_face(
    photograph: Image.Image, face: Face, face_id: str, rules: Rules, folder: Path
) -> FaceSeen:
    pad: Any = rules.pad
    square = place(face, photograph.size, rules.margin, rules.align, pad)
    measured = measure(photograph, face)
    content, digests = b"", ("", "")
    if square.shift is not None:
        crop = cut(photograph, square, rules.side, rules.resize, pad)
        buffer = io.BytesIO()
        crop.save(buffer, "PNG", compress_level=1)
        content, digests = buffer.getvalue(), hashes(crop)
        crop_file(folder, face_id).write_bytes(content)
    return FaceSeen(
        box=[round(number, 2) for number in face.box],
        score=round(face.score, 4),
        size=round(face.size, 2),
        turn=round(square.turn * 57.29577951308232, 2),
        shift=None if square.shift is None else round(square.shift, 4),
        padded=round(square.padded, 4),
        enlarged=square.side < rules.side,
        sharpness=measured.sharpness,
        brightness=measured.brightness,
        luma=measured.luma,
        clipped=measured.clipped,
        hash=digests[0],
        mirrored=digests[1],
        crop_bytes=len(content),
    )


def _thumbnail(photograph: Image.Image, faces: list[Face]) -> bytes:
    small = photograph.copy()
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    scale = small.width / photograph.width
    pen = ImageDraw.Draw(small)
    for face in faces:
        left, top, width, height = (number * scale for number in face.box)
        pen.rectangle((left, top, left + width, top + height), outline=_BOX, width=2)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class Looked(NamedTuple):
    """What became of one input."""

    input: Input
    seen: Seen | None
    error: str
    """why its file cannot be read, where it was not seen"""


def look_at_all(
    inputs: list[Input], rules: Rules, folder: Path, title: str, workers: int
) -> list[Looked]:
    """Every input, in their order; what `folder` has of an earlier run is not looked at again."""
    for name in ("crops", "photographs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    known = _known(folder)
    fresh = [one for one in inputs if one.key not in known]
    workers = max(1, min(workers, len(fresh) // _WORK_OF_A_PROCESS))
    unread: dict[tuple[str, int, int], str] = {}
    with (folder / _JOURNAL).open("a", encoding="utf-8") as journal:
        with Progress(
            title, len(inputs), "photographs", start=len(inputs) - len(fresh)
        ) as progress:
            tasks = (_Task(one, rules, str(folder)) for one in fresh)
            for one, result in zip(fresh, ordered_map(look_at, tasks, workers), strict=True):
                if isinstance(result, Seen):
                    known[one.key] = result
                    journal.write(json.dumps([*one.key, result], separators=(",", ":")) + "\n")
                    journal.flush()
                else:
                    unread[one.key] = result  # not in the journal: it may be readable next time
                progress.advance()
    return [Looked(one, known.get(one.key), unread.get(one.key, "")) for one in inputs]


def _known(folder: Path) -> dict[tuple[str, int, int], Seen]:
    """What the journal says, as far as it is whole and its files are there; a torn last line is cut off."""
    path = folder / _JOURNAL
    known: dict[tuple[str, int, int], Seen] = {}
    end = 0
    for line, (key, seen) in _lines(path):
        end += len(line)
        if _files_are_there(folder, seen):
            known[key] = seen
    if path.exists() and path.stat().st_size != end:
        with path.open("r+b") as file:
            file.truncate(end)
    return known


def _lines(path: Path) -> Iterator[tuple[bytes, tuple[tuple[str, int, int], Seen]]]:
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                name, size, changed, fields = json.loads(line)
                *whole, faces = fields
                seen = Seen._make([*whole, [FaceSeen._make(face) for face in faces]])
                yield line, ((name, size, changed), seen)
    except FileNotFoundError:
        return
    except (ValueError, TypeError):
        return


def _files_are_there(folder: Path, seen: Seen) -> bool:
    if seen.error is not None:
        return True
    for number, face in enumerate(seen.faces):
        if face.crop_bytes and not _has_size(
            crop_file(folder, seen.face_id(number)), face.crop_bytes
        ):
            return False
    if seen.faces and all(face.crop_bytes for face in seen.faces):
        return True
    return thumbnail_file(folder, seen.id).exists()


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
