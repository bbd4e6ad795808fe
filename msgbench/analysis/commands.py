"""The commands that make a thing again, as a person types them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from msgbench.config import Benchmark

PATH_PLACEHOLDER = "PATH"
"""Stands for where the reader's own copy of a dataset lies."""


def changes_of(benchmark: Benchmark) -> dict[str, Any]:
    """What was changed of config.yaml for `benchmark`, its tier always among it."""
    return {"tier": benchmark.tier, **benchmark.changes}


def workflow_command(target: str, changes: Mapping[str, Any]) -> str:
    """`snakemake` for one target, with `changes` of config.yaml."""
    settings = [f"{key}={_word(value)}" for key, value in changes.items()]
    return (
        f"snakemake --cores 2 {shlex.quote(target)} --config {' '.join(map(shlex.quote, settings))}"
    )


def step_command(words: str, changes: Mapping[str, Any]) -> str:
    """`msgbench WORDS` (quoted as needed) with `changes` of config.yaml."""
    settings = [f"--set {shlex.quote(f'{key}={_word(value)}')}" for key, value in changes.items()]
    return " ".join([f"msgbench {words}", *settings])


def own_copy(dataset: str) -> dict[str, Any]:
    """The change that names the reader's own copy of a dataset."""
    return {"datasets": {dataset: {"path": PATH_PLACEHOLDER}}}


def _word(value: Any) -> str:
    """`value` as YAML in one line."""
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return dumped.removesuffix("\n").removesuffix("\n...")
