"""A list of paths, as other programs write them to a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: Longer than any path of any system.
LONGEST = 65_536


def read_paths(file: BinaryIO, *, null: bool) -> Iterator[Path]:
    """The paths in a list, as they come; empty ones, and lines of nothing but spaces, are left out.

    Args:
        file: the list.
        null: they are separated by null bytes instead of line ends, as ``find -print0`` writes them.
    """
    separator = b"\0" if null else b"\n"
    rest = b""
    # A pipe gives what is there, where a buffered read would wait for more, and hold a lock that Python needs to end.
    raw = getattr(file, "raw", file)
    read = getattr(raw, "read1", raw.read)
    while data := read(LONGEST):
        *whole, rest = (rest + data).split(separator)
        yield from _paths(whole, null=null)
        if len(rest) > LONGEST:
            yield from _paths([rest], null=null)
            rest = b""
    yield from _paths([rest], null=null)


def _paths(names: list[bytes], *, null: bool) -> Iterator[Path]:
    for name in names:
        stripped = name if null else name.rstrip(b"\r")
        if stripped if null else stripped.strip():
            yield Path(os.fsdecode(stripped))
