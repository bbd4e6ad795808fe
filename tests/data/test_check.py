"""`data check` finds what is planted, and nothing where nothing is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from msgbench.data.check import check
from msgbench.data.findings import copies, digests_of, shared
from msgbench.data.prepare import prepare
from msgbench.errors import DatasetError
from msgbench.layout import Layout

if TYPE_CHECKING:
    from .conftest import MakeSpec, Pictures, WriteForms

NONE = "airplane 0, automobile 0, bird {}, cat {}, deer 0, dog {}, frog 0, horse 0, ship 0, truck 0"


def test_copies_and_shared_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    images[4] = images[1]
    images[5] = images[1]
    images[3] = images[0]
    turned = images[2].transpose(1, 0, 2)  # another image, though its memory holds the same bytes
    digests = digests_of(images)
    assert copies(digests) == [[0, 3], [1, 4, 5]]
    assert copies([digests[0], digests[1], digests[2]]) == []
    assert shared(digests[2:4], digests) == [(0, 2), (1, 0)]
    assert shared(digests_of([turned]), digests) == []


def test_a_clean_raw_source(tmp_path: Path, write_forms: WriteForms) -> None:
    path = write_forms(tmp_path, "python tarball")
    lines = list(check(path))
    assert lines[0] == f"raw source  {path}"
    assert lines[1] == "images      15 of 32x32 px, split train of cifar10"
    assert lines[2] == "source      cifar10, python: incomplete, 15 of the 50,000 published images"
    assert lines[3].startswith("classes     airplane ")
    assert lines[4] == "duplicates  none"
    assert lines[5] == "images      3 of 32x32 px, split test of cifar10"
    assert lines[-1] == f"leakage     none between split train and split test ({path})"
    assert len(lines) == 10


@pytest.fixture
def dirty(tmp_path: Path, pictures: Pictures) -> Path:
    """Five training images, two of them in the other split too, one three times and under two labels."""
    one, two, jpeg = pictures.pixels(), pictures.pixels(), pictures.file(kind="JPEG")
    pictures.tree(tmp_path / "raw", {"train/cat/1.png": one, "train/cat/2.png": two})
    pictures.tree(tmp_path / "raw", {"train/dog/1.png": one, "train/dog/2.png": one})
    pictures.tree(tmp_path / "raw", {"train/bird/1.jpg": jpeg})
    pictures.tree(tmp_path / "raw", {"test/cat/7.bmp": pictures.file(two, "BMP")})
    return pictures.tree(tmp_path / "raw", {"test/dog/8.png": one, "test/dog/9.png": None})


def test_findings_of_a_raw_source(dirty: Path) -> None:
    # The order: bird/1, cat/1, dog/1, cat/2, dog/2 and cat/7, dog/8, dog/9.
    assert list(check(dirty)) == [
        f"raw source  {dirty}",
        "images      5 of 32x32 px, split train of cifar10",
        "source      cifar10, folder of images: incomplete, 5 of the 50,000 published images",
        "source      lossy: JPEG files, whose pixels are not exactly the published ones",
        f"classes     {NONE.format(1, 2, 2)}",
        "duplicates  2 images are repeated: 1 = 2 = 4",
        "duplicates  some under different labels: 1 = 2 = 4",
        "images      3 of 32x32 px, split test of cifar10",
        "source      cifar10, folder of images: incomplete, 3 of the 10,000 published images",
        f"classes     {NONE.format(0, 1, 2)}",
        "duplicates  none",
        f"leakage     4 images are shared between split train and split test ({dirty}): "
        "train 1 = test 1, train 2 = test 1, train 3 = test 0, and 1 more",
    ]


def test_one_split_of_a_raw_source(dirty: Path) -> None:
    lines = list(check(dirty, split="test"))
    assert [line for line in lines if line.startswith("images")] == [
        "images      3 of 32x32 px, split test of cifar10"
    ]
    assert lines[-1] == (
        f"leakage     2 images are shared between split test and split train ({dirty}): "
        "test 0 = train 3, test 1 = train 1"
    )


def test_a_source_that_does_not_tell_splits_apart(dirty: Path) -> None:
    """Never compared with itself; compared when the other one is named."""
    lines = list(check(dirty / "train"))
    assert (
        lines[-1]
        == "leakage     not looked for: the source holds no split test; name one with --against"
    )
    assert list(check(dirty / "test", split="test"))[-1].startswith("leakage     not looked for")
    named = list(check(dirty / "train", against=dirty / "test"))[-1]
    assert named.startswith("leakage     4 images are shared")


def test_a_store(dirty: Path, tmp_path: Path, cifar_spec: MakeSpec) -> None:
    """The other split is read from where this one came from."""
    manifest = prepare(cifar_spec(dirty), tmp_path / "store")
    lines = list(check(tmp_path / "store"))
    assert lines[:5] == [
        f"store       {tmp_path / 'store'}",
        "images      5 of 32x32 px, split train of cifar10",
        f"bytes       images.npy, labels.npy: all as the manifest says, content {manifest.fingerprint[:8]}",
        "source      cifar10, folder of images: incomplete, 5 of the 50,000 published images",
        "source      lossy: JPEG files, whose pixels are not exactly the published ones",
    ]
    assert lines[5:] == [*list(check(dirty))[4:7], list(check(dirty))[-1]]


def test_a_capped_store_says_so(dirty: Path, tmp_path: Path, cifar_spec: MakeSpec) -> None:
    prepare(cifar_spec(dirty, num_images=2), tmp_path / "store")
    lines = list(check(tmp_path / "store"))
    assert lines[1] == (
        "images      2 of 32x32 px, split train of cifar10 (the first 2 of 5, as num_images asks)"
    )
    assert "duplicates  none" in lines


def test_the_other_split_in_a_store_beside(
    dirty: Path, tmp_path: Path, cifar_spec: MakeSpec
) -> None:
    """In the layout of results: under the same name, or as another dataset of the tier."""
    layout = Layout(tmp_path / "results", "mini")
    train = layout.dataset_dir("cifar10", "a" * 64)
    test = layout.dataset_dir("cifar10-test", "b" * 64)
    prepare(cifar_spec(dirty), train)
    prepare(cifar_spec(dirty, "test"), test)
    dirty.rename(tmp_path / "moved away")
    assert list(check(train))[-1].startswith(
        f"leakage     4 images are shared between split train and split test ({test.absolute()}): "
    )
    assert list(check(test))[-1].startswith("leakage     2 images are shared")
    (test / "manifest.json").write_text("broken")
    assert list(check(train))[-1] == (
        "leakage     not looked for: no store of split test lies beside this one, "
        f"and none can be read from {dirty}; name one with --against"
    )


def test_a_store_of_both_splits(dirty: Path, tmp_path: Path, cifar_spec: MakeSpec) -> None:
    """What the splits share is among its duplicates, and there is no other split to look at."""
    prepare(cifar_spec(dirty, "all"), tmp_path / "all")
    prepare(cifar_spec(dirty, "test"), tmp_path / "test")
    lines = list(check(tmp_path / "all"))
    assert lines[-1] == "leakage     not looked for: split all is train and test together"
    assert any(line.startswith("duplicates") and "repeated" in line for line in lines)
    with pytest.raises(DatasetError) as caught:
        list(check(tmp_path / "all", against=tmp_path / "test"))
    assert str(caught.value) == (
        f"{tmp_path / 'all'}: holds split all, train and test together; --against is for one of them"
    )


def test_a_drawn_store(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    prepare(drawn_spec(24), tmp_path / "a" / "train")
    lines = list(check(tmp_path / "a" / "train"))
    assert "source      drawn by msgbench as a stand-in, not the published images" in lines
    assert lines[-1] == (
        "leakage     not looked for: no store of split test lies beside this one; "
        "name one with --against"
    )
    prepare(drawn_spec(24, split="test"), tmp_path / "a" / "test")
    assert list(check(tmp_path / "a" / "train"))[-1] == (
        f"leakage     none between split train and split test ({tmp_path / 'a' / 'test'})"
    )


def flip_a_byte(store: Path) -> None:
    with (store / "images.npy").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))


def beautify(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_bytes())
    (store / "manifest.json").write_text(json.dumps({**manifest, "complete": True}))


AGAIN = "run `msgbench prepare` again"
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed byte": (flip_a_byte, "{0}/images.npy: its sha256 is "),
    "no images": (
        lambda store: (store / "images.npy").unlink(),
        "{0}/images.npy: cannot be read (No such file or directory); " + AGAIN,
    ),
    "no manifest": (
        lambda store: (store / "manifest.json").unlink(),
        "{0}: is not a prepared dataset (no manifest.json); make it with `msgbench prepare`",
    ),
    "an edited manifest": (
        beautify,
        "{0}/manifest.json: is not the manifest that was written with this store; delete it and " + AGAIN,
    ),
    "a broken record": (
        lambda store: (store / "prepare.json").write_text("[]"),
        "{0}/prepare.json: is not a record of `msgbench prepare`; delete it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_store_is_an_error(tmp_path: Path, drawn_spec: MakeSpec, name: str) -> None:
    store = tmp_path / "store"
    prepare(drawn_spec(12, resolution=8), store)
    damage, sentence = WRONG[name]
    damage(store)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError) as caught:
        list(check(store))
    assert str(caught.value).startswith(sentence.format(store))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_without_its_record_is_still_checked(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    prepare(drawn_spec(12, resolution=8), tmp_path / "store")
    (tmp_path / "store" / "prepare.json").unlink()
    assert "duplicates  none" in list(check(tmp_path / "store"))


def test_wrong_places(tmp_path: Path, drawn_spec: MakeSpec, cifar_spec: MakeSpec, dirty: Path) -> None:  # fmt: skip
    prepare(drawn_spec(12, resolution=8), tmp_path / "store")
    rows = [
        (
            {"place": tmp_path / "nowhere"},
            f"{tmp_path / 'nowhere'}: does not exist; expected a store made by `msgbench prepare` "
            "or a raw dataset",
        ),
        (
            {"place": tmp_path / ("x" * 300)},
            f"{tmp_path / ('x' * 300)}: cannot be read (File name too long)",
        ),
        (
            {"place": tmp_path / "store", "split": "test"},
            f"{tmp_path / 'store'}: is a store, which holds one split; --split test is for raw sources",
        ),
        (
            {"place": dirty, "against": tmp_path / "store"},
            f"{tmp_path / 'store'}: holds split train; expected split test",
        ),
    ]
    for arguments, sentence in rows:
        with pytest.raises(DatasetError) as caught:
            list(check(**arguments))  # type: ignore[arg-type]
        assert str(caught.value) == sentence
    (dirty / "test").rename(tmp_path / "gone")
    with pytest.raises(DatasetError, match="has no images of split test"):
        list(check(dirty, split="test"))


def msgbench(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line, which must not have loaded torch when it ends."""
    code = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: 'torch' in sys.modules and os._exit(99))\n"
        "from msgbench.cli import main\n"
        "main()"
    )
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def test_the_command(dirty: Path) -> None:
    """Findings are lines and exit code 0, what is wrong is one sentence and 3."""
    done = msgbench("data", "check", dirty)
    assert (done.returncode, done.stdout.splitlines()) == (0, list(check(dirty)))
    (dirty / "test" / "dog" / "8.png").write_bytes(b"x")
    done = msgbench("data", "check", dirty)
    assert done.returncode == 3
    assert "images      5 of 32x32 px, split train of cifar10\n" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        f"msgbench: error: {dirty}/test/dog/8.png: is not an image (by its first bytes); "
        "expected PNG, BMP, lossless WebP or JPEG"
    )
    assert "Traceback" not in done.stderr
    done = msgbench("data", "check", dirty, "--split", "tset")
    assert done.returncode == 2
    assert done.stderr == "msgbench: error: --split: 'tset' is not allowed; allowed: train, test\n"


