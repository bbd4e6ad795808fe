"""Reading tar archives in memory, to their last byte, without believing anything that their headers say.

Nothing is extracted, so no member can land outside of a folder; links are passed over; members are known
by their last name alone.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self, cast

from msgbench.errors import DatasetError


class Wanted(NamedTuple):
    """The members whose bytes are read."""

    pattern: re.Pattern[str]
    """of the whole name without folder"""
    largest: int
    """bytes; a larger one is refused unread"""
    size_hint: str
    """what a member that is too large should have been"""


class _StrictHeader(tarfile.TarInfo):
    """Member headers of which the last must be the end mark; `tarfile` itself takes any break for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            raise EOFError from None
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def read_tar(
    path: Path, wanted: Wanted | None, forms: str, honest: bool = False
) -> dict[str, bytes | None]:
    """All regular members by name without folder: bytes of what is wanted, else None.

    `honest`: members whose names lead out of the archive are refused, not only passed over.

    Compressed by gzip or not. The whole stream is read to its end, so that its checksum is checked. Raises
    DatasetError (with `forms` as what was expected) for what is truncated, damaged or no archive.
    """
    if path.stat().st_size == 0:
        raise DatasetError(f"{path}: is an empty file; expected {forms}")
    try:
        return _read(path, wanted, forms, honest)
    except EOFError:
        raise DatasetError(
            f"{path}: ends in the middle of its data (a download that was cut off?); expected {forms}"
        ) from None
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile):
        raise DatasetError(
            f"{path}: is not a tar archive or is damaged; expected {forms}"
        ) from None


def _read(path: Path, wanted: Wanted | None, forms: str, honest: bool) -> dict[str, bytes | None]:
    members: dict[str, bytes | None] = {}
    with contextlib.ExitStack() as opened:
        stream: IO[bytes] = opened.enter_context(path.open("rb"))
        zipped = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        if zipped:
            stream = cast(IO[bytes], opened.enter_context(gzip.open(stream)))
        archive = opened.enter_context(
            tarfile.open(fileobj=stream, mode="r:", tarinfo=_StrictHeader)
        )
        for member in archive:
            whole = PurePosixPath(member.name)
            name = whole.name
            if honest and (whole.is_absolute() or ".." in whole.parts):
                raise DatasetError(
                    f"{path} ({member.name}): names a place outside of the archive; nothing was unpacked"
                )
            if not member.isfile():
                continue
            if wanted is None or not wanted.pattern.fullmatch(name):
                members.setdefault(name, None)
                continue
            where = f"{path} ({name})"
            if members.get(name) is not None:
                raise DatasetError(f"{where}: is in the archive twice; expected {forms}")
            if member.size > wanted.largest:
                raise DatasetError(
                    f"{where}: is {member.size} bytes long; expected {wanted.size_hint}"
                )
            content = archive.extractfile(member)
            assert content is not None, "a regular member has content"
            members[name] = content.read()
        while stream.read(2**20):
            pass
    return members
