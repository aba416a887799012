"""What a user of Qdrant sees, and what becomes of Qdrant's errors."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import httpx
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

import shoal_server.adapters.qdrant_store.store as store_module
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.adapters.qdrant_store.tuned_client import TunedClient
from shoal_server.adapters.qdrant_store.upgrading import upgrade_images
from shoal_server.domain.errors import (
    CollectionNotFound,
    Overloaded,
    ShoalError,
    StoreIncompatible,
    StoreRefused,
    StoreUnavailable,
)
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.payload import CLUSTER_ID, INDEXED
from tests.contract.conftest import (
    a_cluster,
    a_collection,
    a_correction,
    an_image,
    numbered_images,
    some_groupings,
    unit_vectors,
)

# The in-memory client says that it has no payload indexes; a server has them.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

EVERY = ImageFilter()


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(":memory:")
    yield client
    await client.close()


@pytest.fixture
async def store(client: AsyncQdrantClient) -> QdrantStore:
    store = QdrantStore(client, ":memory:")
    await store.create_collection(a_collection("photos"))
    return store


# A user of qdrant-client who knows nothing of Shoal.


async def test_a_qdrant_user_filters_by_cluster(store: QdrantStore, client: AsyncQdrantClient) -> None:
    images = numbered_images(30, lambda i: i % 4 or None)
    await store.upsert_images("photos", images)
    in_two = models.Filter(must=[models.FieldCondition(key="cluster_id", match=models.MatchValue(value=2))])
    expected = {image.id for image, _ in images if image.cluster_id == 2}

    points, _ = await client.scroll("photos", scroll_filter=in_two, limit=100)
    assert {UUID(str(point.id)) for point in points} == expected
    answer = await client.query_points("photos", query=unit_vectors(1)[0].tolist(), query_filter=in_two, limit=100)
    assert {UUID(str(point.id)) for point in answer.points} == expected

    moved = images[0][0].id
    await store.set_group("photos", CLUSTER_ID, 2, [moved])
    points, _ = await client.scroll("photos", scroll_filter=in_two, limit=100)
    assert {UUID(str(point.id)) for point in points} == expected | {moved}

    without = models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="cluster_id"))])
    points, _ = await client.scroll("photos", scroll_filter=without, limit=100)
    assert {UUID(str(point.id)) for point in points} == {
        image.id for image, _ in images if image.cluster_id is None and image.id != moved
    }


async def test_a_qdrant_user_sees_the_payload_that_is_promised(store: QdrantStore, client: AsyncQdrantClient) -> None:
    image = replace(an_image(1, cluster_id=7, tags=("sea", "sun")), place_id=8, moment_id=9)
    await store.upsert_images("photos", [(image, unit_vectors(1)[0])])
    [point] = await client.retrieve("photos", [str(image.id)], with_vectors=True)
    assert point.payload == {
        "sha256": image.sha256,
        "uri": "file:///photos/1.jpg",
        "tags": ["sea", "sun"],
        "captured_at": "2020-02-03T04:05:06",
        "captured_local": "2020-02-03T04:05:06",
        "captured_year": 2020,
        "local_time": True,
        "frame_count": 1,
        "location": {"lat": 47.25, "lon": -122.5},
        "camera_make": "Canon",
        "camera_model": "EOS R5",
        "lens": "RF 50mm",
        "iso": 400,
        "f_number": 1.8,
        "exposure_s": 0.008,
        "focal_length_mm": 50.0,
        "orientation": 6,
        "width": 640,
        "height": 480,
        "format": "JPEG",
        "byte_size": 1001,
        "ingested_at": "2024-05-06T07:08:09+00:00",
        "cluster_id": 7,
        "place_id": 8,
        "moment_id": 9,
    }
    assert type(point.payload["cluster_id"]) is int
    # The vector is the unnamed one.
    assert point.vector == pytest.approx(unit_vectors(1)[0].tolist(), abs=1e-6)
    # A date without an offset and a place are of the types that Qdrant filters on.
    condition = models.Filter(
        must=[
            models.FieldCondition(
                key="captured_at",
                range=models.DatetimeRange(gte=datetime.fromisoformat("2020-02-03T00:00:00+00:00"), lt="2020-02-04"),  # type: ignore[arg-type]
            ),
            models.FieldCondition(
                key="location",
                geo_radius=models.GeoRadius(center=models.GeoPoint(lat=47.25, lon=-122.51), radius=5000),
            ),
        ]
    )
    assert (await client.count("photos", condition)).count == 1
    elsewhere = models.GeoRadius(center=models.GeoPoint(lat=0, lon=0), radius=5000)
    condition = models.Filter(must=[models.FieldCondition(key="location", geo_radius=elsewhere)])
    assert (await client.count("photos", condition)).count == 0


async def test_a_qdrant_user_finds_clusters_by_vector(store: QdrantStore, client: AsyncQdrantClient) -> None:
    await store.put_clusters("photos", "r1", [a_cluster(1), a_cluster(2, name="dogs")])
    answer = await client.query_points("photos.clusters", query=a_cluster(2).centroid.tolist(), limit=1)
    [point] = answer.points
    assert point.payload is not None
    assert (point.payload["run"], point.payload["cluster_id"], point.payload["name"]) == ("r1", 2, "dogs")


# Collections that are not Shoal's, and those half made or half deleted.


async def test_somebody_elses_collection_is_neither_read_nor_touched(
    store: QdrantStore, client: AsyncQdrantClient
) -> None:
    await client.create_collection("theirs", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    await client.upsert("theirs", [models.PointStruct(id=1, vector=[1.0, 2.0], payload={})], wait=True)
    with pytest.raises(StoreIncompatible, match="'theirs' that Shoal did not make"):
        await store.create_collection(a_collection("theirs"))
    with pytest.raises(CollectionNotFound):
        await store.count_images("theirs", EVERY)
    with pytest.raises(CollectionNotFound):
        await store.delete_collection("theirs")
    assert (await client.count("theirs")).count == 1
    assert [each.id for each in await store.list_collections()] == ["photos"]


async def test_a_creation_that_broke_off_is_made_again(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(client, "create_payload_index", AsyncMock(side_effect=ConnectionResetError))
        with pytest.raises(ConnectionResetError):
            await store.create_collection(a_collection("half"))
    assert await client.collection_exists("half")
    with pytest.raises(CollectionNotFound):
        await store.count_images("half", EVERY)
    assert [each.id for each in await store.list_collections()] == ["photos"]
    await store.create_collection(a_collection("half"))
    assert await store.count_images("half", EVERY) == 0


async def test_a_deletion_that_broke_off_is_one_and_can_be_completed(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert_images("photos", numbered_images(3))
    with monkeypatch.context() as patched:
        patched.setattr(client, "delete_collection", AsyncMock(side_effect=ConnectionResetError))
        with pytest.raises(ConnectionResetError):
            await store.delete_collection("photos")
    for other in (store, QdrantStore(client, ":memory:")):
        with pytest.raises(CollectionNotFound):
            await other.count_images("photos", EVERY)
    await store.create_collection(a_collection("photos"))
    assert await store.count_images("photos", EVERY) == 0


async def test_of_a_deleted_collection_no_record_is_left(store: QdrantStore, client: AsyncQdrantClient) -> None:
    await store.create_collection(a_collection("others"))
    for collection in ("photos", "others"):
        await store.put_groupings(collection, "r1", some_groupings())
        await store.put_correction(collection, a_correction("c1"))
    await store.delete_collection("photos")
    left, _ = await client.scroll("shoal.records", limit=100)
    assert sorted((point.payload or {})["kind"] for point in left) == ["collection", "correction", "groupings"]
    assert {(point.payload or {})["collection"] for point in left} == {"others"}


async def test_missing_payload_indexes_are_asked_for_when_connecting(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create_collection(a_collection("others"))
    # As an older version left it; the in-memory client has no payload indexes and says so.
    keyword = models.PayloadIndexInfo(data_type=models.PayloadSchemaType.KEYWORD, points=0)
    old = await client.get_collection("photos")
    old.payload_schema = dict.fromkeys(set(INDEXED) - {"place_id", "moment_id"}, keyword)
    new = old.model_copy(update={"payload_schema": dict.fromkeys(INDEXED, keyword)})
    known = {"photos": old, "others": new}

    async def get_collection(name: str) -> models.CollectionInfo:
        return known[name]

    made = AsyncMock()
    monkeypatch.setattr(client, "get_collection", get_collection)
    monkeypatch.setattr(client, "create_payload_index", made)
    monkeypatch.setattr(client, "info", AsyncMock(return_value=models.VersionInfo(title="qdrant", version="1.15.0")))
    monkeypatch.setattr(store_module, "TunedClient", lambda *_: client)
    await QdrantStore.connect("http://127.0.0.1:1")
    integer = models.PayloadSchemaType.INTEGER
    expected = {("photos", "place_id", integer), ("photos", "moment_id", integer)}
    assert {call.args for call in made.call_args_list if call.args[0] != "shoal.records"} == expected


async def test_images_of_an_older_version_get_what_it_did_not_write(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = numbered_images(2500)
    await store.upsert_images("photos", images)
    later = ["captured_local", "captured_year", "local_time", "frame_count"]
    every = models.FilterSelector(filter=models.Filter())
    await client.delete_payload("photos", later, every)
    await client.set_payload("photos", {"captured_at": "rubbish"}, [str(images[0][0].id)])
    assert await store.page_by_capture("photos", EVERY, None, 1, descending=False) == ([], None)

    order: list[str] = []
    update, index = client.batch_update_points, client.create_payload_index

    async def updated(*args: Any, **kwargs: Any) -> Any:
        order.append("fields")
        return await update(*args, **kwargs)

    async def indexed(collection: str, field: str, *args: Any, **kwargs: Any) -> Any:
        assert kwargs["wait"]
        order.append(field)
        return await index(collection, field, *args, **kwargs)

    monkeypatch.setattr(client, "batch_update_points", updated)
    monkeypatch.setattr(client, "create_payload_index", indexed)
    await upgrade_images(client, "photos", await client.get_collection("photos"))
    # A crash before the index leads to the fields being looked at again.
    assert order.index("captured_local") > max(i for i, step in enumerate(order) if step == "fields")
    assert set(order) == {"fields", *INDEXED}
    assert await store.count_by("photos", "captured_year", EVERY) == {2020: 2499}
    [first], _ = await store.page_by_capture("photos", EVERY, None, 1, descending=False)
    assert first.metadata.frame_count == 1
    order.clear()
    await upgrade_images(client, "photos", await client.get_collection("photos"))
    assert "fields" not in order


async def test_a_collection_that_lost_its_points_does_not_keep_others_from_connecting(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "get_collection", AsyncMock(side_effect=grpc_error(StatusCode.NOT_FOUND)))
    monkeypatch.setattr(client, "info", AsyncMock(return_value=models.VersionInfo(title="qdrant", version="1.15.0")))
    monkeypatch.setattr(store_module, "TunedClient", lambda *_: client)
    again = await QdrantStore.connect("http://127.0.0.1:1")
    assert [each.id for each in await again.list_collections()] == ["photos"]


async def test_a_damaged_record_is_named(store: QdrantStore, client: AsyncQdrantClient) -> None:
    [point], _ = await client.scroll("shoal.records")
    await client.set_payload("shoal.records", {"record": {}}, [point.id])
    with pytest.raises(StoreIncompatible, match=str(point.id)):
        await store.get_collection("photos")


# Errors.


def grpc_error(code: StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details="what the server said")


def http_error(status: int) -> UnexpectedResponse:
    return UnexpectedResponse(status, "reason", b"what the server said", httpx.Headers())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *[
            (
                grpc_error(code),
                {
                    StatusCode.NOT_FOUND: CollectionNotFound,
                    StatusCode.UNAUTHENTICATED: StoreRefused,
                    StatusCode.PERMISSION_DENIED: StoreRefused,
                }.get(code, StoreUnavailable),
            )
            for code in StatusCode
            if code is not StatusCode.OK
        ],
        (http_error(404), CollectionNotFound),
        *[(http_error(status), StoreUnavailable) for status in (400, 429, 500, 503)],
        *[(http_error(status), StoreRefused) for status in (401, 403)],
        (ResponseHandlingException(httpx.ConnectError("no route")), StoreUnavailable),
        (ResourceExhaustedResponse("slow down", 3), Overloaded),
    ],
    ids=str,
)
async def test_every_error_of_the_vendor_is_translated(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: Any
) -> None:
    monkeypatch.setattr(client, "count", AsyncMock(side_effect=error))
    with pytest.raises(ShoalError) as raised:
        await store.count_images("photos", EVERY)
    assert type(raised.value) is expected
    assert raised.value.__cause__ is error
    assert isinstance(raised.value, CollectionNotFound) or ":memory:" in raised.value.message


async def test_an_error_of_our_own_is_not_called_the_stores(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "count", AsyncMock(side_effect=AttributeError("a bug")))
    with pytest.raises(AttributeError):
        await store.count_images("photos", EVERY)


async def test_a_refused_key_is_said_so(
    store: QdrantStore, client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "count", AsyncMock(side_effect=grpc_error(StatusCode.UNAUTHENTICATED)))
    with pytest.raises(StoreUnavailable, match="API key"):
        await store.count_images("photos", EVERY)


async def test_a_collection_deleted_by_another_server_is_not_found(
    store: QdrantStore, client: AsyncQdrantClient
) -> None:
    await store.upsert_images("photos", numbered_images(1))
    await QdrantStore(client, ":memory:").delete_collection("photos")
    # What a server answers; the in-memory client has an error of its own.
    client.count = AsyncMock(side_effect=grpc_error(StatusCode.NOT_FOUND))  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(CollectionNotFound):
            await store.count_images("photos", EVERY)


async def test_an_unreachable_server_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(StoreUnavailable, match=f"http://127.0.0.1:{port}"):
        await QdrantStore.connect(f"http://127.0.0.1:{port}", grpc_port=port)


async def test_an_old_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = models.VersionInfo(title="qdrant", version="1.9.2")
    monkeypatch.setattr(TunedClient, "info", AsyncMock(return_value=old))
    with pytest.raises(StoreIncompatible, match=r"1\.9\.2.*at least 1\.12"):
        await QdrantStore.connect("http://127.0.0.1:1")
