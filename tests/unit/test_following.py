"""Two servers on one store, step by step: what one of them writes between two steps of the other is never missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import pytest

from shoal_server.application import following as following_module
from shoal_server.application.activation import Activation
from shoal_server.application.clustering import Clustering
from shoal_server.application.following import Following
from shoal_server.application.leases import Leases
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import RunAssignments
from shoal_server.application.present import no_assignments
from shoal_server.application.shared_runs import Elsewhere
from shoal_server.application.shared_store import SharedCollection
from shoal_server.domain.cluster import Cluster, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import (
    CollectionNotFound,
    LeaseLost,
    RecordChanged,
    RunNotFound,
    ShoalError,
    StoreUnavailable,
)
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.lease import Fence, Member
from shoal_server.domain.run import ClusteringRun, RunStage, RunState
from shoal_server.domain.schedule import Schedule
from tests.unit.test_leases import FakeSharedStore

MODEL = EmbeddingModel("debug", "sha256:0", 8)
NOW = datetime(2024, 1, 1, tzinfo=UTC)
LEASE_S = 10.0


def a_cluster(name: str) -> Cluster:
    return Cluster(
        id=1,
        name=name,
        name_source=NameSource.AUTOMATIC,
        candidates=(),
        size=5,
        centroid=np.ones(8, np.float32),
        cohesion=0.9,
        threshold=0.5,
        exemplars=(),
        created_at=NOW,
    )


def a_run(state: RunState) -> ClusteringRun:
    return ClusteringRun("r2", state, RunStage.READING, 0.0, NOW)


class FakeStore(FakeSharedStore):
    """One collection that all servers share.

    Attributes:
        record: of it; None: it is no more.
        names: run to the name of its only cluster.
        runs: what reading a run answers, one after another.
        put: runs that were written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.record: Collection | None = Collection(id="photos", model=MODEL, created_at=NOW, active_run="r1")
        self.names = {"r1": "one", "r2": "two"}
        self.seen: dict[str, Member] = {}
        self.runs: list[ClusteringRun] = []
        self.put: list[ClusteringRun] = []
        self.broken = False

    async def get_collection(self, collection: str) -> Collection:
        self._ask()
        if self.record is None:
            raise CollectionNotFound(collection)
        return self.record

    async def update_collection(self, collection: Collection, fence: Fence | None = None) -> None:
        self._ask()
        present = await self.get_collection(collection.id)
        if fence is not None:
            lease = self.leases[fence.purpose]
            if (lease.holder, lease.epoch) != (fence.holder, fence.epoch):
                raise LeaseLost(collection.id)
        if collection.version != present.version + 1:
            raise RecordChanged(collection.id)
        self.record = collection

    async def get_clusters(self, collection: str, run: str) -> list[Cluster]:
        self._ask()
        if self.broken:
            raise RunNotFound(collection, run)
        return [a_cluster(self.names[run])]

    async def get_groupings(self, collection: str, run: str) -> Groupings:
        return Groupings()

    async def shared_collection(self, collection: str) -> SharedCollection:
        return SharedCollection(await self.get_collection(collection), dict(self.leases))

    async def put_member(self, member: Member) -> None:
        self._ask()
        self.seen[member.id] = member

    async def members(self) -> list[Member]:
        self._ask()
        return list(self.seen.values())

    async def forget_members(self, members: Sequence[str]) -> None:
        for member in members:
            self.seen.pop(member, None)

    async def get_run(self, collection: str, run: str) -> ClusteringRun:
        return self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]

    async def list_runs(self, collection: str) -> list[ClusteringRun]:
        return [await self.get_run(collection, "r2")]

    async def put_run(self, collection: str, run: ClusteringRun) -> None:
        self.put.append(run)


class Server:
    """One of the servers."""

    def __init__(self, store: FakeStore, name: str) -> None:
        self.leases = Leases(store, name, LEASE_S)
        self.collections = OpenCollections(cast("Any", store), cast("Any", None), cast("Any", None), MODEL, self.leases)
        self.following = Following(store, self.collections, self.leases, LEASE_S, every_s=0.01)

    async def open(self) -> OpenCollection:
        return await self.collections.open("photos")

    async def name(self) -> str:
        """What it answers of the cluster."""
        opened = await self.open()
        async with opened.gate.reading():
            return opened.cluster(1).name


