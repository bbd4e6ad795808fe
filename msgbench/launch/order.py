"""What is to be run, for which folder and how: what a launcher gets, and hands to its submitting process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Order:
    """`argv` for the task `task` of the folder `folder` (absolute), through `launcher`.

    `title` is the folder as the user called it, for messages. `resources` are Slurm's, as stated. `resubmitted` and
    `progress`: see JobRecord.
    """

    argv: tuple[str, ...]
    folder: Path
    task: str
    launcher: str
    output: Path
    title: str
    resources: dict[str, Any] = field(default_factory=dict)
    resubmitted: int = 0
    progress: str = ""

    def to_json(self) -> str:
        """For another process."""
        return json.dumps({**self.__dict__, "folder": str(self.folder), "output": str(self.output)})

    @classmethod
    def from_json(cls, text: str) -> Order:
        """What `to_json` wrote."""
        content = json.loads(text)
        return cls(
            **{
                **content,
                "argv": tuple(content["argv"]),
                "folder": Path(content["folder"]),
                "output": Path(content["output"]),
            }
        )
