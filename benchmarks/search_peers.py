"""Searches among the same vectors in one process: Shoal's store, qdrant-client's local mode, a matrix product."""

from __future__ import annotations

import asyncio
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from driver import COLLECTION
from figures import Figure
from filled_folder import image_of, vectors_of
from numpy.typing import NDArray
from table import head, kept_rows, percent, row

from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.collection import Collection
from shoal_server.domain.filters import ImageFilter

#: How many times faster than the local mode of qdrant-client the store is to be.
FASTER = 5.0
_DIMENSION = 512
_LIMIT = 10
_QUERIES = 100
_WARM_UP = 5
_AT_ONCE = 1_024

#: Takes a query; gives the places of what was found among the vectors.
Search = Callable[[NDArray[np.float32]], list[int]]


def search_figures(count: int) -> list[Figure]:
    """Fills the stores with so many vectors and asks all of them the same, in turn."""
    began = time.monotonic()
    vectors = vectors_of(count, _DIMENSION)
    queries = vectors_of(_QUERIES + _WARM_UP, _DIMENSION, seed=6)
    print()
    with kept_rows() as rows, tempfile.TemporaryDirectory(prefix="shoal-search-") as folder, asyncio.Runner() as runner:
        head("vectors stored a second", "median", "99th percentile", "recall@10")
        store, storing = runner.run(_filled_store(Path(folder), vectors))
        images = {image_of(number, None).id: number for number in range(count)}

        def ours(query: NDArray[np.float32]) -> list[int]:
            found = runner.run(store.query_images(COLLECTION, query, ImageFilter(), _LIMIT))
            return [images[each.image.id] for each in found]

        local, local_storing = _local_mode(vectors)

        def product(query: NDArray[np.float32]) -> list[int]:
            best = np.argpartition(vectors @ query, -_LIMIT)[-_LIMIT:]
            return [int(place) for place in best]

        searches: dict[str, tuple[Search, float | None]] = {
            "Shoal's store": (ours, storing),
            "qdrant-client, local mode": (local, local_storing),
            "a matrix product and a partition": (product, None),
        }
        times: dict[str, list[float]] = {name: [] for name in searches}
        right: dict[str, list[float]] = {name: [] for name in searches}
        try:
            for number, query in enumerate(queries):
                exact = set(product(query))
                for name, (search, _) in searches.items():
                    asked = time.perf_counter()
                    found = search(query)
                    if number >= _WARM_UP:
                        times[name].append(1000 * (time.perf_counter() - asked))
                        right[name].append(len(exact & set(found)) / _LIMIT)
        finally:
            runner.run(store.close())
        medians = {name: float(np.median(each)) for name, each in times.items()}
        for name, (_, seconds) in searches.items():
            row(
                name,
                "-" if seconds is None else f"{count / seconds:,.0f}",
                f"{medians[name]:.2f} ms",
                f"{np.percentile(times[name], 99):.2f} ms",
                percent(float(np.mean(right[name]))),
            )
    ratio = medians["qdrant-client, local mode"] / medians["Shoal's store"]
    recall = float(np.mean(right["Shoal's store"]))
    table, seconds = tuple(rows), time.monotonic() - began
    return [
        Figure(
            f"search of {count:,} vectors: times qdrant-client's local mode",
            "The embedded store answers far faster than the local mode of qdrant-client.",
            f">= {FASTER:g}",
            f"{ratio:.1f}",
            ratio >= FASTER,
            table,
            seconds,
        ),
        Figure(
            f"search of {count:,} vectors: recall@10",
            "What is found is what is nearest.",
            ">= 95 %",
            percent(recall),
            recall >= 0.95,
            table,
        ),
    ]


async def _filled_store(folder: Path, vectors: NDArray[np.float32]) -> tuple[EdgeStore, float]:
    """The store, and the seconds that storing took; its index is built by the time it is asked."""
    store = await EdgeStore.open(folder / "data")
    model = DebugEngine(vectors.shape[1]).model
    await store.create_collection(Collection(id=COLLECTION, model=model, created_at=datetime.now(UTC)))
    began = time.monotonic()
    for start in range(0, len(vectors), _AT_ONCE):
        part = vectors[start : start + _AT_ONCE]
        images = [image_of(start + place, None) for place in range(len(part))]
        await store.upsert_images(COLLECTION, list(zip(images, part, strict=True)))
    seconds = time.monotonic() - began
    await store.optimize(COLLECTION)
    await store.indexed(COLLECTION)
    return store, seconds


def _local_mode(vectors: NDArray[np.float32]) -> tuple[Search, float]:
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, PointStruct, VectorParams

    client = QdrantClient(":memory:")
    client.create_collection("photos", VectorParams(size=vectors.shape[1], distance=Distance.COSINE))
    began = time.monotonic()
    with warnings.catch_warnings():
        # It recommends itself for fewer than 20,000 points.
        warnings.simplefilter("ignore")
        for start in range(0, len(vectors), _AT_ONCE):
            part = vectors[start : start + _AT_ONCE].tolist()
            points = [
                PointStruct(id=start + place, vector=vector, payload={"path": f"{start + place}.jpg"})
                for place, vector in enumerate(part)
            ]
            client.upsert("photos", points)
    seconds = time.monotonic() - began

    def search(query: NDArray[np.float32]) -> list[int]:
        answer = client.query_points("photos", query=query, limit=_LIMIT, with_payload=True)
        return [int(point.id) for point in answer.points]

    return search, seconds
