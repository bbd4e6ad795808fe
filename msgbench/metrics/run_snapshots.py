"""Which snapshots a run has: those that train.json lists, or, while it trains, those that lie there."""

from __future__ import annotations

from pathlib import Path

from msgbench.config import RunSpec
from msgbench.errors import MeasurementError, SnapshotError
from msgbench.layout import SNAPSHOTS, TRAIN_JSON, snapshot_file
from msgbench.records import read_json, sha256_file
from msgbench.retention import Taken
from msgbench.snapshots import read_meta


def trained_snapshots(run_dir: Path) -> list[Taken]:
    """The snapshots that train.json lists, by length; MeasurementError when there is none."""
    path = run_dir / TRAIN_JSON
    try:
        listed = read_json(path)["snapshots"]
        entries = [Taken(str(e["file"]), int(e["cur_nimg"]), str(e["sha256"])) for e in listed]
    except FileNotFoundError:
        raise MeasurementError(
            f"{run_dir}: has no {TRAIN_JSON}; the training is not finished (--live measures what it has so far)"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise MeasurementError(
            f"{path}: is not a valid list of snapshots; train the run again"
        ) from None
    if not entries:
        raise MeasurementError(f"{path}: lists no snapshot to measure")
    return sorted(entries, key=lambda entry: entry.cur_nimg)


def taken_so_far(run_dir: Path) -> list[Taken]:
    """The snapshots that lie in a run directory, by length, whether or not the training is finished.

    Snapshots appear whole or not at all, and a training that resumes takes one again with the same bits. Raises
    MeasurementError when there is none yet.
    """
    if (run_dir / TRAIN_JSON).exists():
        return trained_snapshots(run_dir)
    found = []
    for path in sorted((run_dir / SNAPSHOTS).glob("snapshot-*.safetensors")):
        cur_nimg = read_meta(path).cur_nimg
        if path.name != Path(snapshot_file(cur_nimg)).name:
            raise SnapshotError(f"{path}: was taken at {cur_nimg} images, its name says otherwise")
        found.append(Taken(snapshot_file(cur_nimg), cur_nimg, sha256_file(path)))
    if not found:
        raise MeasurementError(
            f"{run_dir}: has no snapshot yet; the training has just begun, or never did"
        )
    return found


def planned_lengths(run: RunSpec) -> list[int]:
    """Lengths, in images shown, at which the training of `run` takes a snapshot."""
    return run.spec.schedule.lengths(run.spec.training.snapshot_kimg)
