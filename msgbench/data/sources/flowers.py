"""Oxford 102 Flowers: 102flowers.tgz, or the folder jpg/ that it holds.

All 8,189 photographs, by number; the publisher's split into train, val and test is for classifiers and is not used.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgbench.config import DatasetSpec
from msgbench.config.published import PUBLISHED
from msgbench.data.manifest import FileFact
from msgbench.data.sources.archives import Wanted, read_tar
from msgbench.data.sources.collection import Collection, of_files, of_memory
from msgbench.errors import DatasetError
from msgbench.records import sha256_file

_NAME = re.compile(r"image_\d{4,5}\.jpg")
_TARBALL, _FOLDER = "102flowers.tgz", "jpg"
_LARGEST = 2**24


def open_flowers(spec: DatasetSpec, path: Path) -> Collection:
    """The photographs at `path`, which exists; raises DatasetError. A tarball is read into memory (345 MB)."""
    forms = PUBLISHED[spec.source].forms
    for name in (_FOLDER, _TARBALL):
        if (path / name).exists():
            path = path / name
            break
    if path.is_dir():
        return of_files(path, forms, lambda name: _NAME.fullmatch(name) is not None)
    wanted = Wanted(_NAME, _LARGEST, "a photograph of at most 16 MB")
    members = read_tar(path, wanted, forms, honest=True)
    files = {name: content for name, content in members.items() if content is not None}
    if not files:
        raise DatasetError(f"{path}: holds no image_00001.jpg and so on; expected {forms}")
    fact = FileFact(name=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))
    return of_memory(path, _TARBALL, files, fact)
