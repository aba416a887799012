"""The stores that one contract suite runs on, and what it puts into them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.application.ports import Store
from shoal_server.domain.cluster import Cluster, NameCandidate, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.image import Image, Location, Metadata, Vector, digest_of, image_id

DIMENSION = 8
BACKENDS = ["edge", "qdrant-memory", *(["qdrant-server"] if "QDRANT_URL" in os.environ else [])]

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
    )


def unit_vectors(n: int, seed: int = 0) -> NDArray[np.float32]:
    """Random unit vectors, float32, shape (n, DIMENSION)."""
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION)).astype(np.float32)
    normalized: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalized


def numbered_images(n: int, cluster_of: Callable[[int], int | None] = lambda _: None) -> list[tuple[Image, Vector]]:
    """Images 0 to n-1, each in the cluster that the function says, with their vectors."""
    return [(an_image(i, cluster_of(i)), vector) for i, vector in enumerate(unit_vectors(n))]


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each implementation in turn, empty except that a real server may be shared."""
    opened: Store
    if request.param == "edge":
        opened = await EdgeStore.open(tmp_path)
    elif request.param == "qdrant-memory":
        opened = QdrantStore(AsyncQdrantClient(":memory:"), ":memory:")
    else:
        opened = await QdrantStore.connect(os.environ["QDRANT_URL"], os.environ.get("QDRANT_API_KEY"))
    before = {each.id for each in await opened.list_collections()}
    yield opened
    for each in await opened.list_collections():
        if each.id not in before:
            await opened.delete_collection(each.id)
    await opened.close()


@pytest.fixture
async def collection(store: Store) -> str:
    """The name of a new, empty collection."""
    record = a_collection()
    await store.create_collection(record)
    return record.id
