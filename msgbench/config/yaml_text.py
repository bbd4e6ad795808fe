"""YAML as people write it: numbers like 1e-8, no key twice, no alias without end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from msgbench.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML with the numbers people write: `1e-8` is a number, as in YAML 1.2, and no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            # 8 and "8" are one key once the mapping is JSON.
            if str(key) in seen:
                raise ConfigError(
                    f"line {key_node.start_mark.line + 1}: the key {key!r} stands twice"
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep)


def _float_resolver() -> None:
    pattern = re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)$")
    _Loader.add_implicit_resolver("tag:yaml.org,2002:float", pattern, list("-+0123456789."))


_float_resolver()


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file `path`; ConfigError when it is missing, unreadable or not a mapping."""
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(
            f"{path}{where}: is not valid YAML ({getattr(error, 'problem', None) or error})"
        ) from None
    if not isinstance(document, dict):
        what = "is empty" if document is None else f"holds {type(document).__name__}"
        raise ConfigError(f"{path}: {what}, a mapping of sections is needed")
    return document


def parse_yaml(text: str) -> Any:
    """The YAML `text`; YAMLError or ConfigError for what is none or has no end: an alias inside of what it names."""
    try:
        parsed = yaml.load(text, Loader=_Loader)
        json.dumps(parsed, default=str)
    except RecursionError:
        raise ConfigError("its values nest too deep") from None
    except ValueError as error:
        if "Circular" not in str(error):
            raise
        raise ConfigError("an alias (*) stands inside of what it names") from None
    return parsed
