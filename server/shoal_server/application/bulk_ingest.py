"""Storing images as one of several workers on the same store, each of which reads files by where they are.

What is stored is what :class:`~shoal_server.application.ingest.Ingest` stores. This adds what a server has from its
clients, and a worker has not: reading, patience with a store that does not answer, and that no content is being stored
by two workers at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar
from uuid import UUID

from shoal_server.application.ingest import Ingest, NewImage, Options
from shoal_server.application.open_collections import OpenCollections
from shoal_server.domain.errors import (
    CollectionExists,
    CollectionNotFound,
    Failed,
    FetchUnavailable,
    Invalid,
    Overloaded,
    ShoalError,
    StoreRefused,
    Unavailable,
)
from shoal_server.domain.image import Attribute, digest_of, image_id

#: Images that are read, decoded, embedded or stored at once, for each that may be read at once.
_UNDER_WAY = 4
#: A file that cannot be read just now is read so many times.
_READINGS = 3
#: Seconds between two attempts.
_AGAIN_S = 1.0
#: How long a store or a model that does not answer is waited for, in seconds.
PATIENCE_S = 60.0
#: Seconds between two looks at whether another worker is done with the same content, and how long that is waited for:
#: storing it twice does no harm, only one of its two places may be forgotten.
_LOOK_S = 0.05
_WAIT_S = 120.0
#: What is claimed to make the collection; no image has such an id, for theirs are hashes.
_MAKING = UUID(int=0)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file to store.

    Attributes:
        number: its place in the list; no two have the same.
        location: an absolute path, or a URL.
        uri: where the picture is, as stored.
        tags: labels.
        attributes: what else is said of it.
    """

    number: int
    location: str
    uri: str
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


class Fate(Enum):
    """What became of a file."""

    STORED = "stored"
    #: Its bytes were stored before.
    DUPLICATE = "duplicate"
    FAILED = "failed"
    #: It was not tried to its end, for what is wrong is not the file: none of the others would fare better.
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a file, and why if it was not stored."""

    file: ListedFile
    fate: Fate
    error: ShoalError | None = None


class FileReader(Protocol):
    """Reads files by where they are."""

    async def read(self, location: str) -> bytes:
        """The bytes of a file.

        Args:
            location: an absolute path, or a URL.

        Raises:
            FetchFailed: it cannot be had.
            FetchUnavailable: it cannot be had just now.
            FileTooLarge: it has more bytes than are taken.
            MissingExtra: what reads such URLs is not installed.
        """
        ...


class Claims(Protocol):
    """Which contents are being stored, by all workers."""

    async def take(self, content: UUID, number: int) -> bool:
        """Claims a content; False if another file's claim stands. A file that is tried again still has its own."""
        ...

    def release(self, content: UUID, number: int) -> None:
        """Gives a claim back, sooner or later; nothing if it is another file's."""
        ...


class BulkIngest:
    """Stores the files of a list in one collection."""

    def __init__(
        self,
        collections: OpenCollections,
        ingest: Ingest,
        reader: FileReader,
        claims: Claims,
        collection: str,
        options: Options,
        *,
        reads: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Args:
        collections: to make it in.
        ingest: stores an image.
        reader: of the files.
        claims: shared with the other workers.
        collection: where to.
        options: how.
        reads: most files that are read at once; four times as many are under way.
        patience_s: how long a store that does not answer is waited for.
        """
        self._collections = collections
        self._ingest = ingest
        self._reader = reader
        self._claims = claims
        self._collection = collection
        self._options = options
        self._reading = asyncio.Semaphore(reads)
        self._room = asyncio.Semaphore(reads * _UNDER_WAY)
        self._patience_s = patience_s

    async def prepare(self, worker: int) -> None:
        """Makes the collection if there is none, and finds out whether images can be stored there.

        Args:
            worker: a number of this worker that is no other's.

        Raises:
            ModelMismatch: it was made with another model.
            AttachedCollection: the images are somebody else's.
            ShoalError: as :meth:`OpenCollections.create`.
        """
        # Two that make one at the same time would take each other's work for what a crash has left.
        async with self._claimed(_MAKING, worker):
            try:
                await self._collections.open(self._collection)
            except CollectionNotFound:
                # A server's client may make it at this very moment.
                with suppress(CollectionExists):
                    await self._collections.create(self._collection)
        await self._ingest.check(self._collection)

    async def __call__(self, file: ListedFile) -> Told:
        """Reads and stores one file."""
        try:
            async with self._room:
                content = await self._read(file.location)
                identity = image_id(await asyncio.to_thread(digest_of, content))
                new = NewImage(content, file.uri, file.tags, file.attributes)
                async with self._claimed(identity, file.number):
                    ingested = await self._patiently(lambda: self._ingest(self._collection, new, self._options))
        except ShoalError as error:
            return Told(file, Fate.FAILED if _is_of_the_file(error) else Fate.HALTED, error)
        return Told(file, Fate.DUPLICATE if ingested.duplicate else Fate.STORED)

    async def _read(self, location: str) -> bytes:
        async with self._reading:
            for _ in range(_READINGS - 1):
                try:
                    return await self._reader.read(location)
                except FetchUnavailable:
                    await asyncio.sleep(_AGAIN_S)
            return await self._reader.read(location)

    @asynccontextmanager
    async def _claimed(self, content: UUID, number: int) -> AsyncIterator[None]:
        until = time.monotonic() + _WAIT_S
        while not await self._claims.take(content, number):
            if time.monotonic() > until:
                break
            await asyncio.sleep(_LOOK_S)
        try:
            yield
        finally:
            self._claims.release(content, number)

    async def _patiently(self, store: Callable[[], Awaitable[Answer]]) -> Answer:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return await store()
            except (Unavailable, Overloaded) as error:
                # Waiting gives no permission.
                if isinstance(error, StoreRefused) or time.monotonic() + _AGAIN_S > until:
                    raise
            await asyncio.sleep(_AGAIN_S)


def _is_of_the_file(error: ShoalError) -> bool:
    """Whether the failure says something about this file alone."""
    return isinstance(error, Invalid | FetchUnavailable | Failed)
