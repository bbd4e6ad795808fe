"""Small CIFAR-10 files in every official form, written here byte by byte."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msgbench.config import DatasetSpec

TRAIN_ROWS, TEST_ROWS = (6, 5, 4), 3


class Cifar:
    """Random images with labels, and writers of the official forms."""

    def __init__(self) -> None:
        generator = np.random.default_rng(10)
        self.batches: dict[str, tuple[np.ndarray, list[int]]] = {}
        rows_of = {f"data_batch_{k + 1}": rows for k, rows in enumerate(TRAIN_ROWS)}
        for name, rows in {**rows_of, "test_batch": TEST_ROWS}.items():
            planes = generator.integers(0, 256, (rows, 3072), dtype=np.uint8)
            self.batches[name] = (planes, generator.integers(0, 10, rows).tolist())

    def names(self, split: str) -> list[str]:
        """The batches of a split, in order."""
        train = [name for name in self.batches if name != "test_batch"]
        return {"train": train, "test": ["test_batch"], "all": [*train, "test_batch"]}[split]

    def images(self, split: str) -> np.ndarray:
        """The images as [N, 32, 32, 3], from the definition of the format."""
        images = []
        for name in self.names(split):
            for row in self.batches[name][0]:
                red, green, blue = row[:1024], row[1024:2048], row[2048:]
                images.append(np.stack([red, green, blue], axis=-1).reshape(32, 32, 3))
        return np.stack(images)

    def labels(self, split: str) -> list[int]:
        return [label for name in self.names(split) for label in self.batches[name][1]]

    def binary_files(self) -> dict[str, bytes]:
        files = {"batches.meta.txt": b"airplane\n", "readme.html": b"<html></html>"}
        for name, (planes, labels) in self.batches.items():
            rows = [
                bytes([label]) + plane.tobytes()
                for plane, label in zip(planes, labels, strict=True)
            ]
            files[f"{name}.bin"] = b"".join(rows)
        return files

    def python_files(self, protocol: int | None = None) -> dict[str, bytes]:
        """Pickled by Python 3 with `protocol`; None: as Python 2 wrote the official files."""
        files = {
            "batches.meta": pickle.dumps({b"label_names": []}),
            "readme.html": b"<html></html>",
        }
        for name, (planes, labels) in self.batches.items():
            if protocol is None:
                files[name] = python2_pickle(planes, labels)
            else:
                batch = {b"data": planes, b"labels": labels, b"batch_label": b"x"}
                files[name] = pickle.dumps(batch, protocol=protocol)
        return files


def python2_pickle(planes: np.ndarray, labels: list[int]) -> bytes:
    """The batch as Python 2's cPickle wrote it, protocol 2, with byte strings."""

    def short(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    raw = planes.tobytes()
    dtype = b"cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + short(b"|") + b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + short(b"b") + b"\x87R"
    )
    shape = number(planes.shape[0]) + number(planes.shape[1]) + b"\x86"
    array += b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    entries = short(b"batch_label") + short(b"training batch") + short(b"labels") + numbers
    return b"\x80\x02}(" + entries + short(b"data") + array + b"u."


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, folder: str, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    """A tarball whose members are in no helpful order, as in the official ones."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in sorted(files.items(), reverse=True):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


class Pictures:
    """Random images of the size of CIFAR-10's, and files of them."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(32)

    def pixels(self, side: int = 32) -> np.ndarray:
        return self._generator.integers(0, 256, (side, side, 3), dtype=np.uint8)

    def file(self, pixels: np.ndarray | None = None, kind: str = "PNG", mode: str = "RGB") -> bytes:
        """`pixels` (random if None) in a file that Pillow writes, lossless where it can be."""
        image = Image.fromarray(self.pixels() if pixels is None else pixels).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
        return buffer.getvalue()

    def tree(self, root: Path, files: dict[str, np.ndarray | bytes | None]) -> Path:
        """A tree of PNG files (or of the bytes given) by their paths below `root`; None: random pixels."""
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            raw = content if isinstance(content, bytes) else self.file(content)
            (root / name).write_bytes(raw)
        return root


def png(
    side: int, depth: int, colour: int, scanline: bytes, besides: tuple[bytes, bytes] | None = None
) -> bytes:
    """A PNG file of (at most 64) equal lines, chunk by chunk; `besides` (name, content) stands before its pixels."""
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    pixels = zlib.compress((b"\0" + scanline) * min(side, 64))
    chunks = [(b"IHDR", header), besides, (b"IDAT", pixels), (b"IEND", b"")]
    raw = b"\x89PNG\r\n\x1a\n"
    for name, content in filter(None, chunks):
        raw += struct.pack(">I4s", len(content), name) + content
        raw += struct.pack(">I", zlib.crc32(name + content))
    return raw


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


@pytest.fixture(scope="session")
def write_png() -> Callable[..., bytes]:
    return png


@pytest.fixture
def cifar() -> Cifar:
    return Cifar()


MakeSpec = Callable[..., DatasetSpec]
WriteForms = Callable[[Path, str], Path]


@pytest.fixture
def cifar_spec() -> MakeSpec:
    def make(
        path: Path | str | None, split: str = "train", num_images: int | None = None
    ) -> DatasetSpec:
        return DatasetSpec.model_validate(
            {
                "name": "cifar10",
                "source": "cifar10",
                "path": None if path is None else str(path),
                "resolution": 32,
                "split": split,
                "num_images": num_images,
                "mirror": False,
            }
        )

    return make


@pytest.fixture
def drawn_spec() -> MakeSpec:
    def make(num_images: int, resolution: int = 32, split: str = "train") -> DatasetSpec:
        return DatasetSpec.model_validate(
            {
                "name": "drawn",
                "source": "embedded",
                "resolution": resolution,
                "split": split,
                "num_images": num_images,
                "mirror": False,
            }
        )

    return make


@pytest.fixture
def write_forms(cifar: Cifar) -> WriteForms:
    """Writes one form of the small CIFAR-10 into a folder and returns the path a user would give."""

    def write(place: Path, form: str) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        binary, python = "cifar-10-batches-bin", "cifar-10-batches-py"
        match form:
            case "binary folder":
                return write_folder(place / binary, cifar.binary_files())
            case "binary parent":
                return write_folder(place / binary, cifar.binary_files()).parent
            case "binary renamed folder":
                return write_folder(place / "my copy", cifar.binary_files())
            case "binary tarball":
                return write_tar(place / "cifar-10-binary.tar.gz", binary, cifar.binary_files())
            case "binary tarball parent":
                return write_tar(
                    place / "cifar-10-binary.tar.gz", binary, cifar.binary_files()
                ).parent
            case "binary plain tar":
                return write_tar(place / "cifar.tar", binary, cifar.binary_files(), "w")
            case "hostile tarball":
                outside = f"../../../outside/{binary}"
                return write_tar(place / "hostile.tar.gz", outside, cifar.binary_files())
            case "python folder":
                return write_folder(place / python, cifar.python_files())
            case "python parent":
                return write_folder(place / python, cifar.python_files()).parent
            case "python tarball":
                return write_tar(place / "cifar-10-python.tar.gz", python, cifar.python_files())
            case _:
                protocol = int(form.removeprefix("python protocol "))
                return write_folder(place / python, cifar.python_files(protocol))

    return write
