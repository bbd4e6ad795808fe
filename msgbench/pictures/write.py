"""`msgbench sample`: draws picture sets and writes them with everything that is needed to draw them again.

A set is a PNG for people and an npz file with its tiles for figures. The manifest comes last; it states generators,
seeds and checksums, and a second call on the same generators finds its work done.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from msgbench.config import RunSpec
from msgbench.config.sentences import nearest
from msgbench.console import Progress, say
from msgbench.device import device_name
from msgbench.errors import ConfigError, SnapshotError
from msgbench.layout import (
    EVALUATE_JSON,
    PICTURE_ROOMS,
    SNAPSHOTS,
    SPEC_JSON,
    snapshot_file,
    source_digest,
)
from msgbench.locks import FolderLock
from msgbench.pictures.sets import SETS, PictureSet, beside, time_lapse
from msgbench.pictures.source import Pixels, Source
from msgbench.records import atomic_file, provenance, read_json, sha256_file, write_json
from msgbench.snapshots import read_meta
from msgbench.units import kimg_to_nimg

PICTURES_SCHEMA = "msgbench.pictures/1"
LIST_SCHEMA = "msgbench.picture-list/1"
# The best snapshot of a measured run, the final one of any other.
BEST_OR_FINAL = "best-or-final"
TIME_LAPSE, BESIDE = "time-lapse", "beside"
ALL_SETS = (*SETS, TIME_LAPSE, BESIDE)
# Moments of a time-lapse, the first and the last snapshot among them.
MOMENTS = 8


def draw_pictures(
    places: Sequence[Path],
    manifest: Path,
    names: Sequence[str] | None = None,
    at: str = "best",
    device: str | torch.device = "cpu",
) -> Path:
    """Draws the sets `names` (None: all that fit) of the generators at `places`; returns `manifest`.

    A place is a snapshot or a run directory, where `at` says which of its snapshots: `best` (by the first protocol),
    `final`, or a length in kimg. The first place's generator is drawn; the others only stand beside it. Pictures lie in
    the folder that is called as the manifest without its suffix. Raises ConfigError for an unknown set, or one that
    does not fit the generator; SnapshotError for a missing snapshot.
    """
    snapshots = [chosen_snapshot(place, at) for place in places]
    moments = _moments(places[0])
    wanted = _wanted(names, snapshots, moments)
    identity = {
        "schema": PICTURES_SCHEMA,
        "sets": wanted,
        "sources": [{"sha256": sha256_file(path)} for path in snapshots],
        "moments": [{"sha256": sha256_file(path)} for path in moments]
        if TIME_LAPSE in wanted
        else [],
        "drawn_by": source_digest(*PICTURE_ROOMS),
    }
    folder = manifest.with_suffix("")
    with FolderLock(folder, "sample", wait=True, say=say):
        if _is_done(manifest, identity):
            # It is as new as the measurements that name the best snapshot: nothing made from it is made again.
            manifest.touch()
            say(f"sample: {manifest} is up to date")
            return manifest
        sources = [Source(path, device) for path in snapshots]
        pictures = []
        with Progress("sample", len(wanted), "sets") as progress:
            for name in wanted:
                for drawn in _drawn(name, sources, moments, device):
                    pictures.append(_written(folder, drawn))
                progress.advance(1, name)
        content = {
            "identity": identity,
            "sources": [source.identity() for source in sources],
            "pixels": "as measured: x * 127.5 + 128, clamped, fraction dropped; no normalisation of a picture",
            "pictures": pictures,
            "provenance": provenance(device_name(torch.device(device))),
        }
        write_json(manifest, {"schema": PICTURES_SCHEMA, **content})
    return manifest


def write_list(manifests: Sequence[Path], out: Path) -> Path:
    """Writes which manifests were drawn, relative to the folder of `out`, with their checksums; returns `out`."""
    listed = [
        {"file": os.path.relpath(path, out.parent), "sha256": sha256_file(path)}
        for path in manifests
    ]
    write_json(out, {"schema": LIST_SCHEMA, "manifests": listed})
    return out


def chosen_snapshot(place: Path, at: str) -> Path:
    """The snapshot at `place`: itself, or that of a run directory which `at` names."""
    if not place.is_dir():
        read_meta(place)  # says what is wrong with it
        return place
    if not (place / SPEC_JSON).is_file():
        raise ConfigError(f"{place}: is neither a snapshot nor a run directory")
    there = _snapshots(place)
    if at == "final" or (at == BEST_OR_FINAL and not (place / EVALUATE_JSON).is_file()):
        return there[-1]
    if at in ("best", BEST_OR_FINAL):
        return place / snapshot_file(_best_length(place))
    try:
        length = kimg_to_nimg(float(at))
    except (ValueError, OverflowError):  # not a number, and inf
        raise ConfigError(
            f"--at: {at!r} is not allowed; allowed: best, final, {BEST_OR_FINAL}, or a length in kimg"
        ) from None
    path = place / snapshot_file(length)
    if path not in there:
        lengths = ", ".join(f"{read_meta(p).cur_nimg / 1000:g}" for p in there)
        raise SnapshotError(f"{path}: no such snapshot; the run has those at {lengths} kimg")
    return path


def _snapshots(run_dir: Path) -> list[Path]:
    """The snapshots that lie in a run directory, by length; SnapshotError when there is none."""
    found = sorted((run_dir / SNAPSHOTS).glob("snapshot-*.safetensors"))
    if not found:
        raise SnapshotError(f"{run_dir}: has no snapshot")
    return found


def _best_length(run_dir: Path) -> int:
    """Length of the best snapshot by the first protocol of the run."""
    path = run_dir / EVALUATE_JSON
    first = RunSpec.read(run_dir).spec.evaluation.protocols[0]
    try:
        picked = {entry["protocol"]: entry for entry in read_json(path)["picked"]}
        return int((picked[first]["best"] or picked[first]["final"])["cur_nimg"])
    except FileNotFoundError:
        raise ConfigError(
            f"{run_dir}: is not measured (no {EVALUATE_JSON}), so it has no best snapshot; give --at final or a length"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path}: does not say which snapshot is the best; measure the run again"
        ) from None


def _moments(place: Path) -> list[Path]:
    """Up to MOMENTS snapshots of a run, evenly over those that lie there; none for a snapshot alone."""
    if not place.is_dir():
        return []
    there = _snapshots(place)
    steps = np.linspace(0, len(there) - 1, min(MOMENTS, len(there)))
    return [there[round(step)] for step in steps]


def _wanted(
    names: Sequence[str] | None, snapshots: Sequence[Path], moments: Sequence[Path]
) -> list[str]:
    """Names of the sets to draw, in their order."""
    model = read_meta(snapshots[0]).model
    styled = model.family == "stylegan"
    fitting = {
        name
        for name in ALL_SETS
        if (name not in ("mixing", "noise") or styled)
        and (name != "depths" or model.growing)
        and (name != TIME_LAPSE or len(moments) > 1)
        and (name != BESIDE or len(snapshots) > 1)
    }
    for name in names or ():
        if name not in ALL_SETS:
            raise ConfigError(f"--set: {name!r} is no picture set{nearest(name, ALL_SETS)}")
        if name not in fitting:
            raise ConfigError(
                f"--set: {name} does not fit {snapshots[0]}; mixing and noise need styles, depths a growing "
                "baseline, time-lapse a run with several snapshots, beside a second generator"
            )
    return [name for name in ALL_SETS if name in (names or fitting)]


def _drawn(
    name: str, sources: Sequence[Source], moments: Sequence[Path], device: str | torch.device
) -> list[PictureSet]:
    if name == TIME_LAPSE:
        return time_lapse([Source(path, device) for path in moments])
    if name == BESIDE:
        return [beside(sources)]
    return [SETS[name](sources[0])]


def _written(folder: Path, drawn: PictureSet) -> dict[str, Any]:
    """Writes one set as PNG and npz; its entry of the manifest."""
    picture, buffer = io.BytesIO(), io.BytesIO()
    Image.fromarray(laid_out(drawn.tiles, drawn.rows, drawn.columns)).save(picture, format="PNG")
    # NumPy's types take any further keyword for its flag `allow_pickle`.
    np.savez(buffer, tiles=drawn.tiles, **drawn.arrays)  # type: ignore[arg-type]
    files = []
    for suffix, content in (("png", picture), ("npz", buffer)):
        path = folder / f"{drawn.name}.{suffix}"
        with atomic_file(path) as file:
            file.write(content.getbuffer())
        files.append({"file": f"{folder.name}/{path.name}", "sha256": sha256_file(path)})
    return {
        "name": drawn.name,
        "title": drawn.title,
        "rows": drawn.rows,
        "columns": drawn.columns,
        "row_labels": list(drawn.row_labels),
        "column_labels": list(drawn.column_labels),
        "tile": list(drawn.tiles.shape[1:]),
        "how": drawn.how,
        "files": files,
    }


def laid_out(tiles: Pixels, rows: int, columns: int) -> Pixels:
    """uint8 [rows * columns, H, W, 3] -> one picture [rows * H, columns * W, 3], row by row."""
    _, height, width, channels = tiles.shape
    grid = tiles.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def _is_done(manifest: Path, identity: dict[str, Any]) -> bool:
    """Whether the manifest is of exactly these generators and sets, and its files are whole."""
    try:
        content = read_json(manifest)
        files = [entry for picture in content["pictures"] for entry in picture["files"]]
        return bool(content["identity"] == identity) and all(
            sha256_file(manifest.parent / entry["file"]) == entry["sha256"] for entry in files
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False
