"""What becomes of one photograph: every stated rule for pixels, and the squares that recipes make of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msgbench.data.sources import photographs
from msgbench.data.sources.photographs import Rule, read_photograph
from msgbench.errors import DatasetError

WHOLE = Rule(side=8, fit="stretch", resize="box", size=None, window=None, title="tests")


def read(raw: bytes, **changes: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    photograph = read_photograph(raw, "a.file", WHOLE._replace(**changes))
    assert photograph.pixels.dtype == np.uint8
    return photograph.pixels, photograph.changes


def pixels(height: int = 8, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png16(samples: np.ndarray) -> bytes:
    """A PNG of 16-bit samples [H, W] or [H, W, C], chunk by chunk: Pillow cannot write most of them."""
    height, width = samples.shape[:2]
    colour = {2: 0, 3: {2: 4, 3: 2, 4: 6}.get(samples.shape[-1], 0)}[samples.ndim]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    raw = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        raw += struct.pack(">I4s", len(content), name) + content
        raw += struct.pack(">I", zlib.crc32(name + content))
    return raw


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_rgb_of_lossless_files_is_kept(kind: str) -> None:
    image = pixels()
    options = {"lossless": True} if kind == "WEBP" else {}
    found, changes = read(saved(Image.fromarray(image), kind, **options))
    np.testing.assert_array_equal(found, image)
    assert changes == ()


@pytest.mark.parametrize("layout", ["1CHW", "CHW", "HWC"])
def test_arrays_of_one_image(layout: str) -> None:
    image = pixels()
    array = {"1CHW": image.transpose(2, 0, 1)[None], "CHW": image.transpose(2, 0, 1), "HWC": image}
    buffer = io.BytesIO()
    np.save(buffer, array[layout])
    np.testing.assert_array_equal(read(buffer.getvalue())[0], image)


def test_16_bit_gray_is_its_high_byte_three_times() -> None:
    samples = np.random.default_rng(1).integers(0, 65536, (8, 8), dtype=np.uint16)
    found, changes = read(png16(samples))
    np.testing.assert_array_equal(found, np.repeat((samples >> 8)[..., None], 3, axis=2))
    assert changes == ("16-bit", "grayscale")


def test_16_bit_rgb_is_its_high_bytes() -> None:
    samples = np.random.default_rng(2).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    found, changes = read(png16(samples))
    np.testing.assert_array_equal(found, samples >> 8)
    assert changes == ("16-bit",)


def test_gray_is_three_equal_channels() -> None:
    gray = pixels()[..., 0]
    found, changes = read(saved(Image.fromarray(gray)))
    np.testing.assert_array_equal(found, np.repeat(gray[..., None], 3, axis=2))
    assert changes == ("grayscale",)


def test_one_bit_is_black_and_white() -> None:
    bits = pixels()[..., 0] > 127
    found, changes = read(saved(Image.fromarray(bits)))
    np.testing.assert_array_equal(found, np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))
    assert changes == ("grayscale",)


def test_cmyk_follows_the_formula_without_a_profile() -> None:
    """Red is what cyan and black leave of white: white times (1 - cyan)(1 - black), within rounding."""
    plates = np.full((8, 8, 4), (51, 102, 204, 26), np.uint8)
    raw = saved(Image.fromarray(plates, "CMYK"), "JPEG", quality=100, subsampling=0)
    found, changes = read(raw)
    expected = [255 * (1 - plate / 255) * (1 - 26 / 255) for plate in (51, 102, 204)]
    np.testing.assert_allclose(found[0, 0], expected, atol=2)  # JPEG and integers: a level each
    assert changes == ("cmyk",)


def test_of_a_cameras_several_images_in_a_jpeg_file_the_first_counts() -> None:
    first, gain_map = (Image.fromarray(pixels(seed=seed)) for seed in (4, 5))
    several = saved(first, "MPO", save_all=True, append_images=[gain_map], quality=90)
    with Image.open(io.BytesIO(several)) as opened:
        assert opened.n_frames == 2
    found, changes = read(several)
    np.testing.assert_array_equal(found, read(saved(first, "JPEG", quality=90))[0])
    assert changes == ()


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(pixels()).quantize(5)
    found, changes = read(saved(image))
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))
    assert changes == ("palette",)


def test_transparency_is_laid_over_white() -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[..., 3] = 255
    rgba[2, 3, 3] = 0
    rgba[4, 5, 3] = 128
    found, changes = read(saved(Image.fromarray(rgba)))
    assert changes == ("alpha",)
    assert found[0, 0].tolist() == [200, 0, 0]
    assert found[2, 3].tolist() == [255, 255, 255]
    half = 128 / 255
    np.testing.assert_allclose(
        found[4, 5], [200 * half + 255 * (1 - half), 255 * (1 - half), 255 * (1 - half)], atol=1
    )


def test_opaque_alpha_changes_nothing() -> None:
    image = pixels()
    rgba = np.dstack([image, np.full((8, 8), 255, np.uint8)])
    found, changes = read(saved(Image.fromarray(rgba)))
    np.testing.assert_array_equal(found, image)
    assert changes == ()


def test_a_transparent_colour_of_a_palette_is_laid_over_white() -> None:
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8)).quantize(2)
    found, changes = read(saved(image, transparency=0))
    assert found.min() == 255
    assert changes == ("palette", "alpha")


# Orientation -> what brings the stored image upright, as EXIF 2.3 defines it.
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", [1, *UPRIGHT])
def test_what_exif_turns_is_turned_upright(orientation: int) -> None:
    image = pixels()
    exif = Image.Exif()
    exif[0x0112] = orientation
    found, changes = read(saved(Image.fromarray(image), exif=exif))
    expected = UPRIGHT.get(orientation, lambda a: a)(image)
    np.testing.assert_array_equal(found, expected)
    assert changes == (() if orientation == 1 else ("rotated",))


def test_a_colour_profile_is_counted_and_not_applied() -> None:
    image = pixels()
    found, changes = read(saved(Image.fromarray(image), icc_profile=b"any profile"))
    np.testing.assert_array_equal(found, image)
    assert changes == ("icc profile",)


def test_crop_is_the_square_in_the_middle() -> None:
    image = pixels(height=8, width=13)
    found, _ = read(saved(Image.fromarray(image)), fit="crop")
    np.testing.assert_array_equal(found, image[:, 2:10])


def test_stretch_keeps_everything_and_not_the_aspect() -> None:
    image = pixels(height=8, width=16)
    found, _ = read(saved(Image.fromarray(image)))
    means = image.astype(np.float64).reshape(8, 8, 2, 3).mean(axis=2)
    np.testing.assert_allclose(found, means, atol=0.5)  # rounded to whole levels


def test_a_window_is_cut_out_unchanged() -> None:
    image = pixels(height=20, width=15)
    found, changes = read(saved(Image.fromarray(image)), window=(3, 9, 11, 17))
    np.testing.assert_array_equal(found, image[9:17, 3:11])
    assert changes == ()


def test_box_is_the_mean_of_pixels() -> None:
    image = pixels(height=32, width=32)
    found, _ = read(saved(Image.fromarray(image)))
    means = image.astype(np.float64).reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found, means, atol=1.0)  # Pillow rounds after each axis


def test_filters_differ() -> None:
    raw = saved(Image.fromarray(pixels(height=32, width=32)))
    seen = {
        read(raw, resize=name)[0].tobytes() for name in ("box", "bilinear", "bicubic", "lanczos")
    }
    assert len(seen) == 4


def test_enlarging_is_counted() -> None:
    assert read(saved(Image.fromarray(pixels(4, 16))))[1] == ("enlarged",)
    assert read(saved(Image.fromarray(pixels(8, 16))))[1] == ()


def big_png(width: int, height: int) -> bytes:
    """A header that states a size, and almost nothing behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    raw = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")):
        raw += struct.pack(">I4s", len(content), name) + content
        raw += struct.pack(">I", zlib.crc32(name + content))
    return raw


