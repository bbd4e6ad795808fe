"""The results of a tier as one zip for a reviewer: pages, tables, figures, claims, records, grids and logs.

What only a further training or measurement needs stays out: images, snapshots, training states, caches; what names
or shows photographs that are the user's alone; and the figures' copies, which `snakemake --report` needs and no page.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from msgbench.data.manifest import IMAGES_NPY, IMAGES_ZIP, LABELS_NPY
from msgbench.errors import ResultsError
from msgbench.layout import OBSERVED, SNAPSHOTS, STATES, TENSORBOARD, Layout
from msgbench.records import atomic_file

_FOLDERS_LEFT_OUT = {SNAPSHOTS, STATES, OBSERVED, TENSORBOARD, "cache", "exports", "seen"}
# names.csv: which photograph lies in which of the user's files.
_FILES_LEFT_OUT = {IMAGES_NPY, IMAGES_ZIP, LABELS_NPY, "names.csv"}
_PACKED_ALREADY = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".npz"}


def zip_results(layout: Layout, out: Path) -> int:
    """Write the zip `out` of the tier's results, complete or not at all; returns how many files it holds.

    Names begin with the tier, so that unpacking two tiers beside each other mixes nothing. Raises ResultsError when
    there is no report yet, or when `out` cannot be written.
    """
    if not layout.report_html.is_file():
        raise ResultsError(f"{layout.report_html}: is not there; write it with `msgbench report`")
    names = sorted(_files(layout, out.absolute()))
    try:
        with (
            atomic_file(out) as file,
            zipfile.ZipFile(file, "w", strict_timestamps=False) as archive,
        ):
            for path in names:
                packed = path.suffix.lower() in _PACKED_ALREADY
                how = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
                archive.write(path, f"{layout.tier}/{path.relative_to(layout.root)}", how)
    except OSError as error:
        raise ResultsError(f"{out}: cannot be written ({error.strerror})") from None
    return len(names)


def _files(layout: Layout, out: Path) -> Iterator[Path]:
    """The files that a reviewer needs; hidden ones (locks, halves of writing) and links are none."""
    for folder, folders, files in os.walk(layout.root):
        folders[:] = [
            name
            for name in folders
            if name not in _FOLDERS_LEFT_OUT
            and not name.startswith(".")
            and Path(folder) / name != layout.report_figures
        ]
        for name in files:
            path = Path(folder) / name
            if name in _FILES_LEFT_OUT or name.startswith(".") or path.is_symlink():
                continue
            if path.absolute() != out:
                yield path
