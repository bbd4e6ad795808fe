"""Rows of tables that show a record of images or of a generator from elsewhere: which records may stand there.

Such a record is made by hand, against a store and with flips of somebody's choice. A score against other reals than
those of the rows beside it would be another quantity under the same head, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgbench.analysis.collected import Collection
from msgbench.analysis.score_records import Record, read_measured
from msgbench.errors import ResultsError
from msgbench.protocols import Protocol


@dataclass(frozen=True)
class _Reals:
    """Images that rows of a table compare with."""

    name: str
    fingerprint: str
    mirror: bool
    """Whether their stream is flipped."""


def measured_elsewhere(
    collection: Collection, table: str, place: str, protocol: Protocol
) -> tuple[Record, str]:
    """The record by exactly `protocol` in the file `place`, and what remains unknown of it in words (mostly nothing).

    Raises ResultsError when the file holds other protocols alone, or a record against other images than those that
    the other rows of `table` compare with, or flipped otherwise.
    """
    records = read_measured(Path(place))
    record = _of(records, protocol)
    if record is None:
        held = ", ".join(f"{record.protocol} version {record.version}" for record in records)
        raise ResultsError(
            f"{place}: holds {held or 'no record'}; the table needs {protocol.name} version {protocol.version}"
        )
    return record, _checked(collection, table, place, record, protocol)


def beside_elsewhere(
    collection: Collection, table: str, place: str, protocol: Protocol
) -> Record | None:
    """The record by another protocol of the table in the same file, if it is there; ResultsError as above."""
    record = _of(read_measured(Path(place)), protocol)
    if record is not None:
        _checked(collection, table, place, record, protocol)
    return record


def _of(records: tuple[Record, ...], protocol: Protocol) -> Record | None:
    wanted = (protocol.name, protocol.version)
    return next((r for r in records if (r.protocol, r.version) == wanted), None)


def _checked(
    collection: Collection, table: str, place: str, record: Record, protocol: Protocol
) -> str:
    stated = _fingerprint(record)
    if stated is None:
        if protocol.compares:
            raise ResultsError(
                f"{place}: {protocol.name} does not say which dataset it compares with; measure it again with --store"
            )
        return "it does not say of which dataset"
    known, unprepared = _reals(collection, table)
    known = known or ([] if unprepared else _reals_elsewhere(collection, table, protocol))
    same = [reals for reals in known if reals.fingerprint == stated]
    if not same and unprepared:
        return f"of dataset {stated[:8]}, and {', '.join(unprepared)} of other rows is not prepared"
    if not same:
        theirs = ", ".join(sorted({f"{reals.name} {reals.fingerprint[:8]}" for reals in known}))
        raise ResultsError(
            f"{place}: {protocol.name} is of dataset {stated[:8]}, the other rows of {table} are of {theirs}"
        )
    if protocol.reals == "stream" and protocol.compares:
        flipped = _flipped(record)
        if all(reals.mirror != flipped for reals in same):
            raise ResultsError(
                f"{place}: {protocol.name} compares with images that are {'' if flipped else 'not '}flipped, those of "
                f"{same[0].name} in {table} are {'' if same[0].mirror else 'not '}flipped; measure it again "
                f"{'without' if flipped else 'with'} --mirror"
            )
    return ""


def _reals(collection: Collection, table: str) -> tuple[list[_Reals], list[str]]:
    """What the rows of experiments and real images of `table` compare with, and the datasets that are not prepared."""
    names = []
    for row in collection.benchmark.tables[table].rows:
        if row.experiment is not None:
            names.append(collection.benchmark.experiment(row.experiment).dataset.name)
        elif row.real_images is not None:
            names.append(row.real_images)
    found, unprepared = [], []
    for name in dict.fromkeys(names):
        dataset = collection.datasets[name]
        if dataset.manifest is None:
            unprepared.append(name)
        else:
            found.append(_Reals(name, dataset.manifest.fingerprint, dataset.spec.mirror))
    return found, unprepared


def _reals_elsewhere(collection: Collection, table: str, protocol: Protocol) -> list[_Reals]:
    """What the first row from elsewhere compares with: in a table of such rows alone they have to agree."""
    for row in collection.benchmark.tables[table].rows:
        record = None if row.record is None else _of(read_measured(Path(row.record)), protocol)
        stated = None if record is None else _fingerprint(record)
        if record is not None and stated is not None:
            mirror = protocol.reals == "stream" and protocol.compares and _flipped(record)
            return [_Reals(row.label or row.reference or "the first", stated, mirror)]
    return []


def _fingerprint(record: Record) -> str | None:
    """Of the store that the record was measured with; None when there was none."""
    dataset = record.content.get("dataset")
    if dataset is None:
        return None
    fingerprint = dataset.get("fingerprint") if isinstance(dataset, Mapping) else None
    if not isinstance(fingerprint, str):
        raise ResultsError(
            f"{record.path}: dataset.fingerprint is {fingerprint!r}, a text is needed"
        )
    return fingerprint


def _flipped(record: Record) -> bool:
    """Whether real images of the stream were flipped (with a mirror half of them are, so never none)."""
    reals = record.content.get("reals")
    flipped = reals.get("flipped") if isinstance(reals, Mapping) else None
    if isinstance(flipped, bool) or not isinstance(flipped, int):
        raise ResultsError(f"{record.path}: reals.flipped is {flipped!r}, a whole number is needed")
    return flipped > 0
