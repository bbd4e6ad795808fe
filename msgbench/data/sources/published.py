"""What the publishers state about their datasets, and how a recipe turns their photographs into squares.

Facts that a copy is held to: how many images, of which size; and what a manifest says about licences. Numbers of
images are those of the datasets' own pages and files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgbench.config.dataset import Filter, Fit


@dataclass(frozen=True)
class Published:
    """One dataset of photographs as published, and what its recipe does with an image by default."""

    title: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """images of each split; empty: any number"""
    size: tuple[int, int] | None = None
    """width and height of every image; None: they differ"""
    fit: Fit = "crop"
    resize: Filter = "box"
    window: tuple[int, int, int, int] | None = None
    """left, top, right, bottom of the part that is used, instead of `fit`"""
    licence: str = ""
    terms: str | None = None
    """terms of use that the user has to accept; None: the publisher states none"""


PUBLISHED: dict[str, Published] = {
    "oxford_flowers": Published(
        title="Oxford 102 Flowers",
        counts={"train": 8_189},
        fit="stretch",  # as create_from_images of the authors' tool: aspect ratio not kept, bilinear
        resize="bilinear",
        licence="none stated by the publisher (Nilsback and Zisserman, 2008); the photographs are their authors'",
    ),
    "lsun_churches": Published(
        title="LSUN churches (church_outdoor)",
        counts={"train": 126_227, "test": 300},
        resize="lanczos",  # as create_lsun of ProGAN's tool, as is the square in the middle
        licence="none stated by the publisher (Yu et al., 2015); the photographs are their authors'",
    ),
    "lsun_bedrooms": Published(
        title="LSUN bedrooms",
        counts={"train": 3_033_042, "test": 300},
        resize="lanczos",
        licence="none stated by the publisher (Yu et al., 2015); the photographs are their authors'",
    ),
    "celeba_hq": Published(
        title="CelebA-HQ",
        counts={"train": 30_000},
        size=(1024, 1024),
        licence="CC BY-NC 4.0 (Karras et al., 2018), and CelebA's agreement: non-commercial research only",
        terms="non-commercial research only (CC BY-NC 4.0 and CelebA's agreement); photographs of living people",
    ),
    "ffhq": Published(
        title="FFHQ",
        counts={"train": 70_000},
        size=(1024, 1024),
        licence="CC BY-NC-SA 4.0 (Karras et al., 2019); each photograph under its own licence, see FFHQ's metadata",
        terms="non-commercial use only (CC BY-NC-SA 4.0, NVIDIA); photographs of living people",
    ),
    "celeba": Published(
        title="CelebA (aligned)",
        counts={"train": 202_599},
        size=(178, 218),
        # 128 x 128 around (89, 121), as create_celeba of ProGAN's tool.
        window=(25, 57, 153, 185),
        licence="CelebA's agreement (Liu et al., 2015): non-commercial research only, no redistribution",
        terms="non-commercial research only, no redistribution (CelebA's agreement); photographs of living people",
    ),
    "folder": Published(
        title="a folder of images",
        resize="lanczos",
        licence="that of your images",
    ),
}
