"""``kill -9`` at bad moments: nothing acknowledged is lost, nothing half-done is seen."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from shoal.v1.cluster_pb2 import (
    CLUSTERING_METHOD_KMEANS,
    RUN_STAGE_REDUCING,
    RUN_STATE_FAILED,
    RUN_STATE_SUCCEEDED,
    ClusteringParameters,
    ClusteringRun,
)
from shoal.v1.cluster_service_pb2 import (
    ActivateClusteringRunRequest,
    ExportAssignmentsRequest,
    GetClusteringRunRequest,
    ListClusteringRunsRequest,
    RunClusteringRequest,
    StreamClusteringRunRequest,
)
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, GetCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.image_service_pb2 import IngestImagesRequest, ListImagesRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture

PARENT = "collections/photos"
COLORS = ("red", "green", "blue")


def pictures(each: int) -> list[bytes]:
    return [picture(color, number) for number in range(each) for color in COLORS]


def requests(contents: list[bytes]) -> Iterator[IngestImagesRequest]:
    for content in contents:
        yield IngestImagesRequest(parent=PARENT, image=NewImage(content=content))


def cluster_ids(channel: grpc.Channel) -> dict[str, str]:
    """Image to cluster, of all images; fails if an image stands there twice."""
    found: dict[str, str] = {}
    token = ""
    while True:
        page = ImageServiceStub(channel).ListImages(ListImagesRequest(parent=PARENT, page_size=1000, page_token=token))
        for image in page.images:
            assert image.name not in found
            found[image.name] = image.cluster
        token = page.next_page_token
        if not token:
            return found


def recluster(channel: grpc.Channel, parameters: ClusteringParameters | None = None) -> ClusteringRun:
    stub = ClusterServiceStub(channel)
    run = stub.RunClustering(RunClusteringRequest(parent=PARENT, parameters=parameters))
    for response in stub.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        run = response.clustering_run
    return run


def exported(channel: grpc.Channel, run: str) -> dict[str, str]:
    """Image to cluster in a run."""
    stretches = ClusterServiceStub(channel).ExportAssignments(ExportAssignmentsRequest(name=run))
    return {each.image.name: each.cluster for stretch in stretches for each in stretch.assignments}


def test_killed_in_the_middle_of_an_ingest(tmp_path: Path, servers: list[ServerProcess]) -> None:
    contents = pictures(each=200)
    servers.append(ServerProcess(tmp_path / "data"))
    acknowledged: set[str] = set()
    with grpc.insecure_channel(servers[-1].address) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        with pytest.raises(grpc.RpcError):
            for response in ImageServiceStub(channel).IngestImages(requests(contents)):
                acknowledged.add(response.image.name)
                if len(acknowledged) == 150:
                    os.kill(servers[-1].process.pid, signal.SIGKILL)
    servers[-1].process.wait(60)
    assert 150 <= len(acknowledged) < 600

    servers.append(ServerProcess(tmp_path / "data"))
    with grpc.insecure_channel(servers[-1].address) as channel:
        survived = cluster_ids(channel)
        assert acknowledged <= survived.keys()
        responses = list(ImageServiceStub(channel).IngestImages(requests(contents)))
        assert all(response.HasField("image") for response in responses)
        assert sum(response.duplicate for response in responses) == len(survived)
        everything = cluster_ids(channel)
    assert len(everything) == 600
    assert everything.keys() == {response.image.name for response in responses}


def test_killed_in_the_middle_of_a_run(tmp_path: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    with grpc.insecure_channel(servers[-1].address) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        list(ImageServiceStub(channel).IngestImages(requests(pictures(each=30))))
        first = recluster(channel)
        assert first.state == RUN_STATE_SUCCEEDED
        before = cluster_ids(channel)
        stub = ClusterServiceStub(channel)
        run = stub.RunClustering(RunClusteringRequest(parent=PARENT))
        with pytest.raises(grpc.RpcError):
            for response in stub.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
                if response.clustering_run.stage == RUN_STAGE_REDUCING:
                    os.kill(servers[-1].process.pid, signal.SIGKILL)
    servers[-1].process.wait(60)

    servers.append(ServerProcess(tmp_path / "data"))
    with grpc.insecure_channel(servers[-1].address) as channel:
        assert cluster_ids(channel) == before
        collection = CollectionServiceStub(channel).GetCollection(GetCollectionRequest(name=PARENT))
        assert collection.active_run == first.name
        lost = ClusterServiceStub(channel).GetClusteringRun(GetClusteringRunRequest(name=run.name))
        assert lost.state == RUN_STATE_FAILED
        assert "run it again" in lost.error.message
        again = recluster(channel)
        assert again.state == RUN_STATE_SUCCEEDED
        assert again.summary.payload_write_count == 0
    assert servers[-1].stop() == 0


@pytest.mark.parametrize("writes", [1])
def test_killed_while_the_ids_are_written_back(tmp_path: Path, servers: list[ServerProcess], writes: int) -> None:
    script = Path(__file__).with_name("killed_while_writing.py")
    servers.append(ServerProcess(tmp_path / "data", sys.executable, str(script), str(writes), "serve"))
    with grpc.insecure_channel(servers[-1].address) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        list(ImageServiceStub(channel).IngestImages(requests(pictures(each=30))))
        with pytest.raises(grpc.RpcError):
            recluster(channel)
    assert servers[-1].process.wait(60) == -signal.SIGKILL

    servers.append(ServerProcess(tmp_path / "data"))
    with grpc.insecure_channel(servers[-1].address) as channel:
        # The run was past the point of no return: the new start has finished it before the first answer.
        [run] = ClusterServiceStub(channel).ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT)).clustering_runs
        assert (run.state, run.active) == (RUN_STATE_SUCCEEDED, True)
        assert run.summary.cluster_count == 3
        ids = cluster_ids(channel)
        assert len(ids) == 90
        assert "" not in ids.values()
        assert len(set(ids.values())) == 3
        assert recluster(channel).summary.payload_write_count == 0


def test_killed_at_any_write_between_two_runs(tmp_path: Path, servers: list[ServerProcess]) -> None:
    moment = random.Random(11)
    script = str(Path(__file__).with_name("killed_while_writing.py"))
    servers.append(ServerProcess(tmp_path / "data"))
    with grpc.insecure_channel(servers[-1].address) as channel:
        CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="photos"))
        list(ImageServiceStub(channel).IngestImages(requests(pictures(each=20))))
        ids: dict[str, dict[str, str]] = {}
        for count in (3, 12):
            run = recluster(channel, ClusteringParameters(method=CLUSTERING_METHOD_KMEANS, cluster_count=count))
            assert run.active
            ids[run.name] = cluster_ids(channel)
            assert len(set(ids[run.name].values())) == count
    assert servers[-1].stop() == 0
    target, active = ids
    for number in range(6):
        written = {ids[target][image] for image, cluster in ids[active].items() if ids[target][image] != cluster}
        at = moment.randrange(len(written))
        servers.append(ServerProcess(tmp_path / "data", sys.executable, script, str(at), "serve"))
        with grpc.insecure_channel(servers[-1].address) as channel:
            runs = ClusterServiceStub(channel).ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
            assert [run.name for run in runs.clustering_runs if run.active] == [active]
            assert cluster_ids(channel) == ids[active] == exported(channel, active)
            if number == 5:
                break
            with pytest.raises(grpc.RpcError):
                ClusterServiceStub(channel).ActivateClusteringRun(ActivateClusteringRunRequest(name=target))
        assert servers[-1].process.wait(60) == -signal.SIGKILL
        # The first write comes after the point of no return: the next start must complete it.
        target, active = active, target


def test_no_process_is_left_behind(
    tmp_path: Path, servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_WARM_CLUSTERING", "true")
    servers.append(ServerProcess(tmp_path / "data"))
    pid = servers[-1].process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("this system does not list a process's children under /proc")
    deadline = time.monotonic() + 30
    while not (workers := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    servers[-1].kill()
    while time.monotonic() < deadline and any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.05)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
