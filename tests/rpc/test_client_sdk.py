"""The SDK against a server that really listens: results, paging, errors, the synchronous facade."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.v1 import cluster_pb2
from shoal_client import (
    Aborted,
    AsyncClient,
    AsyncCollection,
    Cancelled,
    Client,
    ClientClosed,
    ClusteringParameters,
    Collection,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidArgument,
    Location,
    NameSource,
    NotFound,
    ResourceExhausted,
    RunStage,
    RunState,
    ShoalError,
    Unavailable,
    Unimplemented,
    UnreadableFile,
)
from shoal_client.transport import ENVELOPE_BYTES
from tests.rpc.test_client_fake import FakeServer, cluster, run_updates, serving
from tests.rpc.test_client_fake_ingest import status

AN_ID = "0d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def default(server: FakeServer) -> Iterator[Collection]:
    with Client(server.address) as client:
        yield client.collection("default")


def requests(server: FakeServer, method: str) -> list[object]:
    return [request for name, request in server.calls if name == method]


def test_the_facade_has_every_method_of_the_core() -> None:
    for synchronous, asynchronous in ((Client, AsyncClient), (Collection, AsyncCollection)):
        for name, method in inspect.getmembers(asynchronous, inspect.isfunction):
            if not name.startswith("_"):
                facade = getattr(synchronous, name)
                assert list(inspect.signature(facade).parameters.items()) == list(
                    inspect.signature(method).parameters.items()
                ), name


def test_collections(server: FakeServer) -> None:
    with Client(server.address) as client:
        assert client.create_collection("b").model.name == "debug"
        assert client.ensure_collection("b").id == "b"
        for name in "cdef":
            client.ensure_collection(name)
        assert [each.id for each in client.collections()] == ["b", "c", "d", "default", "e", "f"]
        assert client.get_collection("c").active_run is None
        client.delete_collection("c")
        with pytest.raises(NotFound) as caught:
            client.get_collection("c")
        assert caught.value.reason == "COLLECTION_NOT_FOUND"


def test_ensuring_a_collection_that_somebody_else_makes_meanwhile(server: FakeServer) -> None:
    server.failures["GetCollection"] = [status(grpc.StatusCode.NOT_FOUND, "not yet")]
    with Client(server.address) as client:
        assert client.ensure_collection("default").id == "default"
    assert [name for name, _ in server.calls] == ["GetCollection", "CreateCollection", "GetCollection"]


def test_images(server: FakeServer, default: Collection, tmp_path: Path) -> None:
    file = tmp_path / "ein Bild.jpg"
    file.write_bytes(b"one")
    one = default.add(file, tags=["t"])
    assert (one.uri, one.tags, one.cluster_id) == (file.resolve().as_uri(), ("t",), None)
    assert default.add(b"one", uri="elsewhere") == replace(one, also_at=("elsewhere",))
    stored = server.images["collections/default"][f"collections/default/images/{one.id}"]
    stored.cluster = "collections/default/clusters/7"
    stored.metadata.captured_at = "2024-01-02T03:04:05"
    stored.metadata.iso = 0
    stored.metadata.location.latitude = -1.5
    stored.ingest_time.FromDatetime(datetime(2024, 1, 1, tzinfo=UTC))
    found = default.get(one.id)
    assert found.cluster_id == 7
    assert (found.metadata.captured_at, found.metadata.iso, found.metadata.lens) == ("2024-01-02T03:04:05", 0, None)
    assert found.metadata.location == Location(-1.5, 0)
    assert found.ingested_at == datetime(2024, 1, 1, tzinfo=UTC)
    default.delete(one.id)
    with pytest.raises(NotFound) as caught:
        default.get(one.id)
    assert caught.value.message == "there is no image of that id"
    assert caught.value.metadata == {"image": f"collections/default/images/{one.id}"}
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


def test_pages_are_fetched_as_they_are_needed(server: FakeServer, default: Collection) -> None:
    for number in range(10):
        default.add(b"%d" % number)
    images = default.images(clusters=[1, 2], page_size=2)
    first = next(images)
    assert len(requests(server, "ListImages")) == 1
    ids = [first.id, *(image.id for image in images)]
    assert len(set(ids)) == 10
    pages = requests(server, "ListImages")
    assert len(pages) == 5
    names = ["collections/default/clusters/1", "collections/default/clusters/2"]
    assert all(list(page.filter.clusters) == names for page in pages)  # type: ignore[attr-defined]


def test_search(server: FakeServer, default: Collection, tmp_path: Path) -> None:
    for number in range(10):
        default.add(b"%d" % number)
    assert [match.score for match in default.search(text="cat", limit=7)] == [0.5] * 7
    assert len(requests(server, "SearchImages")) == 3
    assert len(default.search(vector=[1, 0.5, 0], score_threshold=0.25, unclustered=True, limit=100)) == 10
    last = requests(server, "SearchImages")[-1]
    assert list(last.vector.values) == [1, 0.5, 0]  # type: ignore[attr-defined]
    assert (last.score_threshold, last.filter.unclustered) == (0.25, True)  # type: ignore[attr-defined]
    file = tmp_path / "q.jpg"
    file.write_bytes(b"query")
    default.search(image=file, limit=1)
    assert requests(server, "SearchImages")[-1].image_content == b"query"  # type: ignore[attr-defined]
    default.search(like=AN_ID, limit=1)
    assert requests(server, "SearchImages")[-1].image_name == f"collections/default/images/{AN_ID}"  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgument, match="at least one of"):
        default.search()
    with pytest.raises(InvalidArgument, match="like and vector"):
        default.assign(like=AN_ID, vector=[1, 0, 0])
    with pytest.raises(InvalidArgument, match="limit is 0"):
        default.search(text="cat", limit=0)
    with pytest.raises(UnreadableFile):
        default.search(image=tmp_path / "missing.jpg")


@pytest.mark.parametrize(
    "target", ["", "foo", "http://host:1", "host:", ":1", "host:0", "host:65536", "a b:1", "::1:5"]
)
def test_a_target_that_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(InvalidArgument, match=r"is not HOST:PORT, for instance 127\.0\.0\.1:50051"):
        Client(target)


@pytest.mark.parametrize("target", ["localhost:1", "[::1]:50051", "a-b.example:65535", "unix:/tmp/shoal", "dns:///h:1"])
def test_addresses(target: str) -> None:
    Client(target).close()


def test_ids_are_checked_before_anything_is_sent(server: FakeServer, default: Collection) -> None:
    calls: list[Callable[[], object]] = [
        lambda: default.get("garbage"),
        lambda: default.delete("garbage"),
        lambda: default.search(like="garbage"),
        lambda: default.assign(like="garbage"),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument, match=r"^'garbage' is not an image id"):
            call()
    for call in (lambda: default.cluster(-3), lambda: default.search(text="x", clusters=[-3])):
        with pytest.raises(InvalidArgument, match=r"^-3 is not a cluster id"):
            call()
    assert server.calls == []


@pytest.mark.parametrize("text", [5, b"cat", "a \udcff"])
def test_a_text_that_is_none_is_refused(default: Collection, text: Any) -> None:
    for search in (default.search, default.search_clusters):
        with pytest.raises(InvalidArgument, match="text is "):
            search(text=text)


def test_clusters(server: FakeServer, default: Collection) -> None:
    server.clusters = [cluster(number, f"c{number}", 20 - number) for number in range(1, 8)]
    assert [each.id for each in default.clusters()] == [1, 2, 3, 4, 5, 6, 7]
    assert default.cluster(3).name == "c3"
    renamed = default.rename(3, "Meer")
    assert (renamed.name, renamed.name_source) == ("Meer", NameSource.PERSON)
    assert [match.cluster.id for match in default.search_clusters(text="sea", limit=4)] == [1, 2, 3, 4]
    assignment = default.assign(b"image")
    assert (assignment.cluster_id, assignment.name, assignment.outlier) == (1, "c1", False)
    assert assignment.alternatives[0].share == 1
    server.clusters = []
    outlier = default.assign(like=AN_ID)
    assert (outlier.cluster_id, outlier.name, outlier.outlier) == (None, None, True)


def test_runs(server: FakeServer, default: Collection) -> None:
    server.runs = {f"collections/default/clusteringRuns/{run}": run_updates(run) for run in "abcde"}
    run = default.run_clustering(ClusteringParameters(min_cluster_size=5, seed=0))
    request = requests(server, "RunClustering")[0]
    assert (request.parameters.min_cluster_size, request.parameters.HasField("seed")) == (5, True)  # type: ignore[attr-defined]
    assert request.request_id  # type: ignore[attr-defined]
    assert [update.progress for update in default.watch_run(run)] == [0, 0.5, 1]
    stages: list[RunStage] = []
    ended = default.recluster(on_progress=lambda update: stages.append(update.stage))
    assert stages == [RunStage.UNKNOWN, RunStage.REDUCING, RunStage.UNKNOWN]
    assert (ended.state, ended.active) == (RunState.SUCCEEDED, True)
    assert ended.summary is not None
    assert (ended.summary.clusters, ended.summary.noise) == (2, 1)
    assert [each.id for each in default.runs()] == list("abcde")
    assert default.get_run("b").state is RunState.SUCCEEDED
    assert default.cancel_run("b").state is RunState.CANCELLED
    with pytest.raises(InvalidArgument, match="out of its range"):
        default.run_clustering(ClusteringParameters(n_neighbors=2**40))


def test_a_run_that_fails_raises_its_reason(server: FakeServer, default: Collection) -> None:
    error = status(grpc.StatusCode.FAILED_PRECONDITION, "too few", "TOO_FEW_IMAGES")
    server.runs = {"collections/default/clusteringRuns/a": run_updates("a", error=error)}
    with pytest.raises(FailedPrecondition) as caught:
        default.recluster()
    assert caught.value.reason == "TOO_FEW_IMAGES"
    cancelled = cluster_pb2.ClusteringRun(
        name="collections/default/clusteringRuns/a", state=cluster_pb2.RUN_STATE_CANCELLED
    )
    server.runs = {"collections/default/clusteringRuns/a": [cancelled]}
    with pytest.raises(Cancelled):
        default.recluster()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.ABORTED, Aborted),
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition),
        (grpc.StatusCode.INTERNAL, InternalError),
        (grpc.StatusCode.CANCELLED, Cancelled),
        (grpc.StatusCode.UNKNOWN, InternalError),
    ],
)
def test_errors_carry_the_reason(
    server: FakeServer, default: Collection, code: grpc.StatusCode, error: type[ShoalError]
) -> None:
    server.failures["GetImage"] = [status(code, "why", "REASON", key="value")]
    with pytest.raises(error) as caught:
        default.get(AN_ID)
    assert (caught.value.message, caught.value.reason) == ("why", "REASON")
    assert caught.value.metadata == {"key": "value"}


def test_what_is_safe_is_asked_again(server: FakeServer, default: Collection) -> None:
    image = default.add(b"one")
    busy = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "OVERLOADED")
    away = status(grpc.StatusCode.UNAVAILABLE, "away", "STORE_UNAVAILABLE")
    server.failures["GetImage"] = [busy, away]
    assert default.get(image.id) == image
    server.failures["DeleteImage"] = server.failures["GetImage"] = []
    server.failures["CreateCollection"] = [away]
    with Client(server.address) as client, pytest.raises(Unavailable, match="away"):
        client.create_collection("new")
    server.failures["GetImage"] = [busy] * 9
    with pytest.raises(ResourceExhausted, match="full"):
        default.get(image.id)
    assert len(server.failures["GetImage"]) == 5


def test_a_timeout(server: FakeServer) -> None:
    server.answering.clear()
    with Client(server.address, timeout=0.3) as client, pytest.raises(DeadlineExceeded, match="did not answer in time"):
        client.collection("default").get(AN_ID)


def test_no_server_says_what_to_do() -> None:
    with Client("127.0.0.1:9") as client, pytest.raises(Unavailable) as caught:
        client.get_collection("default")
    assert caught.value.message == (
        "no Shoal server answers at 127.0.0.1:9; start one with `shoal serve`, or name another (--server, "
        "SHOAL_SERVER; Client(target) in Python)"
    )


def test_another_server_than_shoal() -> None:
    from concurrent.futures import ThreadPoolExecutor

    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    with Client(f"127.0.0.1:{port}") as client, pytest.raises(Unimplemented):
        client.get_collection("default")
    other.stop(0).wait()


def test_a_closed_client_says_so(server: FakeServer) -> None:
    client = Client(server.address)
    default = client.collection("default")
    images = default.images()
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        default.get(AN_ID)
    with pytest.raises(ClientClosed):
        next(images)


async def test_a_closed_asynchronous_client_says_so(server: FakeServer) -> None:
    async with AsyncClient(server.address) as client:
        assert (await client.get_collection("default")).id == "default"
    with pytest.raises(ClientClosed):
        await client.get_collection("default")
    with pytest.raises(ClientClosed):
        await anext(client.collection("default").ingest([b"x"]))


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="max_message_bytes"):
        Client(max_message_bytes=ENVELOPE_BYTES)
    with pytest.raises(InvalidArgument, match="timeout"):
        Client(timeout=0)
    with pytest.raises(RuntimeError, match="event loop"):
        AsyncClient()


def test_clients_in_many_threads(server: FakeServer) -> None:
    failures: list[BaseException] = []

    def work(client: Client, number: int) -> None:
        try:
            default = client.collection("default")
            results = list(default.ingest(b"%d %d" % (number, each) for each in range(50)))
            assert len(results) == 50
        except BaseException as error:
            failures.append(error)
            raise

    with Client(server.address) as one, Client(server.address) as two:
        threads = [threading.Thread(target=work, args=(client, n)) for n in range(3) for client in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert len(server.images["collections/default"]) == 150


def test_a_program_that_forgets_to_close_ends(server: FakeServer) -> None:
    """Neither an open client nor an iterator in the middle of its work keeps Python from ending."""
    program = textwrap.dedent(f"""
        from shoal_client import Client
        client = Client("{server.address}")
        results = client.collection("default").ingest(b"%d" % n for n in range(1000))
        print(next(results).outcome.value)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stored\n", "")
