"""Images that would be measured as something else than they are: one sentence each, and nothing is written."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from msgbench.cli import app
from msgbench.config import EmaSpec, ModelSpec
from msgbench.data.store import Store
from msgbench.errors import DatasetError, MsgbenchError
from msgbench.metrics.evaluate_images import evaluate_images, evaluate_snapshot
from msgbench.metrics.evaluate_real import evaluate_real
from msgbench.metrics.fidelity import Extractor
from msgbench.models.build import build_generator
from msgbench.protocols import PROTOCOLS
from msgbench.records import read_json
from msgbench.snapshots import SnapshotMeta, save_snapshot

COUNT = 60


def noise(index: int, side: int = 8) -> Image.Image:
    pixels = np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path, small_protocols: tuple[str, ...]) -> Path:
    """60 sound images of 8x8 pixels."""
    made = tmp_path / "fakes"
    made.mkdir()
    for index in range(COUNT):
        noise(index).save(made / f"{index:03d}.png")
    return made


Damage = Callable[[Path], Path | None]


def too_few(folder: Path) -> None:
    (folder / "003.png").unlink()


def wrong_resolution(folder: Path) -> None:
    noise(1, 16).save(folder / "007.png")


def constant(folder: Path) -> None:
    Image.new("RGB", (8, 8), (9, 9, 9)).save(folder / "007.png")


def jpeg(folder: Path) -> None:
    (folder / "007.png").unlink()
    noise(7).save(folder / "007.jpg")


def jpeg_called_jfif(folder: Path) -> None:
    (folder / "007.png").unlink()
    noise(7).save(folder / "007.jfif", format="JPEG")


def jpeg_called_png(folder: Path) -> None:
    noise(7).save(folder / "007.png", format="JPEG")


def copied(folder: Path) -> None:
    (folder / "007.png").write_bytes((folder / "002.png").read_bytes())


def gray_16_bit(folder: Path) -> None:
    Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(folder / "007.png")


def half_a_file(folder: Path) -> None:
    path = folder / "007.png"
    path.write_bytes(path.read_bytes()[:60])


def nothing(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def missing(folder: Path) -> Path:
    return folder / "elsewhere"


def no_zip(folder: Path) -> Path:
    place = folder.parent / "fakes.zip"
    place.write_bytes(b"PK but no archive")
    return place


def zipped(folder: Path, change: Callable[[bytearray], None]) -> Path:
    """The images as a ZIP file that is not compressed, with `change` done to its bytes."""
    place = folder.parent / "fakes.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
    content = bytearray(buffer.getvalue())
    change(content)
    place.write_bytes(bytes(content))
    return place


def entries(content: bytearray, name: bytes) -> tuple[int, int]:
    """Where the entry of a file stands: at its content, and in the list at the end."""
    first = content.index(name) - 30
    last = content.rindex(name) - 46
    assert (content[first : first + 4], content[last : last + 4]) == (b"PK\x03\x04", b"PK\x01\x02")
    return first, last


def encrypted(name: bytes) -> Damage:
    def change(content: bytearray) -> None:
        first, last = entries(content, name)
        content[first + 6] |= 1
        content[last + 8] |= 1

    return lambda folder: zipped(folder, change)


def packed_by(method: int, name: bytes) -> Damage:
    """A file that says it is compressed by `method`, which it is not."""

    def change(content: bytearray) -> None:
        first, last = entries(content, name)
        content[first + 8 : first + 10] = content[last + 10 : last + 12] = bytes((method, 0))

    return lambda folder: zipped(folder, change)


def wrong_checksum(name: bytes) -> Damage:
    def change(content: bytearray) -> None:
        first, last = entries(content, name)
        for place in (first + 14, last + 16):
            content[place] ^= 255

    return lambda folder: zipped(folder, change)


def damaged_lzma(folder: Path) -> Path:
    place = folder.parent / "fakes.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_LZMA) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
    content = bytearray(place.read_bytes())
    first, _ = entries(content, b"007.png")
    content[first + 37 + 4 : first + 37 + 9] = (
        b"\xff" * 5
    )  # its properties, after the name and two fields
    place.write_bytes(bytes(content))
    return place


def beyond_the_end(folder: Path) -> Path:
    """A file that begins beyond the end of the archive, by the list at its end."""

    def change(content: bytearray) -> None:
        _, last = entries(content, b"007.png")
        content[last + 42 : last + 46] = struct.pack("<I", len(content) - 10)

    return zipped(folder, change)


def longer_than_the_archive(folder: Path) -> Path:
    """A file that is said to be longer than everything there is."""

    def change(content: bytearray) -> None:
        first, last = entries(content, b"007.png")
        for place in (first + 18, last + 20):
            content[place : place + 8] = struct.pack("<II", 10**6, 10**6)

    return zipped(folder, change)


def name_twice(folder: Path) -> Path:
    # The last one's content is read at every reading, so that all images are copies of a few.
    place = folder.parent / "fakes.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(place, "w") as file:
        warnings.simplefilter("ignore")  # Python's, about the name
        for path in sorted(folder.iterdir()):
            file.write(path, "003.png" if path.name in ("004.png", "005.png") else path.name)
    return place


def flat_colour(folder: Path) -> None:
    Image.new("RGB", (8, 8), (200, 30, 9)).save(folder / "007.png")


def huge(folder: Path) -> None:
    """60,000 x 60,000 px by its header, and nothing behind it."""
    write_png(folder / "000.png", header(60_000), b"IEND")


def text_bomb(folder: Path) -> None:
    """64 MiB of text in a few bytes, before the pixels."""
    text = b"zTXtComment\0\0" + zlib.compress(bytes(2**26))
    write_png(folder / "000.png", header(8), text, b"IEND")


def header(side: int) -> bytes:
    return b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)


def write_png(path: Path, *chunks: bytes) -> None:
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


ROWS: list[tuple[Damage, str]] = [
    (too_few, "{place}: holds 59 images, 60 are needed"),
    (wrong_resolution, "{place}/007.png: is 16x16 px; expected 8x8"),
    (constant, "{place}/007.png: every pixel is (9, 9, 9); an image of one colour is no sample"),
    (
        jpeg,
        "{place}/007.jpg: is a JPEG, whose artefacts would be measured with the images; write them as PNG",
    ),
    (
        jpeg_called_jfif,
        "{place}/007.jfif: is a JPEG, whose artefacts would be measured with the images; write them as PNG",
    ),
    (
        jpeg_called_png,
        "{place}/007.png: is a JPEG, whose artefacts would be measured with the images; write them as PNG",
    ),
    (
        copied,
        "{place}/007.png: is a copy of 002.png; a set of copies has another score than its images (--copies measures "
        "it all the same)",
    ),
    (gray_16_bit, "{place}/007.png: has 16 bits a channel; expected 8"),
    (
        half_a_file,
        "{place}/007.png: is a damaged or truncated PNG file; expected an image of 8x8 px",
    ),
    (nothing, "{place}: holds no image (.png, .bmp, .webp)"),
    (missing, "{place}: no such folder or ZIP file"),
    (no_zip, "{place}: is neither a folder nor a ZIP file"),
    (wrong_checksum(b"007.png"), "{place}/007.png: cannot be read"),
    (encrypted(b"007.png"), "{place}/007.png: cannot be read"),
    (packed_by(8, b"007.png"), "{place}/007.png: cannot be read"),
    (packed_by(12, b"007.png"), "{place}/007.png: cannot be read"),
    (packed_by(14, b"007.png"), "{place}/007.png: cannot be read"),
    (damaged_lzma, "{place}/007.png: cannot be read"),
    (beyond_the_end, "{place}/007.png: cannot be read"),
    (longer_than_the_archive, "{place}/007.png: cannot be read"),
    (packed_by(99, b"007.png"), "{place}/007.png: cannot be read"),
    (name_twice, "{place}: holds 003.png 3 times; every name has to stand for one image"),
    (
        flat_colour,
        "{place}/007.png: every pixel is (200, 30, 9); an image of one colour is no sample",
    ),
    (huge, "{place}/000.png: states a size of far too many pixels; expected an image of 8x8 px"),
]


@pytest.mark.parametrize(("damage", "sentence"), ROWS)
def test_images_that_are_refused(
    folder: Path, drawn_store_dir: Path, tmp_path: Path, damage: Damage, sentence: str
) -> None:
    place = damage(folder) or folder
    out = tmp_path / "record.json"
    with pytest.raises(MsgbenchError) as caught:
        evaluate_images(place, ["is60_test"], out, drawn_store_dir)
    assert str(caught.value) == sentence.format(place=place)
    assert not out.exists()


@pytest.mark.parametrize(
    "damage",
    [
        encrypted(b"000.png"),
        wrong_checksum(b"000.png"),
        *[packed_by(method, b"000.png") for method in (8, 12, 14, 99)],
        huge,
        text_bomb,
    ],
)
def test_a_first_image_that_cannot_be_read_is_refused_without_a_store(
    folder: Path, tmp_path: Path, damage: Damage
) -> None:
    """Without a store the first image says how large all are: its header is read before anything else."""
    place = damage(folder) or folder
    out = tmp_path / "record.json"
    with pytest.raises(MsgbenchError) as caught:
        evaluate_images(place, ["is60_test"], out)
    whole = "is not an image that can be read"
    # A wrong checksum is seen only where the whole file is read.
    assert str(caught.value) in (f"{place}/000.png: {whole}", f"{place}/000.png: cannot be read")
    assert not out.exists()


def test_copies_can_be_asked_for(folder: Path, tmp_path: Path, drawn_store_dir: Path) -> None:
    copied(folder)
    out = evaluate_images(
        folder, ["is60_test"], tmp_path / "record.json", drawn_store_dir, copies=True
    )
    assert out.exists()


def make_snapshot(path: Path, resolution: int, fingerprint: str, fill: float | None = None) -> Path:
    model = ModelSpec(
        family="progan", resolution=resolution, latent_size=16, width_multiplier=1 / 32
    )
    G = build_generator(model, torch.Generator().manual_seed(0))
    if fill is not None:
        for parameter in G.parameters():
            parameter.data.fill_(fill)
    meta = SnapshotMeta(
        model=model, run="tiny/00000000/seed0", experiment="tiny", seed=0, cur_nimg=100, run_fingerprint="0" * 64,
        dataset_fingerprint=fingerprint, ema=EmaSpec(beta=0.9),
    )  # fmt: skip
    save_snapshot(path, G, meta)
    return path


def test_a_snapshot_is_measured_by_itself(
    tmp_path: Path, drawn_store: Store, drawn_store_dir: Path, small_protocols: tuple[str, ...]
) -> None:
    import json

    snapshot = make_snapshot(tmp_path / "s.safetensors", 8, drawn_store.manifest.fingerprint)
    out = evaluate_snapshot(snapshot, small_protocols, tmp_path / "r.json", drawn_store_dir)
    records = json.loads(out.read_text())["records"]
    assert [r["protocol"]["name"] for r in records] == list(small_protocols)
    assert records[0]["snapshot"]["run"] == "tiny/00000000/seed0"
    assert records[0]["cur_nimg"] == 100
    assert records[0]["sample_set"]["distinct"] == 60


@pytest.mark.parametrize(
    ("resolution", "foreign", "fill", "protocols", "pattern"),
    [
        (16, False, None, ["fid60_test"], "{snapshot}: makes images of 16 pixels, the store of drawn holds 8"),
        (
            8, True, None, ["fid60_test"],
            "{snapshot}: was trained on dataset abcdef01, the store holds drawn {fingerprint}",
        ),
        (
            8, False, float("nan"), ["is60_test"],
            "{snapshot}: generates values that are not finite (images 0 to 59)",
        ),
        (8, False, None, ["fid50k_ful"], "protocol fid50k_ful: is not declared; did you mean 'fid50k_full'?"),
        (
            8, False, None, ["fid50k"],
            "inception-v3-compat: no weights file is named; get weights-inception-2015-12-05-6726825d.pth from ",
        ),
        (
            8, False, None, ["prc50k"],
            "vgg16: no weights file is named; get vgg16-397923af.pth from download.pytorch.org/models",
        ),
    ],
    ids=["resolution", "dataset", "nan", "protocol", "inception", "vgg16"],
)  # fmt: skip
def test_snapshots_that_are_refused(
    tmp_path: Path, drawn_store: Store, drawn_store_dir: Path, small_protocols: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch, resolution: int, foreign: bool, fill: float | None, protocols: list[str],
    pattern: str,
) -> None:  # fmt: skip
    for name in ("INCEPTION", "VGG16"):
        monkeypatch.delenv(f"MSGBENCH_{name}_WEIGHTS", raising=False)
    own = drawn_store.manifest.fingerprint
    fingerprint = "abcdef01" * 8 if foreign else own
    snapshot = make_snapshot(tmp_path / "s.safetensors", resolution, fingerprint, fill)
    out = tmp_path / "r.json"
    with pytest.raises(MsgbenchError) as caught:
        evaluate_snapshot(snapshot, protocols, out, drawn_store_dir)
    expected = pattern.format(snapshot=snapshot, fingerprint=own[:8])
    assert str(caught.value).startswith(expected)
    assert not out.exists()


def test_a_comparison_without_reals_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MsgbenchError) as caught:
        evaluate_images(folder, ["fid60_test"], tmp_path / "r.json")
    assert (
        str(caught.value) == "fid60_test: compares with real images; name their store with --store"
    )


def test_a_foreign_weights_file_is_refused_before_anything_is_read(
    folder: Path, tmp_path: Path, drawn_store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"abc")
    assert PROTOCOLS["fid50k"].extractor == "inception-v3-compat"
    for key, name in (("inception", "fid50k"), ("vgg16", "prc50k")):
        with pytest.raises(MsgbenchError) as caught:
            evaluate_images(
                tmp_path / "none", [name], tmp_path / "r.json", drawn_store_dir,
                weights={key: str(weights)},
            )  # fmt: skip
        assert str(caught.value).startswith(
            f"{weights}: has sha256 ba7816bf, the published file has "
        )


ONE = (
    "evaluate: give exactly one of a run directory (with --store), --real, --images and --snapshot"
)


OF_IMAGES = ["--images", "{folder}", "--protocols", "is60_test", "--out", "{out}"]
OF_A_RUN = ["{folder}", "--store", "{folder}"]
NOT_OF_A_RUN = "does not apply to a run directory; allowed with --real, --images, --snapshot"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], ONE),
        (["{folder}"], ONE),
        (["--images", "{folder}", "--snapshot", "{folder}"], ONE),
        ([*OF_A_RUN, "--real", "{folder}"], ONE),
        (["--images", "{folder}"], "--images: needs --protocols and --out, too"),
        (
            ["--snapshot", "x", "--protocols", "fid50k"],
            "--snapshot: needs --protocols and --out, too",
        ),
        (
            ["--real", "{folder}", "--protocols", "is60_test", "--out", "{out}", "--tier", "big"],
            "--tier: 'big' is not allowed; allowed: smoke, mini, paper",
        ),
        (
            [*OF_IMAGES, "--batch-size", "0"],
            "--batch-size: 0 is not allowed; allowed: a number from 1",
        ),
        (
            [*OF_IMAGES, "--device", "tpu"],
            "--device: 'tpu' is not allowed; allowed: auto, cpu, cuda",
        ),
        (
            ["--snapshot", "none", "--protocols", "fid50k", "--out", "{out}"],
            "none: no such snapshot",
        ),
        # Options that say nothing about what is measured.
        ([*OF_A_RUN, "--protocols", "is60_test"], f"--protocols: {NOT_OF_A_RUN}"),
        ([*OF_A_RUN, "--out", "{out}"], f"--out: {NOT_OF_A_RUN}"),
        ([*OF_A_RUN, "--mirror"], f"--mirror: {NOT_OF_A_RUN}"),
        # The default, but given: it would be believed to count.
        ([*OF_A_RUN, "--batch-size", "100"], f"--batch-size: {NOT_OF_A_RUN}"),
        (
            [*OF_A_RUN, "--tier", "paper"],
            "--tier: does not apply to a run directory; allowed with --real",
        ),
        (
            [*OF_A_RUN, "--copies"],
            "--copies: does not apply to a run directory; allowed with --images",
        ),
        (
            [*OF_IMAGES, "--live"],
            "--live: does not apply to --images; allowed with a run directory",
        ),
        (
            [*OF_IMAGES, "--test-store", "{folder}"],
            "--test-store: does not apply to --images; allowed with --real",
        ),
        (
            ["--snapshot", "x", "--protocols", "fid50k", "--out", "{out}", "--copies"],
            "--copies: does not apply to --snapshot; allowed with --images",
        ),
        (
            ["--real", "x", "--protocols", "fid50k", "--out", "{out}", "--store", "x"],
            "--store: does not apply to --real; allowed with a run directory, --images, --snapshot",
        ),
        (
            [*OF_IMAGES, "--mirror"],
            "--mirror: says how the images of a store are flipped; name it, --store",
        ),
        # Lists of protocols.
        (
            ["--images", "{folder}", "--protocols", "is60_test, is60_test", "--out", "{out}"],
            "--protocols: is60_test is given twice; allowed: each protocol once",
        ),
        (
            ["--images", "{folder}", "--protocols", "is60_test,", "--out", "{out}"],
            "--protocols: 'is60_test,' has an empty name; allowed: names of protocols, separated by commas",
        ),
        # Places where no file can come to lie.
        (
            ["--images", "{folder}", "--protocols", "is60_test", "--out", "{folder}"],
            "--out: '{folder}' is a folder; allowed: the name of a file",
        ),
        (
            ["--images", "{folder}", "--protocols", "is60_test", "--out", "{folder}/000.png/a/b"],
            "--out: '{folder}/000.png/a/b' lies below {folder}/000.png, which is a file",
        ),
    ],
)
def test_command_lines_that_say_too_little_or_too_much(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was measured before the command line was refused")

    monkeypatch.setattr(Extractor, "features", never)
    out = tmp_path / "r.json"
    words = [argument.format(folder=folder, out=out) for argument in arguments]
    done = CliRunner().invoke(app, ["evaluate", *words])
    assert isinstance(done.exception, MsgbenchError)
    assert str(done.exception) == sentence.format(folder=folder)
    assert not out.exists()


def test_protocols_may_be_listed_with_spaces(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    words = ["--images", str(folder), "--protocols", " is60_test , is60_test_1split", "--out", str(out)]  # fmt: skip
    done = CliRunner().invoke(app, ["evaluate", *words, "--device", "cpu"])
    assert done.exit_code == 0, done.exception
    records = read_json(out)["records"]
    assert [r["protocol"]["name"] for r in records] == ["is60_test", "is60_test_1split"]


def test_a_store_of_test_images_that_is_not_there_is_said_first(
    small_protocols: tuple[str, ...], tmp_path: Path, drawn_store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was measured before the store was opened")

    monkeypatch.setattr(Extractor, "features", never)
    out, nowhere = tmp_path / "real.json", tmp_path / "nowhere"
    with pytest.raises(DatasetError) as caught:
        evaluate_real(drawn_store_dir, small_protocols, out, test_store=nowhere)
    assert str(caught.value).startswith(f"{nowhere}")
    assert not out.exists()
