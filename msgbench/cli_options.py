"""Options that commands of both command-line modules share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msgbench.errors import ConfigError

LogOption = Annotated[
    Path | None, typer.Option("--log", help="Append all messages to this file, too.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


def known_device(name: str) -> str:
    """`name` when it is a device's; raises ConfigError for any other text."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: {name!r} is not allowed; allowed: auto, cpu, cuda")
    return name
