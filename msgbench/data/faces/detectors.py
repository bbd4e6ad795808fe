"""Detectors of faces behind one protocol: three Haar cascades that come with OpenCV, and YuNet by its file.

A detector is handed an image of at most `SEARCHED_SIDE` px and gives all faces that it sees, however uncertain: what
is certain enough is decided later. OpenCV computes with one thread; the processes of `prepare` share the cores.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from PIL import Image

from msgbench.config.faces import YUNET_SHA256, FacesSpec
from msgbench.errors import DatasetError
from msgbench.records import sha256_file

# Photographs are searched at this size at most: a face of 128 px in a photograph of 3,400 px still has 24.
SEARCHED_SIDE = 640
SMALLEST_FACE = 24  # px of the searched image

_CASCADES = (
    "haarcascade_frontalface_alt2.xml",
    "haarcascade_frontalface_alt.xml",
    "haarcascade_frontalface_default.xml",
)
_SCALE_STEP, _NEIGHBOURS = 1.1, 3
# The others look at the face once more: at this size, with this much around it.
_LOOK_SIDE, _LOOK_MARGIN, _LOOK_SMALLEST = 160, 1.6, 64
_YUNET_FLOOR, _YUNET_OVERLAP, _YUNET_MOST = 0.5, 0.3, 200


class Face(NamedTuple):
    """A detected face, in pixels of the image."""

    box: tuple[float, float, float, float]
    """left, top, width, height; may leave the image"""
    score: float
    """certainty, 0 to 1"""
    eyes: tuple[tuple[float, float], tuple[float, float]] | None
    """the eye at the image's left, the one at its right; None: the detector gives no landmarks"""

    @property
    def size(self) -> float:
        """The longer side of the box."""
        return max(self.box[2], self.box[3])

    @property
    def centre(self) -> tuple[float, float]:
        left, top, width, height = self.box
        return left + width / 2, top + height / 2


class Detector(Protocol):
    """What finds faces; the same image gives the same faces."""

    def find(self, image: np.ndarray) -> list[Face]:
        """All faces of an RGB image, uint8 [H, W, 3], in any order."""

    def facts(self) -> dict[str, str]:
        """Name, files and versions that decide what is found."""


class Haar:
    """`alt2` proposes, `alt` and `default` look again at what it found; the score is the share of the three that agree.

    Of several boxes of one face the one that most of them see is taken, then the one that was hit most often.

    The image's histogram is equalised first, so that a dark face is found and then left out for being dark.
    """

    def __init__(self) -> None:
        folder = getattr(cv2, "data").haarcascades  # noqa: B009  (the stubs do not know it)
        self._cascades = [cv2.CascadeClassifier(folder + name) for name in _CASCADES]
        if any(cascade.empty() for cascade in self._cascades):
            raise DatasetError(
                f"{folder}: has no Haar cascades; install opencv-python-headless>=4.10,<5"
            )

    def facts(self) -> dict[str, str]:
        return {"detector": "haar", "cascades": ", ".join(_CASCADES), "opencv": cv2.__version__}

    def find(self, image: np.ndarray) -> list[Face]:
        gray = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        smallest = (SMALLEST_FACE, SMALLEST_FACE)
        boxes, hits = self._cascades[0].detectMultiScale2(
            gray, _SCALE_STEP, _NEIGHBOURS, 0, smallest
        )
        faces = [self._face(gray, [float(number) for number in box]) for box in boxes]
        order = sorted(
            range(len(faces)), key=lambda at: (-faces[at].score, -int(hits[at]), faces[at].box)
        )
        found: list[Face] = []
        for face in (faces[at] for at in order):
            if not any(_are_one(face, other) for other in found):
                found.append(face)
        return found

    def _face(self, gray: np.ndarray, box: list[float]) -> Face:
        left, top, width, height = box
        side = max(width, height) * _LOOK_MARGIN
        scale = _LOOK_SIDE / side
        x, y = left + width / 2 - side / 2, top + height / 2 - side / 2
        shift = np.array([[scale, 0.0, -x * scale], [0.0, scale, -y * scale]])
        look = cv2.warpAffine(
            gray, shift, (_LOOK_SIDE, _LOOK_SIDE), borderMode=cv2.BORDER_REPLICATE
        )
        look = cv2.equalizeHist(look)
        votes = 1 + sum(_sees(cascade, look) for cascade in self._cascades[1:])
        return Face((left, top, width, height), votes / len(self._cascades), None)


