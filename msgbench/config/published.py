"""Datasets of photographs: what their publishers state, and how a recipe turns their photographs into squares.

Facts that a copy is held to: how many images, of which size; and what a manifest says about licences. Numbers of
images are those of the datasets' own pages and files. A dataset that is published as a folder or an archive of images
is an entry here and nothing else; a form of its own is read by a module in data/sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Fit = Literal["stretch", "crop"]
Filter = Literal["box", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Published:
    """One dataset of photographs as published, and what its recipe does with an image by default."""

    title: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """images of each split; empty: any number, and one split"""
    size: tuple[int, int] | None = None
    """width and height of every image; None: they differ"""
    fit: Fit = "crop"
    resize: Filter = "box"
    window: tuple[int, int, int, int] | None = None
    """left, top, right, bottom of the part that is used, instead of `fit`"""
    licence: str = ""
    terms: str | None = None
    """terms of use that the user has to accept; None: the publisher states none"""
    forms: str = "a folder (with folders) or a zip of images (JPEG, PNG, WebP, BMP or .npy)"
    """what may lie at `path`, as the end of a sentence"""
    inside: tuple[str, ...] = ()
    """what of a folder that was unpacked or downloaded as a whole is the dataset, the first that is there"""
    faces: bool = False
    """whether faces are found in the photographs first; what is used is then no photograph, but a face of one"""
    signs: tuple[str, ...] = ()
    """patterns of what lies in a copy, or how it is called, by which `data check` tells the dataset"""

    @property
    def any_shape(self) -> bool:
        """Whether its photographs have any shape, so that `fit` says how they become square."""
        return self.size is None and not self.faces

    @property
    def largest_side(self) -> int | None:
        """Side in pixels beyond which its images have none to give; None: they differ."""
        if self.window is not None:
            left, top, right, bottom = self.window
            return min(right - left, bottom - top)
        return None if self.size is None else min(self.size)


PUBLISHED: dict[str, Published] = {
    "oxford_flowers": Published(
        title="Oxford 102 Flowers",
        counts={"train": 8_189},
        fit="stretch",  # as create_from_images of the authors' tool: aspect ratio not kept, bilinear
        resize="bilinear",
        licence="none stated by the publisher (Nilsback and Zisserman, 2008); the photographs are their authors'",
        forms="102flowers.tgz, jpg/ with image_00001.jpg to image_08189.jpg, or a folder that holds one of these",
        signs=("102flowers.tgz", "image_00001.jpg", "jpg/image_00001.jpg"),
    ),
    "lsun_churches": Published(
        title="LSUN churches (church_outdoor)",
        counts={"train": 126_227, "test": 300},
        resize="lanczos",  # as create_lsun of ProGAN's tool, as is the square in the middle
        licence="none stated by the publisher (Yu et al., 2015); the photographs are their authors'",
        signs=("church_outdoor_*lmdb*",),
    ),
    "lsun_bedrooms": Published(
        title="LSUN bedrooms",
        counts={"train": 3_033_042, "test": 300},
        resize="lanczos",
        licence="none stated by the publisher (Yu et al., 2015); the photographs are their authors'",
        signs=("bedroom_*lmdb*",),
    ),
    "celeba_hq": Published(
        title="CelebA-HQ",
        counts={"train": 30_000},
        size=(1024, 1024),
        licence="CC BY-NC 4.0 (Karras et al., 2018), and CelebA's agreement: non-commercial research only",
        terms="non-commercial research only (CC BY-NC 4.0 and CelebA's agreement); photographs of living people",
        forms="a folder or zip of 1024x1024 images (PNG, JPEG or .npy), one file each",
        inside=("CelebA-HQ-img", "data1024x1024", "data1024x1024.zip"),
        signs=("CelebA-HQ-img",),
    ),
    "ffhq": Published(
        title="FFHQ",
        counts={"train": 70_000},
        size=(1024, 1024),
        licence="CC BY-NC-SA 4.0 (Karras et al., 2019); each photograph under its own licence, see FFHQ's metadata",
        terms="non-commercial use only (CC BY-NC-SA 4.0, NVIDIA); photographs of living people",
        forms="images1024x1024/ with its folders 00000/ to 69000/, a folder that holds it, or a zip of it",
        inside=("images1024x1024", "images1024x1024.zip"),
        signs=("images1024x1024*",),
    ),
    "celeba": Published(
        title="CelebA (aligned)",
        counts={"train": 202_599},
        size=(178, 218),
        # 128 x 128 around (89, 121), as create_celeba of ProGAN's tool.
        window=(25, 57, 153, 185),
        licence="CelebA's agreement (Liu et al., 2015): non-commercial research only, no redistribution",
        terms="non-commercial research only, no redistribution (CelebA's agreement); photographs of living people",
        forms="img_align_celeba/ (178x218 JPEG), a folder that holds it, or img_align_celeba.zip",
        inside=(
            "img_align_celeba",
            "Img/img_align_celeba",
            "img_align_celeba.zip",
            "Img/img_align_celeba.zip",
        ),
        signs=("img_align_celeba*",),
    ),
    "indian_celebs": Published(
        title="Indian Celebs (your photographs of people)",
        faces=True,
        resize="lanczos",
        licence="none published (Karnewar and Wang, 2020, name no list); the photographs are their authors'",
        terms="photographs of living people: that you may use them (the photographers' rights, the consent of the "
        "people or another lawful ground), and that neither they nor names are passed on",
        forms="a folder (flat, or one folder for each person) or a zip of photographs",
    ),
    "folder": Published(
        title="a folder of images",
        resize="lanczos",
        licence="that of your images",
    ),
}
