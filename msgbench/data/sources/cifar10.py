"""CIFAR-10 in its official forms, binary and python, each as a folder or a tarball; or as a folder of images.

The binary form is rows of 3073 bytes (a label, then 1024 red, 1024 green, 1024 blue); the python form is
pickled dictionaries of the same rows. Both give the same images in the same order: data_batch_1 to
data_batch_5, then nothing else, for `train`; test_batch for `test`; all six, in this order, for `all`. An archive
is read in memory, no member is ever written to disk. A folder of images has one folder for each class, by
themselves or below train/ and test/; their order is that of class_folders.py.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from msgbench.config import DatasetSpec
from msgbench.console import Progress
from msgbench.data.manifest import FileFact, SourceFacts
from msgbench.data.sources.archives import Wanted, read_tar
from msgbench.data.sources.base import SPLITS, SourceImage, Split, published_splits
from msgbench.data.sources.class_folders import ClassFolders, ImageFile, list_digest
from msgbench.data.sources.image_files import decode, largest_file
from msgbench.data.sources.pickles import read_batch
from msgbench.errors import DatasetError
from msgbench.records import sha256_file

# Bumped by hand when the same files would give other images.
RECIPE_VERSION = 1

LABEL_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
PUBLISHED_COUNTS: dict[Split, int] = {"train": 50_000, "test": 10_000, "all": 60_000}

FORMS = (
    "cifar-10-binary.tar.gz, cifar-10-batches-bin/, cifar-10-python.tar.gz, cifar-10-batches-py/, "
    "a folder that holds one of these, or a folder of images (airplane/ to truck/, "
    "or train/ and test/ with these)"
)
FOLDER_OF_IMAGES = "folder of images"
CLASS_FOLDERS = ClassFolders(
    "CIFAR-10",
    LABEL_NAMES,
    meant={"car": "automobile"} | {str(label): name for label, name in enumerate(LABEL_NAMES)},
)

Form = Literal["binary", "python"]
_FOLDERS: dict[str, Form] = {"cifar-10-batches-bin": "binary", "cifar-10-batches-py": "python"}
_TARBALLS = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
_BATCH = re.compile(r"(data_batch_[1-5]|test_batch)(\.bin)?")
_CIFAR100 = {
    "cifar-100-binary",
    "cifar-100-python",
    "train.bin",
    "test.bin",
    "fine_label_names.txt",
}

_ROW = 3073
_LARGEST_BATCH = 64 * 2**20  # the published ones have about 31 MB; more than this is something else
_BATCH_SIZE = "a batch of about 31 million bytes"
_SIDE = 32
_FILES_AT_ONCE = 100


class _Place(NamedTuple):
    """Where the images lie, and as what."""

    kind: Literal["batches", "archive", "images"]
    path: Path


class _Batches(NamedTuple):
    """The batches of one split: where they were found, and their bytes in the order of the dataset."""

    form: Form
    archive: FileFact | None
    batches: list[tuple[str, str, bytes]]
    """name without folder, how a sentence calls it, bytes"""


class Cifar10:
    """The images of one split, held in memory (at most 150 MB)."""

    stand_in = False
    resolution = _SIDE

    def __init__(self, images: np.ndarray, labels: np.ndarray, facts: SourceFacts) -> None:
        self.count = len(images)
        self.label_names: tuple[str, ...] | None = LABEL_NAMES
        self._images = images
        self._labels = labels
        self._facts = facts

    def __iter__(self) -> Iterator[SourceImage]:
        for pixels, label in zip(self._images, self._labels, strict=True):
            yield SourceImage(pixels, int(label))

    def facts(self) -> SourceFacts:
        return self._facts


def open_cifar10(spec: DatasetSpec) -> Cifar10:
    """Read and check the split that `spec` names; raises DatasetError with one sentence.

    Fewer images than published are accepted (a cut copy is good for trying things out), and the facts
    say so.
    """
    try:
        place = _locate(spec)
        if place.kind == "images":
            return _from_images(place.path, spec)
        if place.kind == "archive":
            return _from_batches(_from_archive(place.path, spec), spec)
        form, paths = _batch_files(place.path, spec)
        batches = [(path.name, str(path), _read_limited(path)) for path in paths]
    except OSError as error:
        raise DatasetError(
            f"{error.filename or spec.path}: cannot be read ({error.strerror})"
        ) from None
    return _from_batches(_Batches(form, None, batches), spec)


def splits_at(spec: DatasetSpec) -> tuple[Split, ...]:
    """The splits that can be read at `spec.path`: that of `spec` alone where nothing tells them apart.

    Raises DatasetError as `open_cifar10` does for what is not CIFAR-10; the images are not looked at.
    """
    try:
        place = _locate(spec)
        if place.kind == "images":
            return CLASS_FOLDERS.splits(place.path) or (spec.split,)
        names = (
            sorted(read_tar(place.path, None, FORMS))
            if place.kind == "archive"
            else sorted(path.name for path in place.path.iterdir() if path.is_file())
        )
    except OSError as error:
        raise DatasetError(
            f"{error.filename or spec.path}: cannot be read ({error.strerror})"
        ) from None
    form = _form_of(names, str(place.path))
    return tuple(split for split in SPLITS if set(names).intersection(_wanted(split, form)))


def sizes_changed(spec: DatasetSpec, facts: SourceFacts) -> bool:
    """Whether what lies at `spec.path` differs in size from the files that `facts` were read from."""
    try:
        place = _locate(spec)
        if place.kind == "archive":
            return facts.archive is None or place.path.stat().st_size != facts.archive.bytes
        if place.kind == "images":
            files = CLASS_FOLDERS.files(place.path, spec.split)
            found = (FOLDER_OF_IMAGES, len(files), sum(file.size for file in files))
            return found != (facts.form, facts.count, sum(fact.bytes for fact in facts.files))
        _, paths = _batch_files(place.path, spec)
        sizes = [(path.name, path.stat().st_size) for path in paths]
    except (DatasetError, OSError):
        return False  # nothing readable there (any more); the finished store is still what was asked for
    return sizes != [(fact.name, fact.bytes) for fact in facts.files]


def _locate(spec: DatasetSpec) -> _Place:
    """The folder with batches, the archive or the folder of images that the path of `spec` means."""
    if not spec.path:
        raise DatasetError(f"datasets.{spec.name}.path: is not set; allowed: {FORMS}")
    path = Path(spec.path).expanduser()
    if not path.exists():
        raise DatasetError(f"{path}: does not exist; datasets.{spec.name}.path allows {FORMS}")
    if path.is_file():
        return _Place("archive", path)
    if not path.is_dir():
        raise DatasetError(f"{path}: is neither a file nor a folder; expected {FORMS}")
    names = sorted(os.listdir(path))
    if any(_BATCH.fullmatch(name) for name in names):
        return _Place("batches", path)
    for name in (*_FOLDERS, *_TARBALLS):
        if name in names:
            place = path / name
            return _Place("archive" if place.is_file() else "batches", place)
    if CLASS_FOLDERS.are_in(path):
        return _Place("images", path)
    raise DatasetError(_not_cifar10(str(path), names))


def _from_batches(found: _Batches, spec: DatasetSpec) -> Cifar10:
    rows, labels = [], []
    for _, where, raw in found.batches:
        batch_rows, batch_labels = _parse(found.form, raw, where)
        rows.append(batch_rows)
        labels.append(batch_labels)
    count = sum(len(part) for part in rows)
    facts = SourceFacts(
        recipe="cifar10",
        recipe_version=RECIPE_VERSION,
        form=found.form,
        archive=found.archive,
        files=tuple(
            FileFact(name=name, bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest())
            for name, _, raw in found.batches
        ),
        count=count,
        expected_count=PUBLISHED_COUNTS[spec.split],
    )
    planes = np.concatenate(rows).reshape(count, 3, _SIDE, _SIDE)
    return Cifar10(planes.transpose(0, 2, 3, 1), np.concatenate(labels), facts)


def _from_images(root: Path, spec: DatasetSpec) -> Cifar10:
    """Every image of the split, decoded; the first that is not as it should be is named."""
    files = CLASS_FOLDERS.files(root, spec.split)
    images = np.empty((len(files), _SIDE, _SIDE, 3), dtype=np.uint8)
    digests: dict[str, str] = {}
    lossy = False
    with Progress(f"read {spec.name} ({spec.split})", len(files), "files") as progress:
        for place, file in enumerate(files):
            raw = _read_image(file)
            images[place], changed = decode(raw, str(file.path), _SIDE)
            lossy = lossy or changed
            digests[file.relative] = hashlib.sha256(raw).hexdigest()
            if place % _FILES_AT_ONCE == 0:
                progress.advance_to(place)
        progress.advance_to(len(files))
    size = sum(file.size for file in files)
    facts = SourceFacts(
        recipe="cifar10",
        recipe_version=RECIPE_VERSION,
        form=FOLDER_OF_IMAGES,
        archive=None,
        files=(FileFact(name="images", bytes=size, sha256=list_digest(digests)),),
        count=len(files),
        expected_count=PUBLISHED_COUNTS[spec.split],
        lossy=lossy,
    )
    return Cifar10(images, np.array([file.label for file in files], dtype=np.uint8), facts)


def _read_image(file: ImageFile) -> bytes:
    if file.size > largest_file(_SIDE):
        raise DatasetError(
            f"{file.path}: is {file.size} bytes long; expected an image of {_SIDE}x{_SIDE} px"
        )
    return file.path.read_bytes()


def _not_cifar10(where: str, names: list[str]) -> str:
    if not names:
        return f"{where}: is empty; expected {FORMS}"
    if _CIFAR100.intersection(names) or {"train", "test", "meta"}.issubset(names):
        return f"{where}: is CIFAR-100, not CIFAR-10; expected {FORMS}"
    return f"{where}: holds no CIFAR-10 (found {_some(names)}); expected {FORMS}"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _wanted(split: Split, form: Form) -> list[str]:
    stems = ["test_batch"] if split == "test" else [f"data_batch_{k}" for k in range(1, 6)]
    return [f"{stem}.bin" if form == "binary" else stem for stem in stems]


def _batch_files(folder: Path, spec: DatasetSpec) -> tuple[Form, list[Path]]:
    """The form of a folder and its batches of the split, in order; at least one."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    form, chosen = _chosen(names, spec.split, str(folder))
    return form, [folder / name for name in chosen]


