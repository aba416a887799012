"""A call's id: in its answer, in its errors, in every line of the log, and what the log says of calls."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.v1.collection_service_pb2 import CreateCollectionRequest, GetCollectionRequest, ListCollectionsRequest
from shoal_client import AsyncClient, InternalError
from shoal_server import logs
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.application.access import FAILURES
from shoal_server.application.recovering import Recovery
from shoal_server.domain.access import Role
from shoal_server.domain.errors import ModelFailed
from tests.fakes import picture
from tests.rpc.conftest import PARENT, serving
from tests.rpc.faults import slow
from tests.rpc.test_authorization import add_key


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the log says from here on, as JSON lines, down to DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    handler.addFilter(logs.WithContext())
    logger = logging.getLogger("shoal_server")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def lines(stream: io.StringIO, **having: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [each for each in found if having.items() <= each.items()]


async def trailing(call: Any) -> dict[str, Any]:
    return dict(await call.trailing_metadata() or ())


async def test_the_callers_id_comes_back_and_is_in_the_log(tmp_path: Path, written: io.StringIO) -> None:
    async with serving(tmp_path) as server:
        request = CreateCollectionRequest(collection_id="photos")
        call = server.collections.CreateCollection(request, metadata=(("x-request-id", "my-request.1"),))
        await call
        assert (await trailing(call))["x-request-id"] == "my-request.1"
    [line] = lines(written, logger="shoal_server.access", request_id="my-request.1")
    assert line["level"] == "INFO"
    assert (line["rpc_service"], line["rpc_method"]) == ("shoal.v1.CollectionService", "CreateCollection")
    assert line["rpc_code"] == "OK"
    assert line["message"].startswith("shoal.v1.CollectionService/CreateCollection OK in ")
    assert 0 < line["seconds"] < 60


@pytest.mark.parametrize("given", ["a b", "x" * 65, "../../etc", "-x", "", None])
async def test_what_is_no_id_is_replaced(tmp_path: Path, given: str | None) -> None:
    async with serving(tmp_path) as server:
        metadata = () if given is None else (("x-request-id", given),)
        answered = set()
        for _ in range(2):
            call = server.collections.ListCollections(ListCollectionsRequest(), metadata=metadata)
            await call
            answered.add((await trailing(call))["x-request-id"])
    assert len(answered) == 2
    assert all(len(each) == 16 and each != given for each in answered)


async def test_an_error_carries_the_id_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        call = server.collections.GetCollection(
            GetCollectionRequest(name=PARENT), metadata=(("x-request-id", "abc-1"),)
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        assert (await trailing(call))["x-request-id"] == "abc-1"


async def test_an_internal_error_is_found_by_its_id(
    tmp_path: Path, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(EdgeStore, "list_collections", fail)
    async with serving_without_recovery(tmp_path, monkeypatch) as server, AsyncClient(server.address) as client:
        with pytest.raises(InternalError) as raised:
            _ = [each async for each in client.collections()]
    incident = raised.value.metadata["incident"]
    assert f"internal error {incident}" in raised.value.message
    assert "ZeroDivisionError" not in raised.value.message
    found = lines(written, request_id=incident)
    assert any("a fault of ours" in line.get("exception", "") for line in found)
    [access] = lines(written, request_id=incident, logger="shoal_server.access")
    assert (access["rpc_code"], access["level"]) == ("INTERNAL", "INFO")


def serving_without_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that does not look at its collections when it starts."""

    async def nothing(self: Recovery) -> None:
        pass

    monkeypatch.setattr(Recovery, "recover", nothing)
    return serving(tmp_path)


async def test_calls_at_the_same_time_do_not_mix_their_ids(tmp_path: Path, written: io.StringIO) -> None:
    async with serving(tmp_path) as server:

        async def create(number: int) -> None:
            request = CreateCollectionRequest(collection_id=f"c{number}")
            await server.collections.CreateCollection(request, metadata=(("x-request-id", f"request-{number}"),))

        await asyncio.gather(*(create(number) for number in range(20)))
    found = [line["request_id"] for line in lines(written, logger="shoal_server.access", rpc_method="CreateCollection")]
    assert sorted(found) == sorted(f"request-{number}" for number in range(20))


async def test_reading_is_told_at_debug_unless_it_fails_or_is_slow(
    tmp_path: Path, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal_server.rpc.telemetry.SLOW_S", 0.5)
    async with serving(tmp_path) as server:
        await server.collections.ListCollections(ListCollectionsRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await server.collections.GetCollection(GetCollectionRequest(name=PARENT))
        slow(monkeypatch, "list_collections", 0.6)
        await server.collections.ListCollections(ListCollectionsRequest())
    found = [
        (line["rpc_method"], line["level"])
        for line in lines(written, logger="shoal_server.access", rpc_service="shoal.v1.CollectionService")
    ]
    assert found == [("ListCollections", "DEBUG"), ("GetCollection", "INFO"), ("ListCollections", "INFO")]


async def test_strangers_cannot_fill_the_log(tmp_path: Path, written: io.StringIO) -> None:
    """Each of their calls would have a line; whoever refuses them tells of some of them."""
    add_key(tmp_path, Role.READ)
    async with serving(tmp_path) as server:
        for _ in range(2 * FAILURES):
            with pytest.raises(grpc.aio.AioRpcError):
                await server.collections.ListCollections(ListCollectionsRequest())
    found = lines(written, logger="shoal_server.access", rpc_method="ListCollections")
    assert [line["level"] for line in found] == ["DEBUG"] * 2 * FAILURES
    assert {line["rpc_code"] for line in found} == {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    assert len(lines(written, level="WARNING")) <= FAILURES + 10


async def test_what_a_run_logs_says_which_run_and_who_asked_for_it(tmp_path: Path, written: io.StringIO) -> None:
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await server.ingest(picture("red", number) for number in range(12))
        server.clusterer.error = ValueError("cannot cluster this")
        run = await server.recluster()
    [line] = [each for each in lines(written, collection="photos") if "failed" in each["message"]]
    assert line["run"] == run.name.rpartition("/")[2]
    assert "cannot cluster this" in line["exception"]
    assert line["request_id"] in {
        each["request_id"] for each in lines(written, logger="shoal_server.access", rpc_method="RunClustering")
    }


async def test_a_model_that_fails_on_an_image_is_found_in_the_log_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: object, *_: object) -> Any:
        raise ModelFailed("debug")

    monkeypatch.setattr("shoal_server.adapters.batching.BatchingEmbedder.embed_text", fail)
    async with serving(tmp_path) as server, AsyncClient(server.address) as client:
        await client.create_collection("photos")
        with pytest.raises(InternalError, match=r"log says why \(request [0-9a-f]{16}\)"):
            await client.collection("photos").search(text="red")
