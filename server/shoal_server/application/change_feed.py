"""Telling other programs which image is in which cluster, and what changes."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shoal_server.application.change_log import Entry, Heads, Journal, Position
from shoal_server.application.open_collections import OpenCollection, OpenCollections, check_there
from shoal_server.application.ports import Store
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import ChangesExpired, StoreIncompatible

#: Images in one message.
BATCH = 1000
#: Images whose entries are read from the log at once; bounds what a slow listener holds in memory.
READ_AT_ONCE = 10_000
#: Seconds between two looks at what other servers have written; what this one writes is told at once.
POLL_S = 1.0
#: Seconds without a change after which a sign of life is given.
HEARTBEAT_S = 20.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image is.

    Attributes:
        image: its id.
        cluster_id: None: in none.
        removed: it is gone.
    """

    image: UUID
    cluster_id: int | None
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a listener goes on.

    Attributes:
        created_at: of the collection; another one may go by its name.
        position: in its log.
    """

    created_at: datetime
    position: Position


@dataclass(frozen=True, slots=True)
class Changes:
    """Some changes.

    Attributes:
        placements: in no order, an image once.
        bookmark: after them; None in the middle of a snapshot.
        current: everything until now was told.
    """

    placements: Sequence[Placement]
    bookmark: Bookmark | None
    current: bool


class ChangeFeed:
    """Tells listeners what they do not know."""

    def __init__(self, collections: OpenCollections, store: Store, journal: Journal) -> None:
        self._collections = collections
        self._store = store
        self._journal = journal

    async def watch(self, collection: str, since: Bookmark | None, until_now: bool) -> AsyncGenerator[Changes, None]:
        """Every assignment once, or what changed since; then each change.

        An image may be told again; the latest is what holds. While a run is being put in force nothing is told.

        Args:
            collection: which.
            since: of an earlier answer; None: from the beginning.
            until_now: end when everything until now was told.

        Raises:
            CollectionNotFound: there is none, or it was deleted.
            ChangesExpired: what changed since is not kept any more, or belongs to another collection of that name.
            ShuttingDown: the server is being stopped.
        """
        opened = await self._collections.open_any(collection)
        created_at = opened.record.created_at
        if since is None:
            # Before the snapshot: what changes while it is read is told after it.
            position = (await self._journal.heads(collection)).position()
            async with aclosing(self._snapshot(opened)) as stretches:
                async for placements in stretches:
                    yield Changes(placements, None, current=False)
        elif since.created_at != created_at:
            raise ChangesExpired(collection)
        else:
            position = since.position
        reader = _Reader(self._journal, collection, position)
        told_at = float("-inf")
        while True:
            version = self._journal.version(collection)
            try:
                images, more = await reader.advance()
            except ChangesExpired:
                # Nor are those of a collection that is gone.
                check_there(opened)
                raise
            for start in range(0, max(len(images), 1), BATCH):
                batch = images[start : start + BATCH]
                last = start + BATCH >= len(images)
                if batch or time.monotonic() - told_at >= HEARTBEAT_S:
                    placements = await self._placements(opened, batch)
                    bookmark = Bookmark(created_at, reader.position if last else reader.before)
                    yield Changes(placements, bookmark, current=last and not more)
                    told_at = time.monotonic()
            if more:
                continue
            if until_now:
                return
            await self._journal.after(collection, version, POLL_S)
            check_there(opened)

    async def _snapshot(self, opened: OpenCollection) -> AsyncGenerator[list[Placement], None]:
        scan = self._store.scan_vectors(opened.id, with_vectors=False, batch=BATCH)
        while True:
            # A stretch at a time, and never while it is sent: a slow listener must not keep a run from its end.
            async with self._naming_clusters(opened):
                stretch = await anext(scan, None)
            if stretch is None:
                return
            yield [
                Placement(image, None if cluster == NOISE else cluster)
                for image, cluster in zip(stretch.ids, stretch.cluster_ids.tolist(), strict=True)
            ]

    async def _placements(self, opened: OpenCollection, images: Sequence[UUID]) -> list[Placement]:
        async with self._naming_clusters(opened):
            found = await self._store.get_images(opened.id, images) if images else {}
        return [
            Placement(image, found[image].cluster_id) if image in found else Placement(image, None, removed=True)
            for image in images
        ]

    @asynccontextmanager
    async def _naming_clusters(self, opened: OpenCollection) -> AsyncGenerator[None, None]:
        async with opened.gate.reading():
            check_there(opened)
            if opened.set_aside is not None:
                # Some ids of a run are written and some are not.
                raise StoreIncompatible(opened.set_aside)
            yield


class _Reader:
    """Reads a collection's log.

    What is not settled is told at once, if its write is not under way here, and told again when it is settled: the
    position stays before it until then.

    Attributes:
        position: after everything that :meth:`advance` has given out.
        before: what it was before.
    """

    def __init__(self, journal: Journal, collection: str, position: Position) -> None:
        self._journal = journal
        self._collection = collection
        self._ahead = position
        self._unsettled: list[tuple[Entry, bool]] = []
        self.position = position
        self.before = position

    async def advance(self) -> tuple[list[UUID], bool]:
        """Images to look up, each once, and whether there may be more at once.

        Raises:
            ChangesExpired: the log does not go back as far as the position.
        """
        # In this order: what is settled before its images are looked up is over when they are.
        heads = await self._journal.heads(self._collection)
        fresh, more = await self._journal.read(self._collection, self._ahead, READ_AT_ONCE)
        due: dict[UUID, None] = {}
        unsettled: list[tuple[Entry, bool]] = []
        for entry, told in (*self._unsettled, *((entry, False) for entry in fresh)):
            tell = heads.settled(entry) or not (told or self._journal.is_open(self._collection, entry))
            if tell:
                due.update(dict.fromkeys(entry.images))
            if not heads.settled(entry):
                unsettled.append((entry, told or tell))
        for entry in fresh:
            self._ahead = self._ahead.after(entry)
        self._unsettled = unsettled
        self._ahead = heads.shortened(self._ahead)
        self.before, self.position = self.position, self._settled_position(heads)
        return list(due), more

    def _settled_position(self, heads: Heads) -> Position:
        reached = {name: self._ahead.of(name) for name in heads.writers} | dict(self._ahead.reached)
        for entry, _ in self._unsettled:
            reached[entry.writer] = min(reached.get(entry.writer, entry.number), entry.number - 1)
        return heads.shortened(Position(self._ahead.base, reached))
