"""What a Qdrant store does to points that somebody else owns, and what it never does, whenever it is cut short."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.domain.attachment import Attachment, Distance
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import (
    AttachedCollection,
    CollectionExists,
    CollectionNotFound,
    InvalidField,
    StoreIncompatible,
)
from shoal_server.domain.filters import Between, ImageFilter, OneOf, Present
from shoal_server.domain.payload import CLUSTER_ID, MOMENT_ID, PLACE_ID
from shoal_server.domain.point_ids import image_of_point
from tests.contract.conftest import DIMENSION, a_cluster, a_collection, a_run, an_image, unit_vectors

# The in-memory client says that it has no payload indexes; a server has them.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

EVERY = ImageFilter()
KEY = "cluster_id"
DISTANCES = [Distance.COSINE, Distance.DOT, Distance.EUCLID, Distance.MANHATTAN]


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(":memory:")
    yield client
    await client.close()


@pytest.fixture
def store(client: AsyncQdrantClient) -> QdrantStore:
    return QdrantStore(client, ":memory:")


async def make_theirs(
    client: AsyncQdrantClient, vectors: NDArray[np.float32], distance: Distance = Distance.COSINE
) -> None:
    """The owner's collection: integers for ids, a payload of their own."""
    await client.create_collection(
        "theirs", vectors_config=models.VectorParams(size=DIMENSION, distance=models.Distance(distance.value))
    )
    points = [
        models.PointStruct(id=number, vector=vector.tolist(), payload={"number": number, "kind": "ab"[number % 2]})
        for number, vector in enumerate(vectors)
    ]
    await client.upsert("theirs", points, wait=True)


def attached(name: str = "theirs", distance: Distance = Distance.COSINE, where: str = "") -> Collection:
    return replace(
        a_collection(name),
        model=EmbeddingModel("", "sha256:" + "0" * 64, DIMENSION),
        attachment=Attachment("theirs", "", distance, KEY, where),
    )


async def contents(client: AsyncQdrantClient, name: str = "theirs") -> list[Any]:
    found, _ = await client.scroll(name, limit=1000, with_vectors=True)
    return [(each.id, each.payload, each.vector) for each in found]


async def connected(client: AsyncQdrantClient) -> QdrantStore:
    """The store as the next start of a server opens it."""
    again = QdrantStore(client, ":memory:")
    await again._open()
    return again


# Reading.


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda each: each.value)
async def test_whatever_the_owner_compares_by_the_order_is_by_cosine(
    store: QdrantStore, client: AsyncQdrantClient, distance: Distance
) -> None:
    unit = unit_vectors(400, seed=1)
    lengths = np.random.default_rng(2).uniform(8, 12, (400, 1)).astype(np.float32)
    await make_theirs(client, unit * lengths, distance)
    await store.attach_collection(attached(distance=distance))
    await store.set_group("theirs", CLUSTER_ID, 3, [image_of_point(number) for number in range(0, 400, 2)])
    query = unit_vectors(3, seed=3)
    for vector in query:
        expected = np.argsort(-(unit @ vector), kind="stable")
        found = await store.query_images("theirs", vector, EVERY, limit=10, offset=5)
        assert [each.image.id for each in found] == [image_of_point(int(row)) for row in expected[5:15]]
        assert [each.score for each in found] == pytest.approx((unit @ vector)[expected[5:15]], abs=1e-5)
        least = float((unit @ vector)[expected[4]])
        above = await store.query_images("theirs", vector, EVERY, limit=50, score_threshold=least - 1e-4)
        assert len(above) == 5
        diverse = await store.query_images("theirs", vector, EVERY, limit=5, diversity=0.5)
        assert diverse[0].image.id == image_of_point(int(expected[0]))
    neighbors = await store.query_neighbors("theirs", query, ImageFilter(clustered=True), 15)
    for vector, (cluster_ids, similarities) in zip(query, neighbors, strict=True):
        assert cluster_ids.tolist() == [3] * 15
        assert similarities == pytest.approx(np.sort(unit[::2] @ vector)[::-1][:15], abs=1e-5)
    scanned = [stretch async for stretch in store.scan_vectors("theirs", batch=150)]
    assert [len(stretch.ids) for stretch in scanned] == [150, 150, 100]
    assert np.concatenate([stretch.vectors for stretch in scanned]) == pytest.approx(unit, abs=1e-5)
    assert (await store.get_vectors("theirs", [image_of_point(7)]))[image_of_point(7)] == pytest.approx(
        unit[7], abs=1e-5
    )


