"""`data check` and `data show` for photographs: what a copy or a store holds, against what was published."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from msgbench.cli import app
from msgbench.config import DatasetSpec
from msgbench.data.check import check
from msgbench.data.check_photographs import guess
from msgbench.data.prepare import prepare
from msgbench.data.stand_ins import draw_raw
from msgbench.errors import DatasetError


def raw_of(source: str, folder: Path, images: int = 6) -> Path:
    fields = {"name": "x", "source": source, "resolution": 32, "mirror": False, "drawn": images}
    return draw_raw(DatasetSpec.model_validate(fields), folder)


def store_of(source: str, path: Path, store: Path, **changes: Any) -> Path:
    fields = {
        "name": "x",
        "source": source,
        "path": str(path),
        "accept_terms": True,
        "resolution": 32,
        "mirror": False,
    }
    prepare(DatasetSpec.model_validate(fields | changes), store)
    return store


def report(place: Path, *arguments: Any) -> dict[str, str]:
    """The lines by their label; several lines of one label are joined."""
    found: dict[str, str] = {}
    for line in check(place, *arguments):
        label, text = line[:12].strip(), line[12:]
        found[label] = f"{found[label]} / {text}" if label in found else text
    return found


def test_a_cut_copy_is_read_whole_and_says_what_differs(tmp_path: Path) -> None:
    raw = raw_of("celeba", tmp_path / "raw")
    with zipfile.ZipFile(raw / "img_align_celeba.zip") as archive:
        archive.extractall(tmp_path)
    faces = tmp_path / "img_align_celeba"
    shutil.copy(faces / "000002.jpg", faces / "000009.jpg")
    Image.open(faces / "000003.jpg").convert("L").save(faces / "000003.jpg")
    found = report(faces)
    assert found["images"] == "7 of 178x218 px, split train of celeba"
    assert (
        found["source"]
        == "CelebA (aligned), folder of images: not complete, 7 of the 202,599 published images"
    )
    assert found["rules"] == "grayscale: 1"
    assert found["duplicates"] == "1 image is repeated: 1 = 6"
    assert "research" in found["licence"]
    assert found["leakage"].startswith("not looked for")


def test_images_that_cannot_be_used_end_it_with_an_error_after_all_lines(tmp_path: Path) -> None:
    raw = raw_of("celeba", tmp_path / "raw")
    with zipfile.ZipFile(raw / "img_align_celeba.zip") as archive:
        archive.extractall(tmp_path)
    faces = tmp_path / "img_align_celeba"
    (faces / "000001.jpg").write_bytes((faces / "000001.jpg").read_bytes()[:500])
    Image.open(faces / "000003.jpg").resize((100, 100)).save(faces / "000003.jpg")
    lines = []
    with pytest.raises(DatasetError) as caught:
        lines.extend(check(faces))
    assert str(caught.value) == (
        f"{faces}: has images that cannot be used: {faces / '000001.jpg'}: is a damaged or truncated JPEG file; "
        "expected an image, 1 are not 178x218 px"
    )


def test_leakage_between_two_copies(tmp_path: Path) -> None:
    raw = raw_of("folder", tmp_path / "raw", images=4)
    shutil.copytree(raw, tmp_path / "other")
    (tmp_path / "other" / "person00" / "0.png").unlink()
    found = report(raw, None, tmp_path / "other", "folder")
    assert found["leakage"] == (
        f"3 images are shared between split train and split train ({tmp_path / 'other'}): "
        "train 1 = train 0, train 2 = train 1, train 3 = train 2"
    )


def test_leakage_between_two_stores(tmp_path: Path) -> None:
    raw = raw_of("folder", tmp_path / "raw", images=4)
    one = store_of("folder", raw, tmp_path / "one" / "a")
    two = store_of("folder", raw, tmp_path / "two" / "b", num_images=2, name="y")
    assert report(one, None, two)["leakage"].startswith("2 images are shared between split train")
    with pytest.raises(DatasetError, match=r"is no store; the images of .* are fitted and resized"):
        report(one, None, raw)
    with pytest.raises(DatasetError, match="is a store, whose images are fitted and resized"):
        report(raw, None, one, "folder")
    larger = store_of("folder", raw, tmp_path / "three" / "c", resolution=64)
    with pytest.raises(DatasetError, match="holds images of 64 px; expected 32"):
        report(one, None, larger)


def test_a_store_says_how_its_pixels_were_made(tmp_path: Path) -> None:
    raw = raw_of("lsun_churches", tmp_path / "raw")
    found = report(store_of("lsun_churches", raw, tmp_path / "stores" / "a"))
    assert found["pixels"] == f"crop, lanczos, Pillow {Image.__version__}"
    assert found["source"] == "lsun_churches, lmdb: incomplete, 6 of the 126,227 published images"
    assert found["bytes"].startswith("images.npy, images.tsv: all as the manifest says")
    assert found["duplicates"] == "none"


@pytest.mark.parametrize("file", ["images.npy", "images.tsv", "manifest.json"])
def test_a_changed_store_is_refused(tmp_path: Path, file: str) -> None:
    store = store_of("folder", raw_of("folder", tmp_path / "raw"), tmp_path / "stores" / "a")
    path = store / file
    raw = bytearray(path.read_bytes())
    raw[-200] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DatasetError, match=rf"{file}: "):
        report(store)


def test_the_digest_of_every_image_is_held_to_its_pixels(tmp_path: Path) -> None:
    """Also where file digests were written anew with wrong pixels."""
    from msgbench.records import sha256_file

    store = store_of("folder", raw_of("folder", tmp_path / "raw"), tmp_path / "stores" / "a")
    table = store / "images.tsv"
    lines = table.read_text().splitlines(keepends=True)
    lines[2], lines[3] = lines[3], lines[2]
    table.write_text("".join(lines))
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["files"][1]["sha256"] = sha256_file(table)
    (store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=r"image 1 is not the one of images.tsv"):
        report(store)


def test_a_copy_is_told_by_its_names(tmp_path: Path) -> None:
    expected = {
        "oxford_flowers": "oxford_flowers", "lsun_churches": "lsun_churches", "ffhq": "ffhq", "celeba": "celeba",
        "lsun_bedrooms": "lsun_bedrooms", "folder": "cifar10",
    }  # fmt: skip
    assert {source: guess(raw_of(source, tmp_path / source, 2)) for source in expected} == expected
    assert guess(tmp_path / "lsun_churches" / "church_outdoor_train_lmdb") == "lsun_churches"
    assert guess(tmp_path / "oxford_flowers" / "102flowers.tgz") == "oxford_flowers"


def test_photographs_that_nothing_names_lead_to_the_option_that_does(tmp_path: Path) -> None:
    raw = raw_of("folder", tmp_path / "raw", 2)
    with pytest.raises(DatasetError) as caught:
        list(check(raw))
    said = " (nothing told which dataset it is; --as names it, --as folder any images)"
    assert str(caught.value).endswith(said)
    with pytest.raises(DatasetError) as caught:
        list(check(raw, source="cifar10"))
    assert said not in str(caught.value)


def test_on_the_command_line(tmp_path: Path) -> None:
    raw = raw_of("celeba_hq", tmp_path / "raw", 3)
    run = CliRunner().invoke(app, ["data", "check", str(raw), "--as", "folder"])
    assert run.exit_code == 0
    assert "3 of 64x64 px, split train of folder" in run.output
    refused = CliRunner().invoke(app, ["data", "check", str(raw), "--as", "imagenet"])
    assert "--as: 'imagenet' is not allowed; allowed: cifar10, oxford_flowers" in str(
        refused.exception
    )


def test_a_contact_sheet_of_a_zip_store(tmp_path: Path) -> None:
    from msgbench.data.contact_sheet import write_contact_sheet
    from msgbench.data.store import Store

    mine = tmp_path / "mine"
    mine.mkdir()
    for index in range(3):
        Image.fromarray(np.full((512, 512, 3), 80 * index, np.uint8)).save(mine / f"{index}.png")
    store = store_of("folder", mine, tmp_path / "stores" / "a", resolution=512)
    assert write_contact_sheet(Store.open(store), tmp_path / "sheet.png", 3) == 3
    sheet = np.asarray(Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes())))
    assert {0, 80, 160} <= set(np.unique(sheet))


def test_bench_refuses_what_cannot_be_timed_and_times_the_rest() -> None:
    from msgbench.data.bench import CASES, bench_lines

    refused = CliRunner().invoke(app, ["data", "bench", "--images", "0"])
    assert "--images: 0 is not allowed; allowed: a whole number from 1" in str(refused.exception)
    lines = list(bench_lines(1, [1], 1))
    assert [line.split(" | ")[0] for line in lines[2:6]] == [f"| {case.title}" for case in CASES]
    assert all(float(line.split(" | ")[2].replace(",", "")) > 0 for line in lines[2:6])
