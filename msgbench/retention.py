"""Which snapshots of a run stay after they were measured, and the account of those that did not.

Only a snapshot with a record by every protocol of its run is ever deleted. retention.json is written
before the first file goes, so that whoever finds a snapshot missing finds the reason, too; a killed
deletion is finished by the next evaluation. A file that is there (restored, or trained again) counts as
there, whatever the account says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msgbench.config import RunSpec
from msgbench.config.keep import Keep
from msgbench.errors import SnapshotError
from msgbench.layout import RETENTION_JSON, record_file
from msgbench.protocols import get_protocol
from msgbench.records import now, read_json, sha256_file, write_json
from msgbench.units import nimg_to_kimg

RETENTION_SCHEMA = "msgbench.retention/1"


@dataclass(frozen=True)
class Taken:
    """A snapshot as train.json lists it."""

    file: str
    cur_nimg: int
    sha256: str


@dataclass(frozen=True)
class Deleted:
    """A snapshot that was deleted after it was measured."""

    file: str
    cur_nimg: int
    kimg: float
    sha256: str
    bytes: int
    why: str
    measured_by: tuple[str, ...]
    """`protocol/version` of the records that were there."""
    written: str

    def is_of(self, taken: Taken) -> bool:
        """Whether this is about the very snapshot `taken`."""
        return (self.file, self.sha256) == (taken.file, taken.sha256)


def read_deleted(run_dir: Path) -> tuple[Deleted, ...]:
    """What retention.json of `run_dir` accounts for; nothing without one. Raises SnapshotError when broken."""
    path = run_dir / RETENTION_JSON
    try:
        content = read_json(path)
        if content["schema"] != RETENTION_SCHEMA:
            raise ValueError("another schema")
        return tuple(
            Deleted(**{**entry, "measured_by": tuple(entry["measured_by"])})
            for entry in content["deleted"]
        )
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError):
        raise SnapshotError(
            f"{path}: is not a record of deleted snapshots; restore it, or remove the run directory "
            "and run the target `runs` or `measurements` to train again"
        ) from None


def deleted_of(run_dir: Path, taken: Sequence[Taken]) -> dict[int, Deleted]:
    """Those of the snapshots `taken` that are gone and accounted for, by length."""
    account = read_deleted(run_dir)
    found = {}
    for snapshot in taken:
        entry = next((entry for entry in account if entry.is_of(snapshot)), None)
        if entry is not None and not (run_dir / snapshot.file).exists():
            found[snapshot.cur_nimg] = entry
    return found


def delete_measured(
    run_dir: Path, run: RunSpec, taken: Sequence[Taken], say: Callable[[str], None]
) -> list[Deleted]:
    """Delete what `evaluation.keep` does not keep, each file told through `say`; returns what was deleted.

    Call it while holding the run's evaluation lock. Raises SnapshotError when a file cannot be removed.
    """
    keep = Keep(run.spec.evaluation.keep)
    if keep.everything:
        return []
    values = {snapshot.cur_nimg: _values(run_dir, run, snapshot) for snapshot in taken}
    kept = keep.reasons(list(values))
    if keep.best:
        for length, words in best_lengths(run, values).items():
            kept.setdefault(length, []).extend(words)
    going = [
        _entry(run_dir, run, snapshot, keep)
        for snapshot in taken
        if snapshot.cur_nimg not in kept
        and len(values[snapshot.cur_nimg]) == len(run.spec.evaluation.protocols)
        and _is_unchanged(run_dir / snapshot.file, snapshot, say)
    ]
    _write(run_dir, run, keep, kept, taken, going)
    for entry in going:
        path = run_dir / entry.file
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SnapshotError(f"{path}: cannot be deleted ({error.strerror})") from None
        say(
            f"{path}: deleted after measuring ({entry.kimg:g} kimg, {entry.bytes / 1e6:.1f} MB, "
            f"sha256 {entry.sha256[:8]}); {entry.why}"
        )
    return going


def best_lengths(run: RunSpec, values: Mapping[int, Mapping[str, float]]) -> dict[int, list[str]]:
    """Length -> `best by PROTOCOL` for each protocol of `run`; `values` holds scores by length and protocol.

    The untrained generator is no candidate; of equal scores the earliest is the best, as in the tables.
    """
    found: dict[int, list[str]] = {}
    for name in run.spec.evaluation.protocols:
        best = get_protocol(name).best({n: of[name] for n, of in values.items() if name in of})
        if best is not None:
            found.setdefault(best, []).append(f"best by {name}")
    return found


def _values(run_dir: Path, run: RunSpec, snapshot: Taken) -> dict[str, float]:
    """Scores of one snapshot by protocol, from records that name exactly its bytes."""
    values = {}
    for name in run.spec.evaluation.protocols:
        try:
            record = read_json(run_dir / record_file(name, snapshot.cur_nimg))
            if (
                record["snapshot"]["sha256"] == snapshot.sha256
                and record["protocol"]["version"] == get_protocol(name).version
            ):
                values[name] = float(record["value"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not measured: it stays
    return values


def _is_unchanged(path: Path, snapshot: Taken, say: Callable[[str], None]) -> bool:
    """Whether the file is there and the measured one."""
    if not path.exists():
        return False
    if sha256_file(path) != snapshot.sha256:
        say(f"{path}: is not the snapshot that was measured, and is therefore not deleted")
        return False
    return True


def _entry(run_dir: Path, run: RunSpec, snapshot: Taken, keep: Keep) -> Deleted:
    return Deleted(
        file=snapshot.file,
        cur_nimg=snapshot.cur_nimg,
        kimg=nimg_to_kimg(snapshot.cur_nimg),
        sha256=snapshot.sha256,
        bytes=(run_dir / snapshot.file).stat().st_size,
        why=f"evaluation.keep is {keep}",
        measured_by=tuple(
            f"{name}/{get_protocol(name).version}" for name in run.spec.evaluation.protocols
        ),
        written=now(),
    )


def _write(
    run_dir: Path,
    run: RunSpec,
    keep: Keep,
    kept: Mapping[int, list[str]],
    taken: Sequence[Taken],
    going: Sequence[Deleted],
) -> None:
    """retention.json: what is kept and why, and everything that was ever deleted; the latest entry of a file."""
    before = {entry.file: entry for entry in read_deleted(run_dir)}
    account = sorted(
        (before | {entry.file: entry for entry in going}).values(), key=lambda e: e.cur_nimg
    )
    if not account:
        return
    content: dict[str, Any] = {
        "schema": RETENTION_SCHEMA,
        "run": run.run_id,
        "keep": list(keep.words),
        "kept": [
            {
                "file": snapshot.file,
                "cur_nimg": snapshot.cur_nimg,
                "kimg": nimg_to_kimg(snapshot.cur_nimg),
                "why": kept[snapshot.cur_nimg],
            }
            for snapshot in taken
            if snapshot.cur_nimg in kept
        ],
        "deleted": [{**asdict(entry), "measured_by": list(entry.measured_by)} for entry in account],
    }
    path = run_dir / RETENTION_JSON
    if not path.exists() or read_json(path) != content:
        write_json(path, content)