async def test_points_without_the_vector_are_no_images_and_those_without_a_direction_are_in_no_cluster(
    store: QdrantStore, client: AsyncQdrantClient
) -> None:
    await client.create_collection(
        "theirs",
        vectors_config={
            "a": models.VectorParams(size=DIMENSION, distance=models.Distance.DOT),
            "b": models.VectorParams(size=2, distance=models.Distance.DOT),
        },
    )
    rows = unit_vectors(3)
    uuid = str(uuid4())
    points = [
        models.PointStruct(id=2**64 - 1, vector={"a": rows[0].tolist(), "b": [1.0, 2.0]}),
        models.PointStruct(id=uuid, vector={"a": rows[1].tolist()}),
        models.PointStruct(id=5, vector={"b": [1.0, 2.0]}),
        models.PointStruct(id=6, vector={"a": [0.0] * DIMENSION}),
    ]
    await client.upsert("theirs", points, wait=True)
    record = attached(distance=Distance.DOT)
    assert record.attachment is not None
    await store.attach_collection(replace(record, attachment=replace(record.attachment, vector="a")))
    images = [image_of_point(each) for each in (2**64 - 1, uuid, 5, 6)]
    assert await store.count_images("theirs", EVERY) == 3
    assert set(await store.get_images("theirs", images)) == {images[0], images[1], images[3]}
    assert set(await store.get_vectors("theirs", images)) == {images[0], images[1]}
    [stretch] = [each async for each in store.scan_vectors("theirs")]
    assert set(stretch.ids) == {images[0], images[1]}
    assert stretch.vectors.shape == (2, DIMENSION)
    page, following = await store.page_images("theirs", EVERY, None, 2)
    rest, last = await store.page_images("theirs", EVERY, following, 2)
    assert {each.id for each in (*page, *rest)} == {images[0], images[1], images[3]}
    assert last is None
    nearest = await store.query_images("theirs", rows[0], EVERY, limit=10)
    assert nearest[0].image.id == images[0]
    assert images[2] not in {each.image.id for each in nearest}


async def test_a_page_of_points_without_a_direction_is_passed_over(
    store: QdrantStore, client: AsyncQdrantClient
) -> None:
    vectors = unit_vectors(9, seed=1)
    vectors[[3, 4, 5, 8]] = 0
    await make_theirs(client, vectors, Distance.DOT)
    await store.attach_collection(attached(distance=Distance.DOT))
    stretches = [stretch async for stretch in store.scan_vectors("theirs", batch=3)]
    assert [stretch.vectors.shape for stretch in stretches] == [(3, DIMENSION), (2, DIMENSION)]
    assert [stretch.ids async for stretch in store.scan_vectors("theirs", with_vectors=False, batch=3)] == [
        [image_of_point(number) for number in range(start, start + 3)] for start in (0, 3, 6)
    ]


