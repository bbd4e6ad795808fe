"""Datasets in the forms in which people have them, drawn by msgbench and read as real copies are."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msgbench.config import DatasetSpec
from msgbench.config.dataset import PHOTOGRAPHS, WITH_FACES
from msgbench.config.published import PUBLISHED
from msgbench.data.check_photographs import check_photographs
from msgbench.data.prepare import prepare
from msgbench.data.sources import open_photographs
from msgbench.data.stand_ins import draw_raw
from msgbench.data.store import Store
from msgbench.errors import DatasetError

REAL_FLOWERS = Path(__file__).parents[3] / "shared" / "data" / "flowers"


# Of the others faces are used (test_faces.py).
WHOLE = tuple(source for source in PHOTOGRAPHS if source not in WITH_FACES)


def spec_of(source: str, path: Path | None = None, **changes: Any) -> DatasetSpec:
    fields = {"name": "x", "source": source, "resolution": 32, "mirror": False}
    where = {} if path is None else {"path": str(path), "accept_terms": True}
    return DatasetSpec.model_validate(fields | where | changes)


def raw_of(source: str, folder: Path, images: int = 12, **changes: Any) -> Path:
    """The stand-in's raw form: what a user of a small copy would name as path."""
    return draw_raw(spec_of(source, drawn=images, **changes), folder)


def images_of(source: str, path: Path, store: Path, **changes: Any) -> np.ndarray:
    prepare(spec_of(source, path, **changes), store)
    return np.array(Store.open(store).images)


