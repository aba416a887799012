"""Files with holes: the engine preallocates some 400 MB a collection, of which next to nothing is written at first.

``python sparse.py SOURCE TARGET`` copies a folder in a process of its own; it imports nothing but the standard library.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

BLOCK = 1 << 20

_SEEKS_HOLES = hasattr(os, "SEEK_DATA")


def data_spans(file: FileIO, size: int) -> list[tuple[int, int]]:
    """Where there is something in a file, as (offset, length); the rest reads as zeros. Blocks."""
    if not _SEEKS_HOLES:
        return [(0, size)] if size else []
    spans = []
    end = 0
    while end < size:
        try:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # a hole up to the end
            raise
        end = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), size)
        if start >= size:
            break
        spans.append((start, end - start))
    return spans


def read_span(file: FileIO, offset: int, length: int) -> Iterator[bytes]:
    """A stretch of a file in blocks, whatever becomes of the file: what is missing of it reads as zeros."""
    file.seek(offset)
    while length:
        block = file.read(min(BLOCK, length)) or bytes(min(BLOCK, length))
        length -= len(block)
        yield block


def taken_bytes(folder: Path) -> int:
    """Bytes of the disk that a folder takes: holes take none. Files that go meanwhile are passed over. Blocks."""
    taken = 0
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        # Windows does not tell.
        taken += getattr(status, "st_blocks", status.st_size // 512) * 512
    return taken


def copy_tree(source: Path, target: Path) -> None:
    """Copies a folder with the holes of its files, which nobody changes meanwhile. Blocks."""
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            _copy(path, to)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as reader, target.open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        for start, length in data_spans(reader, size):
            writer.seek(start)
            for block in read_span(reader, start, length):
                writer.write(block)
        writer.truncate(size)


def die_with_parent() -> None:
    """Ends this process when the other end of its standard input is closed, however the parent ended."""
    if sys.platform != "win32":
        import fcntl

        # A watching thread would wait for the interpreter lock; the default action of SIGIO needs nobody.
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)


if __name__ == "__main__":
    # Whoever starts next clears away what it has copied.
    die_with_parent()
    try:
        copy_tree(Path(sys.argv[1]), Path(sys.argv[2]))
    except OSError as failure:
        sys.exit(failure.errno or errno.EIO)
