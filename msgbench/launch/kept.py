"""Putting back what a job made before Snakemake deleted it.

A killed Snakemake deletes, when it is started again, the outputs of all rules that it saw no end of: also those that
their jobs have finished meanwhile. A job keeps a copy; it is put back where a new job would make the same again,
and spares that one's time in the queue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgbench.errors import SnapshotError
from msgbench.launch.record import JobRecord
from msgbench.layout import (
    MANIFEST_JSON,
    MEASURING_ROOMS,
    REAL_JSON,
    SPEC_JSON,
    TRAIN_JSON,
    source_digest,
)
from msgbench.records import read_json, write_text
from msgbench.retention import read_deleted

# Packing a dataset is not among them: it takes minutes.
TASKS_WITH_COPY = ("train", "evaluate")


def put_back(record: JobRecord, output: Path) -> bool:
    """Put the kept output of a job that succeeded back if it still holds; whether it was."""
    still_holds = {"train": _is_trained, "evaluate": _is_measured}.get(record.task)
    try:
        if still_holds is None or not still_holds(read_json(record.kept_output), output, record):
            return False
    except (OSError, ValueError, KeyError, TypeError, SnapshotError):
        return False
    write_text(output, record.kept_output.read_text(encoding="utf-8"))
    return True


def _is_trained(content: dict[str, Any], output: Path, record: JobRecord) -> bool:
    """Whether every snapshot that it lists is there, or was deleted after it was measured."""
    deleted = {(entry.file, entry.sha256) for entry in read_deleted(output.parent)}
    return all(
        (output.parent / entry["file"]).exists() or (entry["file"], entry["sha256"]) in deleted
        for entry in content["snapshots"]
    )


def _is_measured(content: dict[str, Any], output: Path, record: JobRecord) -> bool:
    """Whether it was measured by the present code, after its inputs were written, and its records are there."""
    folder = output.parent
    if output.name == REAL_JSON:  # holds its records
        inputs = [folder / MANIFEST_JSON]
        measuring = {entry["measuring"] for entry in (*content["records"], *content["controls"])}
        listed = []
    else:
        inputs = [folder / SPEC_JSON, folder / TRAIN_JSON]
        measuring = {content["measuring"]}
        listed = [folder / entry["file"] for entry in content["records"]]
    written = record.kept_output.stat().st_mtime
    return (
        measuring == {source_digest(*MEASURING_ROOMS)}
        and all(path.stat().st_mtime < written for path in inputs)
        and all(path.exists() for path in listed)
    )
