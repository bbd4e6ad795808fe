"""The inputs: every file below a folder or in a zip archive, whatever it is, so that each one ends in the log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from msgbench.config import DatasetSpec
from msgbench.config.published import PUBLISHED
from msgbench.data.sources.items import Item, list_folder, list_zip
from msgbench.errors import DatasetError


class Input(NamedTuple):
    """One file that is looked at."""

    item: Item
    size: int
    changed_ns: int
    """when it (or the archive that holds it) was changed last"""

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells that it is still the file that was looked at."""
        return self.item.name, self.size, self.changed_ns


def list_inputs(spec: DatasetSpec) -> list[Input]:
    """All files at the path of `spec`, by name; hidden ones are passed over. Raises DatasetError."""
    forms = PUBLISHED[spec.source].forms
    if not spec.path:
        raise DatasetError(f"datasets.{spec.name}.path: is not set; allowed: {forms}")
    path = Path(spec.path).expanduser()
    try:
        if not path.exists():
            raise DatasetError(f"{path}: does not exist; datasets.{spec.name}.path allows {forms}")
        if path.is_dir():
            found = [_of_file(path, one.name) for one in list_folder(path, _any_name)]
        else:
            changed = path.stat().st_mtime_ns
            found = [
                Input(Item(one.name, str(path), in_archive=True), one.size, changed)
                for one in list_zip(path, _any_name)
            ]
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read ({error.strerror})") from None
    if not found:
        raise DatasetError(f"{path}: holds no files; expected {forms}")
    return found


def _of_file(root: Path, name: str) -> Input:
    place = root / name
    state = os.stat(place)
    return Input(Item(name, str(place)), state.st_size, state.st_mtime_ns)


def _any_name(name: str) -> bool:
    return True
