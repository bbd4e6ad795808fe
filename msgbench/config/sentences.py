"""Validation errors as one sentence each: the key's path, the value, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "dict_type": "a mapping of keys and values",
    "model_type": "a mapping of keys and values",
    "model_attributes_type": "a mapping of keys and values",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}


# Names that a sentence lists before it only counts the rest.
_MOST_NAMES = 12


def nearest(name: object, known: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest of `known`, else the list of what is allowed."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES + 1 else ""
    shown = names[:_MOST_NAMES] if more else names
    return f"; allowed: {', '.join(shown) or 'none'}{more}"


def sentence(error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...]) -> str:
    """The first problem of `error` (raised while validating `model` at key path `prefix`) as a sentence."""
    problems = error.errors()
    # An unknown key is the likelier cause than a key that is missing because of it.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    loc = tuple(str(part) for part in first["loc"])
    path = ".".join((*prefix, *loc)) or "config.yaml"
    kind, context, value = first["type"], first.get("ctx", {}), first["input"]
    if kind == "extra_forbidden":
        text = f"{path}: unknown key{nearest(loc[-1], _keys_at(model, loc[:-1]))}"
    elif kind == "missing":
        text = f"{path}: is required and has no value"
    elif kind == "value_error":
        text = f"{path}: {context['error']}"
    elif kind == "string_pattern_mismatch":
        allowed = "lower-case letters, digits and . _ -"
        text = f"{'.'.join((*prefix, *loc[:-1]))}: {value!r} is not allowed; allowed: {allowed}"
    else:
        text = f"{path}: {value!r} is not allowed; allowed: {_allowed(kind, context, first['msg'])}"
    # A list with a bad entry also counts as too short: that is the same mistake, not another one.
    others = [
        problem for problem in problems[1:] if first["loc"][: len(problem["loc"])] != problem["loc"]
    ]
    return f"{text} (and {len(others)} more)" if others else text


def _allowed(kind: str, context: dict[str, Any], message: str) -> str:
    bounds = {
        "greater_than": f"a number greater than {context.get('gt')}",
        "greater_than_equal": f"a number of at least {context.get('ge')}",
        "less_than": f"a number less than {context.get('lt')}",
        "less_than_equal": f"a number of at most {context.get('le')}",
        "literal_error": str(context.get("expected", "")).replace("'", "").replace(" or ", ", "),
        "enum": str(context.get("expected", "")),
        "too_short": f"at least {context.get('min_length')} entries",
        "string_too_short": "a text that is not empty",
    }
    return bounds.get(kind) or _KINDS.get(kind) or message


def _keys_at(model: type[BaseModel], loc: tuple[str, ...]) -> list[str]:
    """The keys that `model` allows at `loc`, read from its JSON schema."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    node = _follow(schema, definitions)
    for part in loc:
        named = node.get("properties", {})
        patterns = list(node.get("patternProperties", {}).values())
        inner = named.get(part) or node.get("items") or node.get("additionalProperties")
        node = _follow(inner or (patterns[0] if patterns else {}), definitions)
    return list(node.get("properties", {}))


def _follow(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The node that says what is inside: references resolved, `X | None` taken as X."""
    if "$ref" in node:
        return _follow(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    for choice in node.get("anyOf", ()):
        found = _follow(choice, definitions)
        if found.get("type") in ("object", "array"):
            return found
    return node