def webp_header(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size


def damaged(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 255]) + raw[middle + 1 :]


PHOTO = Image.fromarray(pixels(64, 64))

REFUSED = [
    pytest.param(b"", {}, "is empty; expected an image", id="empty"),
    pytest.param(b"<html>", {}, "is not an image (by its first bytes); expected JPEG", id="a page"),
    pytest.param(saved(PHOTO, "GIF"), {}, "is not an image (by its first bytes)", id="gif"),
    pytest.param(saved(PHOTO)[:-30], {}, "is a damaged or truncated PNG file", id="truncated png"),
    pytest.param(damaged(saved(PHOTO)), {}, "is a damaged or truncated PNG file", id="damaged png"),
    pytest.param(saved(PHOTO, "JPEG")[:900], {}, "is a damaged or truncated JPEG file", id="truncated jpeg"),
    pytest.param(saved(PHOTO, "WEBP")[:100], {}, "is a damaged or truncated WEBP file", id="truncated webp"),
    pytest.param(
        big_png(60_000, 60_000), {},
        "states a size of 60000x60000 px; expected a photograph of at most 67,108,864 pixels", id="png bomb",
    ),
    pytest.param(big_png(9_000, 9_000), {}, "states a size of 9000x9000 px", id="smaller png bomb"),
    pytest.param(webp_header(16_000, 16_000), {}, "states a size of 16000x16000 px", id="webp bomb"),
    pytest.param(
        saved(PHOTO, "PNG", save_all=True, append_images=[Image.fromarray(pixels(64, 64, 5))]), {},
        "is an animation; expected a single image", id="animation",
    ),
    pytest.param(
        saved(PHOTO), {"size": (1024, 1024), "title": "FFHQ"},
        "is 64x64 px; expected 1024x1024, the size of all images of FFHQ", id="another size",
    ),
    pytest.param(
        saved(Image.fromarray(pixels()[..., 0].astype(np.float32)), "TIFF"), {}, "is not an image", id="tiff",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "rule", "sentence"), REFUSED)
def test_what_is_refused_is_refused_in_a_sentence(
    raw: bytes, rule: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        read(raw, **rule)
    assert str(caught.value).startswith(f"a.file: {sentence}")
    assert "\n" not in str(caught.value)


def test_arrays_of_other_shapes_and_types_are_refused() -> None:
    for array in (
        np.zeros((8, 8), np.uint8),
        np.zeros((3, 8, 8)),
        np.zeros((2, 3, 8, 8), np.uint8),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        with pytest.raises(DatasetError, match=r"expected uint8 \[1, 3, H, W\]"):
            read(buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]), allow_pickle=True)
    with pytest.raises(DatasetError, match="damaged or truncated NPY"):
        read(buffer.getvalue())


def test_a_photograph_of_the_most_pixels_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MOST_PIXELS", 24 * 16)
    largest, larger = (saved(Image.new("RGB", (24, height))) for height in (16, 17))
    assert read(largest)[0].shape[-1] == 3
    with pytest.raises(DatasetError, match="states a size of 24x17 px; expected a photograph"):
        read(larger)
