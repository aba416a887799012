"""A copy of a data folder while a server works with it, as a stream of bytes.

Each collection is copied as it is at one moment: no run is in the middle of being put in force then, and what its
record refers to is there. Collections do not refer to one another, so that the moments need not be the same. The
images' files are read after that: those of images deleted meanwhile are missing, and some of later ones are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shoal_server.application.open_collections import OpenCollections
from shoal_server.domain.errors import CollectionNotFound, NotEmbedded, StoreIncompatible, StoreUnavailable

#: Bytes of one part.
PART = 1 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A collection as it was at one moment.

    Attributes:
        collection: its id.
        folder: with a copy, laid out as in the data folder.
        images: how many there were.
    """

    collection: str
    folder: Path
    images: int


class Archive(Protocol):
    """An archive that is being written: its bytes, in blocks of any length, in the order of the calls. All block."""

    def opening(self) -> Iterator[bytes]:
        """What stands at its beginning."""
        ...

    def snapshot(self, snapshot: Snapshot) -> Iterator[bytes]:
        """A collection's copy."""
        ...

    def files(self, collection: str) -> Iterator[bytes]:
        """The files of a collection's images."""
        ...

    def closing(self) -> Iterator[bytes]:
        """What stands at its end, without which it is not whole."""
        ...

    def close(self) -> None:
        """Lets go of what is temporary."""
        ...


class BackupSource(Protocol):
    """The data folder of a store in this process."""

    def estimate(self, *, with_files: bool) -> int:
        """About how many bytes an archive will have; blocks."""
        ...

    def archive(self) -> Archive:
        """A new archive."""
        ...

    def snapshot(self, collection: str) -> AbstractAsyncContextManager[Snapshot]:
        """A copy that is removed when the context ends.

        Raises:
            CollectionNotFound: there is none of that id.
            StoreFull: there is no room for the copy.
        """
        ...


@dataclass(frozen=True, slots=True)
class BackupPart:
    """A stretch of an archive.

    Attributes:
        content: at most ``PART`` bytes.
        estimated_bytes: about how many there will be in all.
    """

    content: bytes
    estimated_bytes: int


class Backup:
    """Copies the data folder."""

    def __init__(self, collections: OpenCollections, source: BackupSource | None) -> None:
        """Args:
        collections: all that there are.
        source: what is copied; None: the server stores elsewhere.
        """
        self._collections = collections
        self._source = source

    async def parts(self, *, with_files: bool) -> AsyncGenerator[BackupPart, None]:
        """The archive from its beginning to its end. Whoever stops in between has none.

        Args:
            with_files: thumbnails and originals too.

        Raises:
            NotEmbedded: the server stores elsewhere.
            StoreIncompatible: a collection cannot be opened.
            StoreFull: there is no room for the copy of one collection.
            StoreUnavailable: something cannot be read.
        """
        source = self._source
        if source is None:
            raise NotEmbedded("a backup", "take snapshots of its collections with Qdrant's own means")
        for record in await self._collections.list():
            if record.unusable:
                # Without it, this backup might take the place of the last one that has it.
                raise StoreIncompatible(
                    f"nothing was backed up, as one collection would be missing: {record.unusable}; `shoal backup "
                    "--data DIR` copies what is there of it while no server works with the folder",
                    collection=record.id,
                )
        estimate = await asyncio.to_thread(source.estimate, with_files=with_files)
        with closing(source.archive()) as archive:
            async with aclosing(self._whole(source, archive, estimate, with_files=with_files)) as parts:
                async for part in parts:
                    yield part

    async def _whole(
        self, source: BackupSource, archive: Archive, estimate: int, *, with_files: bool
    ) -> AsyncGenerator[BackupPart, None]:
        async for part in _in_parts(archive.opening(), estimate):
            yield part
        for record in await self._collections.list():
            async with AsyncExitStack() as stack:
                try:
                    snapshot = await self._snapshot(source, stack, record.id)
                except CollectionNotFound:
                    continue  # deleted since it was listed
                async for part in _in_parts(archive.snapshot(snapshot), estimate):
                    yield part
            if with_files:
                async for part in _in_parts(archive.files(record.id), estimate):
                    yield part
        async for part in _in_parts(archive.closing(), estimate):
            yield part

    async def _snapshot(self, source: BackupSource, stack: AsyncExitStack, collection: str) -> Snapshot:
        opened = await self._collections.open_any(collection)
        # No ids are being written back while this is held; whoever wants to waits for the copy, not for its reader.
        async with opened.gate.reading():
            return await stack.enter_async_context(source.snapshot(collection))


async def _in_parts(blocks: Iterator[bytes], estimate: int) -> AsyncGenerator[BackupPart, None]:
    stretches = _stretches(blocks)
    while part := await asyncio.to_thread(next, stretches, b""):
        yield BackupPart(part, estimate)


def _stretches(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in stretches of ``PART``; the last one is shorter."""
    left = bytearray()
    try:
        for block in blocks:
            left += block
            while len(left) >= PART:
                yield bytes(left[:PART])
                del left[:PART]
    except OSError as error:
        raise StoreUnavailable("the data folder", str(error)) from error
    if left:
        yield bytes(left)
