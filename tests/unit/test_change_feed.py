"""A listener that stops, crashes and goes on at random ends up with exactly what is in the store."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qdrant_client import AsyncQdrantClient

from shoal_server.adapters.change_files import ChangeFiles
from shoal_server.adapters.qdrant_store import QdrantChanges, changes
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.application import change_feed
from shoal_server.application.change_feed import Bookmark, ChangeFeed
from shoal_server.application.change_log import IN_DOUBT_S, ChangeLog, Journal
from shoal_server.application.journaled_store import journaled_store
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store, StoredVectors
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import ChangesExpired, StoreUnavailable
from shoal_server.domain.image import Image, Metadata, digest_of
from shoal_server.domain.payload import CLUSTER_ID, PLACE_ID

NAME = "photos"
RECORD = Collection(NAME, EmbeddingModel("debug", "sha256:0", 2), datetime(2026, 1, 2, tzinfo=UTC))
VECTOR = np.zeros(2, np.float32)


def image(number: int, cluster: int | None = None) -> Image:
    return Image(
        id=UUID(int=number),
        sha256=digest_of(str(number).encode()),
        uri="",
        tags=(),
        metadata=Metadata(width=1, height=1, format="PNG", byte_size=1),
        ingested_at=RECORD.created_at,
        cluster_id=cluster,
    )


@dataclass
class FakeStore:
    """Images in memory; a write may be held back, fail, or be carried out after it has failed.

    Attributes:
        held: writes wait until this is set.
        reached: a write has begun to wait.
        late: what failed and is still to be carried out.
        outcome: of writes that are held: ``done``, ``failed`` or ``late``.
    """

    clusters: dict[UUID, int | None] = field(default_factory=dict)
    held: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    late: list[dict[UUID, Any]] = field(default_factory=list)
    outcome: str = "done"

    async def _write(self, changed: dict[UUID, Any]) -> None:
        if self.held is not None:
            self.reached.set()
            await self.held.wait()
        outcome, self.outcome = self.outcome, "done"
        if outcome == "done":
            self.apply(changed)
            return
        if outcome == "late":
            self.late.append(changed)
        raise StoreUnavailable("fake", outcome)

    def apply(self, changed: dict[UUID, Any]) -> None:
        for identity, cluster in changed.items():
            if cluster == "gone":
                self.clusters.pop(identity, None)
            elif cluster == "none":
                self.clusters.update({identity: None} if identity in self.clusters else {})
            elif isinstance(cluster, tuple):
                self.clusters[identity] = cluster[0]
            elif identity in self.clusters:
                self.clusters[identity] = cluster

    def arrive_late(self) -> None:
        while self.late:
            self.apply(self.late.pop(0))

    async def upsert_images(self, collection: str, images: Sequence[tuple[Image, Any]]) -> None:
        await self._write({each.id: (each.cluster_id,) for each, _ in images})

    async def delete_images(self, collection: str, ids: Sequence[UUID]) -> None:
        await self._write(dict.fromkeys(ids, "gone"))

    async def set_group(self, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        await self._write({} if field != CLUSTER_ID else dict.fromkeys(ids, "none" if group_id is None else group_id))

    async def get_images(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Image]:
        await asyncio.sleep(0)
        return {each: replace(image(each.int), cluster_id=self.clusters[each]) for each in ids if each in self.clusters}

    async def scan_vectors(
        self, collection: str, with_vectors: bool = True, batch: int = 1024
    ) -> AsyncIterator[StoredVectors]:
        ids = sorted(self.clusters)
        for start in range(0, len(ids), 3):
            part = [each for each in ids[start : start + 3] if each in self.clusters]
            clusters = [self.clusters[each] for each in part]
            numbers = np.array([-1 if each is None else each for each in clusters], np.int64)
            nothing: list[Any] = [None] * len(part)
            yield StoredVectors(part, numbers, numbers, numbers, nothing, nothing, np.zeros((len(part), 0), np.float32))
            await asyncio.sleep(0)


@dataclass
class Copy:
    """What a listener keeps, in one transaction."""

    clusters: dict[UUID, int | None] = field(default_factory=dict)
    bookmark: Bookmark | None = None


class World:
    """A server that may crash, its store, and a listener."""

    def __init__(self, folder: Path, client: AsyncQdrantClient | None, size: int) -> None:
        self.store = FakeStore()
        self.now = 0.0
        self.kept: list[Copy] = [Copy()]
        self._folder, self._client, self._size = folder, client, size
        self._writes: list[tuple[asyncio.Event, asyncio.Task[None]]] = []
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        log: ChangeLog
        if self._client is None:
            log = ChangeFiles(self._folder, self._size)
        else:
            log = QdrantChanges(Connection(self._client, "in memory"), self._size, lambda: self.now)
        self.log = log
        self.journal = Journal(log, lambda: self.now)
        self.journaled = journaled_store(cast("Store", self.store), self.journal)
        self.opened = OpenCollection(RECORD, None)
        self.feed = ChangeFeed(cast("OpenCollections", self), self.journaled, self.journal)

    async def open_any(self, collection: str) -> OpenCollection:
        return self.opened

    async def write(self, numbers: Sequence[int], cluster: int | None, *, delete: bool, fresh: bool) -> None:
        ids = [UUID(int=each) for each in numbers]
        with suppress(StoreUnavailable):
            if delete:
                await self.journaled.delete_images(NAME, ids)
            elif fresh:
                await self.journaled.upsert_images(NAME, [(image(each, cluster), VECTOR) for each in numbers])
            else:
                await self.journaled.set_group(NAME, CLUSTER_ID, cluster, ids)

    async def begin(self, numbers: Sequence[int], cluster: int | None) -> None:
        """A write that takes its time."""
        held = self.store.held = asyncio.Event()
        task = asyncio.create_task(self.write(numbers, cluster, delete=False, fresh=True))
        await self.store.reached.wait()
        self.store.reached.clear()
        self.store.held = None
        self._writes.append((held, task))

    async def finish(self, outcome: str = "done") -> None:
        """The oldest write that takes its time."""
        if self._writes:
            held, task = self._writes.pop(0)
            self.store.outcome = outcome
            held.set()
            await task
            self.store.outcome = "done"

    async def activate(self, clusters: Sequence[int]) -> None:
        """Every image gets another cluster; nobody sees half of it."""
        async with self.opened.gate.activating():
            for identity, cluster in zip(sorted(self.store.clusters), itertools.cycle(clusters), strict=False):
                await self.journaled.set_group(NAME, CLUSTER_ID, cluster, [identity])

    async def crash(self, applied: bool) -> None:
        """What is under way was carried out or not; nothing more comes of it."""
        for _, task in self._writes:
            task.cancel()
            await asyncio.wait([task])
        if applied and self._writes:
            self.store.apply({UUID(int=1): (77,)})
            await self.note_directly([1])
        self._writes.clear()
        self.store.arrive_late()
        if self._client is None:
            await self.log.aclose()
        elif isinstance(self.log, QdrantChanges) and self.log._publishing is not None:
            self.log._publishing.cancel()
        self.start()

    async def note_directly(self, numbers: Sequence[int]) -> None:
        """An entry that nobody closes."""
        await self.log.append(NAME, [UUID(int=each) for each in numbers])

    async def listen(self, at_most: int = 1_000_000) -> None:
        """Goes on where the listener is, and keeps every step."""
        copy = self.kept[-1]
        clusters = dict(copy.clusters)
        try:
            async with aclosing(self.feed.watch(NAME, copy.bookmark, until_now=True)) as told:
                async for change in told:
                    for each in change.placements:
                        if each.removed:
                            clusters.pop(each.image, None)
                        else:
                            clusters[each.image] = each.cluster_id
                    if change.bookmark is not None:
                        self.kept.append(Copy(dict(clusters), change.bookmark))
                    at_most -= 1
                    if not at_most:
                        return
        except ChangesExpired:
            self.kept.append(Copy())
            await self.listen()

    async def end(self) -> None:
        while self._writes:
            await self.finish()
        self.store.arrive_late()
        await self.journal.heads(NAME)
        self.now += max(IN_DOUBT_S, changes.SETTLED_AFTER_S) + 1

    async def close(self) -> None:
        await self.journal.aclose()


numbers = st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True)
clusters = st.none() | st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), numbers, clusters),
        st.tuples(st.just("group"), numbers, clusters),
        st.tuples(st.just("delete"), numbers),
        st.tuples(st.just("begin"), numbers, clusters),
        st.tuples(st.just("finish"), st.sampled_from(["done", "failed", "late"])),
        st.tuples(st.just("arrive")),
        st.tuples(st.just("activate"), st.lists(st.integers(0, 3), min_size=1, max_size=3)),
        st.tuples(st.just("crash"), st.booleans()),
        st.tuples(st.just("listen"), st.sampled_from([1, 2, 1_000_000])),
        st.tuples(st.just("rewind"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 60.0])),
    ),
    max_size=25,
)


async def play(world: World, chosen: Sequence[tuple[Any, ...]], rewind: int) -> None:
    for name, *arguments in chosen:
        match name:
            case "put":
                await world.write(arguments[0], arguments[1], delete=False, fresh=True)
            case "group":
                await world.write(arguments[0], arguments[1], delete=False, fresh=False)
            case "delete":
                await world.write(arguments[0], None, delete=True, fresh=False)
            case "begin":
                await world.begin(arguments[0], arguments[1])
            case "finish":
                await world.finish(arguments[0])
            case "arrive":
                world.store.arrive_late()
            case "activate":
                await world.activate(arguments[0])
            case "crash":
                await world.crash(arguments[0])
            case "listen":
                await world.listen(arguments[0])
            case "rewind":
                world.kept.append(world.kept[-1 - arguments[0] % len(world.kept)])
            case "wait":
                if not world.store.late and not world._writes:
                    world.now += arguments[0]
    await world.end()
    world.kept.append(world.kept[-1 - rewind % len(world.kept)])
    await world.listen()
    assert world.kept[-1].clusters == world.store.clusters
    before = len(world.kept)
    await world.listen()
    assert [each.clusters for each in world.kept[before:]] == [world.store.clusters]


@asynccontextmanager
async def world_of(kind: str, size: int) -> AsyncIterator[World]:
    client = AsyncQdrantClient(":memory:") if kind == "qdrant" else None
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), client, size)
        try:
            yield world
        finally:
            await world.close()
            if client is not None:
                await client.close()


def run(kind: str, chosen: Sequence[tuple[Any, ...]], rewind: int, size: int) -> None:
    async def in_a_world() -> None:
        async with world_of(kind, size) as world:
            await play(world, chosen, rewind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change_feed, "BATCH", 2)
        patch.setattr(change_feed, "READ_AT_ONCE", 3)
        asyncio.run(in_a_world())


# Writers that have ended one after another are not named again once they were passed over.
@example([("put", [1], None), ("crash", False), ("put", [1], None), ("crash", False), ("put", [1], None)], 0, 8)
@given(steps, st.integers(0, 50), st.sampled_from([8, 1000]))
@settings(max_examples=150)
def test_a_listener_ends_up_with_what_is_in_the_store(chosen: list[Any], rewind: int, size: int) -> None:
    run("files", chosen, rewind, size)


@given(steps, st.integers(0, 50))
@settings(max_examples=50)
def test_a_listener_of_a_shared_log_does_so_too(chosen: list[Any], rewind: int) -> None:
    run("qdrant", chosen, rewind, 1000)


async def test_what_changes_no_assignment_is_not_told() -> None:
    async with world_of("files", 1000) as world:
        await world.write([1, 2], 3, delete=False, fresh=True)
        await world.listen()
        await world.journaled.set_group(NAME, PLACE_ID, 4, [UUID(int=1)])
        await world.journaled.set_group(NAME, CLUSTER_ID, 4, [])
        before = len(world.kept)
        await world.listen()
        [only] = world.kept[before:]
        assert only == world.kept[before - 1]


async def test_what_is_acknowledged_is_told_though_an_earlier_write_is_still_under_way() -> None:
    async with world_of("files", 1000) as world:
        await world.listen()
        await world.begin([1], 7)
        await world.write([2], 8, delete=False, fresh=True)
        await world.listen()
        assert world.kept[-1].clusters == {UUID(int=2): 8}
        await world.finish()
        await world.listen()
        assert world.kept[-1].clusters == {UUID(int=1): 7, UUID(int=2): 8}


async def test_a_write_that_is_carried_out_after_it_failed_is_told() -> None:
    async with world_of("files", 1000) as world:
        await world.begin([1], 7)
        await world.finish("late")
        await world.listen()
        assert world.kept[-1].clusters == {}
        world.store.arrive_late()
        await world.listen()
        assert world.kept[-1].clusters == {UUID(int=1): 7}
        world.now += IN_DOUBT_S + 1
        await world.listen()
        before = len(world.kept)
        await world.listen()
        assert len(world.kept) == before + 1
