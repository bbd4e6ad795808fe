"""The manifest of a packed dataset: what it holds and what it was made from, checkable by anyone.

Identical content gives an identical manifest, byte for byte: no times, no hosts, no paths. Those stand
in prepare.json beside it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from msgbench.config import fingerprint_of
from msgbench.errors import DatasetError

# Bumped by hand when the same source would be packed into other bytes.
RULE_VERSION = 1

IMAGES_NPY = "images.npy"
IMAGES_ZIP = "images.zip"
IMAGES_TSV = "images.tsv"
LABELS_NPY = "labels.npy"
PREPARE_JSON = "prepare.json"

_NPY_HEADER_BYTES = 128

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PerChannel = Annotated[tuple[float, float, float], Field(strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileFact(_Part):
    """One file by content: its name without any folder, size in bytes and sha256.

    The many files of a folder of images are one entry `images`: the sum of their sizes, and the sha256 of
    the list of their sha256 and paths (sources/class_folders.py).
    """

    name: str
    bytes: int = Field(ge=0)
    sha256: Sha256


Files = Annotated[tuple[FileFact, ...], Field(strict=False)]
Names = Annotated[tuple[str, ...], Field(strict=False)]


class Packing(_Part):
    """How photographs became the images of a store; stores of images that are kept as published have none.

    `images.tsv` names, for each image, its pixels' sha256, its source file and the rules that changed it.
    """

    recipe_fingerprint: Sha256 = Field(description="of the dataset's spec")
    storage: Literal["npy", "zip"] = Field(
        description="images.npy (raw pixels) or images.zip (PNG files, as StyleGAN's tools read them)"
    )
    decoding_version: int = Field(description="of the rules between a file and its pixels")
    fit: str = Field(
        description="stretch, crop (the square in the middle), or the window that is cut out"
    )
    resize: str = Field(
        description="filter of Pillow, where a resolution other than the file's was asked for"
    )
    libraries: dict[str, str] = Field(description="what decoded and resized")
    changes: dict[str, int] = Field(description="images that a rule changed, by rule")
    licence: str
    terms: str | None = Field(description="terms of use of the publisher; None: none stated")
    accept_terms: bool = Field(description="whether the user accepted them")


class FaceFacts(_Part):
    """How faces were found in photographs, and what became of all of them; no name of a file or a person.

    Inputs are files, each with one outcome; a photograph may have several faces (faces.csv).
    """

    rules: dict[str, Any] = Field(
        description="of the config: detector, crop, thresholds (config/faces.py)"
    )
    detector: dict[str, str] = Field(description="files and versions that decide what is found")
    version: int = Field(description="of the rules between a photograph and what is seen in it")
    inputs: dict[str, int] = Field(
        description="inputs by outcome; they sum up to the source's count"
    )
    outcomes: dict[str, str] = Field(description="what each outcome means")
    faces_found: int = Field(ge=0)
    faces_kept: int = Field(ge=0)
    review_sha256: Sha256 = Field(description="of the user's decisions")
    review_keeps: int = Field(ge=0, description="faces that the user's decision keeps")
    review_drops: int = Field(ge=0, description="faces that the user's decision drops")
    files: Files = Field(
        description="outcomes.csv (a line for each input), faces.csv, summary.csv and the contact sheets"
    )


class SourceFacts(_Part):
    """What the images were made from: the recipe and the publisher's files."""

    recipe: str
    recipe_version: int
    form: str = Field(description="which of the publisher's forms was read")
    archive: FileFact | None = Field(description="the archive that held the files, if any")
    files: Files
    count: int = Field(ge=0, description="images of this split in the source")
    expected_count: int = Field(
        ge=0, description="images of this split as published; of any folder: as many as it holds"
    )
    lossy: bool = Field(
        default=False,
        description="true: some files were JPEG, whose pixels are not exactly the published ones",
    )


class Manifest(_Part):
    """manifest.json of a store; the file that says the store is complete."""

    schema_: Literal["msgbench.dataset/1"] = Field(default="msgbench.dataset/1", alias="schema")
    name: str
    split: Literal["train", "test", "all"]
    count: int = Field(ge=1)
    resolution: int = Field(ge=1)
    channels: Literal[3] = 3
    requested_images: int | None = Field(description="num_images of the spec; None = all")
    stand_in: bool = Field(description="true: drawn by msgbench, not the published dataset")
    complete: bool = Field(description="whether the source held as many images as published")
    mean: PerChannel = Field(description="per channel, of pixel / 255")
    std: PerChannel = Field(description="per channel, of pixel / 255, population")
    images_sha256: Sha256 = Field(
        description="of the pixel bytes alone, row by row, RGB; of photographs: of the sha256 of each image's "
        "pixels, one after the other"
    )
    labels_sha256: Sha256 | None
    label_names: Names | None
    files: Files = Field(description="the store's own files")
    source: SourceFacts
    rule_version: int
    fingerprint: Sha256 = Field(description="of the content: resolution, images and labels")
    packing: Packing | None = Field(default=None, description="of photographs alone")
    faces: FaceFacts | None = Field(default=None, description="of photographs of people alone")

    def to_json(self) -> bytes:
        """The bytes of manifest.json."""
        # Left out rather than empty: stores from before it have no such entry, and are made byte for byte again.
        without = {key for key in ("packing", "faces") if getattr(self, key) is None}
        return (self.model_dump_json(by_alias=True, indent=2, exclude=without) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """manifest.json at `path`; raises DatasetError when it is missing, broken or edited by hand."""
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise DatasetError(
                f"{path.parent}: is not a prepared dataset (no {path.name}); make it with `msgbench prepare`"
            ) from None
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
        except ValueError:
            raise DatasetError(
                f"{path}: is not a valid manifest; delete it and run `msgbench prepare` again"
            ) from None
        expected = content_fingerprint(
            manifest.count, manifest.resolution, manifest.images_sha256, manifest.labels_sha256
        )
        if manifest.fingerprint != expected:
            raise DatasetError(
                f"{path}: its fingerprint is {manifest.fingerprint[:8]}, its content gives {expected[:8]}; "
                "delete it and run `msgbench prepare` again"
            )
        return manifest


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The first 128 bytes of a .npy file (format 1.0) of uint8 in C order.

    Written here, because NumPy's own padding has changed between versions and the file's sha256 stands
    in the manifest.
    """
    fields = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    room = _NPY_HEADER_BYTES - 10
    return (
        b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + fields.ljust(room - 1).encode() + b"\n"
    )


def content_fingerprint(
    count: int, resolution: int, images_sha256: str, labels_sha256: str | None
) -> str:
    """Fingerprint of what a store holds, wherever it came from.

    The official forms of one dataset hold the same images, so their stores have the same fingerprint
    (and everything cached by it is shared), although their manifests name different source files. A
    folder of images has an order of its own, and so another fingerprint.
    """
    return fingerprint_of(
        {
            "count": count,
            "resolution": resolution,
            "channels": 3,
            "images": images_sha256,
            "labels": labels_sha256,
        }
    )


def moments(
    sums: np.ndarray, squares: np.ndarray, n: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and population standard deviation per channel of pixel / 255, from exact integer sums of n pixels."""
    mean, std = [], []
    for s, q in zip(sums.tolist(), squares.tolist(), strict=True):
        mean.append(s / (n * 255))
        std.append(math.sqrt((n * q - s * s) / (n * n)) / 255)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
