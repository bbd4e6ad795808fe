"""Changes of config.yaml as they are given on command lines, in both directions.

`parse_override` (assignments.py) reads `key.path=value`; `as_assignments` writes it, so that a workflow that
was started with changes can hand them to each of its commands. Not by Snakemake's `configfile:`, whose
reader takes 1e-3 and everything behind `--config` for text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgbench.config.assignments import parse_override
from msgbench.config.patches import REPLACED_WHOLE, merge
from msgbench.config.yaml_text import read_yaml
from msgbench.errors import ConfigError


def layered(files: Sequence[Path], words: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The config `files` laid over each other, then `words`, and the arguments that say so to a command.

    `words` is what Snakemake makes of `--config`. Raises ConfigError for an unreadable file or value.
    """
    base = read_yaml(files[0])
    merged = base
    for file in files[1:]:
        merged = merge(merged, read_yaml(file))
    merged = merge(merged, typed(words))
    changes = [f"--set={change}" for change in as_assignments(base, merged)]
    return merged, ["--config", str(files[0]), *changes]


def as_assignments(base: Mapping[str, Any], changed: Mapping[str, Any]) -> list[str]:
    """Texts for `--set` that turn `base` into `changed`; keys that `changed` lacks are left as they are.

    A path is a JSON list where a key holds a dot (`lr0.003`), values are JSON, which YAML reads alike.
    """
    return [
        f"{_path(path)}={json.dumps(value, ensure_ascii=False)}"
        for path, value in _differences(base, changed, ())
    ]


def _differences(
    base: Mapping[str, Any], changed: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in changed.items():
        before = base.get(key)
        if key in base and before == value and type(before) is type(value):
            continue
        deeper = isinstance(value, dict) and isinstance(before, dict) and key not in REPLACED_WHOLE
        if deeper:
            yield from _differences(before, value, (*path, key))  # type: ignore[arg-type]
        else:
            yield (*path, key), value


def _path(path: tuple[str, ...]) -> str:
    plain = not any("." in key or key.startswith("[") for key in path)
    return ".".join(path) if plain else json.dumps(list(path), ensure_ascii=False)


def typed(words: Mapping[str, Any]) -> dict[str, Any]:
    """`words` with every text read as YAML: Snakemake's `--config` leaves `true` and `0.1` texts.

    Raises ConfigError, naming the key, for a text that is not valid YAML.
    """
    return {key: _typed(value, key) for key, value in words.items()}


def _typed(value: Any, path: str) -> Any:
    if isinstance(value, str):
        try:
            return parse_override(f"value={value}")["value"]
        except ConfigError:
            raise ConfigError(f"--config {path}: {value!r} is not valid YAML") from None
    if isinstance(value, Mapping):
        return {key: _typed(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item, f"{path}.{index}") for index, item in enumerate(value)]
    return value
