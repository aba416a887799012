"""The change log in files: one folder for each collection, in it segments that are only ever appended to.

    segment   "shoalcl1"   CRC-32 of the rest (u32)   name of its writer (16 bytes)   number of its first entry (u64)
    entry     CRC-32 of the rest (u32)   number of images (u32)   number of the entry (u64)   16 bytes for each image

All little-endian. A process that opens a log writes under a new name, so that a position of a log that was replaced by
an older copy since is known as such. What a crash leaves of an entry at a segment's end is passed over: its images were
not written.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import struct
import zlib
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar
from uuid import UUID

from shoal_server.application.change_log import Entry, Head, Heads, Position
from shoal_server.domain.errors import ChangesExpired, ShuttingDown
from shoal_server.domain.full_disk import store_failure

T = TypeVar("T")

_MAGIC = b"shoalcl1"
_SUM = struct.Struct("<I")
_WRITER = struct.Struct("<16sQ")
_ENTRY = struct.Struct("<IQ")
_SUFFIX = ".log"
#: A log is kept in about so many segments: as coarsely its oldest part is let go of.
_SEGMENTS = 8


@dataclass(slots=True)
class _Segment:
    """A file.

    Attributes:
        writer: in hexadecimal.
        first: number of its first entry.
        offsets: where each entry begins.
        end: where the next one would.
        images: in all entries.
    """

    path: Path
    writer: str
    first: int
    end: int = len(_MAGIC) + _SUM.size + _WRITER.size
    images: int = 0
    offsets: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def last(self) -> int:
        """Number of the last entry; one less than ``first`` if there is none."""
        return self.first + len(self.offsets) - 1


@dataclass(slots=True)
class _Log:
    """The log of a collection.

    Attributes:
        segments: oldest first; the last is written to if ``file`` is open.
        settled: of this process.
        floor: number of the last entry that was let go of.
    """

    folder: Path
    writer: str
    segments: list[_Segment] = field(default_factory=list)
    file: IO[bytes] | None = None
    settled: int = 0
    floor: int = 0

    @property
    def last(self) -> int:
        """Number of the last entry."""
        return self.segments[-1].last if self.segments else self.floor


class ChangeFiles:
    """The change log of a server that has its store to itself."""

    def __init__(self, folder: Path, size: int) -> None:
        """Args:
        folder: for the logs of all collections; no other process may use it.
        size: images that are kept of each collection's log, about; the newest.
        """
        self._folder = folder
        self._size = size
        self._logs: dict[str, _Log] = {}
        # One: appends come in order, and a reader sees whole entries.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shoal-changes")
        self._closed = False

    async def append(self, collection: str, images: Sequence[UUID]) -> Entry:
        """See :meth:`ChangeLog.append`."""
        return await self._run(lambda: self._append(self._open(collection), tuple(images)))

    def settle(self, collection: str, writer: str, number: int) -> None:
        """See :meth:`ChangeLog.settle`."""
        log = self._logs.get(collection)
        if log is not None and log.writer == writer:
            log.settled = number

    async def heads(self, collection: str) -> Heads:
        """See :meth:`ChangeLog.heads`."""

        def heads() -> Heads:
            log = self._open(collection)
            if not log.segments:
                # A position must name a writer: that of one empty log would be good for every other.
                _begin_segment(log)
            return _heads(log)

        return await self._run(heads)

    async def read(self, collection: str, after: Position, limit: int) -> tuple[list[Entry], bool]:
        """See :meth:`ChangeLog.read`."""
        return await self._run(lambda: _read(collection, self._open(collection), after, limit))

    async def forget(self, collection: str) -> None:
        """See :meth:`ChangeLog.forget`."""
        await self._run(lambda: self._forget(collection))

    async def aclose(self) -> None:
        """Closes the files; what was appended is durable already."""
        if not self._closed:
            await self._run(self._close)
            self._closed = True
            self._thread.shutdown(wait=False)

    async def _run(self, job: Callable[[], T]) -> T:
        if self._closed:
            raise ShuttingDown
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translated, job)

    def _translated(self, job: Callable[[], T]) -> T:
        try:
            return job()
        except OSError as error:
            raise store_failure(str(self._folder), error) from error

    def _open(self, collection: str) -> _Log:
        if collection not in self._logs:
            self._logs[collection] = _load(self._folder / collection)
        return self._logs[collection]

    def _forget(self, collection: str) -> None:
        log = self._logs.pop(collection, None)
        if log is not None and log.file is not None:
            log.file.close()
        if (self._folder / collection).exists():
            shutil.rmtree(self._folder / collection)

    def _close(self) -> None:
        for log in self._logs.values():
            if log.file is not None:
                log.file.close()
                log.file = None

    def _append(self, log: _Log, images: tuple[UUID, ...]) -> Entry:
        if log.file is None or log.segments[-1].images >= max(self._size // _SEGMENTS, 1):
            _begin_segment(log)
            self._let_go(log)
        segment, file = log.segments[-1], log.file
        assert file is not None  # noqa: S101 - of the segment that was begun
        number = segment.last + 1
        body = _ENTRY.pack(len(images), number) + b"".join(image.bytes for image in images)
        try:
            _write(file, _SUM.pack(zlib.crc32(body)) + body)
        except OSError:
            # What was written of it must not stand before the next entry.
            log.file = None
            file.close()
            raise
        segment.offsets.append(segment.end)
        segment.end += _SUM.size + len(body)
        segment.images += len(images)
        return Entry(log.writer, number, images)

    def _let_go(self, log: _Log) -> None:
        """Removes the oldest segments that are not needed to have ``size`` images."""
        kept = sum(segment.images for segment in log.segments)
        while len(log.segments) > 1 and kept - log.segments[0].images >= self._size:
            oldest = log.segments.pop(0)
            kept -= oldest.images
            log.floor = oldest.last
            oldest.path.unlink()


def _begin_segment(log: _Log) -> None:
    first = log.last + 1
    if log.file is not None:
        log.file.close()
        log.file = None
    if log.segments and (log.segments[-1].writer, log.segments[-1].first) == (log.writer, first):
        # Not one entry got into it.
        log.segments.pop()
    if not log.folder.exists():
        log.folder.mkdir(parents=True)
        _sync_folder(log.folder.parent)
    path = log.folder / f"{first:020d}-{log.writer}{_SUFFIX}"
    rest = _WRITER.pack(log.writer.encode(), first)
    # Unbuffered: what fails must not be written after all when the file is closed.
    file = path.open("wb", buffering=0)
    try:
        _write(file, _MAGIC + _SUM.pack(zlib.crc32(rest)) + rest)
        _sync_folder(log.folder)
    except OSError:
        file.close()
        path.unlink(missing_ok=True)
        raise
    log.segments.append(_Segment(path, log.writer, first))
    log.file = file


def _load(folder: Path) -> _Log:
    """A log as a process that ended has left it."""
    log = _Log(folder, secrets.token_hex(8))
    found: list[_Segment] = []
    for path in folder.glob(f"*{_SUFFIX}"):
        segment = _scan(path)
        if segment is None:
            path.unlink()
        else:
            found.append(segment)
    for segment in sorted(found, key=lambda each: (each.first, len(each.offsets))):
        if log.segments and segment.first != log.last + 1:
            # Entries in between are lost: nobody may go on from before them.
            while log.segments:
                log.segments.pop().path.unlink()
        log.segments.append(segment)
    if log.segments:
        log.floor = log.segments[0].first - 1
    log.settled = log.last
    return log


def _scan(path: Path) -> _Segment | None:
    """The segment in a file, as far as its entries are whole; None if it does not even have a beginning."""
    content = path.read_bytes()
    begin = len(_MAGIC) + _SUM.size
    if len(content) < begin + _WRITER.size or not content.startswith(_MAGIC):
        return None
    if _SUM.unpack_from(content, len(_MAGIC))[0] != zlib.crc32(content[begin : begin + _WRITER.size]):
        return None
    writer, first = _WRITER.unpack_from(content, begin)
    segment = _Segment(path, writer.decode("ascii", "replace"), first)
    while (entry := _entry_at(content, segment.end)) is not None and entry[0] == segment.last + 1:
        segment.offsets.append(segment.end)
        segment.end += _SUM.size + _ENTRY.size + 16 * len(entry[1])
        segment.images += len(entry[1])
    return segment


def _entry_at(content: bytes, offset: int) -> tuple[int, tuple[UUID, ...]] | None:
    """Number and images of the entry that begins there; None if there is no whole one."""
    begin = offset + _SUM.size
    if len(content) < begin + _ENTRY.size:
        return None
    count, number = _ENTRY.unpack_from(content, begin)
    end = begin + _ENTRY.size + 16 * count
    if len(content) < end or _SUM.unpack_from(content, offset)[0] != zlib.crc32(memoryview(content)[begin:end]):
        return None
    start = begin + _ENTRY.size
    return number, tuple(UUID(bytes=content[start + 16 * row : start + 16 * row + 16]) for row in range(count))


def _heads(log: _Log) -> Heads:
    writers: dict[str, Head] = {}
    for segment in log.segments:
        own = segment.writer == log.writer
        # The newest is always named, so that a position of another log, or of an older copy of this one, is not taken.
        ended = not own and segment.writer != log.segments[-1].writer
        writers[segment.writer] = Head(log.settled if own else segment.last, ended)
    return Heads(writers, log.floor)


def _read(collection: str, log: _Log, after: Position, limit: int) -> tuple[list[Entry], bool]:
    _check(collection, log, after)
    entries: list[Entry] = []
    images = 0
    for segment in log.segments:
        start = max(after.of(segment.writer) + 1, segment.first)
        if start > segment.last:
            continue
        with segment.path.open("rb") as file:
            for number in range(start, segment.last + 1):
                if images >= limit:
                    return entries, True
                row = number - segment.first
                end = segment.offsets[row + 1] if number < segment.last else segment.end
                file.seek(segment.offsets[row])
                found = _entry_at(file.read(end - segment.offsets[row]), 0)
                if found is None:
                    raise ChangesExpired(collection)
                entries.append(Entry(segment.writer, number, found[1]))
                images += len(found[1])
    return entries, False


def _check(collection: str, log: _Log, position: Position) -> None:
    """Raises:
    ChangesExpired: entries after the position were let go of, or another log gave it out.
    """
    last = {segment.writer: segment.last for segment in log.segments}
    named = all(name in last and number <= last[name] for name, number in position.reached.items())
    # The writers follow one another, so that whoever has read an entry has read all before it.
    if not named or not log.floor <= max([position.base, *position.reached.values()]) <= log.last:
        raise ChangesExpired(collection)


def _write(file: IO[bytes], content: bytes) -> None:
    """Writes all of it, durably."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    getattr(os, "fdatasync", os.fsync)(file.fileno())


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder; its file system journals names by itself.
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
