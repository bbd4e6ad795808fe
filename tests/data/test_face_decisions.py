"""Which faces are kept: the thresholds on both sides, which of copies, and what the review has to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msgbench.config import FacesSpec
from msgbench.data.faces.decide import decide
from msgbench.data.faces.detectors import Face
from msgbench.data.faces.duplicates import Fingerprints, copies_of
from msgbench.data.faces.examine import FaceSeen, Looked, Seen
from msgbench.data.faces.inputs import Input
from msgbench.data.faces.measures import measure
from msgbench.data.faces.review import Decision, Review
from msgbench.data.sources.items import Item

RULES = FacesSpec(
    min_face_px=100, max_shift=0.25, min_brightness=50, max_clipped=0.125, min_sharpness=0.5
)
# At every threshold, none of which is left.
BORDER: dict[str, Any] = {
    "size": 100.0, "shift": 0.25, "brightness": 50.0, "clipped": 0.125, "sharpness": 0.5,
}  # fmt: skip


def looked(name: str, bits: int = 0, **changes: Any) -> Looked:
    """A photograph of one face in the middle whose hashes are `bits`."""
    digits, mirrored = f"{bits:064x}", "f" * 64
    face = FaceSeen(
        **{
            "box": [100.0, 100.0, 200.0, 200.0], "score": 1.0, "turn": 0.0, "padded": 0.0, "enlarged": False,
            "luma": 100.0, "hash": digits, "mirrored": mirrored, "crop_bytes": 1, **BORDER, **changes,
        }
    )  # fmt: skip
    seen = Seen(name * 64, 400, 400, [], digits, mirrored, None, [face])
    return Looked(Input(Item(f"{name}.jpg", "photographs"), 1, 0), seen, "")


def outcomes(*photographs: Looked, review: Review | None = None) -> dict[str, str]:
    """Outcome by the first letter of the photograph's sha256."""
    without = Review(Path("review.csv"), None, [], set())
    decided = decide(list(photographs), RULES, review or without)
    return {face.photograph.sha256[0]: face.outcome for face in decided.faces}


def test_a_face_at_every_threshold_is_kept() -> None:
    assert outcomes(looked("a")) == {"a": "kept"}


@pytest.mark.parametrize(
    "beyond",
    [{"size": 99.9}, {"shift": 0.26}, {"shift": None}, {"brightness": 49.0}, {"clipped": 0.126},
     {"sharpness": 0.49}],
)  # fmt: skip
def test_a_face_beyond_one_of_them_is_not(beyond: dict[str, Any]) -> None:
    assert outcomes(looked("a", **beyond))["a"] != "kept"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"size": 120.0}, {"size": 110.0, "sharpness": 0.9}),
        ({"sharpness": 0.7}, {"sharpness": 0.6}),
    ],
)
@pytest.mark.parametrize("letters", ["ab", "ba"])
def test_of_copies_the_largest_is_kept_then_the_sharpest(
    letters: str, better: dict[str, Any], worse: dict[str, Any]
) -> None:
    found = outcomes(looked(letters[0], **better), looked(letters[1], **worse))
    assert found[letters[0]] == "kept"
    assert found[letters[1]] != "kept"


def test_a_copy_that_the_review_keeps_goes_before_a_better_one() -> None:
    small, large = looked("a", size=110.0), looked("b", size=120.0)
    assert small.seen is not None
    keep = Decision(small.seen.id, (100.0, 100.0, 200.0, 200.0), True, "", 1)
    found = outcomes(small, large, review=Review(Path("review.csv"), b"", [keep], set()))
    assert found["a"] == "kept"
    assert found["b"] != "kept"


def prints(bits: int, y: float = 0.5, crop: int | None = None) -> Fingerprints:
    digits, own = f"{bits:064x}", f"{bits if crop is None else crop:064x}"
    return Fingerprints(digits, "f" * 64, own, "f" * 64, 0.5, y)


def test_a_copy_of_a_copy_is_compared_with_what_is_kept_alone() -> None:
    """Else a chain of small differences would make copies of photographs that have nothing in common."""
    assert copies_of([prints(0), prints(0b111), prints(0b111111)], 3) == [None, (0, 3, False), None]


@pytest.mark.parametrize("heights", [(0.25, 0.75), (0.75, 0.25)])
def test_faces_above_each_other_in_one_photograph_are_no_copies(
    heights: tuple[float, float],
) -> None:
    faces = [prints(0, y, crop) for y, crop in zip(heights, (0, (1 << 128) - 1), strict=True)]
    assert copies_of(faces, 32) == [None, None]


@pytest.mark.parametrize(("luma", "clipped"), [(249, 0.0), (250, 1.0), (255, 1.0)])
def test_clipped_is_what_has_250_and_more(luma: int, clipped: float) -> None:
    image = Image.fromarray(np.full((100, 100, 3), luma, np.uint8))
    assert measure(image, Face((10, 10, 80, 80), 1.0, None)).clipped == clipped
