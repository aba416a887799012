"""A Qdrant server that is away, slow, or restarted: the stand-in's process makes the faults, over a real connection."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal.v1.cluster_pb2 import RUN_STATE_SUCCEEDED
from shoal.v1.cluster_service_pb2 import RunClusteringRequest
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.image_service_pb2 import ListImagesRequest
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.domain.errors import StoreRefused, StoreUnavailable
from tests.fakes import picture
from tests.qdrant_server import QdrantServer
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.standin.process import StandIn, standing_in

_KEY = "a-key-that-nobody-else-sees"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A stand-in of this module's own, because it is killed and made to fail."""
    with standing_in(tmp_path_factory.mktemp("qdrant")) as server:
        yield server


@pytest.fixture
def qdrant(process: StandIn) -> Iterator[StandIn]:
    """The stand-in, empty and without faults."""
    QdrantServer(process.url, process.grpc_port).clean()
    process.control(faults=[], forget_calls=True)
    yield process
    process.resume()
    process.control(faults=[])


def storing_in(qdrant: StandIn, **settings: Any) -> dict[str, Any]:
    """Settings of a Shoal server that stores there."""
    return {"qdrant_url": qdrant.url, "qdrant_grpc_port": qdrant.grpc_port, **settings}


@pytest.fixture
async def shoal(qdrant: StandIn, tmp_path: Path) -> AsyncIterator[Served]:
    """A Shoal server with an empty collection."""
    async with serving(tmp_path / "shoal", **storing_in(qdrant)) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        yield served


async def in_thread(what: Any, *arguments: Any, **named: Any) -> Any:
    """What waits for the stand-in's process must not hold up the server, which runs on this event loop."""
    return await asyncio.to_thread(what, *arguments, **named)


async def names(served: Served) -> list[str]:
    listed = await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))
    assert not listed.next_page_token
    return [image.name for image in listed.images]


def wait_that_is_asked_for(status: status_pb2.Status) -> float:
    for detail in status.details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    raise AssertionError("no RetryInfo")


async def healthy(served: Served) -> float:
    """Seconds that the answer to a health check takes."""
    began = time.monotonic()
    stub: Any = health_pb2_grpc.HealthStub(served.channel)
    await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


# At the start.


@pytest.mark.parametrize("over_grpc", [True, False])
async def test_a_server_that_is_not_there_is_named_at_once(over_grpc: bool) -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=f"http://127.0.0.1:{port}") as raised:
        await QdrantStore.connect(f"http://127.0.0.1:{port}", grpc_port=port if over_grpc else None)
    assert len(raised.value.message.partition("does not answer: ")[2]) > 5
    assert time.monotonic() - began < 20


async def test_an_address_of_which_only_the_port_of_grpc_is_right_is_refused(qdrant: StandIn) -> None:
    wrong = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StoreUnavailable, match=wrong):
        await QdrantStore.connect(wrong, grpc_port=qdrant.grpc_port)


async def test_a_server_that_comes_up_later_is_waited_for(qdrant: StandIn) -> None:
    qdrant.stop()
    opening = asyncio.create_task(QdrantStore.connect(qdrant.url, grpc_port=qdrant.grpc_port, wait_s=120))
    await asyncio.sleep(1.5)
    assert not opening.done()
    await in_thread(qdrant.start)
    store = await opening
    assert await store.list_collections() == []
    await store.close()


async def test_a_server_that_stays_away_is_not_waited_for_longer() -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await QdrantStore.connect(f"http://127.0.0.1:{port}", grpc_port=port, wait_s=2)
    assert 2 <= time.monotonic() - began < 30


async def test_a_wrong_key_is_said_at_once_and_is_shown_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with standing_in(tmp_path / "qdrant", api_key="another-key") as qdrant:
        for port in (qdrant.grpc_port, None):
            with pytest.raises(StoreRefused, match=r"refuses the API key.*SHOAL_QDRANT_API_KEY") as raised:
                await QdrantStore.connect(qdrant.url, _KEY, port, wait_s=60)
            with pytest.raises(StoreRefused):
                await QdrantStore.connect(qdrant.url, None, port)
            right = await QdrantStore.connect(qdrant.url, "another-key", port)
            assert await right.list_collections() == []
            await right.close()
            shown = caplog.text + "".join(f"{error!r} {error}" for error in (raised.value, raised.value.__cause__))
            assert _KEY not in shown
            assert "another-key" not in shown
    assert "without TLS" in caplog.text


@pytest.mark.parametrize(
    ("version", "words"), [("dev", "cannot be compared"), ("1.12.0", None), ("9.3.0", "upgrade Shoal")]
)
async def test_versions_that_shoal_does_not_know_are_worked_with(
    qdrant: StandIn, caplog: pytest.LogCaptureFixture, version: str, words: str | None
) -> None:
    await in_thread(qdrant.control, version=version)
    store = await QdrantStore.connect(qdrant.url, grpc_port=qdrant.grpc_port)
    assert await store.list_collections() == []
    await store.close()
    said = [record.message for record in caplog.records if record.name.endswith("connection")]
    assert [words in each for each in said] == [True] if words else said == []


# While images come in.


