"""Filters for qdrant-client, evaluated by it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from shoal_client import MissingExtra, NotFound, Theme, qdrant

#: Point id to cluster; 6 and 7 are in none.
CLUSTERS = {1: 10, 2: 10, 3: 11, 4: 12, 5: 12, 6: None, 7: None}


@pytest.fixture(scope="module")
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    client.create_collection("photos", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    points = [
        models.PointStruct(
            id=point,
            vector=[1.0, float(point)],
            payload={} if cluster is None else {"cluster_id": cluster, "mine": cluster + 1},
        )
        for point, cluster in CLUSTERS.items()
    ]
    client.upsert("photos", points)
    yield client
    client.close()


def found(client: QdrantClient, chosen: models.Filter) -> set[Any]:
    return {point.id for point in client.query_points("photos", [1.0, 0.0], query_filter=chosen, limit=100).points}


class FakeCollection:
    """A collection of Shoal with two themes."""

    id = "photos"

    def themes(self) -> list[Theme]:
        return [Theme(1, "all", None, (10, 11)), Theme(2, "some", 1, (11,)), Theme(3, "empty", 1, ())]


class FakeAsyncCollection(FakeCollection):
    async def themes(self) -> list[Theme]:  # type: ignore[override]
        return FakeCollection().themes()


@pytest.mark.parametrize(
    ("chosen", "points"),
    [
        (qdrant.in_cluster(10), {1, 2}),
        (qdrant.in_cluster(10, 11), {1, 2, 3}),
        (qdrant.in_cluster(), set()),
        (qdrant.in_cluster(11, key="mine"), {1, 2}),
        (qdrant.not_in_cluster(10, 12), {3, 6, 7}),
        (qdrant.not_in_cluster(), set(CLUSTERS)),
        (qdrant.unclustered(), {6, 7}),
        (qdrant.clustered(), {1, 2, 3, 4, 5}),
        (qdrant.clustered(key="theirs"), set()),
        (qdrant.all_of(qdrant.clustered(), None, qdrant.not_in_cluster(10)), {3, 4, 5}),
        (qdrant.all_of(), set(CLUSTERS)),
        (qdrant.any_of(qdrant.in_cluster(11), qdrant.unclustered()), {3, 6, 7}),
        (qdrant.any_of(), set(CLUSTERS)),
        (qdrant.all_of(qdrant.any_of(qdrant.in_cluster(10), qdrant.unclustered()), qdrant.clustered()), {1, 2}),
    ],
)
def test_the_points_that_are_meant(client: QdrantClient, chosen: models.Filter, points: set[int]) -> None:
    assert found(client, chosen) == points
    assert models.Filter.model_validate_json(chosen.model_dump_json(exclude_none=True)) == chosen


async def test_themes_are_asked_for(client: QdrantClient) -> None:
    collection: Any = FakeCollection()
    assert found(client, qdrant.in_theme(collection, 2)) == {3}
    assert found(client, qdrant.in_theme(collection, 1, 2)) == {1, 2, 3}
    assert found(client, qdrant.in_theme(collection, 3)) == set()
    other: Any = FakeAsyncCollection()
    assert await qdrant.in_theme_async(other, 1) == qdrant.in_theme(collection, 1)
    with pytest.raises(NotFound, match="no theme 9 in collection 'photos'"):
        qdrant.in_theme(collection, 9)


def test_without_qdrant_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(MissingExtra, match=r"pip install 'shoal\[qdrant\]'"):
        qdrant.in_cluster(1)
