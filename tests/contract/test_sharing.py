"""What several servers need of a store: writes that are taken only if nobody else was faster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.application.ports import Store
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import (
    CollectionNotFound,
    LeaseLost,
    RecordChanged,
    StoreIncompatible,
    StoreUnavailable,
)
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.lease import Fence, Lease, Member, Purpose
from tests.contract.conftest import a_collection, an_image, unit_vectors

NOBODY = Lease()


@pytest.fixture
def sharing(store: Store) -> QdrantStore:
    """A store that servers can share."""
    if isinstance(store, EdgeStore):
        pytest.skip("a data folder belongs to one server")
    assert isinstance(store, QdrantStore)
    return store


async def test_a_free_lease_is_taken_by_one_of_many(sharing: QdrantStore, collection: str) -> None:
    wanted = [Lease(holder=f"server {number}", epoch=1, beat=1) for number in range(8)]
    taken = await asyncio.gather(*(sharing.take_lease(collection, Purpose.RUNNING, NOBODY, lease) for lease in wanted))
    [winner] = [lease for lease, got in zip(wanted, taken, strict=True) if got]
    shared = await sharing.shared_collection(collection)
    assert shared.lease(Purpose.RUNNING) == winner
    assert shared.lease(Purpose.DECIDING) == NOBODY
    [found] = [each for each in await sharing.shared_collections() if each.record.id == collection]
    assert found == shared


async def test_a_lease_is_taken_over_only_as_it_was_seen(sharing: QdrantStore, collection: str) -> None:
    first = Lease(holder="a", epoch=1, beat=1)
    assert await sharing.take_lease(collection, Purpose.DECIDING, NOBODY, first)
    fence = Fence(Purpose.DECIDING, "a", 1)
    renewed = await sharing.renew_lease(collection, fence, replace(first, beat=2))
    assert renewed == replace(first, beat=2)
    assert not await sharing.take_lease(collection, Purpose.DECIDING, first, Lease(holder="b", epoch=2, beat=3))
    assert await sharing.take_lease(collection, Purpose.DECIDING, renewed, Lease(holder="b", epoch=2, beat=3))
    assert await sharing.renew_lease(collection, fence, replace(first, beat=3)) is None
    assert (await sharing.shared_collection(collection)).lease(Purpose.DECIDING).holder == "b"


async def test_a_record_is_written_only_by_the_holder_of_the_lease(sharing: QdrantStore, collection: str) -> None:
    record = await sharing.get_collection(collection)
    assert await sharing.take_lease(collection, Purpose.DECIDING, NOBODY, Lease(holder="b", epoch=4, beat=1))
    following = replace(record, active_run="r1", version=record.version + 1)
    for stranger in (Fence(Purpose.DECIDING, "a", 4), Fence(Purpose.DECIDING, "b", 3), Fence(Purpose.RUNNING, "b", 4)):
        with pytest.raises(LeaseLost):
            await sharing.update_collection(following, stranger)
    assert await sharing.get_collection(collection) == record
    await sharing.update_collection(following, Fence(Purpose.DECIDING, "b", 4))
    assert await sharing.get_collection(collection) == following
    with pytest.raises(RecordChanged):
        await sharing.update_collection(following, Fence(Purpose.DECIDING, "b", 4))
    # The lease is not touched by it.
    assert (await sharing.shared_collection(collection)).lease(Purpose.DECIDING).holder == "b"


async def test_of_many_writes_at_once_each_version_is_one_servers(sharing: QdrantStore, collection: str) -> None:
    async def add_one() -> None:
        while True:
            record = await sharing.get_collection(collection)
            following = replace(record, next_cluster_id=record.next_cluster_id + 1, version=record.version + 1)
            try:
                await sharing.update_collection(following)
            except RecordChanged:
                continue
            return

    before = await sharing.get_collection(collection)
    await asyncio.gather(*(add_one() for _ in range(10)))
    after = await sharing.get_collection(collection)
    assert after.next_cluster_id == before.next_cluster_id + 10
    assert after.version == before.version + 10


async def test_what_others_ask_reaches_the_holder_with_its_renewal(sharing: QdrantStore, collection: str) -> None:
    lease = Lease(holder="a", epoch=1, beat=1, run="r1")
    assert await sharing.take_lease(collection, Purpose.RUNNING, NOBODY, lease)
    await sharing.ask_to_cancel(collection, 7, "r1")
    await sharing.ask_to_cancel(collection, 1, "r1")
    told = replace(lease, beat=2, stage="mapping", progress=0.5)
    renewed = await sharing.renew_lease(collection, Fence(Purpose.RUNNING, "a", 1), told)
    assert renewed == replace(told, asked_to_cancel="r1")


async def test_leases_go_with_their_collection(sharing: QdrantStore, collection: str) -> None:
    lease = Lease(holder="a", epoch=1, beat=1)
    assert await sharing.take_lease(collection, Purpose.RUNNING, NOBODY, lease)
    await sharing.delete_collection(collection)
    assert await sharing.renew_lease(collection, Fence(Purpose.RUNNING, "a", 1), lease) is None
    with pytest.raises(CollectionNotFound):
        await sharing.take_lease(collection, Purpose.RUNNING, NOBODY, lease)
    with pytest.raises(CollectionNotFound):
        await sharing.shared_collection(collection)


async def test_servers_show_themselves_and_go(sharing: QdrantStore) -> None:
    await sharing.put_member(Member("test-a", 1))
    await sharing.put_member(Member("test-b", 1))
    await sharing.put_member(Member("test-a", 2))
    found = {member for member in await sharing.members() if member.id.startswith("test-")}
    assert found == {Member("test-a", 2), Member("test-b", 1)}
    await sharing.forget_members(["test-a", "test-b", "test-c"])
    assert not [member for member in await sharing.members() if member.id.startswith("test-")]


# Whole collections that two servers make and remove at once. Each test holds one server up where it matters.


@pytest.fixture
async def other(sharing: QdrantStore) -> QdrantStore:
    """Another server's way to the same Qdrant server."""
    return QdrantStore(sharing.connection.client, sharing.connection.location)


