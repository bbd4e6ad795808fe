"""Patches: partial specs, the building stones of config.yaml.

A layer of the configuration (defaults, a method, an experiment, a tier's overlay) states only what it
changes. `Patch(Spec)` is the pydantic type of such a layer: every field of the spec, each optional, with
the same types, ranges and descriptions, so that a wrong value is reported where it was written.
"""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from msgbench.config.base import Spec

# Sections that a layer replaces as a whole: their fields exclude each other.
REPLACED_WHOLE = frozenset({"ema"})


@cache
def patch_model(spec: type[BaseModel], omit: frozenset[str] = frozenset()) -> type[BaseModel]:
    """The model with all fields of `spec` (without `omit`), none required, nested specs patched likewise."""
    fields: dict[str, Any] = {}
    for name, field in spec.model_fields.items():
        if name in omit:
            continue
        nested = nested_spec(field.annotation)
        annotation: Any = field.annotation
        if nested is not None:
            annotation = nested if name in REPLACED_WHOLE else patch_model(nested)
            if type(None) in typing.get_args(field.annotation):
                # A section that a spec may lack: a layer takes it away with null.
                annotation = annotation | None
        copy = field.merge_field_infos(field, default=None, annotation=annotation)
        copy.default_factory = None
        fields[name] = (annotation, copy)
    return create_model(f"{spec.__name__}Patch", __base__=Spec, __doc__=spec.__doc__, **fields)


def nested_spec(annotation: Any) -> type[BaseModel] | None:
    """The spec class inside `annotation` (`X` or `X | None`), or None for a plain value."""
    candidates = (
        typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    )
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


class Patch:
    """Annotation `Annotated[dict[str, Any], Patch(Spec)]`: validated as a patch, kept as a plain dict."""

    def __init__(self, spec: type[BaseModel], omit: frozenset[str] = frozenset()) -> None:
        self.model = patch_model(spec, omit)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda patch: patch.model_dump(exclude_unset=True, mode="json"),
            handler.generate_schema(self.model),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda patch: patch),
        )


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge key by key, everything else (and REPLACED_WHOLE) is replaced."""
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict) and key not in REPLACED_WHOLE:
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out
