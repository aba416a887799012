"""The stores that one contract suite runs on, and what it puts into them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import s3fs
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.application.ports import Store
from shoal_server.domain.cluster import Cluster, Hold, NameCandidate, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.correction import Correction, CorrectionKind, Former
from shoal_server.domain.groupings import Groupings, Moment, Place, Theme
from shoal_server.domain.image import Image, Location, Metadata, Vector, digest_of, image_id
from shoal_server.domain.run import ClusteringRun, RunStage, RunState
from tests.qdrant_server import QdrantServer
from tests.standin.process import StandIn, standing_in

DIMENSION = 8

#: Stores that the suite runs on by itself; with ``--qdrant-url``, it runs on that server alone.
BACKENDS = ["edge", "qdrant-memory", "qdrant-standin"]

#: These would take the stand-in half a minute; the in-memory client, which is behind it, runs them too.
NOT_ON_THE_STANDIN = {"test_thousands_of_images_with_one_time_are_all_listed_once"}

MakeCollection = Callable[[], Awaitable[Collection]]


def a_collection(name: str | None = None) -> Collection:
    """A collection's record under a name that no other test uses."""
    return Collection(
        id=name or f"test-{uuid4().hex}",
        model=EmbeddingModel(name="debug", digest="sha256:" + "0" * 64, dimension=DIMENSION),
        created_at=datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC),
    )


def an_image(number: int, cluster_id: int | None = None, tags: tuple[str, ...] = ()) -> Image:
    """The image of this number: always with the same id."""
    sha256 = digest_of(str(number).encode())
    return Image(
        id=image_id(sha256),
        sha256=sha256,
        uri=f"file:///photos/{number}.jpg",
        tags=tags,
        metadata=Metadata(
            width=640,
            height=480,
            format="JPEG",
            byte_size=1000 + number,
            orientation=6,
            captured_at="2020-02-03T04:05:06",
            location=Location(lat=47.25, lon=-122.5),
            camera_make="Canon",
            camera_model="EOS R5",
            lens="RF 50mm",
            iso=400,
            f_number=1.8,
            exposure_s=0.008,
            focal_length_mm=50.0,
        ),
        ingested_at=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        cluster_id=cluster_id,
    )


def a_cluster(cluster_id: int, name: str = "cats") -> Cluster:
    """A cluster of this id."""
    return Cluster(
        id=cluster_id,
        name=name,
        name_source=NameSource.PERSON,
        candidates=(NameCandidate("cats", 0.75), NameCandidate("pets", 0.5)),
        size=12,
        centroid=unit_vectors(1, seed=cluster_id)[0],
        cohesion=0.875,
        threshold=0.625,
        exemplars=(an_image(1).id, an_image(2).id),
        created_at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        borderline=(an_image(3).id,),
        separation=0.25,
        holds=frozenset({Hold.PINNED, Hold.SPLIT}),
        theme_id=2,
    )


def a_run(name: str, minutes: int = 0) -> ClusteringRun:
    """A run of this id that has just begun, so many minutes after the first."""
    return ClusteringRun(
        id=name,
        state=RunState.RUNNING,
        stage=RunStage.READING,
        progress=0.0,
        created_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes),
    )


def a_correction(name: str, minutes: int = 0) -> Correction:
    """A correction of this id, so many minutes after the first."""
    return Correction(
        id=name,
        kind=CorrectionKind.MERGE,
        author="ann",
        created_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes),
        clusters=(3, 4),
        images=12,
        detail="été",
        former=(
            Former(3, "cats", NameSource.PERSON, frozenset({Hold.PINNED}), datetime(2023, 1, 1, tzinfo=UTC)),
            Former(4, "dogs", NameSource.AUTOMATIC, frozenset(), datetime(2023, 1, 2, tzinfo=UTC)),
        ),
        run="r2",
    )


def some_groupings(name: str = "animals") -> Groupings:
    """Two themes, the first of this name, a place and a moment."""
    return Groupings(
        themes=(Theme(1, name, None, (3, 4)), Theme(2, "pets", 1, (3,))),
        places=(Place(6, "47.25° N, 122.50° W", 20, Location(47.25, -122.5), 0.75),),
        moments=(Moment(7, "3 February 2020", 5, datetime(2020, 2, 3, 4, 5, 6), datetime(2020, 2, 3, 5, 6, 7)),),
    )


def unit_vectors(n: int, seed: int = 0) -> NDArray[np.float32]:
    """Random unit vectors, float32, shape (n, DIMENSION)."""
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION)).astype(np.float32)
    normalized: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalized


def numbered_images(n: int, cluster_of: Callable[[int], int | None] = lambda _: None) -> list[tuple[Image, Vector]]:
    """Images 0 to n-1, each in the cluster that the function says, with their vectors."""
    return [(an_image(i, cluster_of(i)), vector) for i, vector in enumerate(unit_vectors(n))]


@asynccontextmanager
async def opened(folder: Path, threshold_kb: int = 40_000) -> AsyncIterator[EdgeStore]:
    """The store on a folder, closed at the end."""
    store = await EdgeStore.open(folder, threshold_kb)
    try:
        yield store
    finally:
        await store.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the port runs on every store."""
    if "backend" in metafunc.fixturenames:
        backends = ["qdrant-server"] if metafunc.config.getoption("--qdrant-url") else BACKENDS
        if metafunc.function.__name__ in NOT_ON_THE_STANDIN:
            backends = [each for each in backends if each != "qdrant-standin"]
        metafunc.parametrize("backend", backends, scope="session")


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A process that answers as a Qdrant server does."""
    with standing_in(tmp_path_factory.mktemp("standin")) as server:
        yield server


@pytest.fixture
async def store(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each implementation in turn, empty."""
    opened: Store
    if backend == "edge":
        opened = await EdgeStore.open(tmp_path)
    elif backend == "qdrant-memory":
        opened = QdrantStore(AsyncQdrantClient(":memory:"), ":memory:")
    elif backend == "qdrant-standin":
        standin: StandIn = request.getfixturevalue("standin")
        opened = await QdrantStore.connect(standin.url, grpc_port=standin.grpc_port)
    else:
        server: QdrantServer = request.getfixturevalue("emptied_qdrant_server")
        opened = await QdrantStore.connect(server.url, server.api_key, server.grpc_port)
    yield opened
    for each in await opened.list_collections():
        await opened.delete_collection(each.id)
    await opened.close()


@pytest.fixture
async def collection(store: Store) -> str:
    """The name of a new, empty collection."""
    record = a_collection()
    await store.create_collection(record)
    return record.id


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """The URL of an empty bucket on an S3 server of this session, which the environment points to."""
    command = [sys.executable, "-m", "tests.contract.serves_s3"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        patch.setenv("AWS_ENDPOINT_URL", process.stdout.readline().strip())
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem().mkdir("shoal")
        yield "s3://shoal"
        process.stdin.close()
