"""The change log of servers that share a Qdrant server: points without vectors in a Qdrant collection.

Each process writes under a name of its own. Beside its entries it has a head, which says how far its entries go and how
far they are settled, and is written together with each entry. A head that has not changed for a while belongs to a
process that is no more: then its entries are settled. One that has not changed for long has ended: then its writer need
not be named in positions any more, which so do not grow for ever. A process that has written nothing for a while
therefore takes a new name.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid5

from qdrant_client import models

from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.application.change_log import Entry, Head, Heads, Position
from shoal_server.domain.errors import ChangesExpired, ShoalError

#: No collection's id has a dot, so that none can have this name.
CHANGES = "shoal.changes"

#: Seconds without a change of a head after which no write of its process is under way any more: above the time limit of
#: one call.
SETTLED_AFTER_S = 90.0
#: Seconds without an entry after which a process takes a new name.
RENAMED_AFTER_S = 1800.0
#: Seconds without a change of a head after which its writer has ended for good.
ENDED_AFTER_S = 3600.0
#: Seconds without a change of a head after which its entries may be let go of as a whole.
DROPPED_AFTER_S = 7200.0
#: Seconds after which an entry that cannot be read will not come any more.
MISSING_S = 30.0
#: Seconds between two looks at what is to be told to other processes.
_PUBLISH_EVERY_S = 0.3
#: Seconds between two signs of life while a write is under way.
_BEAT_EVERY_S = 20.0
#: Seconds between two looks at what is over the size.
_PRUNE_EVERY_S = 60.0
#: A new writer begins so far above all that are known: more than another can write before it says so.
_GAP = 1_000_000
_READ_BATCH = 64
_PAGE = 256
_KEYWORDS = ("kind", "collection", "writer")
_NAMESPACE = UUID("5f0c1b1e-7f0a-5d0e-8d61-3c1a9d1f2b46")


@dataclass(frozen=True, slots=True)
class _Head:
    """A head as it stands in its point.

    Attributes:
        start: number of its first entry.
        first: of the oldest that is kept.
        last: of the newest.
        settled: the writes up to this number are over.
        floor: entries of dropped writers went up to this number.
        images: in all entries that are kept.
        beat: grows with each sign of life.
    """

    start: int
    first: int
    last: int
    settled: int
    floor: int = 0
    images: int = 0
    beat: int = 0


@dataclass(slots=True)
class _Own:
    """A name of this process.

    Attributes:
        written_at: when its last entry was.
        published_at: when its head was written last.
        sizes: number and images of each entry that is kept.
        dirty: the head says something else than its point.
        writing: held while the point is written, so that an older head never replaces a newer one.
    """

    collection: str
    writer: str
    head: _Head
    written_at: float
    published_at: float
    sizes: deque[tuple[int, int]] = field(default_factory=deque)
    dirty: bool = False
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)


class QdrantChanges:
    """The change log of a server that shares its store."""

    def __init__(self, connection: Connection, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        connection: is not closed with the log.
        size: images that are kept of each collection's log, about; the newest.
        clock: seconds that only grow.
        """
        self._connection = connection
        self._client = connection.client
        self._size = size
        self._clock = clock
        self._made = False
        self._making = asyncio.Lock()
        self._current: dict[str, _Own] = {}
        self._own: dict[tuple[str, str], _Own] = {}
        self._seen: dict[tuple[str, str], tuple[_Head, float]] = {}
        self._missing: dict[str, float] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._pruned_at = clock()

    async def append(self, collection: str, images: Sequence[UUID]) -> Entry:
        """See :meth:`ChangeLog.append`."""
        own = self._current.get(collection)
        if own is None or self._clock() - own.written_at > RENAMED_AFTER_S:
            own = await self._register(collection)
        number = own.head.last + 1
        entry = models.PointStruct(
            id=_entry_id(collection, own.writer, number),
            vector={},
            payload={
                "kind": "entry",
                "collection": collection,
                "writer": own.writer,
                "number": number,
                "images": base64.b64encode(b"".join(image.bytes for image in images)).decode(),
            },
        )
        async with own.writing:
            grown = replace(own.head, last=number, images=own.head.images + len(images), beat=own.head.beat + 1)
            try:
                with self._connection.translated():
                    await self._client.upsert(CHANGES, [entry, _head_point(own, grown)], wait=True)
            except BaseException:
                # Nobody knows whether it is there, so its number cannot be used again, nor one after it.
                self._current.pop(collection, None)
                own.dirty = True
                raise
            # What was settled or let go of meanwhile stays so.
            own.head = replace(own.head, last=number, images=own.head.images + len(images), beat=grown.beat)
        own.sizes.append((number, len(images)))
        own.written_at = own.published_at = self._clock()
        return Entry(own.writer, number, tuple(images))

    def settle(self, collection: str, writer: str, number: int) -> None:
        """See :meth:`ChangeLog.settle`."""
        own = self._own.get((collection, writer))
        if own is not None and number > own.head.settled:
            own.head = replace(own.head, settled=number)
            own.dirty = True

    async def heads(self, collection: str) -> Heads:
        """See :meth:`ChangeLog.heads`."""
        found = await self._heads(collection)
        if not found:
            # A position must name a writer: that of one empty log would be good for every other.
            await self._register(collection)
            found = await self._heads(collection)
        newest = max(head.last for head in found.values())
        writers: dict[str, Head] = {}
        for writer, head in found.items():
            quiet = self._quiet(collection, writer, head)
            settled = head.last if quiet > SETTLED_AFTER_S else head.settled
            ended = quiet > ENDED_AFTER_S and head.last < newest
            writers[writer] = Head(settled, ended)
        return Heads(writers, max(head.floor for head in found.values()))

    async def read(self, collection: str, after: Position, limit: int) -> tuple[list[Entry], bool]:
        """See :meth:`ChangeLog.read`."""
        heads = await self._heads(collection)
        _check(collection, heads, after)
        entries: list[Entry] = []
        images = 0
        for writer, head in heads.items():
            start = max(after.of(writer) + 1, head.first)
            while start <= head.last:
                if images >= limit:
                    return entries, True
                numbers = range(start, min(start + _READ_BATCH, head.last + 1))
                over = head.last if self._quiet(collection, writer, head) > SETTLED_AFTER_S else head.settled
                found = await self._entries(collection, writer, numbers, over)
                entries += found
                images += sum(len(entry.images) for entry in found)
                start += len(found)
                if len(found) < len(numbers):
                    break
        return entries, False

    async def forget(self, collection: str) -> None:
        """See :meth:`ChangeLog.forget`. Heads of other processes that are alive stay: they go on counting."""
        self._current.pop(collection, None)
        gone = [key for key in self._own if key[0] == collection]
        for key in gone:
            del self._own[key]
        await self._make()
        heads = await self._heads(collection)
        for writer, head in heads.items():
            if (collection, writer) in gone or self._quiet(collection, writer, head) > ENDED_AFTER_S:
                await self._delete(_matching("head", collection, writer))
        await self._delete(_matching("entry", collection))

    async def aclose(self) -> None:
        """Tells the other processes what is settled, and stops."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.wait([self._publishing])
            with contextlib.suppress(ShoalError):
                await self._publish()

    async def _register(self, collection: str) -> _Own:
        """A new name, numbered from above all others."""
        await self._make()
        while True:
            began = self._clock()
            heads = await self._heads(collection)
            highest = max((max(head.last, head.floor) for head in heads.values()), default=None)
            start = 1 if highest is None else highest + _GAP
            head = _Head(start, start, start - 1, start - 1)
            own = _Own(collection, secrets.token_hex(8), head, self._clock(), self._clock())
            with self._connection.translated():
                await self._client.upsert(CHANGES, [_head_point(own, head)], wait=True)
            if self._clock() - began < ENDED_AFTER_S / 10:
                break
            # Others may have gone past it, and ended, meanwhile.
            await self._delete(_matching("head", collection, own.writer))
        self._own[collection, own.writer] = self._current[collection] = own
        if self._publishing is None:
            self._publishing = asyncio.create_task(self._go_on_publishing(), name="publishing the change log's heads")
        return own

    async def _go_on_publishing(self) -> None:
        while True:
            await asyncio.sleep(_PUBLISH_EVERY_S)
            # What cannot be written is written the next time.
            with contextlib.suppress(ShoalError):
                await self._publish()
                if self._clock() - self._pruned_at > _PRUNE_EVERY_S:
                    self._pruned_at = self._clock()
                    for own in list(self._current.values()):
                        await self.prune(own.collection)

    async def _publish(self) -> None:
        now = self._clock()
        for own in list(self._own.values()):
            under_way = own.head.settled < own.head.last and now - own.published_at > _BEAT_EVERY_S
            if own.dirty or under_way:
                await self._publish_head(own)

    async def _publish_head(self, own: _Own) -> None:
        async with own.writing:
            own.dirty = False
            own.head = replace(own.head, beat=own.head.beat + 1)
            try:
                with self._connection.translated():
                    await self._client.upsert(CHANGES, [_head_point(own, own.head)], wait=True)
            except BaseException:
                own.dirty = True
                raise
        own.published_at = self._clock()

    async def prune(self, collection: str) -> None:
        """Lets go of the oldest entries that are over the size: those of ended writers, then this process's share.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        own = self._current.get(collection)
        if own is None:
            return
        heads = await self._heads(collection)
        over = sum(head.images for head in heads.values()) - self._size
        for writer, head in sorted(heads.items(), key=lambda item: item[1].last):
            if over > 0 and self._quiet(collection, writer, head) > DROPPED_AFTER_S and writer != own.writer:
                own.head = replace(own.head, floor=max(own.head.floor, head.last, head.floor))
                await self._publish_head(own)
                await self._delete(_matching("entry", collection, writer))
                await self._delete(_matching("head", collection, writer))
                self._own.pop((collection, writer), None)
                over -= head.images
                del heads[writer]
        share = over * own.head.images // max(sum(head.images for head in heads.values()), 1)
        gone: list[models.ExtendedPointId] = []
        while share > 0 and own.sizes and own.sizes[0][0] < own.head.settled:
            number, images = own.sizes.popleft()
            gone.append(_entry_id(collection, own.writer, number))
            own.head = replace(own.head, first=number + 1, images=own.head.images - images)
            share -= images
        if gone:
            await self._publish_head(own)
            with self._connection.translated():
                await self._client.delete(CHANGES, models.PointIdsList(points=gone), wait=True)

    async def _heads(self, collection: str) -> dict[str, _Head]:
        await self._make()
        heads: dict[str, _Head] = {}
        after: Any = None
        while True:
            with self._connection.translated():
                found, after = await self._client.scroll(
                    CHANGES, _matching("head", collection), _PAGE, offset=after, with_payload=True
                )
            for point in found:
                payload = point.payload or {}
                heads[payload["writer"]] = _Head(**{name: payload[name] for name in _Head.__slots__})
            if after is None:
                break
        # What this process knows of itself is newer.
        return heads | {own.writer: own.head for key, own in self._own.items() if key[0] == collection}

    def _quiet(self, collection: str, writer: str, head: _Head) -> float:
        """Seconds for which a head of another process has not changed, as far as this one has seen."""
        key, now = (collection, writer), self._clock()
        own = self._own.get(key)
        if own is not None:
            return 0.0 if own is self._current.get(collection) or head.settled < head.last else now - own.written_at
        seen = self._seen.get(key)
        if seen is None or seen[0] != head:
            self._seen[key] = (head, now)
            return 0.0
        return now - seen[1]

    async def _entries(self, collection: str, writer: str, numbers: range, over: int) -> list[Entry]:
        """The entries of these numbers, up to the first that may still come; those up to ``over`` were written."""
        ids = [_entry_id(collection, writer, number) for number in numbers]
        with self._connection.translated():
            found = await self._client.retrieve(CHANGES, ids, with_payload=True)
        by_id = {str(point.id): point.payload or {} for point in found}
        entries: list[Entry] = []
        for number, identity in zip(numbers, ids, strict=True):
            payload = by_id.get(identity)
            if payload is None:
                since = self._missing.setdefault(identity, self._clock())
                if number > over or self._clock() - since < MISSING_S:
                    # On its way from one replica to another.
                    break
            entries.append(Entry(writer, number, () if payload is None else _images(payload)))
        return entries

    async def _delete(self, which: models.Filter) -> None:
        with self._connection.translated():
            await self._client.delete(CHANGES, models.FilterSelector(filter=which), wait=True)

    async def _make(self) -> None:
        async with self._making:
            if self._made:
                return
            with self._connection.translated():
                await self._connection.make_collection(CHANGES)
                for name in _KEYWORDS:
                    await self._client.create_payload_index(CHANGES, name, models.PayloadSchemaType.KEYWORD, wait=True)
            self._made = True