def held_up(
    monkeypatch: pytest.MonkeyPatch, store: QdrantStore, what: str, meanwhile: Callable[[], Awaitable[None]]
) -> None:
    """Before its next call of a method, something else happens, once."""
    method = getattr(store, what)

    async def later(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(store, what, method)
        await meanwhile()
        return await method(*args, **kwargs)

    monkeypatch.setattr(store, what, later)


async def test_a_collection_that_two_servers_make_at_once_is_made_by_one(
    sharing: QdrantStore, other: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, [vector] = an_image(1), unit_vectors(1)

    async def made_by_the_other() -> None:
        await other.create_collection(a_collection("both"))
        await other.upsert_images("both", [(image, vector)])

    # It has seen that there is none, or a half made one.
    held_up(monkeypatch, sharing, "_refuse_strangers", made_by_the_other)
    with pytest.raises((RecordChanged, StoreIncompatible)):
        await sharing.create_collection(a_collection("both"))
    assert await other.count_images("both", ImageFilter()) == 1
    assert await sharing.count_images("both", ImageFilter()) == 1
    await other.delete_collection("both")


async def test_one_that_was_taken_for_half_made_is_not_ready_afterwards(
    sharing: QdrantStore, other: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = replace(a_collection("both"), created_at=datetime(2024, 5, 1, tzinfo=UTC))

    async def made_by_the_other() -> None:
        await other.create_collection(a_collection("both"))

    held_up(monkeypatch, sharing, "_make_room", made_by_the_other)
    with pytest.raises((RecordChanged, StoreUnavailable, ValueError)):
        await sharing.create_collection(mine)
    assert await other.get_collection("both") == a_collection("both")
    await other.delete_collection("both")


async def test_removing_a_collection_stops_where_another_server_has_removed_it_and_made_it_again(
    sharing: QdrantStore, other: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, [vector] = an_image(1), unit_vectors(1)
    await sharing.create_collection(a_collection("both"))

    async def made_again() -> None:
        await other.create_collection(replace(a_collection("both"), created_at=datetime(2024, 5, 1, tzinfo=UTC)))
        await other.upsert_images("both", [(image, vector)])

    held_up(monkeypatch, sharing, "_made_by_shoal", made_again)
    with pytest.raises(RecordChanged):
        await sharing.delete_collection("both")
    assert await other.count_images("both", ImageFilter()) == 1
    await other.delete_collection("both")


async def test_a_collection_made_again_is_not_removed_for_the_former_one(
    sharing: QdrantStore, other: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sharing.create_collection(a_collection("both"))
    turn = sharing._catalog.turn

    async def later(*args: Any) -> str:
        monkeypatch.setattr(sharing._catalog, "turn", turn)
        await other.delete_collection("both")
        await other.create_collection(replace(a_collection("both"), created_at=datetime(2024, 5, 1, tzinfo=UTC)))
        return await turn(*args)

    monkeypatch.setattr(sharing._catalog, "turn", later)
    with pytest.raises(RecordChanged):
        await sharing.delete_collection("both")
    assert (await other.get_collection("both")).created_at == datetime(2024, 5, 1, tzinfo=UTC)
    await other.delete_collection("both")


async def test_what_another_server_has_made_again_is_read_as_it_is_now(
    sharing: QdrantStore, other: QdrantStore
) -> None:
    await sharing.create_collection(a_collection("both"))
    assert await other.count_images("both", ImageFilter()) == 0
    await sharing.delete_collection("both")
    again = replace(a_collection("both"), model=EmbeddingModel("another", "sha256:1", 3))
    await sharing.create_collection(again)
    await other.get_collection("both")
    await other.upsert_images("both", [(an_image(1), np.array([0.0, 1.0, 0.0], np.float32))])
    assert await sharing.count_images("both", ImageFilter()) == 1
    await sharing.delete_collection("both")