class NoFiles:
    """Files of runs that have no images."""

    async def read(self, collection: str, run: str) -> RunAssignments:
        return no_assignments()


async def may_answer(server: Server) -> bool:
    try:
        async with asyncio.timeout(0.05):
            await server.name()
    except TimeoutError:
        return False
    return True


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
async def pair(store: FakeStore) -> tuple[Server, Server]:
    ann, bob = Server(store, "ann"), Server(store, "bob")
    for server in (ann, bob):
        await server.open()
        await server.following.look()
    return ann, bob


async def put_in_force(server: Server, run: str, between: Callable[[], Awaitable[None]] | None = None) -> None:
    """As an activation does."""
    opened = await server.open()
    async with opened.deciding, opened.gate.activating():
        await server.collections.change(opened, activating_run=run)
        if between is not None:
            await between()
        await server.collections.change(opened, active_run=run, activating_run=None)
        opened.clusters = (await server.collections._clusters_of(opened.record))[0]


# Records that two servers write.


async def test_a_record_written_on_top_of_a_run_of_another_server_brings_its_clusters(
    pair: tuple[Server, Server],
) -> None:
    ann, bob = pair
    await put_in_force(bob, "r2")
    opened = await ann.open()
    await ann.collections.change(opened, schedule=Schedule())
    assert opened.record.active_run == "r2"
    await ann.following.look()
    assert await ann.name() == await bob.name() == "two"


async def test_a_record_written_while_another_server_writes_ids_keeps_the_readers_out(
    pair: tuple[Server, Server],
) -> None:
    ann, bob = pair

    async def meanwhile() -> None:
        await ann.collections.change(await ann.open(), schedule=Schedule())
        await ann.following.look()
        assert not await may_answer(ann)

    await put_in_force(bob, "r2", meanwhile)
    assert not await may_answer(ann)
    await ann.following.look()
    assert await ann.name() == "two"


async def test_two_servers_that_tell_at_once_are_both_heard(store: FakeStore, pair: tuple[Server, Server]) -> None:
    ann, bob = pair
    before = (await ann.open()).record.clusters_version
    store.names["r1"] = "named by ann"
    await ann.collections.tell(await ann.open())
    store.names["r1"] = "named by bob"
    await bob.collections.tell(await bob.open())
    assert store.record is not None
    assert store.record.clusters_version == before + 2
    for server in pair:
        await server.following.look()
        assert await server.name() == "named by bob"


async def test_a_record_is_not_written_over_that_of_another_collection_of_the_name(
    store: FakeStore, pair: tuple[Server, Server]
) -> None:
    ann, _ = pair
    opened = await ann.open()
    store.record = Collection(id="photos", model=MODEL, created_at=NOW + timedelta(days=1), version=7)
    with pytest.raises(CollectionNotFound):
        await ann.collections.change(opened, schedule=Schedule())
    assert store.record.schedule is None


