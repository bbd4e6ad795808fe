"""Every wrong folder of images: one exact sentence, exit code 3, and not one file left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from msgbench.data.prepare import prepare
from msgbench.errors import DatasetError

if TYPE_CHECKING:
    from .conftest import MakeSpec, Pictures

FORMS = (
    "cifar-10-binary.tar.gz, cifar-10-batches-bin/, cifar-10-python.tar.gz, cifar-10-batches-py/, "
    "a folder that holds one of these, or a folder of images (airplane/ to truck/, "
    "or train/ and test/ with these)"
)
CLASSES = "one folder for each class (airplane to truck)"
ALL = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"


class Case(NamedTuple):
    """Files by their paths (bytes, or None for a good image), what else is done, and the sentence."""

    files: dict[str, bytes | None]
    sentence: str
    then: Callable[[Path], object] = lambda root: None
    split: str = "train"
    num_images: int | None = None


def link(name: str, target: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target.format(root=root))

    return make


def sparse(name: str, size: int) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        with (root / name).open("wb") as file:
            file.truncate(size)

    return make


def folder(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).mkdir(parents=True)


CASES = {
    "a short name": Case(
        {"cat/1.png": None, "car/1.png": None},
        "{path}/car: is no class of CIFAR-10; did you mean 'automobile'?",
    ),
    "a plural": Case(
        {"bird/1.png": None, "cats/1.png": None},
        "{path}/cats: is no class of CIFAR-10; did you mean 'cat'?",
    ),
    "capitals in all names": Case(
        {"Airplane/1.png": None, "Cat/1.png": None},
        "{path}/Airplane: is no class of CIFAR-10; did you mean 'airplane'?",
    ),
    "numbers for names": Case(
        {"0/1.png": None, "9/1.png": None},
        "{path}/0: is no class of CIFAR-10; did you mean 'airplane'?",
    ),
    "another class": Case(
        {"cat/1.png": None, "wolverine/1.png": None},
        f"{{path}}/wolverine: is no class of CIFAR-10; allowed: {ALL}",
    ),
    "a split of another name": Case(
        {"training/cat/1.png": None, "tests/cat/1.png": None},
        "{path}/tests: is no class of CIFAR-10; did you mean 'test'?",
    ),
    "another dataset": Case(
        {"n01440764/1.png": None, "n01443537/1.png": None},
        f"{{path}}: holds no CIFAR-10 (found n01440764, n01443537); expected {FORMS}",
    ),
    "another class in a split": Case(
        {"train/plane/1.png": None},
        "{path}/train/plane: is no class of CIFAR-10; did you mean 'airplane'?",
    ),
    "classes beside a split": Case(
        {"train/cat/1.png": None, "cat/1.png": None},
        "{path}: holds a class (cat) beside a split (train); "
        "expected folders of classes, or train and test with these",
    ),
    "no test split": Case(
        {"train/cat/1.png": None},
        f"{{path}}: has no images of split test (found train); expected a folder test with {CLASSES}",
        split="test",
    ),
    "no train split": Case(
        {"test/cat/1.png": None},
        f"{{path}}: has no images of split train (found test); expected a folder train with {CLASSES}",
    ),
    "empty split": Case(
        {"test/cat/1.png": None},
        f"{{path}}/train: holds no images; expected {CLASSES}",
        folder("train"),
    ),
    "empty classes": Case(
        {"train/cat/.keep": b""}, f"{{path}}/train: holds no images; expected {CLASSES}"
    ),
    "images without class": Case(
        {"train/0_frog.png": None, "train/cat/1.png": None},
        f"{{path}}/train/0_frog.png: lies in no class; expected {CLASSES} in {{path}}/train",
    ),
    "folders inside of a class": Case(
        {"train/cat/left/1.png": None},
        "{path}/train/cat/left: is a folder inside of a class; expected images only",
    ),
    "another kind of file": Case(
        {"cat/1.png": None, "cat/2.npy": b"x"},
        "{path}/cat/2.npy: is not an image by its name; expected .png, .bmp, .webp, .jpg, .jpeg, .jfif",
    ),
    "a pipe": Case(
        {"cat/1.png": None},
        "{path}/cat/2.png: is neither a file nor a folder; expected an image",
        lambda root: os.mkfifo(root / "cat" / "2.png"),
    ),
    "link out of the tree": Case(
        {"cat/1.png": None},
        "{path}/cat/2.png: is a link to /etc/hostname, outside of {path}; expected no such link",
        link("cat/2.png", "/etc/hostname"),
    ),
    "class out of the tree": Case(
        {"cat/1.png": None},
        "{path}/dog: is a link to /etc, outside of {path}; expected no such link",
        link("dog", "/etc"),
    ),
    "split out of the tree": Case(
        {"test/cat/1.png": None},
        "{path}/train: is a link to /etc, outside of {path}; expected no such link",
        link("train", "../../../../../../../../../../../../../../etc"),
    ),
    "link to nothing": Case(
        {"cat/1.png": None},
        "{path}/cat/2.png: is a link to nothing; expected an image or a folder",
        link("cat/2.png", "3.png"),
    ),
    "link to itself": Case(
        {"cat/1.png": None},
        "{path}/cat/2.png: is a link to nothing; expected an image or a folder",
        link("cat/2.png", "2.png"),
    ),
    "class that is the tree": Case(
        {"cat/1.png": None},
        "{path}/dog/cat: is a folder inside of a class; expected images only",
        link("dog", "."),
    ),
    "damaged": Case(
        {"cat/1.png": None, "dog/2.png": b"\x89PNG\r\n\x1a\n\0\0"},
        "{path}/dog/2.png: is a damaged or truncated PNG file; expected an image of 32x32 px",
    ),
    "empty": Case(
        {"cat/1.png": None, "dog/2.png": b""},
        "{path}/dog/2.png: is empty; expected an image of 32x32 px",
    ),
    "a page under an image's name": Case(
        {"cat/1.jpg": b"<html>404</html>"},
        "{path}/cat/1.jpg: is not an image (by its first bytes); expected PNG, BMP, lossless WebP or JPEG",
    ),
    "far too large": Case(
        {"cat/1.png": None},
        "{path}/cat/2.png: is 2000000 bytes long; expected an image of 32x32 px",
        sparse("cat/2.png", 2_000_000),
    ),
    "more than there is": Case(
        {"cat/1.png": None, "dog/1.png": None},
        "datasets.cifar10.num_images: is 3, the source holds 2 images of split train",
        num_images=3,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_and_nothing_left(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures, name: str
) -> None:
    case = CASES[name]
    raw = pictures.tree(tmp_path / "raw", dict(case.files))
    case.then(raw)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError) as caught:
        prepare(cifar_spec(raw, case.split, case.num_images), tmp_path / "results" / "store")
    assert str(caught.value) == case.sentence.format(path=raw)
    assert caught.value.exit_code == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wrong_image_keeps_the_earlier_store(
    tmp_path: Path, cifar_spec: MakeSpec, pictures: Pictures
) -> None:
    raw = pictures.tree(tmp_path / "raw", {"cat/1.png": None})
    prepare(cifar_spec(raw), tmp_path / "store")
    before = {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()}
    pictures.tree(raw, {"dog/1.png": pictures.file(pictures.pixels(28))})
    with pytest.raises(DatasetError, match=r"dog/1\.png: is 28x28 px; expected 32x32$"):
        prepare(cifar_spec(raw), tmp_path / "store")
    assert {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()} == before
