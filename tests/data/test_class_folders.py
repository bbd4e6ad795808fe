"""CIFAR-10 as a folder of images: found, put in order and packed like the official forms."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from msgbench.data.prepare import prepare
from msgbench.data.sources import open_source, splits_at
from msgbench.data.sources.class_folders import natural_key
from msgbench.data.store import Store
from msgbench.errors import DatasetError

if TYPE_CHECKING:
    from .conftest import MakeSpec, Pictures

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_the_order_takes_the_classes_in_turn(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    """The k-th image of every class comes before the k+1-th of any; 2 before 10."""
    order = [
        "airplane/1",
        "bird/a2",
        "truck/x",
        "airplane/2",
        "bird/a10",
        "airplane/10",
        "airplane/11",
    ]
    pixels = {f"{name}.png": pictures.pixels() for name in order}
    pictures.tree(tmp_path, dict(sorted(pixels.items())))
    (tmp_path / "cat").mkdir()  # a class without images
    source = open_source(cifar_spec(tmp_path))
    images = list(source)
    np.testing.assert_array_equal(
        np.stack([image.pixels for image in images]), np.stack(list(pixels.values()))
    )
    assert [image.label for image in images] == [0, 2, 9, 0, 2, 0, 0]
    assert source.count == 7


@pytest.mark.parametrize("num_images", [1, 7, 10, 23])
def test_any_first_images_hold_the_classes_alike(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures, num_images: int
) -> None:
    pictures.tree(tmp_path / "raw", {f"{name}/{k}.png": None for name in NAMES for k in range(3)})
    prepare(cifar_spec(tmp_path / "raw", num_images=num_images), tmp_path / "store")
    labels = Store.open(tmp_path / "store").labels
    assert labels is not None
    counts = np.bincount(labels, minlength=10)
    assert counts.sum() == num_images
    assert counts.max() - counts.min() <= 1


def test_natural_order() -> None:
    names = ["10.png", "2.png", "a10b2", "a2b10", "a2b9", "a02b9", "", "B1", "1.png", "01.png"]
    assert sorted(names, key=natural_key) == [
        *["", "01.png", "1.png", "2.png", "10.png", "B1", "a02b9", "a2b9", "a2b10", "a10b2"]
    ]


def test_splits_by_folders(tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures) -> None:
    files = {"train/cat/0001.png": None, "train/dog/0001.png": None, "test/ship/0001.png": None}
    pictures.tree(tmp_path, dict(files))
    # What people keep beside the images:
    pictures.tree(tmp_path, {"labels.txt": b"airplane\n", "val/cat/1.png": None, ".git/x.png": b""})
    pictures.tree(tmp_path, {"train/README.md": b"#", "train/__MACOSX/cat/1.png": b""})
    pictures.tree(tmp_path, {"train/cat/.DS_Store": b"", "train/cat/Thumbs.db": b""})
    assert [image.label for image in open_source(cifar_spec(tmp_path, "train"))] == [3, 5]
    assert [image.label for image in open_source(cifar_spec(tmp_path, "test"))] == [8]
    assert splits_at(cifar_spec(tmp_path, "train")) == ("train", "test")
    assert splits_at(cifar_spec(tmp_path / "train", "train")) == ("train",)


def test_all_images_of_a_tree_are_train_then_test(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    pictures.tree(
        tmp_path / "both",
        {"train/dog/1.png": None, "train/cat/1.png": None, "test/cat/1.png": None},
    )
    source = open_source(cifar_spec(tmp_path / "both", "all"))
    parts = [open_source(cifar_spec(tmp_path / "both", split)) for split in ("train", "test")]
    whole = np.stack([image.pixels for image in source])
    np.testing.assert_array_equal(
        whole, np.stack([image.pixels for part in parts for image in part])
    )
    assert [image.label for image in source] == [3, 5, 3]
    # Two files of one name are two lines of the digest.
    lines = "".join(
        f"{hashlib.sha256((tmp_path / 'both' / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("test/cat/1.png", "train/cat/1.png", "train/dog/1.png")
    )
    (fact,) = source.facts().files
    assert fact.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert source.facts().expected_count == 60_000
    pictures.tree(tmp_path / "one", {"train/cat/1.png": None})
    with pytest.raises(
        DatasetError, match=r"has no images of split test \(found train\); expected a folder test"
    ):
        open_source(cifar_spec(tmp_path / "one", "all"))


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_a_tree_without_splits_is_what_is_asked_for(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures, split: str
) -> None:
    pictures.tree(tmp_path, {"cat/1.png": None})
    source = open_source(cifar_spec(tmp_path, split))
    assert source.count == 1
    assert source.facts().expected_count == {"train": 50_000, "test": 10_000, "all": 60_000}[split]
    assert splits_at(cifar_spec(tmp_path, split)) == (split,)


def test_the_facts_are_one_digest_that_anyone_can_compute(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    names = ["cat/10.png", "cat/2.png", "cat/Ärger.png", "airplane/B 1.png", "airplane/a.png"]
    pictures.tree(tmp_path / "train", dict.fromkeys(names))
    facts = open_source(cifar_spec(tmp_path)).facts()
    assert facts.form == "folder of images"
    assert facts.archive is None
    (fact,) = facts.files
    contents = {name: (tmp_path / "train" / name).read_bytes() for name in names}
    lines = b"".join(
        hashlib.sha256(contents[name]).hexdigest().encode() + b"  " + os.fsencode(name) + b"\n"
        for name in sorted(names, key=os.fsencode)
    )
    assert fact.name == "images"
    assert fact.bytes == sum(map(len, contents.values()))
    assert fact.sha256 == hashlib.sha256(lines).hexdigest()
    command = "find airplane cat -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    printed = subprocess.check_output(command, shell=True, cwd=tmp_path / "train", text=True)
    assert printed.split()[0] == fact.sha256
    # The same images without the split's folder are the same files.
    assert open_source(cifar_spec(tmp_path / "train")).facts() == facts


def test_the_manifest_says_what_it_was_made_from(
    tmp_path: Path,
    cifar_spec: MakeSpec,
    pictures: Pictures,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pictures.tree(tmp_path / "png", {"cat/1.png": None, "dog/1.png": None})
    prepare(cifar_spec(tmp_path / "png"), tmp_path / "s1")
    assert "JPEG" not in capsys.readouterr().err
    pictures.tree(tmp_path / "jpg", {"cat/1.png": None, "dog/1.jfif": pictures.file(kind="JPEG")})
    prepare(cifar_spec(tmp_path / "jpg"), tmp_path / "s2")
    assert "made from JPEG files" in capsys.readouterr().err
    for store, lossy in (("s1", False), ("s2", True)):
        manifest = json.loads((tmp_path / store / "manifest.json").read_bytes())
        assert manifest["source"]["form"] == "folder of images"
        assert manifest["source"]["lossy"] is lossy
        assert manifest["complete"] is False
        assert len(manifest["source"]["files"]) == 1
        assert str(tmp_path) not in (tmp_path / store / "manifest.json").read_text()


def test_a_manifest_from_before_there_was_jpeg_is_read(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    pictures.tree(tmp_path / "raw", {"cat/1.png": None})
    manifest = prepare(cifar_spec(tmp_path / "raw"), tmp_path / "store")
    path = tmp_path / "store" / "manifest.json"
    content = json.loads(path.read_bytes())
    del content["source"]["lossy"]
    path.write_text(json.dumps(content))
    assert Store.open(tmp_path / "store").manifest == manifest


def test_other_images_at_the_path_are_noticed(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    raw = pictures.tree(tmp_path / "raw", {"cat/1.png": None, "cat/2.png": None})
    first = prepare(cifar_spec(raw), tmp_path / "store")
    assert prepare(cifar_spec(raw), tmp_path / "store") == first
    pictures.tree(raw, {"cat/2.png": np.zeros((32, 32, 3), np.uint8)})  # another size in bytes
    second = prepare(cifar_spec(raw), tmp_path / "store")
    assert second.fingerprint != first.fingerprint
    pictures.tree(raw, {"dog/1.png": None})
    assert prepare(cifar_spec(raw), tmp_path / "store").count == 3
    (raw / "dog" / "1.png").rename(raw / "gone")
    (raw / "cat").rename(raw / "gone too")  # nothing readable is left: the store is kept
    assert prepare(cifar_spec(raw), tmp_path / "store").count == 3


def test_links_inside_of_the_tree_are_followed(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    """A tree of links beside the files, and the whole behind a link."""
    raw = pictures.tree(tmp_path / "raw", {"train/.all/1.png": None, "train/.all/2.png": None})
    (raw / "train" / "cat").mkdir()
    (raw / "train" / "cat" / "1.png").symlink_to("../.all/1.png")
    (raw / "train" / "dog").symlink_to(".all")
    (tmp_path / "link").symlink_to(raw)
    assert [image.label for image in open_source(cifar_spec(tmp_path / "link"))] == [3, 5, 5]


def test_official_forms_win_over_folders_beside_them(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    pictures.tree(tmp_path, {"train/cat/1.png": None, "cifar-10-batches-bin/test_batch.bin": bytes(3073)})  # fmt: skip
    assert open_source(cifar_spec(tmp_path, "test")).facts().form == "binary"


def test_a_folder_that_may_not_be_read(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by a stand-in for the file system, because the superuser may read everything."""
    pictures.tree(tmp_path, {"cat/1.png": None})
    original = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.suffix == ".png":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError) as caught:
        prepare(cifar_spec(tmp_path), tmp_path / "store")
    assert str(caught.value) == f"{tmp_path}/cat/1.png: cannot be read (Permission denied)"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_real_images_come_back_as_in_the_binary_form(
    tmp_path: Path, cifar_spec: MakeSpec, shared_folder: Path, suffix: str
) -> None:
    """200 real images, written as files here, in the order of the binary form within each class."""
    binary = list(open_source(cifar_spec(shared_folder / "data", "test")))[:200]
    by_class: dict[int, list[np.ndarray]] = {label: [] for label in range(10)}
    for number, (pixels, label) in enumerate(binary):
        assert label is not None
        folder = tmp_path / "cifar" / "test" / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.{suffix}", lossless=True)
        by_class[label].append(pixels)
    expected = []
    while any(by_class.values()):
        expected += [(label, images.pop(0)) for label, images in by_class.items() if images]
    manifest = prepare(cifar_spec(tmp_path / "cifar", "test"), tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert manifest.count == len(expected) == 200
    assert store.labels is not None
    assert store.labels.tolist() == [label for label, _ in expected]
    np.testing.assert_array_equal(store.images, np.stack([pixels for _, pixels in expected]))
