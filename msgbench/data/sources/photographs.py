"""One photograph, in whatever form people have it, as 8-bit RGB of the resolution that is trained at.

The rules, all of them counted in the manifest where they change something:
- PNG, JPEG, WebP and BMP are told by their first bytes, .npy arrays (uint8, channels first or last) too;
- more than 8 bits a channel (`16-bit`): the high byte counts;
- gray (`grayscale`): three equal channels, 1 to 4 bits scaled to 8;
- CMYK (`cmyk`): Pillow's formula, without a profile;
- a palette (`palette`) is looked up;
- transparency (`alpha`): laid over white, in Pillow's integer arithmetic; opaque alpha is dropped;
- EXIF orientation (`rotated`): the image is turned upright;
- colour profiles (`icc profile`) are not applied, as in the authors' tools: the numbers are the image;
- of several images in a camera's JPEG file (MPO) the first counts.
Refused: animations, other colour modes, damage, and more pixels than any photograph needs, before any is unpacked.
Then the part that the recipe uses is cut out and resized by a filter of Pillow that is named; an image that has to
be enlarged for it is `enlarged`.
"""

from __future__ import annotations

import io
import struct
import warnings
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, features

from msgbench.config.published import Filter, Fit
from msgbench.data.pool import alone
from msgbench.data.sources import png
from msgbench.data.sources.image_files import DAMAGED_IMAGE
from msgbench.errors import DatasetError

# Bumped by hand when the same file would give other pixels.
DECODING_VERSION = 1

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".npy")
ALLOWED = "JPEG, PNG, WebP, BMP or .npy"
# Larger than the photographs of any camera's datasets; 200 MB of RGB.
MOST_PIXELS = 2**26
# Of larger ones one is unpacked at a time, so that memory stays bounded on any number of processes.
_MANY_PIXELS = 2**22
LARGEST_FILE = 2**28
_NPY_START = b"\x93NUMPY"
_WHITE = (255, 255, 255, 255)
FILTERS: dict[Filter, Image.Resampling] = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_GRAY16 = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "PA", "CMYK", *_GRAY16)


class Rule(NamedTuple):
    """What becomes of every image of a dataset."""

    side: int
    fit: Fit
    resize: Filter
    size: tuple[int, int] | None
    """width and height that every image must have"""
    window: tuple[int, int, int, int] | None
    title: str


class Photograph(NamedTuple):
    """uint8 [side, side, 3], which rules changed it, and whether the file's own pixels are these, unchanged."""

    pixels: np.ndarray
    changes: tuple[str, ...]
    plain_png: bool
    """whether the file is a PNG of nothing but these pixels, which may be kept as it is"""


class _Wrong(Exception):
    """What is wrong with the file, as the rest of a sentence."""


def libraries() -> dict[str, str]:
    """Versions of what decodes and resizes: other versions may give other pixels."""
    found = {"pillow": Image.__version__}
    for name in ("libjpeg_turbo", "jpg", "webp", "zlib_ng", "zlib"):
        module = features.version(name)
        if module is not None:
            found[{"jpg": "libjpeg"}.get(name, name)] = module
    return found


def read_photograph(raw: bytes, where: str, rule: Rule) -> Photograph:
    """The image of a file's bytes, fitted; raises DatasetError, naming `where`, for all that is refused."""
    with ExitStack() as stack:
        return _read(raw, where, rule, stack)


def read_whole(raw: bytes, where: str, web: bool = False) -> tuple[Image.Image, tuple[str, ...]]:
    """The image of a file's bytes as it is, RGB, and which rules changed it; raises DatasetError.

    `web`: also in the other forms in which photographs are found there, GIF, TIFF and AVIF.
    """
    with ExitStack() as stack:
        try:
            image, changes, _ = _decode(raw, stack, web)
        except _Wrong as wrong:
            raise DatasetError(f"{where}: {wrong}") from None
    return image, changes


def _read(raw: bytes, where: str, rule: Rule, stack: ExitStack) -> Photograph:
    try:
        image, changes, plain = _decode(raw, stack)
        if rule.size is not None and image.size != rule.size:
            width, height = rule.size
            raise _Wrong(
                f"is {image.width}x{image.height} px; expected {width}x{height}, the size of all images of {rule.title}"
            )
        fitted, enlarged = _fit(image, rule)
    except _Wrong as wrong:
        raise DatasetError(f"{where}: {wrong}") from None
    changes += ("enlarged",) if enlarged else ()
    return Photograph(np.asarray(fitted), changes, plain and fitted is image and not changes)


def _fit(image: Image.Image, rule: Rule) -> tuple[Image.Image, bool]:
    """The part that is used, at the resolution; and whether that enlarged it."""
    if rule.window is not None:
        image = image.crop(rule.window)
    elif rule.fit == "crop" and image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    enlarged = min(image.size) < rule.side
    if image.size != (rule.side, rule.side):
        image = image.resize((rule.side, rule.side), FILTERS[rule.resize])
    return image, enlarged


