"""The stand-in keeps what it acknowledged, and refuses what it does not understand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from qdrant_client import AsyncQdrantClient, models

from tests.standin.operation_log import OperationLog
from tests.standin.process import StandIn, standing_in


@pytest.fixture
async def client(standin: StandIn) -> AsyncIterator[AsyncQdrantClient]:
    """Over gRPC, with a collection ``things`` of ten points."""
    client = AsyncQdrantClient(
        url=standin.url, grpc_port=standin.grpc_port, prefer_grpc=True, check_compatibility=False
    )
    await fill(client)
    yield client
    await client.delete_collection("things")
    await client.close()


async def fill(client: AsyncQdrantClient) -> None:
    await client.create_collection(
        "things", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE)
    )
    points = [models.PointStruct(id=i, vector=[1.0, float(i)], payload={"n": i, "t": "é"}) for i in range(10)]
    await client.upsert("things", points, wait=True)


def matching(number: int) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key="n", match=models.MatchValue(value=number))])


async def test_a_payload_is_set_where_a_filter_says(client: AsyncQdrantClient) -> None:
    version = models.Filter(must=[models.HasIdCondition(has_id=[3]), *(matching(3).must or [])])
    for _ in range(2):
        await client.set_payload("things", {"n": 100}, version, ordering=models.WriteOrdering.STRONG)
    [point] = await client.retrieve("things", [3], consistency=models.ReadConsistencyType.ALL)
    assert point.payload == {"n": 100, "t": "é"}
    assert (await client.count("things", matching(100))).count == 1
    await client.set_payload("things", {"a": 1}, [4], key="deep")
    [point] = await client.retrieve("things", [4])
    assert (point.payload or {})["deep"] == {"a": 1}


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (lambda client: client.get_collection("nothing"), "NOT_FOUND", "Collection `nothing` doesn't exist"),
        (lambda client: client.set_payload("things", {"a": 1}, [77]), "NOT_FOUND", "No point with id 77"),
        (lambda client: client.facet("things", "t"), "INVALID_ARGUMENT", "No appropriate index"),
        (lambda client: client.scroll("things", order_by="n"), "INVALID_ARGUMENT", "No range index"),
        (
            lambda client: client.upsert("things", [models.PointStruct(id=1, vector=[1.0], payload={})]),
            "INVALID_ARGUMENT",
            "expected dim: 2, got 1",
        ),
        (lambda client: client.create_collection("things", vectors_config={}), "ALREADY_EXISTS", "already exists"),
        (lambda client: client.create_snapshot("things"), "UNIMPLEMENTED", "not found"),
        (
            lambda client: client.query_points(
                "things", prefetch=[models.Prefetch(query=[1.0, 1.0])], query=[1.0, 1.0]
            ),
            "UNIMPLEMENTED",
            "prefetch",
        ),
        (
            lambda client: client.count("things", shard_key_selector="a"),
            "UNIMPLEMENTED",
            "shard_key_selector",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_as_by_a_server(
    client: AsyncQdrantClient,
    call: Callable[[AsyncQdrantClient], Awaitable[object]],
    code: str,
    words: str,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=words) as raised:
        await call(client)
    assert raised.value.code() is grpc.StatusCode[code]


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    with standing_in(tmp_path) as server:
        client = AsyncQdrantClient(
            url=server.url, grpc_port=server.grpc_port, prefer_grpc=True, check_compatibility=False
        )
        await fill(client)
        await client.create_payload_index("things", "n", models.PayloadSchemaType.INTEGER)
        await client.delete("things", models.Filter(must=[models.HasIdCondition(has_id=[0])]))
        server.kill()
        # As if it had been killed in the middle of writing.
        with (tmp_path / "data" / "operations.log").open("ab") as log:
            log.write(b"\0\0\0\0\0\0\1\0half of it")
        server.start()
        found, _ = await client.scroll("things", order_by="n", limit=100)
        assert [point.id for point in found] == list(range(1, 10))
        await client.upsert("things", [models.PointStruct(id=11, vector=[1.0, 1.0], payload={"n": 11})])
        server.kill()
        server.start()
        assert (await client.count("things")).count == 10
        await client.close()


def test_the_log_gives_back_what_was_written(tmp_path: Path) -> None:
    log = OperationLog(tmp_path)
    assert list(log.replay()) == []
    log.append(("upsert", "things", {"points": [1, 2]}))
    log.append(("delete", "things", {}))
    log.close()
    again = OperationLog(tmp_path)
    assert list(again.replay()) == [("upsert", "things", {"points": [1, 2]}), ("delete", "things", {})]
    again.close()
