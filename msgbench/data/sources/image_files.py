"""One image file as 8-bit RGB: exactly the pixels it holds, or a sentence why not.

What is taken, all of it without changing a value:
- PNG, BMP and lossless WebP, told by their first bytes, not by their names; JPEG too, and said to be lossy
  (a lossy WebP is refused: nobody publishes datasets so, and its name does not warn);
- 8-bit RGB as it is; a palette, gray of 1, 2, 4 or 8 bits and fully opaque alpha, unpacked to RGB.
What is refused: more than 8 bits a channel, CMYK and whatever else is not RGB, a pixel that is not opaque,
several frames, a picture that its EXIF turns, another size, damage. Colour profiles are not applied: the
numbers are the image.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from msgbench.data.sources import png
from msgbench.errors import DatasetError

SUFFIXES = (".png", ".bmp", ".webp", ".jpg", ".jpeg", ".jfif")
ALLOWED = "PNG, BMP, lossless WebP or JPEG"

# Far more than uncompressed pixels with all their metadata need.
_BYTES_PER_PIXEL, _BYTES_BESIDE = 32, 2**20

# What Pillow raises for a damaged file depends on its format and on the byte that was hit.
DAMAGED_IMAGE = (
    OSError,
    SyntaxError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_RGB_MODES = ("RGB", "P", "1", "L", "RGBA", "LA", "PA")


class Decoded(NamedTuple):
    """Pixels uint8 [side, side, 3], and whether the file's format had changed them before."""

    pixels: np.ndarray
    lossy: bool


class _Wrong(Exception):
    """What is wrong with the file, as the rest of a sentence."""


def largest_file(side: int) -> int:
    """Bytes beyond which a file is not looked at: no image of side x side pixels is so large."""
    return side * side * _BYTES_PER_PIXEL + _BYTES_BESIDE


def decode(raw: bytes, where: str, side: int) -> Decoded:
    """The image that a file's bytes hold; raises DatasetError, naming `where`, for all that is refused.

    The size is looked at before any pixel is unpacked, so that a decompression bomb costs nothing.
    """
    try:
        return _decode(raw, side)
    except _Wrong as wrong:
        raise DatasetError(f"{where}: {wrong}") from None


def _decode(raw: bytes, side: int) -> Decoded:
    expected = f"expected an image of {side}x{side} px"
    if not raw:
        raise _Wrong(f"is empty; {expected}")
    kind = _kind(raw)
    if kind is None:
        raise _Wrong(f"is not an image (by its first bytes); expected {ALLOWED}")
    try:
        if kind == "PNG":
            _check_png(raw)
        if kind == "WEBP":
            _check_webp(raw, side)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked next, and metadata
            with Image.open(io.BytesIO(raw), formats=(kind,)) as image:
                pixels = _pixels(image, side)
    except Image.DecompressionBombError:
        raise _Wrong(f"states a size of far too many pixels; {expected}") from None
    except DAMAGED_IMAGE:
        raise _Wrong(f"is a damaged or truncated {kind} file; {expected}") from None
    return Decoded(pixels, lossy=kind == "JPEG")


def _kind(raw: bytes) -> str | None:
    """Pillow's name of the format, by the first bytes; None: none that is taken."""
    if raw.startswith(png.START):
        return "PNG"
    if raw.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if raw.startswith(b"RIFF") and raw[8:12] == b"WEBP":
        return "WEBP"
    return "BMP" if raw.startswith(b"BM") else None


def _check_png(raw: bytes) -> None:
    """Checksums of all chunks to the end mark, which Pillow does not look at, and the bit depth, which it hides."""
    for name, content in png.chunks(raw):
        if name == b"IHDR" and content[8] > 8:
            raise _Wrong(f"has {content[8]} bits a channel; expected 8")


def _check_webp(raw: bytes, side: int) -> None:
    """The kind of compression, which Pillow does not tell, and the size, before its decoder takes memory for it."""
    place, lossless = 12, False
    while place + 8 <= len(raw):
        name, length = struct.unpack_from("<4sI", raw, place)
        content = raw[place + 8 : place + 8 + length]
        if len(content) < length:
            raise ValueError("truncated chunk")
        if name == b"VP8 ":
            raise _Wrong(f"is a lossy WebP file; expected {ALLOWED}")
        if name == b"VP8X":
            _check_size(_int24(content, 4) + 1, _int24(content, 7) + 1, side)
        if name in (b"ANIM", b"ANMF"):
            raise _Wrong("is an animation; expected a single image")
        if name == b"VP8L":
            bits = int.from_bytes(content[1:5], "little")
            _check_size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, side)
            lossless = True
        place += 8 + length + length % 2
    if not lossless:
        raise ValueError("no image chunk")


def _int24(content: bytes, place: int) -> int:
    return int.from_bytes(content[place : place + 3], "little")


def _check_size(width: int, height: int, side: int) -> None:
    if (width, height) != (side, side):
        raise _Wrong(f"is {width}x{height} px; expected {side}x{side}")


def _pixels(image: Image.Image, side: int) -> np.ndarray:
    """uint8 [side, side, 3] of an opened file."""
    _check_size(*image.size, side)
    if getattr(image, "n_frames", 1) != 1:
        raise _Wrong("is an animation; expected a single image")
    if image.mode not in _RGB_MODES:
        raise _Wrong(f"has colour mode {image.mode}; expected 8-bit RGB")
    image.load()
    if "exif" in image.info:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
        if turn != 1:
            raise _Wrong(f"is turned by its EXIF orientation {turn}; expected an upright image")
    if "A" in image.mode or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            raise _Wrong("has transparent pixels; expected opaque RGB")
        return rgba[..., :3]
    return np.asarray(image.convert("RGB"))
