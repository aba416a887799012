"""``kill -9`` of the server and of a program that follows its changes: the program's table ends up right."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc

from shoal.v1.cluster_pb2 import CLUSTERING_METHOD_KMEANS, ClusteringParameters
from shoal.v1.cluster_service_pb2 import ListClustersRequest
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.curation_service_pb2 import DissolveClusterRequest, MoveImagesRequest
from shoal.v1.curation_service_pb2_grpc import CurationServiceStub
from shoal.v1.image_service_pb2 import DeleteImageRequest
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from tests.end_to_end.conftest import ServerProcess
from tests.end_to_end.test_kill import COLORS, PARENT, cluster_ids, pictures, recluster, requests
from tests.fakes import picture

ROUNDS = 2


def follower(server: ServerProcess, table: Path, *once: str) -> subprocess.Popen[bytes]:
    """The program that follows."""
    command = [sys.executable, "-m", "tests.end_to_end.follows_changes", server.address, str(table), *once]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def killed_while(server: ServerProcess, table: Path, seconds: float, *, server_too: bool) -> Iterator[None]:
    """Kills a follower, and the server, while something is done."""
    process = follower(server, table)
    victims = [process.kill, server.kill] if server_too else [process.kill]
    timers = [threading.Timer(seconds + 0.05 * number, kill) for number, kill in enumerate(victims)]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.join()
        process.wait(30)


def work(channel: grpc.Channel, chance: random.Random, number: int) -> None:
    """Images come, go, and change their cluster, until the server is gone."""
    images, curation = ImageServiceStub(channel), CurationServiceStub(channel)
    for step in range(12):
        contents = [picture(chance.choice(COLORS), 1000 * number + 10 * step + each) for each in range(10)]
        stored = [answer.image.name for answer in images.IngestImages(requests(contents))]
        images.DeleteImage(DeleteImageRequest(name=chance.choice(stored)))
        clusters = ClusterServiceStub(channel).ListClusters(ListClustersRequest(parent=PARENT)).clusters
        moved = [name for name in stored[:5] if name in cluster_ids(channel)]
        if clusters and moved:
            curation.MoveImages(
                MoveImagesRequest(parent=PARENT, images=moved, cluster=chance.choice(clusters).name, author="me")
            )
        if step == 6 and len(clusters) > 1:
            curation.DissolveCluster(DissolveClusterRequest(name=clusters[0].name, author="me"))


def test_the_table_ends_up_right(tmp_path: Path, servers: list[ServerProcess]) -> None:
    chance = random.Random(6)
    data, table = tmp_path / "data", tmp_path / "assignments.db"
    server = ServerProcess(data)
    servers.append(server)
    with grpc.insecure_channel(server.address) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        list(ImageServiceStub(channel).IngestImages(requests(pictures(12))))
        recluster(channel, ClusteringParameters(method=CLUSTERING_METHOD_KMEANS))
    for number in range(1, ROUNDS + 1):
        server_too = number != 1
        with (
            killed_while(server, table, 1.5 + chance.random(), server_too=server_too),
            grpc.insecure_channel(server.address) as channel,
            contextlib.suppress(grpc.RpcError),
        ):
            work(channel, chance, number)
        if server_too:
            server = ServerProcess(data)
            servers.append(server)
    assert follower(server, table, "once").wait(60) == 0
    with grpc.insecure_channel(server.address) as channel:
        stored = cluster_ids(channel)
    with contextlib.closing(sqlite3.connect(table)) as followed:
        copied = dict(followed.execute("SELECT image, cluster FROM assignments"))
    assert copied == {
        name.rpartition("/")[2]: int(cluster.rpartition("/")[2]) if cluster else None
        for name, cluster in stored.items()
    }
    assert len(copied) > 40
