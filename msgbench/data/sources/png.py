"""The chunks of a PNG file, each held to its checksum, which Pillow does not look at for pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

START = b"\x89PNG\r\n\x1a\n"


def chunks(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of every chunk to the end mark; raises ValueError or struct.error where one is damaged."""
    place = len(START)
    while True:
        length, name = struct.unpack_from(">I4s", raw, place)
        content = raw[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", raw, place + 8 + length)
        if zlib.crc32(name + content) != checksum:
            raise ValueError("wrong checksum")
        yield name, content
        if name == b"IEND":
            return
        place += 12 + length