def unzip(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


def zip_of(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                opened.write(file, file.relative_to(folder.parent))
    return archive


@pytest.mark.parametrize("source", WHOLE)
def test_every_stand_in_goes_through_its_recipe(source: str, tmp_path: Path) -> None:
    manifest = prepare(spec_of(source, drawn=9), tmp_path / "store")
    store = Store.open(tmp_path / "store")
    store.verify()
    assert manifest.stand_in
    assert manifest.complete
    assert manifest.count == manifest.source.expected_count == 9
    assert manifest.source.recipe == source
    packing = manifest.packing
    assert packing is not None
    assert packing.licence == "drawn by msgbench"
    assert packing.libraries["pillow"] == Image.__version__
    assert packing.resize == PUBLISHED[source].resize
    assert len({image.tobytes() for image in np.array(store.images)}) == 9
    left = {path.name for path in (tmp_path / "store").iterdir()}
    assert left == {"images.npy", "images.tsv", "manifest.json", "prepare.json", ".prepare.lock"}


def test_stand_ins_of_different_datasets_differ(tmp_path: Path) -> None:
    seen = set()
    for source in WHOLE:
        prepare(spec_of(source, drawn=3), tmp_path / source)
        seen.add(Store.open(tmp_path / source).manifest.fingerprint)
    assert len(seen) == len(WHOLE)


def test_the_facts_of_all_recipes_are_stated() -> None:
    with_terms = {name for name, published in PUBLISHED.items() if published.terms}
    assert with_terms == {"celeba_hq", "ffhq", "celeba", "indian_celebs"}
    sides = {name: published.largest_side for name, published in PUBLISHED.items()}
    assert {name: side for name, side in sides.items() if side is not None} == {
        "celeba_hq": 1024, "ffhq": 1024, "celeba": 128,
    }  # fmt: skip
    counts = {name: published.counts.get("train") for name, published in PUBLISHED.items()}
    assert counts == {
        "oxford_flowers": 8_189, "lsun_churches": 126_227, "lsun_bedrooms": 3_033_042, "celeba_hq": 30_000,
        "ffhq": 70_000, "celeba": 202_599, "indian_celebs": None, "folder": None,
    }  # fmt: skip


def test_flowers_as_tarball_and_as_folder_are_one_dataset(tmp_path: Path) -> None:
    raw = raw_of("oxford_flowers", tmp_path / "raw")
    with tarfile.open(raw / "102flowers.tgz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
        first = archive.extractfile("jpg/image_00001.jpg")
        assert first is not None
        pixels = Image.open(io.BytesIO(first.read())).convert("RGB")
    forms = {
        "tarball": raw / "102flowers.tgz", "its folder": raw, "jpg": tmp_path / "unpacked" / "jpg",
        "above jpg": tmp_path / "unpacked",
    }  # fmt: skip
    found = {
        name: images_of("oxford_flowers", path, tmp_path / name) for name, path in forms.items()
    }
    for images in found.values():
        np.testing.assert_array_equal(images, found["tarball"])
    # As the authors' tool: bilinear, the aspect not kept.
    assert pixels.size == (52, 64)
    stretched = pixels.resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found["tarball"][0], np.asarray(stretched))
    cropped = images_of("oxford_flowers", raw, tmp_path / "cropped", fit="crop")
    square = pixels.crop((0, 6, 52, 58)).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(cropped[0], np.asarray(square))


@pytest.mark.parametrize("source", ["lsun_churches", "lsun_bedrooms"])
def test_lsun_as_database_zip_and_images_are_one_dataset(source: str, tmp_path: Path) -> None:
    import lmdb

    raw = raw_of(source, tmp_path / "raw")
    name = {"lsun_churches": "church_outdoor_train_lmdb", "lsun_bedrooms": "bedroom_train_lmdb"}[
        source
    ]
    if source == "lsun_bedrooms":
        unzip(raw / f"{name}.zip", raw)
    else:
        zip_of(raw / name, raw / f"{name}.zip")
    exported = tmp_path / "exported"
    with (
        lmdb.open(str(raw / name), readonly=True, lock=False) as database,
        database.begin() as read,
    ):
        entries = dict(read.cursor())
    for key, content in entries.items():
        path = exported / chr(key[0]) / f"{key.decode()}.webp"  # as LSUN's own export names them
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    forms = {
        "folder": raw / name, "above it": raw, "file": raw / name / "data.mdb", "zip": raw / f"{name}.zip",
        "exported": exported, "zip of images": zip_of(exported, tmp_path / "images.zip"),
    }  # fmt: skip
    found = {form: images_of(source, path, tmp_path / form) for form, path in forms.items()}
    for images in found.values():
        np.testing.assert_array_equal(images, found["folder"])
    first = Image.open(io.BytesIO(entries[min(entries)])).convert("RGB")
    assert first.width != first.height or first.size == (64, 64)
    side = min(first.size)
    left, top = (first.width - side) // 2, (first.height - side) // 2
    square = first.crop((left, top, left + side, top + side)).resize(
        (32, 32), Image.Resampling.LANCZOS
    )
    np.testing.assert_array_equal(found["folder"][0], np.asarray(square))


def test_lsun_has_a_second_split_in_a_database_of_its_own(tmp_path: Path) -> None:
    raw = raw_of("lsun_churches", tmp_path / "raw", split="test")
    assert (raw / "church_outdoor_val_lmdb").is_dir()
    manifest = prepare(spec_of("lsun_churches", raw, split="test"), tmp_path / "store")
    assert (manifest.count, manifest.source.expected_count, manifest.complete) == (12, 300, False)


def full_size(published: tuple[int, int]) -> Callable[[int], Image.Image]:
    """Distinct images of a published size."""

    def make(index: int) -> Image.Image:
        small = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(small).resize(published, Image.Resampling.NEAREST)

    return make


def test_celeba_hq_as_images_zip_and_arrays_is_one_dataset(tmp_path: Path) -> None:
    make = full_size((1024, 1024))
    images, arrays = tmp_path / "data1024x1024", tmp_path / "arrays"
    images.mkdir()
    arrays.mkdir()
    for index in range(3):
        make(index).save(images / f"{index:05d}.png", compress_level=1)
        np.save(arrays / f"imgHQ{index:05d}.npy", np.asarray(make(index)).transpose(2, 0, 1)[None])
    forms = {"folder": images, "above": tmp_path, "arrays": arrays}
    forms["zip"] = zip_of(images, tmp_path / "celeba-hq.zip")
    found = {
        name: images_of("celeba_hq", path, tmp_path / "stores" / name)
        for name, path in forms.items()
    }
    for stored in found.values():
        np.testing.assert_array_equal(stored, found["folder"])
    block = np.asarray(make(2)).astype(np.float64).reshape(32, 32, 32, 32, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found["zip"][2], block, atol=1)


def test_ffhq_is_read_from_its_tree_without_the_thumbnails(tmp_path: Path) -> None:
    make = full_size((1024, 1024))
    for index, number in enumerate((0, 2, 10, 1000)):
        path = tmp_path / "images1024x1024" / f"{number // 1000 * 1000:05d}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        make(index).save(path, compress_level=1)
        thumbnail = tmp_path / "thumbnails128x128" / f"{number:05d}.png"
        thumbnail.parent.mkdir(exist_ok=True)
        make(index).resize((128, 128)).save(thumbnail)
    stored = images_of("ffhq", tmp_path, tmp_path / "store")
    expected = [
        np.asarray(make(index).resize((32, 32), Image.Resampling.BOX)) for index in range(4)
    ]
    np.testing.assert_array_equal(stored, expected)
    zipped = zip_of(tmp_path / "images1024x1024", tmp_path / "ffhq.zip")
    np.testing.assert_array_equal(images_of("ffhq", zipped, tmp_path / "zipped"), expected)
    with pytest.raises(
        DatasetError, match=r"00000.png: is 128x128 px; expected 1024x1024, the size of all"
    ):
        prepare(spec_of("ffhq", tmp_path / "thumbnails128x128"), tmp_path / "wrong")


def test_celeba_is_the_window_around_the_face(tmp_path: Path) -> None:
    raw = raw_of("celeba", tmp_path / "raw")
    folder = unzip(raw / "img_align_celeba.zip", tmp_path / "unzipped")
    stored = images_of("celeba", folder, tmp_path / "store", resolution=128)
    image = np.asarray(Image.open(folder / "img_align_celeba" / "000001.jpg").convert("RGB"))
    assert image.shape == (218, 178, 3)
    # 64 pixels to each side of (89, 121), as create_celeba of ProGAN's tool; not resized.
    np.testing.assert_array_equal(stored[0], image[121 - 64 : 121 + 64, 89 - 64 : 89 + 64])
    np.testing.assert_array_equal(
        images_of("celeba", raw, tmp_path / "zip", resolution=128), stored
    )


def test_a_folder_of_any_images_is_read_in_natural_order(tmp_path: Path) -> None:
    for index, name in enumerate(("a/2.png", "a/10.jpg", "b/1.webp", "c.bmp")):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        full_size((40 + index, 36))(index).save(path)
    (tmp_path / "mine" / ".hidden.png").write_bytes(b"?")
    (tmp_path / "mine" / "readme.txt").write_text("mine")
    manifest = prepare(spec_of("folder", tmp_path / "mine"), tmp_path / "store")
    names = [
        line.split("\t")[3]
        for line in (tmp_path / "store" / "images.tsv").read_text().splitlines()[1:]
    ]
    assert names == ["a/2.png", "a/10.jpg", "b/1.webp", "c.bmp"]
    assert manifest.complete
    assert manifest.packing is not None
    assert manifest.packing.terms is None


def test_jpegs_called_jfif_are_read_by_their_content(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    full_size((40, 40))(0).save(mine / "0.png")
    full_size((40, 40))(1).save(mine / "1.JFIF", format="JPEG")
    full_size((40, 40))(2).save(mine / "2.jpg")
    for place in (mine, zip_of(mine, tmp_path / "mine.zip")):
        stored = images_of("folder", place, tmp_path / f"of-{place.name}")
        (mine / "1.JFIF").rename(mine / "1.jpg")
        named_jpg = images_of("folder", mine, tmp_path / f"named-jpg-{place.name}")
        (mine / "1.jpg").rename(mine / "1.JFIF")
        assert len(stored) == 3
        np.testing.assert_array_equal(stored, named_jpg)


def test_a_store_from_before_jfif_was_read_is_kept_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    full_size((40, 40))(0).save(mine / "0.png")
    before = prepare(spec_of("folder", mine), tmp_path / "store")
    full_size((40, 40))(1).save(mine / "1.jfif", format="JPEG")
    assert prepare(spec_of("folder", mine), tmp_path / "store") == before
    assert (
        "x: files called .jfif (1) are not in its store, which was made of the others; delete its folder to have them "
        "packed, too\n" in capsys.readouterr().err
    )
    full_size((40, 40))(2).save(mine / "2.png")
    assert prepare(spec_of("folder", mine), tmp_path / "store").count == 3


def test_a_store_stands_without_its_files_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    full_size((40, 40))(0).save(mine / "0.png")
    before = prepare(spec_of("folder", mine), tmp_path / "store")
    (mine / "0.png").unlink()
    assert prepare(spec_of("folder", mine), tmp_path / "store") == before
    assert (
        f"x: its store was made before and stands, although {mine}: holds no images; expected a folder"
        in capsys.readouterr().err
    )


def test_images_in_forms_that_are_not_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    full_size((40, 40))(0).save(mine / "0.png")
    full_size((40, 40))(1).save(mine / "1.TIFF")
    full_size((40, 40))(2).save(mine / "2.gif")
    (mine / "readme.txt").write_text("mine")
    archive = zip_of(mine, tmp_path / "mine.zip")
    said = (
        "2 of the files are left out, which are images by their names and not JPEG, PNG, WebP, BMP or .npy: "
        "1.TIFF, 2.gif\n"
    )
    for place in (mine, archive):
        assert prepare(spec_of("folder", place), tmp_path / f"of-{place.name}").count == 1
        assert said in capsys.readouterr().err
    lines = list(check_photographs(mine, "folder", "train", None))
    assert any("2 images that are not JPEG, PNG, WebP, BMP or .npy" in line for line in lines)


def test_the_first_images_are_taken_where_not_all_are_asked_for(tmp_path: Path) -> None:
    raw = raw_of("lsun_churches", tmp_path / "raw")
    everything = images_of("lsun_churches", raw, tmp_path / "all")
    some = images_of("lsun_churches", raw, tmp_path / "some", num_images=5)
    np.testing.assert_array_equal(some, everything[:5])
    with pytest.raises(
        DatasetError, match=r"datasets.x.num_images: is 13, the source holds 12 images"
    ):
        prepare(spec_of("lsun_churches", raw, num_images=13), tmp_path / "more")


def test_terms_have_to_be_accepted(tmp_path: Path) -> None:
    raw = raw_of("celeba", tmp_path / "raw")
    with pytest.raises(DatasetError) as caught:
        prepare(spec_of("celeba", raw, accept_terms=False), tmp_path / "store")
    assert str(caught.value) == (
        "datasets.x.accept_terms: is false; CelebA (aligned) may be used only under its publisher's terms: "
        "non-commercial research only, no redistribution (CelebA's agreement); photographs of living people; set it "
        "to true if you accept them"
    )
    assert not (tmp_path / "store").exists()
    manifest = prepare(spec_of("celeba", raw), tmp_path / "store")
    assert manifest.packing is not None
    assert manifest.packing.accept_terms
    assert "research" in manifest.packing.licence


def test_what_rules_changed_is_counted(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    make = full_size((40, 40))
    make(0).save(mine / "0.png")
    make(1).convert("L").save(mine / "1.png")
    make(2).convert("L").save(mine / "2.jpg")
    make(3).resize((16, 20)).save(mine / "3.png")
    manifest = prepare(spec_of("folder", mine), tmp_path / "store")
    assert manifest.packing is not None
    assert manifest.packing.changes == {"enlarged": 1, "grayscale": 2}
    rows = [
        line.split("\t") for line in (tmp_path / "store" / "images.tsv").read_text().splitlines()
    ]
    assert [row[4] for row in rows] == ["changes", "", "grayscale", "grayscale", "enlarged"]


def test_a_store_is_made_anew_when_the_source_has_more_files(tmp_path: Path) -> None:
    raw = raw_of("ffhq", tmp_path / "raw", images=4)
    mine = raw / "images1024x1024"
    assert len(images_of("folder", mine, tmp_path / "store")) == 4
    shutil.copy(mine / "00000" / "00000.png", mine / "00000" / "00004.png")
    assert len(images_of("folder", mine, tmp_path / "store")) == 5


@pytest.mark.skipif(
    not REAL_FLOWERS.is_dir(), reason="no photographs of flowers beside the repository"
)
def test_real_photographs_of_flowers(tmp_path: Path) -> None:
    spec = spec_of("oxford_flowers", REAL_FLOWERS, resolution=256, num_images=40)
    manifest = prepare(spec, tmp_path / "store")
    assert manifest.count == 40
    assert manifest.source.count == 170
    assert not manifest.complete
    store = Store.open(tmp_path / "store")
    first = sorted((REAL_FLOWERS / "jpg").iterdir())[0]
    with Image.open(first) as image:
        expected = np.asarray(image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(store.images[0], expected)
    assert open_photographs(spec).form == "folder of images"