def _chosen(names: list[str], split: Split, where: str) -> tuple[Form, list[str]]:
    """The form of what lies at `where`, and those of `names` that hold `split`: some of every published one."""
    form = _form_of(names, where)
    chosen = []
    for part in published_splits(split):
        found = [name for name in _wanted(part, form) if name in names]
        if not found:
            raise DatasetError(_lacks_split(where, part, form, names))
        chosen += found
    return form, chosen


def _form_of(names: list[str], where: str) -> Form:
    batches = [name for name in names if _BATCH.fullmatch(name)]
    if not batches:
        raise DatasetError(_not_cifar10(where, names))
    return "binary" if any(name.endswith(".bin") for name in batches) else "python"


def _lacks_split(where: str, split: Split, form: Form, names: list[str]) -> str:
    wanted = _wanted(split, form)
    span = wanted[0] if len(wanted) == 1 else f"{wanted[0]} to {wanted[-1]}"
    present = _some([name for name in names if _BATCH.fullmatch(name)])
    return f"{where}: has no images of split {split} (found {present}); expected {span}"


def _read_limited(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _LARGEST_BATCH:
        raise DatasetError(f"{path}: is {size} bytes long; expected {_BATCH_SIZE}")
    return path.read_bytes()


def _from_archive(path: Path, spec: DatasetSpec) -> _Batches:
    """The batches of the split inside a tar archive, compressed or not."""
    members = read_tar(path, Wanted(_BATCH, _LARGEST_BATCH, _BATCH_SIZE), FORMS)
    names = sorted(members)
    form, chosen = _chosen(names, spec.split, str(path))
    archive = FileFact(name="archive", bytes=path.stat().st_size, sha256=sha256_file(path))
    batches = []
    for name in chosen:
        raw = members[name]
        assert raw is not None, "members that look like batches are read"
        batches.append((name, f"{path} ({name})", raw))
    return _Batches(form, archive, batches)


def _parse(form: Form, raw: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [N, 3072] and labels uint8 [N] of one batch."""
    if not raw:
        raise DatasetError(f"{where}: is empty; expected a batch of CIFAR-10")
    if form == "python":
        rows, labels = read_batch(raw, where)
    else:
        if len(raw) % _ROW:
            raise DatasetError(
                f"{where}: is {len(raw)} bytes long, which is not a multiple of {_ROW}; "
                "expected rows of 1 label byte and 3072 pixel bytes"
            )
        table = np.frombuffer(raw, dtype=np.uint8).reshape(-1, _ROW)
        rows, labels = table[:, 1:], table[:, 0]
    if len(rows) == 0:
        raise DatasetError(f"{where}: holds no images; expected a batch of CIFAR-10")
    wrong = np.flatnonzero(labels > 9)
    if len(wrong):
        row = int(wrong[0])
        raise DatasetError(f"{where}: row {row} has the label {labels[row]}; expected 0 to 9")
    return rows, labels.astype(np.uint8)
