"""Records: atomic JSON files with a schema tag and the provenance of what they state.

A reader never meets a half-written record: everything is written beside its place, synced and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

# Libraries whose version can move a number.
_VERSIONS_OF = (
    "torch",
    "torch-fidelity",
    "torchvision",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "imagehash",
    "safetensors",
    "pandas",
    "snakemake",
    "submitit",
)

# What writing meets where nothing more fits; such errors name no file.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears at `path` complete or not at all, also when the process is killed.

    The file is written under a hidden temporary name in the same folder, synced and renamed. An OSError about the
    writing names `path`, not the temporary.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename
        ) from None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        error.filename = str(path)
        raise
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.filename == name or (error.filename is None and error.errno in _FULL):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot sync a folder; the rename itself is still atomic
    finally:
        os.close(handle)


def remove_temporaries(folder: Path, of: str = "*") -> None:
    """Remove what killed writers of the files `of` left in `folder` (call it only while holding their lock)."""
    for leftover in folder.glob(f".{of}.*.tmp"):
        leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON to `path` atomically; NaN and infinity are refused (ValueError)."""
    write_text(
        path,
        json.dumps(content, indent=2, sort_keys=False, allow_nan=False, ensure_ascii=False) + "\n",
    )


def read_json(path: Path) -> Any:
    """The content of a JSON file; FileNotFoundError or ValueError (naming the file) when it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: is not valid JSON ({error})") from None


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def _git() -> dict[str, Any]:
    """Commit of the source tree this package runs from; None when it is not a git checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
        status = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(status.strip())}


@functools.cache
def _versions() -> dict[str, str]:
    versions = {
        "python": platform.python_version(),
        "msgbench": importlib.metadata.version("msgbench"),
    }
    for name in _VERSIONS_OF:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


@functools.cache
def _cpu() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def provenance(device: str = "cpu", seconds: float | None = None) -> dict[str, Any]:
    """Where a record comes from: commit, versions, host, hardware, time.

    `device` is the name of the hardware that did the work ("cpu" or the GPU's name), `seconds` the time it
    took. `energy_joule` is None where nothing measured it.
    """
    return {
        **_git(),
        "versions": _versions(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": device,
        "seconds": None if seconds is None else round(seconds, 3),
        "energy_joule": None,
        "written": now(),
    }
