"""An image file gives exactly its pixels, or one sentence; nothing between."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from msgbench.data.sources.image_files import decode, largest_file
from msgbench.errors import DatasetError

if TYPE_CHECKING:
    from .conftest import Pictures

WritePng = Callable[..., bytes]


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_formats_give_the_pixels(pictures: Pictures, kind: str) -> None:
    pixels = pictures.pixels()
    image = decode(pictures.file(pixels, kind), "x", 32)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.uint8
    assert not image.lossy


def test_jpeg_is_taken_and_said_to_be_lossy() -> None:
    smooth = np.zeros((32, 32, 3), dtype=np.uint8)
    smooth[..., 0] = np.arange(0, 256, 8)[:, None]
    smooth[..., 1] = np.arange(0, 256, 8)[None, :]
    image = decode(saved(Image.fromarray(smooth), "JPEG", quality=75), "x", 32)
    assert image.lossy
    difference = np.abs(image.pixels.astype(int) - smooth)
    # A smooth picture survives nearly, but not exactly; noise would be off by a hundred.
    assert 0 < difference.mean() < 8


def test_what_unpacks_exactly_is_taken(pictures: Pictures) -> None:
    """Palette, gray and opaque alpha, as programs that make files smaller write them."""
    pixels = pictures.pixels() // 86 * 86  # 27 colours
    image = Image.fromarray(pixels)
    palette = image.quantize(27)
    np.testing.assert_array_equal(np.asarray(palette.convert("RGB")), pixels)
    gray = np.repeat(pixels[..., :1], 3, axis=2)
    black_white = np.where(gray > 86, 255, 0).astype(np.uint8)
    opaque = image.copy()
    opaque.putalpha(255)
    rows = [
        (saved(palette), pixels),
        (saved(palette, bits=8), pixels),
        (saved(palette, transparency=bytes([255] * 27)), pixels),
        (saved(Image.fromarray(gray).convert("L")), gray),
        (saved(Image.fromarray(gray).convert("L"), "JPEG", quality=100), None),
        (saved(Image.fromarray(gray).convert("LA")), gray),
        (saved(Image.fromarray(black_white).convert("1")), black_white),
        (saved(opaque), pixels),
        (saved(opaque, "WEBP", lossless=True), pixels),
    ]
    for raw, expected in rows:
        decoded = decode(raw, "x", 32)
        assert decoded.pixels.shape == (32, 32, 3)
        if expected is not None:
            np.testing.assert_array_equal(decoded.pixels, expected)


@pytest.mark.parametrize(("depth", "levels"), [(1, 2), (2, 4), (4, 16)])
def test_gray_of_few_bits_spans_black_to_white(
    write_png: WritePng, depth: int, levels: int
) -> None:
    """The PNG standard: level k of n is 255 k / (n - 1)."""
    values = np.arange(32) % levels
    packed = np.packbits(
        (values[:, None] >> np.arange(depth - 1, -1, -1) & 1).astype(np.uint8).ravel()
    )
    pixels = decode(write_png(32, depth, 0, packed.tobytes()), "x", 32).pixels
    np.testing.assert_array_equal(pixels[0, :, 0], values * 255 // (levels - 1))
    np.testing.assert_array_equal(pixels, np.broadcast_to(pixels[:1, :, :1], (32, 32, 3)))


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.new("RGB", (32, 32)), "JPEG", exif=exif.tobytes())


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)


def see_through() -> bytes:
    image = Image.new("RGBA", (32, 32), (1, 2, 3, 255))
    image.putpixel((31, 31), (1, 2, 3, 254))
    return saved(image)


def huge_webp() -> bytes:
    """Its header states 16384 x 16384 px; a decoder would take a gigabyte before its first pixel."""
    extended = struct.pack("<4sII", b"VP8X", 10, 0) + b"\xff\x3f\x00" * 2
    return b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended


SIZE = "expected an image of 32x32 px"
FORMATS = "expected PNG, BMP, lossless WebP or JPEG"
REFUSED: dict[str, tuple[Callable[[WritePng], bytes], str]] = {
    "empty": (lambda png: b"", f"is empty; {SIZE}"),
    "a page": (lambda png: b"<html>", f"is not an image (by its first bytes); {FORMATS}"),
    "a gif": (
        lambda png: saved(Image.new("RGB", (32, 32)), "GIF"),
        f"is not an image (by its first bytes); {FORMATS}",
    ),
    "a tiff": (
        lambda png: saved(Image.new("RGB", (32, 32)), "TIFF"),
        f"is not an image (by its first bytes); {FORMATS}",
    ),
    "lossy webp": (
        lambda png: saved(Image.new("RGB", (32, 32)), "WEBP", lossless=False),
        f"is a lossy WebP file; {FORMATS}",
    ),
    "too small": (
        lambda png: saved(Image.new("RGB", (28, 28))),
        "is 28x28 px; expected 32x32",
    ),
    "not square": (
        lambda png: saved(Image.new("RGB", (32, 33)), "BMP"),
        "is 32x33 px; expected 32x32",
    ),
    "small webp": (
        lambda png: saved(Image.new("RGB", (31, 32)), "WEBP", lossless=True),
        "is 31x32 px; expected 32x32",
    ),
    "16-bit colour": (
        lambda png: png(32, 16, 2, bytes(6 * 32)),
        "has 16 bits a channel; expected 8",
    ),
    "16-bit gray": (
        lambda png: png(32, 16, 0, bytes(2 * 32)),
        "has 16 bits a channel; expected 8",
    ),
    "cmyk": (
        lambda png: saved(Image.new("CMYK", (32, 32)), "JPEG"),
        "has colour mode CMYK; expected 8-bit RGB",
    ),
    "transparent": (
        lambda png: see_through(),
        "has transparent pixels; expected opaque RGB",
    ),
    "transparent colour": (
        lambda png: saved(Image.new("RGB", (32, 32)), transparency=(0, 0, 0)),
        "has transparent pixels; expected opaque RGB",
    ),
    "transparent palette": (
        lambda png: saved(Image.new("P", (32, 32)), transparency=0),
        "has transparent pixels; expected opaque RGB",
    ),
    "turned": (
        lambda png: turned(),
        "is turned by its EXIF orientation 6; expected an upright image",
    ),
    "animated png": (
        lambda png: animated("PNG"),
        "is an animation; expected a single image",
    ),
    "animated webp": (
        lambda png: animated("WEBP"),
        "is an animation; expected a single image",
    ),
    "large png": (
        lambda png: png(10_000, 8, 2, bytes(3 * 10_000)),
        "is 10000x10000 px; expected 32x32",
    ),
    "bomb": (
        lambda png: png(60_000, 8, 2, bytes(3 * 60_000)),
        f"states a size of far too many pixels; {SIZE}",
    ),
    "webp bomb": (lambda png: huge_webp(), "is 16384x16384 px; expected 32x32"),
    "text bomb": (
        lambda png: png(
            32, 8, 2, bytes(96), (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24)))
        ),
        f"is a damaged or truncated PNG file; {SIZE}",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_sentence(write_png: WritePng, name: str) -> None:
    make, sentence = REFUSED[name]
    with pytest.raises(DatasetError) as caught:
        decode(make(write_png), "cat/1.png", 32)
    assert str(caught.value) == f"cat/1.png: {sentence}"


def test_no_changed_byte_of_a_png_gets_past(pictures: Pictures) -> None:
    flat = np.zeros((32, 32, 3), dtype=np.uint8)
    whole = pictures.file(flat)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        with pytest.raises(DatasetError, match=r"^x: is (not an image|a damaged)"):
            decode(bytes(damaged), "x", 32)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG"])
def test_no_truncated_file_gets_past(pictures: Pictures, kind: str) -> None:
    whole = pictures.file(kind=kind)
    decode(whole, "x", 32)
    for length in [*range(1, 60), *range(60, len(whole), 97), len(whole) - 2, len(whole) - 1]:
        with pytest.raises(DatasetError, match=r"^x: is (not an image|a damaged)"):
            decode(whole[:length], "x", 32)


def test_the_limit_lets_every_real_file_pass() -> None:
    """Uncompressed with alpha at 16 bits would be 8 bytes a pixel."""
    assert largest_file(32) > 8 * 32 * 32 + 500_000
    assert largest_file(1024) < 64 * 2**20
