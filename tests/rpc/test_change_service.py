"""The change feed of a server that really listens, on either store."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.v1.change_service_pb2 import WatchAssignmentsRequest, WatchAssignmentsResponse
from shoal.v1.change_service_pb2_grpc import ChangeServiceStub
from shoal.v1.cluster_service_pb2 import ActivateClusteringRunRequest
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, DeleteCollectionRequest
from shoal.v1.curation_service_pb2 import DissolveClusterRequest
from shoal.v1.image_service_pb2 import DeleteImageRequest
from shoal_server.application import change_feed
from tests.fakes import picture
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.rpc.faults import slow


class Listener:
    """A program that keeps a copy of the assignments, by image name; a cluster of 0 is none."""

    def __init__(self, served: Served) -> None:
        self.copy: dict[str, int] = {}
        self.token = ""
        self._stub: Any = ChangeServiceStub(served.channel)

    def take_in(self, response: WatchAssignmentsResponse) -> None:
        """One answer."""
        names = [each.image for each in response.assignments]
        assert len(names) == len(set(names))
        for each in response.assignments:
            assert each.image == f"{PARENT}/images/{each.point_id}"
            if each.removed:
                self.copy.pop(each.image, None)
            else:
                self.copy[each.image] = each.cluster_id if each.HasField("cluster_id") else 0
        self.token = response.token or self.token

    async def catch_up(self) -> list[WatchAssignmentsResponse]:
        """Everything until now."""
        answers = [each async for each in self.watch(until_now=True)]
        for each in answers:
            self.take_in(each)
        return answers

    def watch(self, *, until_now: bool = False) -> Any:
        """The stream after what was taken in."""
        return self._stub.WatchAssignments(
            WatchAssignmentsRequest(parent=PARENT, token=self.token, until_now=until_now)
        )


async def stored(served: Served) -> dict[str, int]:
    """What a listener should know."""
    return {
        image: int(cluster.rpartition("/")[2]) if cluster else 0 for image, cluster in (await served.assigned()).items()
    }


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[asyncio.Queue[WatchAssignmentsResponse]]:
    """A listener that listens all the time; the answers, taken in, can be waited for."""
    told: asyncio.Queue[WatchAssignmentsResponse] = asyncio.Queue()
    call = listener.watch()

    async def listen() -> None:
        async for response in call:
            listener.take_in(response)
            told.put_nowait(response)

    task = asyncio.create_task(listen())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait([task])


async def eventually_knows(listener: Listener, served: Served) -> None:
    """Waits until the copy is as the store."""
    wanted = await stored(served)
    async with asyncio.timeout(10):
        while listener.copy != wanted:
            await asyncio.sleep(0.02)


async def test_the_first_time_everything_is_told_once(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    listener = Listener(served)
    answers = await listener.catch_up()
    assert listener.copy == await stored(served)
    assert sum(len(each.assignments) for each in answers) == 36
    assert [each.current for each in answers] == [*[False] * (len(answers) - 1), True]
    assert answers[-1].token
    assert answers[-1].time.seconds > 0


async def test_a_snapshot_comes_in_parts_and_only_its_end_can_be_gone_on_from(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "BATCH", 10)
    await served.three_colors()
    answers = await Listener(served).catch_up()
    assert [len(each.assignments) for each in answers] == [10, 10, 10, 6, 0]
    assert [bool(each.token) for each in answers] == [False, False, False, False, True]


async def test_a_token_gives_what_changed_since_and_nothing_else(served: Served) -> None:
    stored_images = await served.three_colors()
    await served.recluster()
    listener = Listener(served)
    await listener.catch_up()
    assert [list(each.assignments) for each in await listener.catch_up()] == [[]]

    [new] = await served.store("red", [99])
    gone = stored_images["blue"][0].name
    await served.images.DeleteImage(DeleteImageRequest(name=gone))
    [answer] = await listener.catch_up()
    assert {each.image for each in answer.assignments} == {new.name, gone}
    assert [each.removed for each in answer.assignments if each.image == gone] == [True]
    assert listener.copy == await stored(served)


async def test_changes_are_told_as_they_come(served: Served) -> None:
    await served.three_colors(4)
    listener = Listener(served)
    async with listening(listener) as told:
        while not (await told.get()).current:
            pass
        before = asyncio.get_running_loop().time()
        await served.store("red", [99])
        response = await asyncio.wait_for(told.get(), 5)
        assert asyncio.get_running_loop().time() - before < 2
        assert len(response.assignments) == 1
        assert response.current
        await served.ingest(picture("green", number) for number in range(50, 60))
        await eventually_knows(listener, served)


async def test_a_run_is_told_whole(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    colors = {image.name: color for color, images in (await served.three_colors()).items() for image in images}
    listener = Listener(served)
    async with listening(listener) as told:
        while not (await told.get()).current:
            pass
        slow(monkeypatch, "set_group")
        await served.recluster()
        seen: dict[str, int] = {}
        async with asyncio.timeout(10):
            while not (seen and len(seen) == len(colors)):
                response = await told.get()
                seen |= {each.image: each.cluster_id for each in response.assignments}
                # Once one image of a colour is told to be in its cluster, so are all others: no half of a run.
                assert all(each.HasField("cluster_id") for each in response.assignments)
        assert len({(colors[image], cluster) for image, cluster in seen.items()}) == 3
        await eventually_knows(listener, served)


async def test_corrections_and_activations_are_told(served: Served) -> None:
    await served.three_colors()
    first = await served.recluster()
    listener = Listener(served)
    await listener.catch_up()
    before = dict(listener.copy)
    cluster = f"{PARENT}/clusters/{max(before.values())}"
    await served.curation.DissolveCluster(DissolveClusterRequest(name=cluster, author="me"))
    [answer] = await listener.catch_up()
    assert len(answer.assignments) == 12
    assert not any(each.HasField("cluster_id") for each in answer.assignments)
    assert listener.copy == await stored(served)
    await served.clusters.ActivateClusteringRun(ActivateClusteringRunRequest(name=first.name))
    await listener.catch_up()
    assert listener.copy == before


async def test_a_deleted_collection_ends_the_stream_and_its_tokens(served: Served) -> None:
    await served.three_colors(2)
    listener = Listener(served)
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
        async for response in listener.watch():
            listener.take_in(response)
            if response.current:
                await served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
        await listener.catch_up()
    await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CHANGES_EXPIRED", "without a token"):
        await listener.catch_up()


async def test_a_token_outlives_the_server_until_the_log_is_too_long(tmp_path: Path) -> None:
    async with serving(tmp_path, change_log_size=1000) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors(3)
        listener = Listener(served)
        await listener.catch_up()
        old = listener.token
        await served.store("red", [99])
    async with serving(tmp_path, change_log_size=1000) as served:
        after = Listener(served)
        after.copy, after.token = listener.copy, old
        [answer] = await after.catch_up()
        assert len(answer.assignments) == 1
        assert after.copy == await stored(served)
        for start in range(0, 1600, 400):
            await served.ingest(picture("green", 1000 + number) for number in range(start, start + 400))
        after.token = old
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CHANGES_EXPIRED", "'photos'"):
            await after.catch_up()


def tampered(token: str) -> Sequence[str]:
    """Tokens that look like one."""
    raw = base64.urlsafe_b64decode(token)
    return [
        "x",
        "ä",
        token[:-4],
        base64.urlsafe_b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode(),
        base64.urlsafe_b64encode(b"12345678[1,2,3]").decode(),
    ]


async def test_a_token_that_shoal_did_not_make_is_refused(served: Served) -> None:
    listener = Listener(served)
    await listener.catch_up()
    for token in tampered(listener.token):
        listener.token = token
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "token"):
            await listener.catch_up()


async def test_signs_of_life(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(change_feed, "POLL_S", 0.05)
    listener = Listener(served)
    async with listening(listener) as told:
        for _ in range(3):
            response = await asyncio.wait_for(told.get(), 5)
            assert response.current
            assert not response.assignments
            assert response.token


async def test_a_stream_that_is_left_lets_runs_be_put_in_force(served: Served) -> None:
    await served.three_colors()
    call = Listener(served).watch()
    await call.read()
    call.cancel()
    await asyncio.wait_for(served.recluster(), 20)


async def test_listeners_do_not_hold_up_the_end_of_the_server(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with serving(tmp_path, shutdown_grace_s=60) as served:
            await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(served.address))
            stub: Any = ChangeServiceStub(channel)
            call = stub.WatchAssignments(WatchAssignmentsRequest(parent=PARENT))
            await call.read()
            before = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - before < 30
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
