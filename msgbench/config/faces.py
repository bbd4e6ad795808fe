"""How photographs of people become a set of faces: detector, choice, crop, and the thresholds of every filter.

The paper (section 3, "New Indian Celebs Dataset") names the steps and no number; what stands here is ours, each with
its unit, and stands in the manifest of the set.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from msgbench.config.base import Spec

DetectorName = Literal["haar", "yunet"]
Pad = Literal["none", "reflect", "edge"]

# The only file of YuNet that was measured; another one is another detector.
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

# Below it a detection is counted as an erroneous one: YuNet's own score; of Haar the share of three cascades.
_SCORES: dict[DetectorName, float] = {"haar": 1.0, "yunet": 0.7}
# Paths, which decide no pixel.
_PATHS = ("yunet", "review")


class FacesSpec(Spec):
    """From a folder of photographs to faces; lengths in pixels of the photograph, before any scaling."""

    detector: DetectorName = Field(
        default="haar",
        description="`haar` (three cascades that come with OpenCV, offline) or `yunet` (better; needs its file)",
    )
    yunet: str | None = Field(
        default=None,
        description="path of face_detection_yunet_2023mar.onnx, whose sha256 is checked; not part of any fingerprint",
    )
    min_score: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="least certainty of a detection, 0 to 1; below it is an erroneous one. haar: the share of its "
        "three cascades that see the face, 1.0 by default; yunet: its score, 0.7 by default",
    )
    choose: Literal["largest", "all"] = Field(
        default="largest",
        description="the largest face of each photograph, or all that pass the filters",
    )
    margin: float = Field(
        default=1.5,
        ge=1.0,
        le=4.0,
        description="side of the square crop, in sides of the face (the longer side of its box)",
    )
    align: bool = Field(
        default=True,
        description="turn the crop so that the eyes are level, where the detector gives landmarks (yunet)",
    )
    max_shift: float = Field(
        default=0.1,
        ge=0.0,
        le=0.5,
        description="how far a crop may be moved to stay inside of its photograph, in sides of the crop; farther: "
        "it is left out, unless `pad` is chosen",
    )
    pad: Pad = Field(
        default="none",
        description="what lies outside of the photograph: `none` (no crop leaves it), `reflect` or `edge` (made up; "
        "counted in the manifest)",
    )
    min_face_px: int = Field(
        default=128, ge=16, le=4096, description="least size of a face: the longer side of its box"
    )
    min_brightness: int = Field(
        default=70,
        ge=0,
        le=255,
        description="least 90th percentile of the face's luma, 0 to 255; below it a face is dark. Not the mean, which "
        "would sort people by their skin",
    )
    max_clipped: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="largest share of the face's pixels with a luma of 250 or more; above it a face is overexposed",
    )
    min_sharpness: float = Field(
        default=0.24,
        ge=0.0,
        le=2.0,
        description="least ratio of fine detail (about 1 px) to coarse detail (about 4 px) of the face scaled to "
        "128 px; below it a face is blurred",
    )
    duplicate_bits: int | None = Field(
        default=32,
        ge=0,
        le=127,
        description="perceptual hashes (256 bits; of the photograph and of the face, mirrored ones too) that differ in "
        "so many bits or fewer are near-duplicates; null: not looked for",
    )
    review: str | None = Field(
        default=None,
        description="where your decisions lie (keep or drop, and why); default: review.csv in the folder above the "
        "dataset's stores. Not part of any fingerprint",
    )

    @model_validator(mode="after")
    def _check(self) -> FacesSpec:
        if self.detector == "yunet" and self.yunet is None:
            raise ValueError(
                "yunet is required with detector yunet: the path of face_detection_yunet_2023mar.onnx"
            )
        return self

    @property
    def score_from(self) -> float:
        """`min_score`, or the detector's own."""
        return _SCORES[self.detector] if self.min_score is None else self.min_score

    def rules(self) -> dict[str, Any]:
        """Everything that decides a pixel or an outcome; without paths."""
        rules = self.model_dump(mode="json", exclude=set(_PATHS))
        return {**rules, "min_score": self.score_from}
