"""A disk that fills up: what is refused says so, nothing acknowledged is lost, and all goes on once there is room."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from shoal.v1.cluster_pb2 import (
    CLUSTERING_METHOD_KMEANS,
    RUN_STATE_FAILED,
    RUN_STATE_SUCCEEDED,
    ClusteringParameters,
    ClusteringRun,
)
from shoal.v1.cluster_service_pb2 import (
    ActivateClusteringRunRequest,
    RunClusteringRequest,
    StreamClusteringRunRequest,
)
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.image_service_pb2 import (
    DeleteImageRequest,
    GetThumbnailRequest,
    IngestImagesRequest,
    IngestImagesResponse,
    ListImagesRequest,
    NewImage,
)
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture
from tests.small_disk import SmallDisk, mounted

PARENT = "collections/photos"
MEBIBYTE = 1 << 20
DISK = 400 * MEBIBYTE
RESERVE = 64 * MEBIBYTE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", DISK) as small:
        yield small


@pytest.fixture(autouse=True)
def reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_MIN_FREE_BYTES", str(RESERVE))


def started(servers: list[ServerProcess], disk: SmallDisk, *command: str) -> grpc.Channel:
    servers.append(ServerProcess(disk.folder / "data", *command))
    return grpc.insecure_channel(servers[-1].address)


def ingest(channel: grpc.Channel, contents: list[bytes]) -> list[IngestImagesResponse]:
    requests = (IngestImagesRequest(parent=PARENT, image=NewImage(content=content)) for content in contents)
    return list(ImageServiceStub(channel).IngestImages(requests))


def pictures(numbers: range) -> list[bytes]:
    return [picture(color, number) for number in numbers for color in ("red", "green", "blue")]


def listed(channel: grpc.Channel) -> dict[str, str]:
    """Image to cluster; fails if one stands there twice, or has no thumbnail."""
    found: dict[str, str] = {}
    token = ""
    stub = ImageServiceStub(channel)
    while True:
        page = stub.ListImages(ListImagesRequest(parent=PARENT, page_size=1000, page_token=token))
        for image in page.images:
            assert image.name not in found
            assert stub.GetThumbnail(GetThumbnailRequest(name=image.name)).content
            found[image.name] = image.cluster
        token = page.next_page_token
        if not token:
            return found


def recluster(channel: grpc.Channel, clusters: int) -> ClusteringRun:
    stub = ClusterServiceStub(channel)
    parameters = ClusteringParameters(method=CLUSTERING_METHOD_KMEANS, cluster_count=clusters)
    run = stub.RunClustering(RunClusteringRequest(parent=PARENT, parameters=parameters))
    for response in stub.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        run = response.clustering_run
    return run


def reason(response: IngestImagesResponse) -> str:
    info = error_details_pb2.ErrorInfo()
    assert response.error.details[0].Unpack(info)
    return str(info.reason)


def test_images_that_come_when_the_disk_is_full_are_refused_and_all_others_are_kept(
    disk: SmallDisk, servers: list[ServerProcess]
) -> None:
    with started(servers, disk) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        stored = {response.image.name for response in ingest(channel, pictures(range(20)))}
        disk.fill(leave=RESERVE + MEBIBYTE)
        refused: list[IngestImagesResponse] = []
        for start in count(20, 100):
            for response in ingest(channel, pictures(range(start, start + 100))):
                if response.HasField("image"):
                    stored.add(response.image.name)
                else:
                    refused.append(response)
            if refused:
                break
            assert start < 20_000
        assert {reason(response) for response in refused} == {"STORE_FULL"}
        assert "no space left" in refused[0].error.message
        assert "make room and send it again" in refused[0].error.message
        assert disk.free > RESERVE // 2
        assert listed(channel).keys() == stored
        # What makes room may go on where nothing new is taken.
        gone = sorted(stored)[:10]
        for name in gone:
            ImageServiceStub(channel).DeleteImage(DeleteImageRequest(name=name))
        stored -= set(gone)
        with pytest.raises(grpc.RpcError) as full:
            CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="others"))
        assert full.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "no space left" in str(full.value.details())
    servers[-1].kill()
    with started(servers, disk) as channel:
        assert listed(channel).keys() == stored
        disk.make_room()
        again = ingest(channel, pictures(range(20)))
        assert all(response.HasField("image") for response in again)
        assert listed(channel).keys() == stored | {response.image.name for response in again}
    assert servers[-1].stop() == 0


def test_a_run_that_finds_no_room_fails_and_the_clusters_stay(disk: SmallDisk, servers: list[ServerProcess]) -> None:
    with started(servers, disk) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        ingest(channel, pictures(range(30)))
        assert recluster(channel, 3).state == RUN_STATE_SUCCEEDED
        before = listed(channel)
        disk.fill(leave=RESERVE - MEBIBYTE)
        run = recluster(channel, 9)
        assert run.state == RUN_STATE_FAILED
        assert "no space left" in run.error.message
        assert listed(channel) == before
        disk.make_room()
        run = recluster(channel, 9)
        assert run.state == RUN_STATE_SUCCEEDED
        after = listed(channel)
        assert after.keys() == before.keys()
        assert len(set(after.values())) == 9


def test_a_write_back_waits_for_room_and_says_so(disk: SmallDisk, servers: list[ServerProcess]) -> None:
    ids: dict[str, dict[str, str]] = {}
    script = str(Path(__file__).with_name("filling_while_writing.py"))
    with started(servers, disk, sys.executable, script, "3", str(RESERVE // 4), "serve") as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        ingest(channel, pictures(range(30)))
        for clusters in (3, 9):
            run = recluster(channel, clusters)
            ids[run.name] = listed(channel)
        with ThreadPoolExecutor(1) as caller:
            request = ActivateClusteringRunRequest(name=min(ids))
            activation = caller.submit(ClusterServiceStub(channel).ActivateClusteringRun, request)
            deadline = time.monotonic() + 60
            while "goes on in" not in (said := servers[-1].log.read_text()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert "there is no space left" in said
            assert not activation.done()
            disk.make_room()
            assert activation.result(60).active
        assert listed(channel) == ids[min(ids)]


def test_a_server_that_finds_no_room_says_so_and_starts_once_there_is(
    disk: SmallDisk, servers: list[ServerProcess]
) -> None:
    with started(servers, disk) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        stored = {response.image.name for response in ingest(channel, pictures(range(5)))}
    servers[-1].kill()
    disk.fill(leave=MEBIBYTE)
    with pytest.raises(AssertionError, match=r"too little space left.*bytes must be free for a start"):
        started(servers, disk)
    disk.make_room()
    with started(servers, disk) as channel:
        assert listed(channel).keys() == stored


def test_without_a_reserve_a_full_disk_ends_the_server_and_loses_nothing(
    disk: SmallDisk, servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_MIN_FREE_BYTES", "0")
    acknowledged: set[str] = set()

    def requests() -> Iterator[IngestImagesRequest]:
        for number in range(20_000):
            yield IngestImagesRequest(parent=PARENT, image=NewImage(content=picture("red", number)))

    with started(servers, disk) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        acknowledged |= {response.image.name for response in ingest(channel, pictures(range(5)))}
        disk.fill(leave=MEBIBYTE // 2)
        refused = 0
        try:
            for response in ImageServiceStub(channel).IngestImages(requests()):
                if response.HasField("image"):
                    acknowledged.add(response.image.name)
                else:
                    refused += 1
                    assert reason(response) == "STORE_FULL"
                if refused > 100:
                    break
        except grpc.RpcError as error:
            # The engine writes to files that are mapped into memory, and there is no room for what they map.
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - either may come first
            assert servers[-1].process.wait(60) == -signal.SIGBUS
    if servers[-1].process.poll() is None:
        servers[-1].kill()
    disk.make_room()
    with started(servers, disk) as channel:
        assert acknowledged <= listed(channel).keys()
        assert all(response.HasField("image") for response in ingest(channel, pictures(range(20, 40))))
