"""The record of one measurement of speed: what was run, where, and the rows that were found."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msgbench.errors import ConfigError, ResultsError
from msgbench.records import provenance, write_text

# What `msgbench bench` measures, in the order of docs/performance.md.
Kind = Literal["training", "processes", "feed", "precision", "metrics", "results"]

Cell = str | int | float | None


class Measured(BaseModel):
    """A measurement by `msgbench bench KIND`; `rows` differ by kind and are shown by forms.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["msgbench.bench/1"] = Field(alias="schema")
    kind: Kind
    command: str
    """What repeats it, with UPPER-CASE words for paths of one's own."""
    settings: dict[str, Cell]
    """What holds for all rows: threads, rounds, width and so on."""
    rows: list[dict[str, Cell]]
    provenance: dict[str, Any]

    @classmethod
    def of(
        cls,
        kind: Kind,
        command: str,
        settings: dict[str, Cell],
        rows: list[dict[str, Cell]],
        device: str,
    ) -> Measured:
        """A measurement made just now on `device` (`cpu` or the GPU's name).

        The machine's name is left out: such records are published.
        """
        origin = provenance(device)
        return cls(
            schema="msgbench.bench/1",
            kind=kind,
            command=command,
            settings=settings,
            rows=rows,
            provenance={key: origin[key] for key in origin if key not in ("host", "platform")},
        )

    @classmethod
    def read(cls, path: Path) -> Measured:
        """The record in `path`; raises ResultsError, naming the file, when it is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ResultsError(
                f"{path}: is no record of `msgbench bench` ({where}: {first['msg']})"
            ) from None

    def write(self, folder: Path, lines: list[str]) -> None:
        """Write KIND.json, KIND.csv (the rows, with where they are from) and KIND.md (`lines`) into `folder`."""
        content = json.dumps(self.model_dump(mode="json", by_alias=True), indent=2, allow_nan=False)
        write_text(folder / f"{self.kind}.json", content + "\n")
        write_text(folder / f"{self.kind}.csv", self._csv())
        write_text(folder / f"{self.kind}.md", "\n".join(lines) + "\n")

    def _csv(self) -> str:
        origin = self.provenance
        more = {
            "cpu": origin["cpu"], "device": origin["device"], "torch": origin["versions"]["torch"],
            "commit": origin["commit"], "written": origin["written"],
        }  # fmt: skip
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list({**self.rows[0], **more}), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**more, **row} for row in self.rows)
        return buffer.getvalue()


def require_folder(out: Path | None) -> None:
    """Raise ConfigError when `--out` names a file."""
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {str(out)!r} is not allowed; allowed: a folder, or a new one")