async def test_filters_on_fields_that_the_owner_has_work_and_on_groups_that_none_can_have_find_nothing(
    store: QdrantStore, client: AsyncQdrantClient
) -> None:
    await make_theirs(client, unit_vectors(10))
    where = '{"must":[{"key":"number","range":{"gte":2}}]}'
    await store.attach_collection(attached(where=where))
    await store.set_group("theirs", CLUSTER_ID, 4, [image_of_point(number) for number in range(2, 6)])
    count = store.count_images
    assert await count("theirs", EVERY) == 8
    assert await count("theirs", ImageFilter(clusters=(4,))) == 4 == await count("theirs", ImageFilter(clustered=True))
    assert await count("theirs", ImageFilter(unclustered=True)) == 4
    assert await count("theirs", ImageFilter(conditions=(OneOf("attributes.kind", ("a",)),))) == 4
    assert await count("theirs", ImageFilter(conditions=(Between("attributes.number", 3, 5),))) == 3
    assert await count("theirs", ImageFilter(exclude=(image_of_point(2), image_of_point(0)))) == 7
    assert await count("theirs", ImageFilter(places=(1,))) == 0 == await count("theirs", ImageFilter(moments=(1,)))
    assert await count("theirs", ImageFilter(none_of=(ImageFilter(conditions=(Present(PLACE_ID),)),))) == 8
    assert await store.count_by_cluster("theirs") == {4: 4}
    assert await store.count_by("theirs", MOMENT_ID, EVERY) == {}
    unclustered = [each async for each in store.unclustered("theirs")]
    assert unclustered == [[image_of_point(number) for number in range(6, 10)]]