def _decode(
    raw: bytes, stack: ExitStack, web: bool = False
) -> tuple[Image.Image, tuple[str, ...], bool]:
    """RGB image, the rules that changed it, and whether the file is a PNG without anything else in it.

    A large one is unpacked `alone`, which `stack` holds until it is small.
    """
    if not raw:
        raise _Wrong("is empty; expected an image")
    if len(raw) > LARGEST_FILE:
        raise _Wrong(
            f"is {len(raw):,} bytes long; expected an image of at most {LARGEST_FILE:,} bytes"
        )
    kind = _kind(raw) or (_web_kind(raw) if web else None)
    if kind is None:
        allowed = f"{ALLOWED.removesuffix(' or .npy')}, .npy, GIF, TIFF or AVIF" if web else ALLOWED
        raise _Wrong(f"is not an image (by its first bytes); expected {allowed}")
    try:
        if kind == "NPY":
            return _array(raw), (), False
        plain, deep = _check_png(raw) if kind == "PNG" else (False, False)
        if kind == "WEBP":
            _check_webp(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked next, and metadata
            with Image.open(io.BytesIO(raw), formats=(kind,)) as image:
                _check_pixels(*image.size)
                if image.width * image.height > _MANY_PIXELS:
                    stack.enter_context(alone())
                rgb, changes = _rgb(image, deep)
    except Image.DecompressionBombError:
        raise _Wrong(_too_large("far too many")) from None
    except DAMAGED_IMAGE:
        raise _Wrong(f"is a damaged or truncated {kind} file; expected an image") from None
    return rgb, changes, plain and not changes


def _kind(raw: bytes) -> str | None:
    if raw.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if raw.startswith(png.START):
        return "PNG"
    if raw.startswith(b"RIFF") and raw[8:12] == b"WEBP":
        return "WEBP"
    if raw.startswith(_NPY_START):
        return "NPY"
    return "BMP" if raw.startswith(b"BM") else None


def _web_kind(raw: bytes) -> str | None:
    if raw.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if raw.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    return "AVIF" if raw[4:12] in (b"ftypavif", b"ftypmif1") else None


def _rgb(image: Image.Image, deep: bool) -> tuple[Image.Image, tuple[str, ...]]:
    # The further images in the JPEG file of a camera (MPO) are previews and gain maps of the first.
    if image.format != "MPO" and getattr(image, "n_frames", 1) != 1:
        raise _Wrong("is an animation; expected a single image")
    if image.mode not in _MODES:
        raise _Wrong(f"has colour mode {image.mode}; expected RGB, gray, a palette or CMYK")
    image.load()
    changes = ["16-bit"] if deep or image.mode in _GRAY16 else []
    if "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9):
        image = ImageOps.exif_transpose(image)
        changes.append("rotated")
    if "icc_profile" in image.info:
        changes.append("icc profile")
    if image.mode in (*_GRAY16, "1", "L", "LA"):
        changes.append("grayscale")
    if image.mode in ("P", "PA"):
        changes.append("palette")
    if image.mode == "CMYK":
        changes.append("cmyk")
    if image.mode in _GRAY16:
        high = np.asarray(image).astype(np.int64) >> 8
        if high.min() < 0 or high.max() > 255:
            raise _Wrong("has more than 16 bits a pixel; expected at most 16")
        image = Image.fromarray(high.astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            changes.append("alpha")
            image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    return (image if image.mode == "RGB" else image.convert("RGB")), tuple(changes)


def _array(raw: bytes) -> Image.Image:
    """The image in a .npy file: uint8, [H, W, 3] or [3, H, W], with or without a first axis of one."""
    array = np.load(io.BytesIO(raw), allow_pickle=False)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        shape = ", ".join(str(side) for side in array.shape)
        raise _Wrong(
            f"holds {array.dtype} [{shape}]; expected uint8 [1, 3, H, W], [3, H, W] or [H, W, 3]"
        )
    _check_pixels(array.shape[1], array.shape[0])
    return Image.fromarray(np.ascontiguousarray(array))


def _check_png(raw: bytes) -> tuple[bool, bool]:
    """Whether it holds nothing but 8-bit RGB pixels, and whether it has more than 8 bits a channel."""
    plain, depth = True, 8
    for name, content in png.chunks(raw):
        if name == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", content[:10])
            _check_pixels(width, height)
            plain = (depth, colour) == (8, 2)
        elif name not in (b"IDAT", b"IEND"):
            plain = False
    return plain, depth > 8


def _check_webp(raw: bytes) -> None:
    """The size, before the decoder takes memory for it."""
    name, content = raw[12:16], raw[20:34]
    if name == b"VP8X":
        width, height = (
            1 + int.from_bytes(content[place : place + 3], "little") for place in (4, 7)
        )
    elif name == b"VP8L":
        bits = int.from_bytes(content[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (number & 0x3FFF for number in struct.unpack_from("<HH", content, 6))
    _check_pixels(width, height)


def _check_pixels(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _Wrong(_too_large(f"{width}x{height}"))


def _too_large(size: str) -> str:
    return f"states a size of {size} px; expected a photograph of at most {MOST_PIXELS:,} pixels"