def test_the_command_that_shows(tmp_path: Path, drawn_spec: MakeSpec) -> None:
    prepare(drawn_spec(24), tmp_path / "store")
    out = tmp_path / "new" / "sheet.png"
    done = msgbench("data", "show", tmp_path / "store", "--out", out, "--images", 12)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"12 images in {out}\n")
    assert out.read_bytes().startswith(b"\x89PNG")
    rows = {
        ("--out", "a.jpg"): (2, "--out: 'a.jpg' is not allowed; allowed: a file name with .png"),
        ("--out", out, "--images", 0): (2, "--images: 0 is not allowed; allowed: 1 to 2500"),
    }
    for arguments, (code, sentence) in rows.items():
        done = msgbench("data", "show", tmp_path / "store", *arguments)
        assert (done.returncode, done.stderr) == (code, f"msgbench: error: {sentence}\n")


def test_the_real_copy(shared_folder: Path) -> None:
    """22,000 photographs: cut short, and no exact copies within or between the splits."""
    place = shared_folder / "data" / "cifar-10-batches-bin"
    lines = list(check(place))
    assert "source      cifar10, binary: incomplete, 20,000 of the 50,000 published images" in lines
    assert lines.count("duplicates  none") == 2
    assert lines[-1] == f"leakage     none between split train and split test ({place})"
