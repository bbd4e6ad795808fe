"""What is wrong with a copy of a dataset: one sentence each, no store, and what was packed before is kept."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msgbench.config import DatasetSpec
from msgbench.data.prepare import prepare
from msgbench.data.stand_ins import draw_raw
from msgbench.errors import DatasetError


def spec_of(source: str, path: Path, **changes: Any) -> DatasetSpec:
    fields = {
        "name": "x",
        "source": source,
        "path": str(path),
        "accept_terms": True,
        "resolution": 32,
        "mirror": False,
    }
    return DatasetSpec.model_validate(fields | changes)


def raw_of(source: str, folder: Path, images: int = 6) -> Path:
    fields = {"name": "x", "source": source, "resolution": 32, "mirror": False, "drawn": images}
    return draw_raw(DatasetSpec.model_validate(fields), folder)


def image(width: int = 40, height: int = 40, seed: int = 0, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_zip(path: Path, members: dict[str, bytes], mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def write_tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    os.truncate(path, int(path.stat().st_size * share))
    return path


# Name -> (source, what makes the bad copy below a folder and returns its path, the sentence without the folder).
Bad = tuple[str, Callable[[Path], Path], str]


def truncated_tgz(folder: Path) -> Path:
    return cut(raw_of("oxford_flowers", folder / "raw") / "102flowers.tgz")


def tgz_with_way_out(folder: Path) -> Path:
    return write_tgz(folder / "102flowers.tgz", {"jpg/../../image_00001.jpg": image(kind="JPEG")})


def tgz_of_other_files(folder: Path) -> Path:
    return write_tgz(
        folder / "102flowers.tgz", {"cifar-10-batches-bin/data_batch_1.bin": b"1" * 3073}
    )


def faces_as_flowers(folder: Path) -> Path:
    (folder / "jpg").mkdir()
    (folder / "jpg" / "000001.jpg").write_bytes(image(178, 218, kind="JPEG"))
    return folder / "jpg"


def truncated_zip(folder: Path) -> Path:
    return cut(raw_of("celeba", folder / "raw") / "img_align_celeba.zip")


def zip_with_way_out(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {"a.png": image(), "../../evil.png": image()})


def zip_with_absolute_name(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {"/tmp/evil.png": image()})


def zip_with_windows_name(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {"..\\evil.png": image()})


def zip_with_link(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {"a.png": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777)


def zip_with_damaged_member(folder: Path) -> Path:
    path = write_zip(folder / "a.zip", {"a.png": image(), "b.png": image(seed=1)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"b.png") + 200] ^= 255
    path.write_bytes(bytes(raw))
    return path


def zip_damaged_inside(method: int) -> Callable[[Path], Path]:
    """An archive of this compression in which the packed bytes of b.png are damaged; a raw image packs well."""

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "a.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("a.png", image())
            archive.writestr("b.png", image(seed=1) + bytes(4000))
        raw = bytearray(path.read_bytes())
        start = raw.index(b"b.png") + 5
        raw[start + 12 : start + 60] = bytes(48)
        path.write_bytes(bytes(raw))
        return path

    return make


def zip_bomb(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {"a.png": b"\x89PNG\r\n\x1a\n" + bytes(2**28 + 1)})


def zip_without_images(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {"readme.txt": b"?"})


def no_zip(folder: Path) -> Path:
    (folder / "a.zip").write_bytes(b"<html>quota exceeded</html>")
    return folder / "a.zip"


def link_out(folder: Path) -> Path:
    (folder / "mine").mkdir()
    (folder / "outside.png").write_bytes(image())
    (folder / "mine" / "a.png").symlink_to(folder / "outside.png")
    return folder / "mine"


def folder_link_out(folder: Path) -> Path:
    (folder / "mine").mkdir()
    (folder / "other").mkdir()
    (folder / "mine" / "more").symlink_to(folder / "other")
    return folder / "mine"


def link_in_a_circle(folder: Path) -> Path:
    (folder / "mine" / "a").mkdir(parents=True)
    (folder / "mine" / "a" / "b").symlink_to(folder / "mine")
    return folder / "mine"


def empty_folder(folder: Path) -> Path:
    (folder / "mine").mkdir()
    return folder / "mine"


def truncated_lmdb(folder: Path) -> Path:
    raw = raw_of("lsun_churches", folder / "raw", images=40)
    cut(raw / "church_outdoor_train_lmdb" / "data.mdb", 0.5)
    return raw


def no_lmdb(folder: Path) -> Path:
    (folder / "church_outdoor_train_lmdb").mkdir()
    (folder / "church_outdoor_train_lmdb" / "data.mdb").write_bytes(b"?" * 10_000)
    return folder


def other_category(folder: Path) -> Path:
    return raw_of("lsun_churches", folder / "raw") / "church_outdoor_train_lmdb"


def mixed_sizes(folder: Path) -> Path:
    raw = raw_of("celeba", folder / "raw")
    with zipfile.ZipFile(raw / "img_align_celeba.zip") as archive:
        archive.extractall(folder / "unzipped")
    (folder / "unzipped" / "img_align_celeba" / "000004.jpg").write_bytes(
        image(178, 200, kind="JPEG")
    )
    return folder / "unzipped"


BAD: dict[str, Bad] = {
    "truncated tarball": (
        "oxford_flowers", truncated_tgz, "/raw/102flowers.tgz: ends in the middle of its data (a download that was cut",
    ),
    "tarball with a way out": (
        "oxford_flowers", tgz_with_way_out,
        "/102flowers.tgz (jpg/../../image_00001.jpg): names a place outside of the archive; nothing was unpacked",
    ),
    "another dataset's tarball": (
        "oxford_flowers", tgz_of_other_files, "/102flowers.tgz: holds no image_00001.jpg and so on; expected 102fl",
    ),
    "another dataset in the right folder": ("oxford_flowers", faces_as_flowers, "/jpg: holds no images; expected 102"),
    "truncated zip": (
        "celeba", truncated_zip, "/raw/img_align_celeba.zip: is not a zip archive, or its end is missing (a download",
    ),
    "zip with a way out": (
        "folder", zip_with_way_out,
        "/a.zip (../../evil.png): names a place outside of the archive; nothing was unpacked",
    ),
    "zip with an absolute name": ("folder", zip_with_absolute_name, "/a.zip (/tmp/evil.png): names a place outside of"),
    "zip with a name of Windows": ("folder", zip_with_windows_name, "/a.zip (..\\evil.png): names a place outside of"),
    "zip with a link": ("folder", zip_with_link, "/a.zip (a.png): is a link; expected files only"),
    "zip with a damaged LZMA member": (
        "folder", zip_damaged_inside(zipfile.ZIP_LZMA), "/a.zip (b.png): is damaged or truncated in the archive",
    ),
    "zip with a damaged bzip2 member": (
        "folder", zip_damaged_inside(zipfile.ZIP_BZIP2), "/a.zip (b.png): is damaged or truncated in the archive",
    ),
    "zip with a damaged member": (
        "folder", zip_with_damaged_member, "/a.zip (b.png): is damaged or truncated in the archive",
    ),
    "zip bomb": (
        "folder", zip_bomb,
        "/a.zip (a.png): unpacks to 268,435,465 bytes; expected an image of at most 268,435,456 bytes",
    ),
    "zip without images": ("folder", zip_without_images, "/a.zip: holds no images; expected a folder (with folders)"),
    "a page for a zip": ("folder", no_zip, "/a.zip: is not a zip archive, or its end is missing"),
    "link out of the tree": ("folder", link_out, "/mine/a.png: is a link to {folder}/outside.png, outside of"),
    "link to a folder outside": ("folder", folder_link_out, "/mine/more: is a link to {folder}/other, outside of"),
    "link in a circle": ("folder", link_in_a_circle, "/mine/a/b: is a link to a folder that it lies in"),
    "empty folder": ("folder", empty_folder, "/mine: holds no images; expected a folder"),
    "truncated lmdb": (
        "lsun_churches", truncated_lmdb, "/raw/church_outdoor_train_lmdb/data.mdb: is ",
    ),
    "no lmdb": ("lsun_churches", no_lmdb, "/church_outdoor_train_lmdb/data.mdb: is not a readable lmdb"),
    "another category": (
        "lsun_bedrooms", other_category,
        "/raw/church_outdoor_train_lmdb: is church_outdoor, split train; expected bedroom_train_lmdb",
    ),
    "mixed sizes": (
        "celeba", mixed_sizes,
        "/unzipped/img_align_celeba/000004.jpg: is 178x200 px; expected 178x218, the size of all images of CelebA",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_copies(name: str, tmp_path: Path) -> None:
    source, make, sentence = BAD[name]
    bad, store = tmp_path / "bad", tmp_path / "store"
    bad.mkdir()
    path = make(bad)
    before = {file for file in tmp_path.rglob("*") if store not in file.parents}
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of(source, path), store)
    assert str(caught.value).startswith(f"{bad}{sentence.format(folder=bad)}")
    assert "\n" not in str(caught.value)
    assert not (store / "manifest.json").exists()
    # Nothing was written anywhere else, whatever an archive names.
    assert {file for file in tmp_path.rglob("*") if store not in file.parents} - {store} == before


def test_the_path_itself(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"/none: does not exist; datasets.x.path allows 102flowers.tgz, jpg/"
    ):
        prepare(spec_of("oxford_flowers", tmp_path / "none"), tmp_path / "store")
    with pytest.raises(
        DatasetError, match=r"datasets.x.path: is not set; allowed: images1024x1024/"
    ):
        prepare(spec_of("ffhq", tmp_path).model_copy(update={"path": None}), tmp_path / "store")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        DatasetError, match=r"/pipe: is neither a file nor a folder; expected church_outdoor"
    ):
        prepare(spec_of("lsun_churches", tmp_path / "pipe"), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_more_images_than_published_are_another_dataset(tmp_path: Path) -> None:
    raw = raw_of("lsun_churches", tmp_path / "raw", images=301)
    (raw / "church_outdoor_train_lmdb").rename(raw / "church_outdoor_val_lmdb")
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of("lsun_churches", raw, split="test"), tmp_path / "store")
    assert str(caught.value) == (
        f"{raw}: holds 301 images, LSUN churches (church_outdoor) has 300 of split test; is it another dataset?"
    )
    assert not (tmp_path / "store").exists()


def test_a_file_that_is_gone_keeps_what_was_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from msgbench.data import photograph_store

    mine = tmp_path / "mine"
    mine.mkdir()
    for index in range(5):
        (mine / f"{index}.png").write_bytes(image(seed=index))
    prepare(spec_of("folder", mine), tmp_path / "whole")
    listed = photograph_store.open_photographs

    def then_remove(spec: DatasetSpec) -> Any:
        found = listed(spec)
        shutil.move(mine / "3.png", tmp_path / "3.png")
        return found

    monkeypatch.setattr(photograph_store, "open_photographs", then_remove)
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of("folder", mine), tmp_path / "store")
    assert str(caught.value) == f"{mine / '3.png'}: cannot be read (No such file or directory)"
    assert (tmp_path / "store" / ".partial" / "journal.jsonl").read_text().count("\n") == 3
    monkeypatch.undo()
    shutil.move(tmp_path / "3.png", mine / "3.png")
    prepare(spec_of("folder", mine), tmp_path / "store")
    assert (tmp_path / "store" / "images.npy").read_bytes() == (
        tmp_path / "whole" / "images.npy"
    ).read_bytes()


def test_without_the_package_lmdb_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = raw_of("lsun_churches", tmp_path / "raw")
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(
        DatasetError, match=r"not installed; install it \(pip install 'msgbench\[lsun\]'\)"
    ):
        prepare(spec_of("lsun_churches", raw), tmp_path / "store")
