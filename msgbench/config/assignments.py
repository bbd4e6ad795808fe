"""`key.path=value` of a command line as changes of config.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from msgbench.config.patches import merge
from msgbench.config.yaml_text import parse_yaml
from msgbench.errors import ConfigError


def changed(
    raw: Mapping[str, Any], overrides: Mapping[str, Any], assignments: Sequence[str]
) -> dict[str, Any]:
    """`overrides`, and the assignments laid over them."""
    changes = dict(overrides)
    for assignment in assignments:
        changes = merge(changes, parse_override(assignment, merge(dict(raw), changes)))
    return changes


def parse_override(text: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`a.b=value` (value in YAML) as the nested mapping `{a: {b: value}}`.

    Names of `known` (the configuration) may hold dots: `experiments.lr0.003.seeds` is taken apart by them. A path
    that is a JSON list of texts says by itself where its parts end.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text}: is not of the form key.path=value")
    try:
        parsed: Any = parse_yaml(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {text}: the value is not valid YAML") from None
    except ConfigError as error:
        raise ConfigError(f"--set {key}: {error}") from None
    parts: Any = _by_names(key.split("."), known or {})
    if key.startswith("["):
        try:
            parts = json.loads(key)
        except ValueError:
            parts = None
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise ConfigError(f"--set {text}: the path before = is not a JSON list of texts")
    for part in reversed(parts):
        parsed = {part: parsed}
    return dict(parsed)


def _by_names(parts: list[str], known: Mapping[str, Any]) -> list[str]:
    """The parts of a path between its dots, put together where that gives a name: the longest one that there is."""
    path: list[str] = []
    node: Any = known
    while parts:
        names = {str(name) for name in node} if isinstance(node, Mapping) else set()
        if len(path) == 3 and path[0] == "tiers" and isinstance(known.get(path[2]), Mapping):
            # A tier may change what it has not changed yet.
            names |= set(known[path[2]])
        size = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in names), 1)
        path.append(".".join(parts[:size]))
        node = node.get(path[-1]) if isinstance(node, Mapping) else None
        parts = parts[size:]
    return path