async def test_a_facet_or_an_order_without_the_owners_index_is_said_so(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_theirs(client, unit_vectors(3))
    await store.attach_collection(attached())
    monkeypatch.setattr(client, "facet", AsyncMock(side_effect=ConnectionResetError))
    with pytest.raises(InvalidField, match=r"lens.*no payload index"):
        await store.count_by("theirs", "lens", EVERY)
    monkeypatch.setattr(client, "scroll", AsyncMock(side_effect=ConnectionResetError))
    with pytest.raises(InvalidField, match=r"captured_local.*no payload index"):
        await store.first_by_capture("theirs", EVERY, 10, descending=False)


# Writing.


async def test_only_the_key_is_written(store: QdrantStore, client: AsyncQdrantClient) -> None:
    await make_theirs(client, unit_vectors(5))
    before = await contents(client)
    await store.attach_collection(attached())
    images = [image_of_point(number) for number in range(5)]
    for field in (PLACE_ID, MOMENT_ID):
        await store.set_group("theirs", field, 3, images)
    assert await contents(client) == before
    await store.set_group("theirs", CLUSTER_ID, 3, [*images[:2], image_of_point(99)])
    await store.set_group("theirs", CLUSTER_ID, None, images[:1])
    assert [(each, payload, vector) for each, payload, vector in await contents(client)] == [
        (each, {**payload, KEY: 3} if each == 1 else payload, vector) for each, payload, vector in before
    ]
    with pytest.raises(AttachedCollection):
        await store.upsert_images("theirs", [(an_image(1), unit_vectors(1)[0])])
    with pytest.raises(AttachedCollection):
        await store.delete_images("theirs", images)
    with pytest.raises(AttachedCollection):
        await store.update_image("theirs", an_image(1))
    with pytest.raises(AttachedCollection, match="shoal detach theirs"):
        await store.delete_collection("theirs")
    assert await store.detach_collection("theirs", clean=True) == 1
    assert await contents(client) == before


@pytest.mark.parametrize("again", [False, True], ids=["detached", "attached-again"])
async def test_a_server_that_has_not_heard_of_the_end_writes_nothing_any_more(
    store: QdrantStore, client: AsyncQdrantClient, again: bool
) -> None:
    await make_theirs(client, unit_vectors(5))
    before = await contents(client)
    await store.attach_collection(attached())
    other = QdrantStore(client, ":memory:")
    assert await other.count_images("theirs", EVERY) == 5
    await store.detach_collection("theirs", clean=True)
    if again:
        record = attached()
        assert record.attachment is not None
        await store.attach_collection(replace(record, attachment=replace(record.attachment, payload_key="another")))
    with pytest.raises(CollectionNotFound):
        await other.set_group("theirs", CLUSTER_ID, 1, [image_of_point(1)])
    assert await contents(client) == before


async def test_an_index_is_made_if_there_is_none_and_goes_with_the_attachment(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_theirs(client, unit_vectors(5))
    schema: dict[str, Any] = {}
    get, made, removed = client.get_collection, AsyncMock(), AsyncMock()

    async def get_collection(name: str) -> models.CollectionInfo:
        info = await get(name)
        return info.model_copy(update={"payload_schema": schema}) if name == "theirs" else info

    monkeypatch.setattr(client, "get_collection", get_collection)
    monkeypatch.setattr(client, "create_payload_index", made)
    monkeypatch.setattr(client, "delete_payload_index", removed)
    record = await store.attach_collection(attached())
    assert record.attachment is not None
    assert record.attachment.made_index
    [call] = [each for each in made.call_args_list if each.args[0] == "theirs"]
    assert call.args[1:] == (KEY, models.PayloadSchemaType.INTEGER)
    assert call.kwargs["wait"]
    schema[KEY] = models.PayloadIndexInfo(data_type=models.PayloadSchemaType.INTEGER, points=0)
    await store.detach_collection("theirs", clean=True)
    assert removed.call_args.args == ("theirs", KEY)
    # One that the owner has made stays.
    made.reset_mock()
    removed.reset_mock()
    record = await store.attach_collection(attached())
    assert record.attachment is not None
    assert not record.attachment.made_index
    assert not [each for each in made.call_args_list if each.args[0] == "theirs"]
    await store.detach_collection("theirs", clean=True)
    removed.assert_not_called()


async def test_ids_that_arrive_behind_whoever_cleans_are_taken_back(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_theirs(client, unit_vectors(5))
    before = await contents(client)
    await store.attach_collection(attached())
    other = QdrantStore(client, ":memory:")
    set_payload, late = client.set_payload, True

    async def cleaned_before(name: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal late
        if name == "theirs" and late:
            late = False
            await other.detach_collection("theirs", clean=True)
        return await set_payload(name, *args, **kwargs)

    monkeypatch.setattr(client, "set_payload", cleaned_before)
    with pytest.raises(CollectionNotFound):
        await store.set_group("theirs", CLUSTER_ID, 1, [image_of_point(1), image_of_point(2)])
    assert await contents(client) == before


async def test_what_cannot_be_a_clusters_id_is_not_counted_as_one(
    store: QdrantStore, client: AsyncQdrantClient
) -> None:
    await make_theirs(client, unit_vectors(6))
    await store.attach_collection(attached())
    await store.set_group("theirs", CLUSTER_ID, 4, [image_of_point(1)])
    for number, value in enumerate(("mine", 0, -3, 7), start=2):
        await client.set_payload("theirs", {KEY: value}, [number], wait=True)
    assert await store.count_by_cluster("theirs") == {4: 1, 7: 1}
    [stretch] = [each async for each in store.scan_vectors("theirs")]
    assert stretch.cluster_ids.tolist() == [-1, 4, -1, -1, -1, 7]


async def test_vectors_of_another_length_are_refused_by_name(store: QdrantStore, client: AsyncQdrantClient) -> None:
    await make_theirs(client, unit_vectors(3))
    await store.attach_collection(attached())
    await client.delete_collection("theirs")
    await client.create_collection("theirs", models.VectorParams(size=3, distance=models.Distance.COSINE))
    await client.upsert("theirs", [models.PointStruct(id=1, vector=[1.0, 0.0, 0.0])], wait=True)
    words = f"'theirs' have 3 dimensions, and had {DIMENSION} when it was attached"
    with pytest.raises(StoreIncompatible, match=words):
        await store.get_vectors("theirs", [image_of_point(1)])
    with pytest.raises(StoreIncompatible, match=words):
        [each async for each in store.scan_vectors("theirs")]
    assert await store.count_images("theirs", EVERY) == 1


# Cut short.


async def test_a_cleaning_that_broke_off_is_completed_by_the_next_attempt_or_start(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_theirs(client, unit_vectors(2500))
    before = await contents(client)
    of_theirs = models.Filter(must=[models.FieldCondition(key="collection", match=models.MatchValue(value="theirs"))])
    for finish in ("again", "start"):
        await store.attach_collection(attached())
        await store.put_run("theirs", a_run("r1"))
        await store.put_clusters("theirs", "r1", [a_cluster(1)])
        await store.set_group("theirs", CLUSTER_ID, 1, [image_of_point(number) for number in range(2500)])
        delete, calls = client.delete_payload, 0

        async def once(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise ConnectionResetError
            return await delete(*args, **kwargs)  # noqa: B023 - called before the loop goes on

        with monkeypatch.context() as patched:
            patched.setattr(client, "delete_payload", once)
            with pytest.raises(ConnectionResetError):
                await store.detach_collection("theirs", clean=True)
        with pytest.raises(CollectionNotFound):
            await store.count_images("theirs", EVERY)
        if finish == "again":
            # It was begun with the cleaning, and ends with it.
            assert await store.detach_collection("theirs", clean=False) == 1500
        else:
            store = await connected(client)
        assert await contents(client) == before
        assert {each.name for each in (await client.get_collections()).collections} == {"theirs", "shoal.records"}
        assert not (await client.count("shoal.records", of_theirs)).count


async def test_an_attachment_that_broke_off_leaves_the_points_alone_and_can_be_made_again(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_theirs(client, unit_vectors(5))
    before = await contents(client)
    for again in ("attach", "create"):
        with monkeypatch.context() as patched:
            patched.setattr(client, "create_collection", AsyncMock(side_effect=ConnectionResetError))
            with pytest.raises(ConnectionResetError):
                await store.attach_collection(attached())
        store = await connected(client)
        with pytest.raises(CollectionNotFound):
            await store.detach_collection("theirs", clean=True)
        if again == "attach":
            await store.attach_collection(attached())
            with pytest.raises(CollectionExists):
                await store.attach_collection(attached())
            await store.detach_collection("theirs", clean=True)
        else:
            with pytest.raises(StoreIncompatible, match="'theirs' that Shoal did not make"):
                await store.create_collection(a_collection("theirs"))
        assert await contents(client) == before


async def test_an_attached_collection_is_not_brought_up_to_date_like_one_of_shoals(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_theirs(client, unit_vectors(5))
    await store.attach_collection(attached())
    made = AsyncMock()
    monkeypatch.setattr(client, "create_payload_index", made)
    before = await contents(client)
    again = await connected(client)
    assert not [each for each in made.call_args_list if each.args[0] == "theirs"]
    assert [each.id for each in await again.list_collections()] == ["theirs"]
    assert await contents(client) == before


@pytest.mark.parametrize("broken", ["creation", "deletion"])
async def test_what_somebody_made_under_the_name_of_shoals_own_leftovers_is_not_taken_for_them(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "deletion":
        await store.create_collection(a_collection("theirs"))
        with monkeypatch.context() as patched:
            patched.setattr(store._catalog, "forget", AsyncMock(side_effect=ConnectionResetError))
            with pytest.raises(ConnectionResetError):
                await store.delete_collection("theirs")
    else:
        with monkeypatch.context() as patched:
            patched.setattr(client, "create_collection", AsyncMock(side_effect=ConnectionResetError))
            with pytest.raises(ConnectionResetError):
                await store.create_collection(a_collection("theirs"))
    await make_theirs(client, unit_vectors(5))
    before = await contents(client)
    again = await connected(client)
    assert await contents(client) == before
    with pytest.raises(StoreIncompatible, match="'theirs' that Shoal did not make"):
        await again.create_collection(a_collection("theirs"))
    assert await contents(client) == before
    await again.attach_collection(attached())
    assert await again.count_images("theirs", EVERY) == 5


async def test_when_the_owner_has_removed_the_collection_that_is_said(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_theirs(client, unit_vectors(5))
    await store.attach_collection(attached("ours"))
    await client.delete_collection("theirs")
    # What a server answers; the in-memory client has an error of its own.
    monkeypatch.setattr(client, "count", AsyncMock(side_effect=CollectionNotFound("ours")))
    with pytest.raises(StoreIncompatible, match="'theirs' that 'ours' is attached to is gone; `shoal detach ours`"):
        await store.count_images("ours", EVERY)
    monkeypatch.undo()
    assert await store.detach_collection("ours", clean=True) == 0
