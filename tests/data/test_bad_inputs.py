"""Every wrong input: one exact sentence, exit code 3, and not one file left behind."""

from __future__ import annotations

import errno
import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from msgbench.data.prepare import prepare
from msgbench.errors import DatasetError

if TYPE_CHECKING:
    from .conftest import MakeSpec, WriteForms

FORMS = (
    "cifar-10-binary.tar.gz, cifar-10-batches-bin/, cifar-10-python.tar.gz, cifar-10-batches-py/, "
    "a folder that holds one of these, or a folder of images (airplane/ to truck/, "
    "or train/ and test/ with these)"
)
ROW = bytes([3]) + bytes(3072)


class Case(NamedTuple):
    """`build` makes the input in a folder and returns the path given; {path} in the sentence is it."""

    build: Callable[[Path], Path | str | None]
    sentence: str
    split: str = "train"
    num_images: int | None = None


def one_file(name: str, content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder

    return build


def just(name: str, content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return build


def tarball(
    members: list[tuple[str, bytes]], zipped: bool = True, cut: int = 0, flip: int | None = None
) -> Callable[[Path], Path]:
    """An archive of `members`, its last `cut` bytes missing, the byte at `flip` changed."""

    def build(folder: Path) -> Path:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in members:
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        raw = bytearray(gzip.compress(buffer.getvalue(), mtime=0) if zipped else buffer.getvalue())
        if flip is not None:
            raw[flip] ^= 0xFF
        (folder / "data.tar").write_bytes(raw[: len(raw) - cut])
        return folder / "data.tar"

    return build


def batch(data: object = None, labels: object = None, **more: object) -> Callable[[Path], Path]:
    content: dict[bytes, object] = {key.encode(): value for key, value in more.items()}
    if data is not None:
        content[b"data"] = data
    if labels is not None:
        content[b"labels"] = labels
    return one_file("data_batch_1", pickle.dumps(content, protocol=2))


def symlink_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def sparse(name: str, size: int) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        with (folder / name).open("wb") as file:
            file.truncate(size)
        return folder

    return build


NOISE = np.random.default_rng(0).integers(0, 256, 9 * 3073, dtype=np.uint8)
NOISE[::3073] %= 10
PIXELS = np.zeros((2, 3072), dtype=np.uint8)

CASES = {
    "no path": Case(lambda folder: None, f"datasets.cifar10.path: is not set; allowed: {FORMS}"),
    "empty path": Case(lambda folder: "", f"datasets.cifar10.path: is not set; allowed: {FORMS}"),
    "missing": Case(
        lambda folder: folder / "nowhere",
        f"{{path}}: does not exist; datasets.cifar10.path allows {FORMS}",
    ),
    "dangling link": Case(
        symlink_loop, f"{{path}}: does not exist; datasets.cifar10.path allows {FORMS}"
    ),
    "name too long": Case(
        lambda folder: folder / ("x" * 300), "{path}: cannot be read (File name too long)"
    ),
    "a pipe": Case(pipe, f"{{path}}: is neither a file nor a folder; expected {FORMS}"),
    "empty folder": Case(lambda folder: folder, f"{{path}}: is empty; expected {FORMS}"),
    "other folder": Case(
        one_file("holiday.jpg", b"x"),
        f"{{path}}: holds no CIFAR-10 (found holiday.jpg); expected {FORMS}",
    ),
    "cifar-100 binary": Case(
        one_file("train.bin", bytes(3074)),
        f"{{path}}: is CIFAR-100, not CIFAR-10; expected {FORMS}",
    ),
    "cifar-100 parent": Case(
        lambda folder: (folder / "cifar-100-python").mkdir() or folder,  # type: ignore[func-returns-value]
        f"{{path}}: is CIFAR-100, not CIFAR-10; expected {FORMS}",
    ),
    "cifar-100 rows": Case(
        one_file("data_batch_1.bin", bytes(3074 * 2)),
        "{path}/data_batch_1.bin: is 6148 bytes long, which is not a multiple of 3073; "
        "expected rows of 1 label byte and 3072 pixel bytes",
    ),
    "no test split": Case(
        one_file("data_batch_1.bin", ROW),
        "{path}: has no images of split test (found data_batch_1.bin); expected test_batch.bin",
        split="test",
    ),
    "no train split": Case(
        one_file("test_batch.bin", ROW),
        "{path}: has no images of split train (found test_batch.bin); "
        "expected data_batch_1.bin to data_batch_5.bin",
    ),
    "truncated": Case(
        one_file("data_batch_1.bin", ROW * 3 + ROW[:100]),
        "{path}/data_batch_1.bin: is 9319 bytes long, which is not a multiple of 3073; "
        "expected rows of 1 label byte and 3072 pixel bytes",
    ),
    "empty batch": Case(
        one_file("data_batch_1.bin", b""),
        "{path}/data_batch_1.bin: is empty; expected a batch of CIFAR-10",
    ),
    "wrong label": Case(
        one_file("data_batch_1.bin", ROW + bytes([77]) + ROW[1:]),
        "{path}/data_batch_1.bin: row 1 has the label 77; expected 0 to 9",
    ),
    "far too large": Case(
        sparse("data_batch_1.bin", 3073 * 40_000),
        "{path}/data_batch_1.bin: is 122920000 bytes long; expected a batch of about 31 million bytes",
    ),
    "more than there is": Case(
        one_file("data_batch_1.bin", ROW * 3),
        "datasets.cifar10.num_images: is 4, the source holds 3 images of split train",
        num_images=4,
    ),
    "empty archive": Case(just("a.tar.gz", b""), f"{{path}}: is an empty file; expected {FORMS}"),
    "not an archive": Case(
        just("a.tar.gz", b"<html>404</html>" * 100),
        f"{{path}}: is not a tar archive or is damaged; expected {FORMS}",
    ),
    "gzip of something": Case(
        just("a.tar.gz", gzip.compress(b"hello" * 1000)),
        f"{{path}}: is not a tar archive or is damaged; expected {FORMS}",
    ),
    "archive without members": Case(tarball([]), f"{{path}}: is empty; expected {FORMS}"),
    "archive of something": Case(
        tarball([("a.txt", b"a"), ("b.txt", b"b"), ("c.txt", b"c"), ("d.txt", b"d")]),
        f"{{path}}: holds no CIFAR-10 (found a.txt, b.txt, c.txt and 1 more); expected {FORMS}",
    ),
    "archive of cifar-100": Case(
        tarball([("train.bin", bytes(3074)), ("test.bin", bytes(3074))]),
        f"{{path}}: is CIFAR-100, not CIFAR-10; expected {FORMS}",
    ),
    "cut archive": Case(
        tarball([("data_batch_1.bin", NOISE.tobytes())], cut=5000),
        "{path}: ends in the middle of its data (a download that was cut off?); expected " + FORMS,
    ),
    "archive cut in its checksum": Case(
        tarball([("data_batch_1.bin", NOISE.tobytes())], cut=6),
        "{path}: ends in the middle of its data (a download that was cut off?); expected " + FORMS,
    ),
    "plain archive cut behind a member": Case(
        # 512 bytes of header, 9 * 3073 bytes rounded up to 28160; then the end mark would come.
        tarball([("data_batch_1.bin", NOISE.tobytes())], zipped=False, cut=30720 - 512 - 28160),
        "{path}: ends in the middle of its data (a download that was cut off?); expected " + FORMS,
    ),
    "plain archive cut in a member": Case(
        tarball([("data_batch_1.bin", NOISE.tobytes())], zipped=False, cut=20_000),
        f"{{path}}: is not a tar archive or is damaged; expected {FORMS}",
    ),
    "damaged archive": Case(
        tarball([("data_batch_1.bin", NOISE.tobytes())], flip=15_000),
        f"{{path}}: is not a tar archive or is damaged; expected {FORMS}",
    ),
    "damaged header": Case(
        tarball([("a", b"a" * 512), ("data_batch_1.bin", ROW)], zipped=False, flip=1024),
        f"{{path}}: is not a tar archive or is damaged; expected {FORMS}",
    ),
    "batch twice": Case(
        tarball([("data_batch_1.bin", ROW), ("data_batch_1.bin", ROW)]),
        f"{{path}} (data_batch_1.bin): is in the archive twice; expected {FORMS}",
    ),
    "truncated in an archive": Case(
        tarball([("data_batch_1.bin", ROW + b"x")]),
        "{path} (data_batch_1.bin): is 3074 bytes long, which is not a multiple of 3073; "
        "expected rows of 1 label byte and 3072 pixel bytes",
    ),
    "not a pickle": Case(
        one_file("data_batch_1", b"<html>404</html>"),
        "{path}/data_batch_1: is not a readable pickle; expected a pickled batch of CIFAR-10",
    ),
    "cut pickle": Case(
        one_file("data_batch_1", pickle.dumps({b"data": PIXELS, b"labels": [1, 2]})[:-50]),
        "{path}/data_batch_1: is not a readable pickle; expected a pickled batch of CIFAR-10",
    ),
    "pickled list": Case(
        one_file("data_batch_1", pickle.dumps([1, 2])),
        "{path}/data_batch_1: holds a list, not a dictionary; expected a pickled batch of CIFAR-10",
    ),
    "no data": Case(
        batch(labels=[1]), "{path}/data_batch_1: has no array `data`; expected uint8 [N, 3072]"
    ),
    "wrong shape": Case(
        batch(PIXELS[:, :100].copy(), [1, 2]),
        "{path}/data_batch_1: `data` is u1 [2, 100]; expected uint8 [N, 3072]",
    ),
    "wrong type": Case(
        batch(PIXELS.astype(np.float32), [1, 2]),
        "{path}/data_batch_1: `data` is f4 [2, 3072]; expected uint8 [N, 3072]",
    ),
    "objects": Case(
        batch(PIXELS.astype(object), [1, 2]),
        "{path}/data_batch_1: `data` is O8 [2, 3072]; expected uint8 [N, 3072]",
    ),
    "no labels": Case(
        batch(PIXELS),
        "{path}/data_batch_1: has no list of whole numbers `labels`; expected 2 labels",
    ),
    "too few labels": Case(batch(PIXELS, [1]), "{path}/data_batch_1: has 1 labels for 2 images"),
    "negative label": Case(
        batch(PIXELS, [1, -1]), "{path}/data_batch_1: row 1 has the label -1; expected 0 to 9"
    ),
    "large label": Case(
        batch(PIXELS, [10, 1]), "{path}/data_batch_1: row 0 has the label 10; expected 0 to 9"
    ),
    "no images": Case(
        one_file("data_batch_1", pickle.dumps({b"data": PIXELS[:0], b"labels": []}, protocol=4)),
        "{path}/data_batch_1: holds no images; expected a batch of CIFAR-10",
    ),
    "cifar-100 pickle": Case(
        batch(PIXELS, fine_labels=[1, 2]),
        "{path}/data_batch_1: is a batch of CIFAR-100 (fine_labels); expected CIFAR-10",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_and_nothing_left(tmp_path: Path, cifar_spec: MakeSpec, name: str) -> None:
    case = CASES[name]
    raw = tmp_path / "raw"
    raw.mkdir()
    path = case.build(raw)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError) as caught:
        prepare(cifar_spec(path, case.split, case.num_images), tmp_path / "results" / "store")
    assert str(caught.value) == case.sentence.format(path=path)
    assert caught.value.exit_code == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unreadable_file_is_named(
    tmp_path: Path, cifar_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by a stand-in for the file system, because the superuser may read everything."""
    (tmp_path / "data_batch_1.bin").write_bytes(ROW)

    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError) as caught:
        prepare(cifar_spec(tmp_path), tmp_path / "store")
    assert (
        str(caught.value) == f"{tmp_path / 'data_batch_1.bin'}: cannot be read (Permission denied)"
    )
    assert not (tmp_path / "store").exists()


def test_a_wrong_input_keeps_the_earlier_store(
    tmp_path: Path, cifar_spec: MakeSpec, write_forms: WriteForms
) -> None:
    good = write_forms(tmp_path / "good", "binary folder")
    store = tmp_path / "store"
    prepare(cifar_spec(good), store)
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "data_batch_1.bin").write_bytes(ROW + b"x")
    with pytest.raises(DatasetError):
        prepare(cifar_spec(bad), store)
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before
