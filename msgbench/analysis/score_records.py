"""Records of measured scores as their files state them: a broken one is a ResultsError that names file and field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgbench.errors import ResultsError
from msgbench.protocols import PROTOCOLS
from msgbench.records import read_json

TRAIN_SCHEMA = "msgbench.train/1"
EVALUATE_SCHEMA = "msgbench.evaluate/1"
RECORD_SCHEMA = "msgbench.record/1"
MEASURED_SCHEMA = "msgbench.measured/1"
REAL_SCHEMA = "msgbench.real/2"


@dataclass(frozen=True)
class Record:
    """One measured score and the file that states it."""

    protocol: str
    version: int
    metric: str
    direction: str
    extractor: str
    cur_nimg: int | None
    """Images shown when the snapshot was taken; None for real images."""
    value: float
    std: float | None
    path: Path
    content: Mapping[str, Any]
    """The whole record."""

    def is_of(self, protocol: str) -> bool:
        """Whether the score was made by the present version of `protocol`: others are never shown under its name."""
        declared = PROTOCOLS.get(protocol)
        return self.protocol == protocol and (declared is None or self.version == declared.version)

    @property
    def table_value(self) -> float:
        """The score as tables show it: torch-fidelity's own FID where the record has it, else `value`.

        The two differ by rounding alone, which was checked when the record was made.
        """
        confirmed = self.content.get("torch_fidelity")
        return (
            self.value
            if confirmed is None
            else require_number(self.path, "torch_fidelity", confirmed)
        )

    @property
    def parts(self) -> Mapping[str, float]:
        """What the score is made of (precision and recall); empty for most."""
        parts = self.content.get("parts")
        return parts if isinstance(parts, dict) else {}

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the score comes from; empty when the record does not say."""
        found = self.content.get("provenance")
        return found if isinstance(found, dict) else {}


def read_record(path: Path, content: Mapping[str, Any]) -> Record:
    """The record `content` that stands in the file `path`; ResultsError when a field is not of its kind."""
    protocol = content.get("protocol")
    if not isinstance(protocol, dict):
        raise ResultsError(f"{path}: protocol is {protocol!r}, the card of a protocol is needed")
    for key, kind in (("name", str), ("version", int), ("metric", str), ("direction", str)):
        if not isinstance(protocol.get(key), kind):
            raise ResultsError(
                f"{path}: protocol.{key} is {protocol.get(key)!r}, {kind.__name__} is needed"
            )
    extractor = content.get("extractor")
    name = extractor.get("name") if isinstance(extractor, dict) else protocol.get("extractor")
    if not isinstance(name, str):
        raise ResultsError(
            f"{path}: extractor.name is {name!r}, the name of a feature extractor is needed"
        )
    cur_nimg = content.get("cur_nimg")
    if cur_nimg is not None and not isinstance(cur_nimg, int):
        raise ResultsError(f"{path}: cur_nimg is {cur_nimg!r}, a number of images is needed")
    std = content.get("std")
    return Record(
        protocol=protocol["name"],
        version=protocol["version"],
        metric=protocol["metric"],
        direction=protocol["direction"],
        extractor=name,
        cur_nimg=cur_nimg,
        value=require_number(path, "value", content.get("value")),
        std=None if std is None else require_number(path, "std", std),
        path=path,
        content=content,
    )


def read_measured(path: Path) -> tuple[Record, ...]:
    """The records of a file that `evaluate --images` or `--snapshot` wrote; ResultsError when it is no such file."""
    content = read_content(path, MEASURED_SCHEMA)
    if content is None:
        raise ResultsError(
            f"{path}: no such record; make it with `msgbench evaluate --images` or `--snapshot`"
        )
    listed = content.get("records")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ResultsError(f"{path}: records is not a list of measured records")
    return tuple(read_record(path, entry) for entry in listed)


def read_content(path: Path, schema: str) -> Mapping[str, Any] | None:
    """The JSON object in `path` when it carries `schema`; None when there is no file."""
    if not path.is_file():
        return None
    content = read_object(path)
    if content.get("schema") != schema:
        raise ResultsError(f"{path}: schema is {content.get('schema')!r}, {schema!r} is needed")
    return content


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in `path`; ResultsError when it cannot be read or is none."""
    try:
        content = read_json(path)
    except ValueError as error:
        raise ResultsError(str(error)) from None
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None
    if not isinstance(content, dict):
        raise ResultsError(f"{path}: holds {type(content).__name__}, an object is needed")
    return content


def require_same(path: Path, key: str, found: object, wanted: str) -> None:
    """Raise ResultsError unless `found`, under `key` of the file, is what belongs into its folder."""
    if found != wanted:
        raise ResultsError(f"{path}: {key} is {found!r}, the folder is that of {wanted!r}")


def require_number(path: Path, key: str, value: object) -> float:
    """The finite number `value` that stands under `key` of the file; ResultsError when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ResultsError(f"{path}: {key} is {value!r}, a finite number is needed")
    return float(value)
