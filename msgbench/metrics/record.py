"""Records of measurements: what one states, when an old one still holds, and how a score is put into it.

A record's *identity* is everything that decides its value; a record that states another one is measured again.
"""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

from msgbench.config.sentences import nearest
from msgbench.data.store import Store
from msgbench.errors import MeasurementError
from msgbench.layout import MEASURING_ROOMS, source_digest
from msgbench.metrics.scores import Score
from msgbench.protocols import PROTOCOLS, Protocol
from msgbench.records import read_json

RECORD_SCHEMA = "msgbench.record/1"
# Found out while sampling, and no part of what decides the value.
_FOUND = ("checksum", "distinct")


def declared(names: list[str] | tuple[str, ...]) -> list[Protocol]:
    """The protocols called `names`; MeasurementError with the nearest name for one that does not exist."""
    for name in names:
        if name not in PROTOCOLS:
            raise MeasurementError(f"protocol {name}: is not declared{nearest(name, PROTOCOLS)}")
    return [PROTOCOLS[name] for name in names]


def dataset_facts(store: Store) -> dict[str, Any]:
    """The store as records name it; `stand_in` says that it is not the published dataset."""
    manifest = store.manifest
    return {
        "name": manifest.name,
        "split": manifest.split,
        "count": manifest.count,
        "resolution": manifest.resolution,
        "stand_in": manifest.stand_in,
        "fingerprint": manifest.fingerprint,
    }


def make_record(identity: dict[str, Any], score: Score, origin: dict[str, Any]) -> dict[str, Any]:
    """A record of `score`; `parts` (precision and recall) stand beside the value where there are any."""
    parts = {} if score.parts is None else {"parts": score.parts}
    return {**identity, "value": score.value, "std": score.std, **parts, "provenance": origin}


def is_current(record: Any, identity: dict[str, Any]) -> bool:
    """Whether `record` states a value for exactly `identity`; more keys (checksum, provenance) do not matter."""
    if not isinstance(record, dict) or "value" not in record:
        return False
    sample_set = record.get("sample_set")
    if isinstance(sample_set, dict):
        sample_set = {key: value for key, value in sample_set.items() if key not in _FOUND}
    stated = {**record, "sample_set": sample_set}
    return all(stated.get(key) == value for key, value in identity.items())


def is_of_same_protocol(record: Any, identity: dict[str, Any]) -> bool:
    """Whether `record` states a value for `identity` by the same version of its protocol.

    What a card says in words, and the sources that measured, may have changed since: a change of the score would have
    been a new version.
    """
    if not isinstance(record, dict) or not isinstance(record.get("protocol"), dict):
        return False
    wanted = dict(identity)
    card = wanted.pop("protocol")
    for changeable in ("measuring", "reals"):
        wanted.pop(changeable, None)
    same = all(record["protocol"].get(key) == card[key] for key in ("name", "version"))
    return same and is_current(record, wanted)


def current(known: list[Any], identity: dict[str, Any]) -> dict[str, Any] | None:
    """The first record of `known` that states a value for exactly `identity`."""
    return next((record for record in known if is_current(record, identity)), None)


def listed(content: dict[str, Any], key: str) -> list[Any]:
    """The list at `key`, or an empty one when there is none."""
    found = content.get(key)
    return found if isinstance(found, list) else []


def stored(path: Path) -> dict[str, Any] | None:
    """The JSON object at `path`, or None when there is none that can be read."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        content = read_json(path)
        if isinstance(content, dict):
            return content
    return None


@functools.cache
def measuring_digest() -> str:
    """Digest of the sources that decide a measured number."""
    return source_digest(*MEASURING_ROOMS)