def _are_one(one: Face, other: Face) -> bool:
    """Whether two boxes are of one face: the middle of one lies well inside of the other one."""
    (x, y), (u, v) = one.centre, other.centre
    return max(abs(x - u), abs(y - v)) < 0.3 * max(one.size, other.size)


def _sees(cascade: cv2.CascadeClassifier, look: np.ndarray) -> bool:
    """Whether a cascade finds a face about in the middle."""
    smallest = (_LOOK_SMALLEST, _LOOK_SMALLEST)
    boxes = cascade.detectMultiScale(look, _SCALE_STEP, _NEIGHBOURS, 0, smallest)
    middle, reach = _LOOK_SIDE / 2, _LOOK_SIDE * 0.2
    return any(
        abs(x + w / 2 - middle) < reach and abs(y + h / 2 - middle) < reach for x, y, w, h in boxes
    )


class YuNet:
    """OpenCV's YuNet with the user's file; gives eyes."""

    def __init__(self, path: Path) -> None:
        self._net = cv2.FaceDetectorYN.create(
            str(path), "", (320, 320), _YUNET_FLOOR, _YUNET_OVERLAP, _YUNET_MOST
        )

    def facts(self) -> dict[str, str]:
        return {"detector": "yunet", "sha256": YUNET_SHA256, "opencv": cv2.__version__}

    def find(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        self._net.setInputSize((width, height))
        _, found = self._net.detect(np.ascontiguousarray(image[:, :, ::-1]))
        faces = []
        for row in [] if found is None else found.astype(np.float64).tolist():
            eyes = sorted([(row[4], row[5]), (row[6], row[7])])
            faces.append(Face((row[0], row[1], row[2], row[3]), row[14], (eyes[0], eyes[1])))
        return faces


def require_detector(rules: FacesSpec, name: str) -> None:
    """Raise DatasetError unless the detector of `rules` (of dataset `name`) can be used; YuNet's file is read."""
    if rules.detector != "yunet":
        return
    assert rules.yunet is not None, "FacesSpec demands the file"
    path, key = Path(rules.yunet).expanduser(), f"datasets.{name}.faces.yunet"
    try:
        digest = sha256_file(path)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}); {key} allows the path of face_detection_yunet_2023mar.onnx"
        ) from None
    if digest != YUNET_SHA256:
        raise DatasetError(
            f"{path}: its sha256 is {digest[:12]}..., {key} allows face_detection_yunet_2023mar.onnx with sha256 "
            f"{YUNET_SHA256[:12]}..."
        )


@lru_cache(maxsize=2)
def open_detector(name: str, yunet: str | None) -> Detector:
    """The detector by its name in the config, opened once a process."""
    cv2.setNumThreads(1)
    return Haar() if name == "haar" else YuNet(Path(yunet or "").expanduser())


def find_faces(detector: Detector, photograph: Image.Image) -> list[Face]:
    """All faces of an RGB photograph in its own pixels, the largest first."""
    scale = min(1.0, SEARCHED_SIDE / max(photograph.size))
    searched = np.asarray(photograph)
    if scale < 1.0:
        size = (
            max(1, round(photograph.width * scale)),
            max(1, round(photograph.height * scale)),
        )
        searched = cv2.resize(searched, size, interpolation=cv2.INTER_AREA)
    if min(searched.shape[:2]) < SMALLEST_FACE:
        return []
    across, down = (
        photograph.width / searched.shape[1],
        photograph.height / searched.shape[0],
    )
    faces = [_scaled(face, across, down) for face in detector.find(searched)]
    return sorted(faces, key=lambda face: (-face.size, face.box))


def _scaled(face: Face, across: float, down: float) -> Face:
    left, top, width, height = face.box
    box = (left * across, top * down, width * across, height * down)
    eyes = face.eyes
    if eyes is not None:
        (x, y), (u, v) = eyes
        eyes = ((x * across, y * down), (u * across, v * down))
    return Face(box, face.score, eyes)


def turn_of(face: Face) -> float:
    """By how much the line of the eyes falls to the right, in radians; 0 without landmarks."""
    if face.eyes is None:
        return 0.0
    (x, y), (u, v) = face.eyes
    return math.atan2(v - y, u - x) if u > x else 0.0


def described(detector: Detector) -> dict[str, Any]:
    """`facts` as a manifest has them."""
    return dict(sorted(detector.facts().items()))
