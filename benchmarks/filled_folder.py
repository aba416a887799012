"""A data folder with many vectors in clusters, made without embedding a single picture."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from driver import COLLECTION, Server
from numpy.typing import NDArray

from shoal_client import Client
from shoal_client.results import ClusteringMethod, ClusteringParameters, Reducer
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.collection import Collection
from shoal_server.domain.image import Image, Metadata, digest_of, image_id

#: Groups that the vectors are in, and how far they spread around the groups' middles.
GROUPS = 40
_SPREAD = 0.7
#: Images that are clustered; all others come later, into the clusters that were found.
_CLUSTERED = 2_000
_AT_ONCE = 1_024


def vectors_of(count: int, dimension: int, seed: int = 5) -> NDArray[np.float32]:
    """Unit vectors in groups, float32 (count, dimension)."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(1).normal(size=(GROUPS, dimension)).astype(np.float32)
    vectors = middles[rng.integers(0, GROUPS, count)]
    vectors += _SPREAD * rng.normal(size=(count, dimension)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def fill(folder: Path, count: int, dimension: int) -> None:
    """Makes the data folder of a server: so many images, in clusters, with a search index.

    Args:
        folder: as of :class:`Server`.
        count: images.
        dimension: of their vectors, those of the model ``debug/DIMENSION``.
    """
    vectors = vectors_of(count, dimension)
    data = folder / "data"
    data.mkdir(parents=True)
    asyncio.run(_store(data, vectors[:_CLUSTERED], 0, dimension, None))
    server = Server(folder, f"debug/{dimension}")
    with Client(server.address, timeout=None) as client:
        parameters = ClusteringParameters(
            method=ClusteringMethod.KMEANS, n_clusters=GROUPS, reducer=Reducer.PCA, seed=0
        )
        run = client.collection(COLLECTION).recluster(parameters)
    server.stop()
    asyncio.run(_store(data, vectors[_CLUSTERED:], _CLUSTERED, dimension, run.id))


async def _store(data: Path, vectors: NDArray[np.float32], first: int, dimension: int, run: str | None) -> None:
    store = await EdgeStore.open(data)
    try:
        if run is None:
            model = DebugEngine(dimension).model
            await store.create_collection(Collection(id=COLLECTION, model=model, created_at=datetime.now(UTC)))
            nearest: NDArray[np.int64] | None = None
        else:
            clusters = await store.get_clusters(COLLECTION, run)
            ids = np.array([cluster.id for cluster in clusters])
            nearest = ids[np.argmax(vectors @ np.stack([cluster.centroid for cluster in clusters]).T, axis=1)]
        for start in range(0, len(vectors), _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, len(vectors)))
            images = [image_of(first + row, None if nearest is None else int(nearest[row])) for row in rows]
            await store.upsert_images(COLLECTION, list(zip(images, vectors[rows.start : rows.stop], strict=True)))
        await store.optimize(COLLECTION)
        await store.indexed(COLLECTION)
    finally:
        await store.close()


def image_of(number: int, cluster_id: int | None) -> Image:
    """The record of an image that was never made."""
    digest = digest_of(str(number).encode())
    return Image(
        id=image_id(digest),
        sha256=digest,
        uri=f"file:///photos/{number // 1000:03}/{number:06}.jpg",
        tags=("load",),
        metadata=Metadata(
            width=4000,
            height=3000,
            format="JPEG",
            byte_size=3_000_000,
            orientation=1,
            captured_at=f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}T12:00:00",
            camera_make="Canon",
            camera_model="EOS 40D",
            iso=200,
        ),
        ingested_at=datetime.now(UTC),
        cluster_id=cluster_id,
        phash=f"{number:016x}",
    )
