"""Processes that are killed beside the server, and callers that vanish: the server and everybody else go on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil

from shoal.v1.cluster_pb2 import RUN_STAGE_REDUCING, RUN_STATE_FAILED, RUN_STATE_SUCCEEDED, ClusteringRun
from shoal.v1.cluster_service_pb2 import RunClusteringRequest, StreamClusteringRunRequest
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.image_service_pb2 import IngestImagesRequest, ListImagesRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture

PARENT = "collections/photos"


def requests(numbers: range) -> Iterator[IngestImagesRequest]:
    for number in numbers:
        for color in ("red", "green", "blue"):
            yield IngestImagesRequest(parent=PARENT, image=NewImage(content=picture(color, number)))


def assigned(channel: grpc.Channel) -> dict[str, str]:
    listed = ImageServiceStub(channel).ListImages(ListImagesRequest(parent=PARENT, page_size=1000))
    assert not listed.next_page_token
    return {image.name: image.cluster for image in listed.images}


def recluster(channel: grpc.Channel, kill: psutil.Process | None = None) -> ClusteringRun:
    """Runs a clustering, and kills a process in the middle of it."""
    stub = ClusterServiceStub(channel)
    run = stub.RunClustering(RunClusteringRequest(parent=PARENT))
    for response in stub.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        run = response.clustering_run
        if kill is not None and run.stage == RUN_STAGE_REDUCING and kill.is_running():
            kill.kill()
    return run


def clustering_worker(server: ServerProcess) -> psutil.Process:
    """The process that clusters, among what multiprocessing has started."""
    [worker] = [
        child for child in psutil.Process(server.process.pid).children() if "spawn_main" in " ".join(child.cmdline())
    ]
    return worker


def test_a_clustering_worker_that_is_killed_fails_its_run_only(tmp_path: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    with grpc.insecure_channel(servers[-1].address) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        list(ImageServiceStub(channel).IngestImages(requests(range(30))))
        assert recluster(channel).state == RUN_STATE_SUCCEEDED
        before = assigned(channel)
        killed = recluster(channel, kill=clustering_worker(servers[-1]))
        assert killed.state == RUN_STATE_FAILED
        for words in ("SIGKILL", "ran out of memory", "run it again", "still in force"):
            assert words in killed.error.message
        assert assigned(channel) == before
        # The next run begins with a fresh worker, and finds what the first found.
        again = recluster(channel)
        assert again.state == RUN_STATE_SUCCEEDED
        assert assigned(channel) == before
    assert servers[-1].stop() == 0


SENDER = """
import sys
import grpc
from shoal.v1.image_service_pb2 import IngestImagesRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from tests.fakes import picture

def requests():
    for number in range(8):
        yield IngestImagesRequest(parent="collections/photos", image=NewImage(content=picture("yellow", number)))
    # Then large images, without end, and one that is never complete.
    while True:
        yield IngestImagesRequest(
            parent="collections/photos", image=NewImage(content=b"x" * 3_000_000), more=True
        )

with grpc.insecure_channel(sys.argv[1]) as channel:
    for response in ImageServiceStub(channel).IngestImages(requests()):
        print(response.image.name, flush=True)
"""


def test_clients_that_are_killed_in_the_middle_of_an_ingest(tmp_path: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    server = psutil.Process(servers[-1].process.pid)
    with grpc.insecure_channel(servers[-1].address) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        list(ImageServiceStub(channel).IngestImages(requests(range(3))))
        acknowledged: set[str] = set()
        # More of them than images that may be put together at once: each must give its place back.
        senders = [
            subprocess.Popen(
                [sys.executable, "-c", SENDER, servers[-1].address],
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).resolve().parents[2],
            )
            for _ in range(6)
        ]
        for sender in senders:
            assert sender.stdout is not None
            acknowledged |= {sender.stdout.readline().strip() for _ in range(8)}
        time.sleep(0.5)
        for sender in senders:
            sender.kill()
            sender.wait()
            assert sender.stdout is not None
            sender.stdout.close()
        # Whoever comes now finds room, at once.
        began = time.monotonic()
        large = [
            IngestImagesRequest(parent=PARENT, image=NewImage(content=picture("green", 500)[:100]), more=True),
            IngestImagesRequest(image=NewImage(content=picture("green", 500)[100:])),
        ]
        [whole] = ImageServiceStub(channel).IngestImages(iter(large))
        assert whole.HasField("image")
        assert time.monotonic() - began < 10
        assert "" not in acknowledged
        assert acknowledged <= assigned(channel).keys()
        deadline = time.monotonic() + 20
        port = int(servers[-1].address.rpartition(":")[2])

        def callers() -> int:
            # Its own connections to a store are none.
            ours = [each for each in server.net_connections() if each.laddr.port == port]
            return sum(each.status == psutil.CONN_ESTABLISHED for each in ours)

        while callers() > 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert servers[-1].stop() == 0