async def test_clusters_changed_here_while_they_were_read_are_read_again(
    store: FakeStore, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = pair
    await bob.collections.tell(await bob.open())
    opened = await ann.open()
    read = store.get_clusters

    async def meanwhile(collection: str, run: str) -> list[Cluster]:
        found = await read(collection, run)
        assert opened.clusters is not None
        opened.clusters = opened.clusters.with_cluster(a_cluster("given here"))
        store.names[run] = "given here"
        return found

    monkeypatch.setattr(store, "get_clusters", meanwhile)
    await ann.following.look()
    monkeypatch.undo()
    assert await ann.name() == "given here"
    await ann.following.look()
    assert await ann.name() == "given here"
    assert not opened.behind


# Readers are kept out, and let in again.


async def test_a_look_that_waits_for_readers_does_not_stop_whoever_decides_next(pair: tuple[Server, Server]) -> None:
    ann, bob = pair
    seen = await ann.open()
    async with asyncio.timeout(5):
        async with seen.gate.reading():

            async def meanwhile() -> None:
                looks.append(asyncio.create_task(ann.following.look()))
                await asyncio.sleep(0.02)

            looks: list[asyncio.Task[None]] = []
            await put_in_force(bob, "r2", meanwhile)
            deciding = asyncio.create_task(put_in_force(ann, "r1"))
            await asyncio.sleep(0.02)
        await deciding
        await looks[0]
        assert await ann.name() == "one"


async def test_one_that_lost_its_turn_in_the_middle_follows_whoever_has_it(
    store: FakeStore, pair: tuple[Server, Server]
) -> None:
    ann, bob = pair
    opened = await ann.open()
    async with asyncio.timeout(5):
        async with opened.deciding, opened.gate.activating():
            await ann.collections.change(opened, activating_run="r2")
            # Silent for so long that another server takes over, and ends what was begun.
            store.leases.clear()
            await put_in_force(bob, "r2")
            await ann.leases.keep()
            look = asyncio.create_task(ann.following.look())
            await asyncio.sleep(0.02)
            assert not look.done()
            opened.gate.stay_closed()
        await look
        assert await ann.name() == "two"


async def test_one_that_fails_half_way_keeps_the_readers_out_until_the_work_is_finished(
    store: FakeStore, pair: tuple[Server, Server]
) -> None:
    ann, bob = pair
    opened = await ann.open()

    async def fails() -> None:
        reading.append(asyncio.create_task(ann.name()))
        await asyncio.sleep(0.02)
        raise ValueError("half-way")

    reading: list[asyncio.Task[str]] = []
    activation = Activation(ann.collections, cast("Any", store), cast("Any", NoFiles()), fails)
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="half-way"):
            async with opened.deciding:
                await activation.put_in_force(opened, replace(a_run(RunState.RUNNING), id="r1"))
        assert opened.set_aside is not None
        await asyncio.sleep(0.02)
        assert not reading[0].done()
        await put_in_force(bob, "r2")
        await ann.following.look()
        assert await reading[0] == await ann.name() == "two"


async def test_clusters_that_cannot_be_read_keep_the_readers_out_while_ids_are_written(
    store: FakeStore, pair: tuple[Server, Server]
) -> None:
    ann, bob = pair
    await bob.collections.tell(await bob.open())

    async def meanwhile() -> None:
        store.broken = True
        await ann.following.look()
        store.broken = False
        assert not await may_answer(ann)

    await put_in_force(bob, "r2", meanwhile)
    await ann.following.look()
    assert await ann.name() == "two"


@asynccontextmanager
async def followed(*servers: Server) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(server.following.run()) for server in servers]
        yield
        for each in running:
            each.cancel()


@pytest.mark.parametrize("number", [0, 1], ids=["by-the-same-server", "by-another"])
async def test_what_whoever_had_the_turn_gave_up_is_finished(
    store: FakeStore, pair: tuple[Server, Server], number: int
) -> None:
    ann, _ = pair
    server = pair[number]
    opened = await ann.open()
    with pytest.raises(StoreUnavailable):
        async with opened.deciding:
            await ann.collections.change(opened, activating_run="r2")
            raise StoreUnavailable("the answer", "was lost")

    async def stand_in(found: OpenCollection) -> None:
        async with found.deciding:
            if found.record.activating_run is not None:
                async with found.gate.activating():
                    await server.collections.change(found, active_run="r2", activating_run=None)

    server.following.stand_in = stand_in
    async with followed(server), asyncio.timeout(5):
        while store.record is None or store.record.activating_run is not None:
            await asyncio.sleep(0.01)
    assert store.record.active_run == "r2"


async def test_standing_in_that_fails_is_not_done_again_at_once(store: FakeStore, pair: tuple[Server, Server]) -> None:
    ann, bob = pair
    opened = await ann.open()
    async with opened.deciding:
        await ann.collections.change(opened, activating_run="r2")
    attempts = 0

    async def stand_in(found: OpenCollection) -> None:
        nonlocal attempts
        attempts += 1
        raise RunNotFound("photos", "r2")

    bob.following.stand_in = stand_in
    async with followed(bob):
        await asyncio.sleep(0.2)
    assert attempts == 1