def _check(collection: str, heads: Mapping[str, _Head], position: Position) -> None:
    """Raises:
    ChangesExpired: entries after the position were let go of, or another log gave it out.
    """
    named = all(name in heads and number <= heads[name].last for name, number in position.reached.items())
    kept = all(head.first == head.start or position.of(name) >= head.first - 1 for name, head in heads.items())
    floor = max((head.floor for head in heads.values()), default=0)
    if not (named and kept and position.base >= floor):
        raise ChangesExpired(collection)


def _entry_id(collection: str, writer: str, number: int) -> str:
    return str(uuid5(_NAMESPACE, f"entry/{collection}/{writer}/{number}"))


def _head_point(own: _Own, head: _Head) -> models.PointStruct:
    fields = {name: getattr(head, name) for name in _Head.__slots__}
    return models.PointStruct(
        id=str(uuid5(_NAMESPACE, f"head/{own.collection}/{own.writer}")),
        vector={},
        payload={"kind": "head", "collection": own.collection, "writer": own.writer, **fields},
    )


def _matching(kind: str, collection: str, writer: str | None = None) -> models.Filter:
    wanted = {"kind": kind, "collection": collection} | ({} if writer is None else {"writer": writer})
    return models.Filter(
        must=[models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in wanted.items()]
    )


def _images(payload: Mapping[str, Any]) -> tuple[UUID, ...]:
    content = base64.b64decode(payload["images"])
    return tuple(UUID(bytes=content[start : start + 16]) for start in range(0, len(content), 16))
