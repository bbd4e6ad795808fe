"""A store says when it is not what its manifest states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from msgbench.data.manifest import content_fingerprint
from msgbench.data.prepare import prepare
from msgbench.data.store import Store
from msgbench.errors import DatasetError

if TYPE_CHECKING:
    from .conftest import MakeSpec

Damage = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path, drawn_spec: MakeSpec) -> Path:
    prepare(drawn_spec(24, resolution=8), tmp_path / "store")
    return tmp_path / "store"


def test_an_open_store(folder: Path) -> None:
    store = Store.open(folder)
    assert len(store) == store.manifest.count == 24
    assert store.resolution == 8
    assert isinstance(store.images, np.memmap)
    assert store.images.shape == (24, 8, 8, 3)
    assert store.images.dtype == np.uint8
    np.testing.assert_array_equal(store.labels, np.arange(24) % 12)
    store.verify()
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0


def shorten(name: str, size: int) -> Damage:
    def damage(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(size)

    return damage


def edit(**changes: str) -> Damage:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))

    return damage


def overwrite(name: str, offset: int, content: bytes) -> Damage:
    def damage(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return damage


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


AGAIN = "run `msgbench prepare` again"
DAMAGES = {
    "no manifest": (
        remove("manifest.json"),
        "{0}: is not a prepared dataset (no manifest.json); make it with `msgbench prepare`",
    ),
    "cut manifest": (
        shorten("manifest.json", 200),
        "{0}/manifest.json: is not a valid manifest; delete it and " + AGAIN,
    ),
    "foreign key": (
        edit(colour="red"),
        "{0}/manifest.json: is not a valid manifest; delete it and " + AGAIN,
    ),
    "other schema": (
        edit(schema="msgbench.dataset/2"),
        "{0}/manifest.json: is not a valid manifest; delete it and " + AGAIN,
    ),
    "edited fingerprint": (
        edit(fingerprint="0" * 64),
        "{0}/manifest.json: its fingerprint is 00000000, its content gives {1}; delete it and " + AGAIN,
    ),
    "no images": (
        remove("images.npy"),
        "{0}/images.npy: cannot be read (No such file or directory); " + AGAIN,
    ),
    "cut images": (
        shorten("images.npy", 1000),
        "{0}/images.npy: is 1000 bytes long, the manifest says 4736; " + AGAIN,
    ),
    "cut labels": (
        shorten("labels.npy", 130),
        "{0}/labels.npy: is 130 bytes long, the manifest says 152; " + AGAIN,
    ),
    "broken header": (
        overwrite("images.npy", 0, b"JUNK"),
        "{0}/images.npy: is not a readable .npy file; " + AGAIN,
    ),
    "other shape": (
        overwrite("images.npy", 10, b"{'descr': '|u1', 'fortran_order': False, 'shape': (4608,), }         "),
        "{0}/images.npy: holds uint8 [4608], the manifest says uint8 [24, 8, 8, 3]; " + AGAIN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_open_notices(folder: Path, name: str) -> None:
    damage, sentence = DAMAGES[name]
    fingerprint = Store.open(folder).manifest.fingerprint[:8]
    damage(folder)
    with pytest.raises(DatasetError) as caught:
        Store.open(folder)
    assert str(caught.value) == sentence.format(folder, fingerprint)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_verify_notices_a_single_changed_byte(folder: Path, name: str) -> None:
    path = folder / name
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    store = Store.open(folder)  # sizes and shapes are right
    with pytest.raises(
        DatasetError, match=rf"{name}: its sha256 is [0-9a-f]{{8}}\.\.\., the manifest says"
    ):
        store.verify()


def relabel(folder: Path, labels: np.ndarray, trust: bool) -> str:
    """Other labels in a store whose manifest knows their file, and (if `trust`) their content; their sha256."""
    raw = labels.astype(np.uint8).tobytes()
    path = folder / "labels.npy"
    path.write_bytes(path.read_bytes()[:128] + raw)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][1]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256(raw).hexdigest()
    if trust:
        manifest["labels_sha256"] = digest
        manifest["fingerprint"] = content_fingerprint(24, 8, manifest["images_sha256"], digest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return digest


def test_verify_notices_other_labels(folder: Path) -> None:
    stated = str(Store.open(folder).manifest.labels_sha256)
    digest = relabel(folder, np.arange(24) // 2, trust=False)
    with pytest.raises(DatasetError) as caught:
        Store.open(folder).verify()
    assert str(caught.value) == (
        f"{folder}/labels.npy: the labels' sha256 is {digest[:8]}..., the manifest says {stated[:8]}...; {AGAIN}"
    )


def test_verify_notices_a_label_without_a_class(folder: Path) -> None:
    relabel(folder, np.arange(24) // 2, trust=True)
    Store.open(folder).verify()
    relabel(folder, np.arange(24) % 13, trust=True)
    with pytest.raises(DatasetError) as caught:
        Store.open(folder).verify()
    assert str(caught.value) == (
        f"{folder}/labels.npy: holds the label 12, the manifest names 12 classes; {AGAIN}"
    )