async def test_resuming_that_fails_lets_nobody_read_half_of_the_ids(
    store: FakeStore, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, _ = pair
    opened = await ann.open()
    activation = Activation(ann.collections, cast("Any", store), cast("Any", None), ann.following.all_have_looked)
    store.runs = [replace(a_run(RunState.SUCCEEDED), summary=cast("Any", object()))]

    async def fails(*_: object) -> int:
        raise LeaseLost("photos")

    async def target(*_: object) -> Any:
        return store.runs[0]

    monkeypatch.setattr(activation, "_target", target)
    monkeypatch.setattr(activation, "_switch", fails)
    monkeypatch.setattr("shoal_server.application.activation.replace", lambda value, **_: value)
    async with opened.deciding:
        await ann.collections.change(opened, activating_run="r2")
        with pytest.raises(LeaseLost):
            await activation.resume(opened)
    assert not await may_answer(ann)
    await ann.following.look()
    assert not await may_answer(ann)


# Who is alive.


async def test_a_server_whose_look_waits_for_a_long_answer_is_waited_for(
    store: FakeStore, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = pair
    monkeypatch.setattr(ann.following, "_lease_s", 0.2)
    monkeypatch.setattr(bob.leases, "_lease_s", 0.1)
    opened = await ann.open()
    seen = await bob.open()
    async with followed(bob), asyncio.timeout(10):
        async with seen.gate.reading(), opened.deciding:
            await ann.collections.change(opened, activating_run="r2")
            waiting = asyncio.create_task(ann.following.all_have_looked())
            await asyncio.sleep(0.6)
            assert not waiting.done()
        await waiting
        assert not await may_answer(bob)


async def test_after_the_store_was_away_the_others_are_given_time_to_show_themselves(
    store: FakeStore, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, _ = pair
    await ann.following.look()
    assert ann.following.others == 1

    class Later:
        at = time.monotonic() + 60

        def monotonic(self) -> float:
            return self.at

        def time(self) -> float:
            return self.at

    monkeypatch.setattr(following_module, "time", Later())
    waiting = asyncio.create_task(ann.following.all_have_looked())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    waiting.cancel()


async def test_one_collection_that_cannot_be_followed_does_not_make_the_server_look_dead(
    store: FakeStore, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = pair
    await bob.collections.tell(await bob.open())
    before = store.seen["ann"].round
    store.broken = True
    await ann.following.look()
    assert store.seen["ann"].round == before + 1


# Runs.


class FakeRuns:
    """Other servers' runs: there are none any more."""

    async def elsewhere(self, collection: str) -> Elsewhere:
        return Elsewhere()


async def clustering_of(store: FakeStore, server: Server, tasks: asyncio.TaskGroup) -> Clustering:
    none = cast("Any", None)
    return Clustering(server.collections, cast("Any", store), none, none, none, tasks, shared=cast("Any", FakeRuns()))


async def test_a_run_that_ends_elsewhere_between_two_looks_has_not_failed(
    store: FakeStore, pair: tuple[Server, Server]
) -> None:
    ann, _ = pair
    async with asyncio.TaskGroup() as tasks:
        clustering = await clustering_of(store, ann, tasks)
        store.runs = [a_run(RunState.RUNNING), a_run(RunState.SUCCEEDED)]
        assert (await clustering.get("photos", "r2")).state is RunState.SUCCEEDED
        store.runs = [a_run(RunState.RUNNING), a_run(RunState.SUCCEEDED)]
        assert [run.state for run in await clustering.list("photos")] == [RunState.SUCCEEDED]
        store.runs = [a_run(RunState.RUNNING)]
        assert (await clustering.get("photos", "r2")).state is RunState.FAILED


async def test_the_end_that_another_server_gave_a_run_stays(store: FakeStore, pair: tuple[Server, Server]) -> None:
    ann, _ = pair
    async with asyncio.TaskGroup() as tasks:
        clustering = await clustering_of(store, ann, tasks)
        store.runs = [a_run(RunState.SUCCEEDED)]
        ended = await clustering._record(await ann.open(), a_run(RunState.FAILED))
        assert ended.state is RunState.SUCCEEDED
        assert not store.put


async def test_a_store_that_does_not_answer_at_the_end_leaves_the_record_to_whoever_stands_in(
    store: FakeStore, pair: tuple[Server, Server]
) -> None:
    ann, _ = pair
    opened = await ann.open()
    store.answers = False
    async with asyncio.TaskGroup() as tasks:
        clustering = await clustering_of(store, ann, tasks)
        ended = await clustering._record(opened, a_run(RunState.FAILED))
    assert ended.state is RunState.FAILED
    assert not store.put
    with pytest.raises(ShoalError):
        await store.members()
