"""The spec of a dataset: which recipe reads it, from where, and what becomes of an image.

What the publishers state about their datasets of photographs (counts, sizes, licences) stands in published.py; what
a spec may ask for follows from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from msgbench.config.base import Spec, check_resolution, fingerprint_of
from msgbench.config.faces import FacesSpec
from msgbench.config.published import PUBLISHED, Filter, Fit

# Bumped by hand when the same spec would give other bits: it is part of every fingerprint.
DATASET_FORMAT = 1

# Sources of whole photographs, which are fitted to the resolution (data/sources/photographs.py).
PHOTOGRAPHS = tuple(PUBLISHED)
# Photographs of any shape, of which `fit` says how they become square.
ANY_SHAPE = tuple(name for name, published in PUBLISHED.items() if published.any_shape)
# Sources with a second split; the others are one split, `train`.
_WITH_TEST = (
    "embedded",
    "cifar10",
    *(name for name, published in PUBLISHED.items() if "test" in published.counts),
)
# Photographs of people, in which faces are found first (data/faces).
WITH_FACES = tuple(name for name, published in PUBLISHED.items() if published.faces)
SOURCES = ("embedded", "cifar10", *PHOTOGRAPHS)


def _known_source(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"{name!r} is not allowed; allowed: {', '.join(SOURCES)}")
    return name


Source = Annotated[
    str,
    AfterValidator(_known_source),
    WithJsonSchema({"type": "string", "enum": list(SOURCES)}),
]

# Came after stores and runs were made: left out of fingerprints while they say what all did before.
_LATER_FIELDS = ("fit", "resize", "drawn")


class DatasetSpec(Spec):
    """One dataset: where its images come from and how they are used in training."""

    name: str = Field(description="the dataset's key under `datasets` in config.yaml")
    source: Source = Field(
        description="recipe that reads the images: `cifar10`, `oxford_flowers`, `lsun_churches`, `lsun_bedrooms`, "
        "`celeba_hq`, `ffhq`, `celeba` in the forms in which they are published, `indian_celebs` (photographs of "
        "people from the web, in which faces are found), `folder` (any images), or `embedded` (drawn by msgbench "
        "itself, a stand-in)"
    )
    path: str | None = Field(
        default=None, description="where your copy of the dataset lies; not part of any fingerprint"
    )
    accept_terms: bool = Field(
        default=False,
        description="that you accept the publisher's terms of use, where there are any (CelebA, CelebA-HQ, FFHQ), and "
        "of faces from the web that you may use them; not part of any fingerprint",
    )
    resolution: int = Field(
        description="side of the square images in pixels, a power of two, 8 to 1024"
    )
    split: Literal["train", "test", "all"] = Field(
        default="train",
        description="which images of the source; `all` (of CIFAR-10) is train, then test: the 60K of the paper",
    )
    num_images: int | None = Field(
        default=None, ge=1, description="use only the first so many images; empty = all of them"
    )
    mirror: bool = Field(description="flip each training image left-right with probability 1/2")
    fit: Fit | None = Field(
        default=None,
        description="how a photograph of any shape becomes square: `stretch` (default of oxford_flowers, as the "
        "authors' tool) or `crop`, the square in its middle (default of LSUN and `folder`)",
    )
    resize: Filter | None = Field(
        default=None,
        description="Pillow's filter, which moves FID: box, bilinear, bicubic or lanczos; empty = the recipe's "
        "(oxford_flowers: bilinear; LSUN, `folder` and indian_celebs: lanczos; the others: box, the mean of pixels)",
    )
    drawn: int | None = Field(
        default=None,
        ge=1,
        description="a stand-in: msgbench draws so many images, in the form in which the source is published, and "
        "the recipe reads them as it would read yours",
    )
    faces: FacesSpec | None = Field(
        default=None,
        description="of indian_celebs: how faces are found, cropped and filtered; empty = all defaults",
    )

    @model_validator(mode="after")
    def _check(self) -> DatasetSpec:
        check_resolution(self.resolution)
        source = self.source
        if source == "cifar10" and self.resolution != 32:
            raise ValueError(
                f"resolution {self.resolution} does not fit source cifar10; allowed: 32"
            )
        # A stand-in is drawn for whatever split is asked for.
        if self.split == "all" and source not in ("cifar10", "embedded"):
            allowed = "train, test" if source in _WITH_TEST else "train"
            raise ValueError(f"split all does not fit source {source}; allowed: {allowed}")
        if source == "embedded" and self.num_images is None:
            raise ValueError("num_images is required for source embedded: how many images to draw")
        largest = PUBLISHED[source].largest_side if source in PUBLISHED else None
        if largest is not None and self.resolution > largest:
            raise ValueError(
                f"resolution {self.resolution} does not fit source {source}; allowed: at most {largest}"
            )
        if self.split == "test" and source not in _WITH_TEST:
            raise ValueError(
                f"split test does not fit source {source}, which has one split; allowed: train"
            )
        self._check_photographs()
        return self

    def _check_photographs(self) -> None:
        if self.fit is not None and self.source not in ANY_SHAPE:
            raise ValueError(
                f"fit {self.fit} does not fit source {self.source}; allowed with: {', '.join(ANY_SHAPE)}"
            )
        for key in ("resize", "drawn"):
            value = getattr(self, key)
            if value is not None and self.source not in PHOTOGRAPHS:
                raise ValueError(
                    f"{key} {value} does not fit source {self.source}; allowed with: {', '.join(PHOTOGRAPHS)}"
                )
        if self.faces is not None and self.source not in WITH_FACES:
            raise ValueError(
                f"faces does not fit source {self.source}; allowed with: {', '.join(WITH_FACES)}; with another source "
                "write faces: null"
            )
        if self.drawn is not None and self.path is not None:
            raise ValueError("drawn is for stand-ins, which have no path; give one of the two")

    @property
    def face_rules(self) -> FacesSpec:
        """How faces are found, of a source that has them."""
        assert self.source in WITH_FACES
        return FacesSpec() if self.faces is None else self.faces

    @property
    def is_stand_in(self) -> bool:
        """Whether msgbench draws the images itself."""
        return self.source == "embedded" or self.drawn is not None

    @property
    def left_out(self) -> str | None:
        """Why the dataset cannot be prepared as it is configured, in words; None when it can."""
        if self.is_stand_in:
            return None
        if not self.path:
            return f"datasets.{self.name}.path is not set"
        published = PUBLISHED.get(self.source)
        if published is not None and published.terms is not None and not self.accept_terms:
            return f"datasets.{self.name}.accept_terms is false"
        return None

    def deciding(self) -> dict[str, Any]:
        """What decides pixels and training, for fingerprints: no paths, no later field at its default."""
        payload = self.model_dump(mode="json", exclude={"path", "accept_terms", "faces"})
        for key in _LATER_FIELDS:
            if payload[key] is None:
                del payload[key]
        if self.source in WITH_FACES:
            payload["faces"] = self.face_rules.rules()
        return payload

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the recipe (not of the pixels: that one stands in the store's manifest)."""
        payload = self.deciding()
        del payload["mirror"]
        return fingerprint_of({"format": DATASET_FORMAT, "dataset": payload})