async def test_a_restart_is_not_noticed_by_those_who_send_images(qdrant: StandIn, shoal: Served) -> None:
    await in_thread(qdrant.order, {"status": "UNAVAILABLE", "for_s": 3})
    before = await shoal.ingest(picture("red", number) for number in range(20))
    await in_thread(qdrant.control, drop_connections=True)
    after = await shoal.ingest(picture("blue", number) for number in range(20))
    assert all(response.HasField("image") for response in (*before, *after))
    stored = await names(shoal)
    assert sorted(stored) == sorted(response.image.name for response in (*before, *after))


async def test_images_that_a_server_in_the_middle_of_dying_had_or_had_not_taken_are_stored_once(
    qdrant: StandIn, shoal: Served
) -> None:
    sending = asyncio.create_task(shoal.ingest(picture("red", number) for number in range(60)))
    while "Points.Upsert" not in (await in_thread(qdrant.calls))["of"]:
        await asyncio.sleep(0.01)
    await in_thread(qdrant.kill)
    await in_thread(qdrant.start)
    responses = await sending
    stored = {response.image.name for response in responses if response.HasField("image")}
    for response in responses:
        if response.HasField("error"):
            assert response.error.code == code_pb2.UNAVAILABLE
            assert wait_that_is_asked_for(response.error) > 0
    found = await names(shoal)
    assert stored <= set(found)
    again = await shoal.ingest(picture("red", number) for number in range(60))
    assert all(response.HasField("image") for response in again)
    found = await names(shoal)
    assert len(found) == len(set(found)) == 60


async def test_lost_answers_lead_to_nothing_twice(qdrant: StandIn, shoal: Served) -> None:
    lost = {"methods": "writes", "status": "UNAVAILABLE", "applied": True, "times": 3}
    await in_thread(qdrant.order, lost)
    responses = await shoal.ingest(picture("red", number) for number in range(10))
    assert all(response.HasField("image") and not response.duplicate for response in responses)
    assert sorted(await names(shoal)) == sorted(response.image.name for response in responses)


async def test_a_server_that_refuses_writes_for_long_fails_images_and_not_the_stream(
    qdrant: StandIn, shoal: Served
) -> None:
    [stored] = await shoal.ingest([picture("red", 0)])
    await in_thread(qdrant.order, {"methods": "writes", "status": "UNAVAILABLE", "message": "the disk is gone"})
    responses = await shoal.ingest(picture("blue", number) for number in range(5))
    assert len(responses) == 5
    for response in responses:
        assert response.error.code == code_pb2.UNAVAILABLE
        assert "the disk is gone" in response.error.message
        assert wait_that_is_asked_for(response.error) > 0
    # What only reads goes on.
    assert await names(shoal) == [stored.image.name]
    await in_thread(qdrant.order)
    responses = await shoal.ingest(picture("blue", number) for number in range(5))
    assert all(response.HasField("image") for response in responses)
    assert len(await names(shoal)) == 6


async def test_a_server_that_has_no_room_says_when_to_come_again(qdrant: StandIn, shoal: Served) -> None:
    full = {"methods": "reads", "status": "RESOURCE_EXHAUSTED", "message": "slow down", "retry_after_s": 7}
    await in_thread(qdrant.order, full)
    async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "try again in 7 s"):
        await names(shoal)


# Slow, or silent.


@pytest.mark.parametrize("silent", [False, True])
async def test_a_slow_server_is_given_up_and_shoal_itself_answers(
    qdrant: StandIn, tmp_path: Path, silent: bool
) -> None:
    async with serving(tmp_path / "shoal", **storing_in(qdrant, qdrant_timeout_s=2)) as shoal:
        await shoal.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await shoal.ingest([picture("red", 0)])
        if silent:
            qdrant.pause()
        else:
            await in_thread(qdrant.order, {"delay_ms": 30_000, "times": 200})
        sending = asyncio.create_task(shoal.ingest(picture("blue", number) for number in range(200)))
        async with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "Deadline Exceeded"):
            await names(shoal)
        assert await healthy(shoal) < 2
        if silent:
            qdrant.resume()
        else:
            # What is asked at once has a bound, however many images are sent.
            assert (await in_thread(qdrant.calls))["most_at_once"] <= 64
            await in_thread(qdrant.control, faults=[], drop_connections=True)
        responses = await sending
        assert len(responses) == 200
        again = await shoal.ingest(picture("blue", number) for number in range(200))
        assert all(response.HasField("image") for response in again)
        assert len(await names(shoal)) == 201


# While ids are written back.


async def test_a_restart_while_ids_are_written_back_leaves_the_right_ids(qdrant: StandIn, shoal: Served) -> None:
    stored = await shoal.three_colors()
    await in_thread(qdrant.control, forget_calls=True, faults=[{"methods": ["Points.SetPayload"], "delay_ms": 300}])
    run = await shoal.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    writing: dict[str, Any] = {}
    while writing.get("key") != "" or "cluster_id" not in writing.get("payload", {}):
        writing = {"key": "", **(await in_thread(qdrant.calls))["last"].get("Points.SetPayload", {})}
        await asyncio.sleep(0.02)
    await in_thread(qdrant.kill)
    await in_thread(qdrant.start)
    ended = await shoal.ended(run)
    assert ended.state == RUN_STATE_SUCCEEDED, ended.error.message
    assert ended.active
    homes = await shoal.homes(stored)
    assert len(set(homes.values())) == 3
    assert "" not in homes.values()
    again = await shoal.recluster()
    assert again.summary.payload_write_count == 0
