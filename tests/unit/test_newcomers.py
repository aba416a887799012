"""Looking for points that others put into an attached collection: how often, at which, and what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.application.newcomers import Newcomers
from shoal_server.application.open_collections import ClusterSet, OpenCollection
from shoal_server.application.present import no_assignments
from shoal_server.domain.attachment import Attachment, Distance
from shoal_server.domain.cluster import Cluster, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import StoreUnavailable
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.point_ids import image_of_point

DIMENSION = 4
RECORD = Collection(
    id="birds",
    model=EmbeddingModel("", "sha256:" + "0" * 64, DIMENSION),
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
    active_run="r1",
    attachment=Attachment("birds", "", Distance.COSINE, "cluster_id"),
)


def a_cluster(cluster_id: int) -> Cluster:
    """One that takes whoever is at all like its images."""
    return Cluster(
        id=cluster_id,
        name=f"cluster {cluster_id}",
        name_source=NameSource.AUTOMATIC,
        candidates=(),
        size=5,
        centroid=np.full(DIMENSION, 0.5, np.float32),
        cohesion=0.9,
        threshold=0.5,
        exemplars=(),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )


@dataclass
class FakeStore:
    """Points with their clusters; a vote's outcome is told by the first number of the vector."""

    clusters: dict[UUID, int | None]
    home: dict[UUID, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    down: bool = False

    async def count_images(self, collection: str, where: ImageFilter) -> int:
        self.calls.append("count")
        if self.down:
            raise StoreUnavailable("here", "it is down")
        return sum(1 for cluster in self.clusters.values() if cluster is None or not where.unclustered)

    async def unclustered(self, collection: str) -> AsyncIterator[list[UUID]]:
        self.calls.append("list")
        yield [image for image, cluster in self.clusters.items() if cluster is None]

    async def get_vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, NDArray[np.float32]]:
        self.calls.append(f"vote on {len(ids)}")
        return {image: np.full(DIMENSION, self.home.get(image, -1), np.float32) for image in ids}

    async def query_neighbors(
        self, collection: str, vectors: NDArray[np.float32], where: ImageFilter, limit: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        near = np.ones(15, np.float32)
        return [
            (np.full(15, max(int(row[0]), 1), np.int64), near if row[0] > 0 else near * np.float32(-1))
            for row in vectors
        ]

    async def set_group(self, collection: str, key: str, cluster: int | None, ids: Sequence[UUID]) -> None:
        self.calls.append(f"write {cluster} to {len(ids)}")
        self.clusters |= dict.fromkeys(ids, cluster)

    async def read(self, collection: str, run: str) -> Any:
        outside = [image_of_point(900)]
        none = np.full(1, -1, np.int64)
        return replace(no_assignments(), ids=outside, cluster_ids=none)


class FakeCollections:
    """One collection, always open."""

    def __init__(self) -> None:
        self.opened = OpenCollection(RECORD, ClusterSet("r1", [a_cluster(1), a_cluster(2)]))

    async def list(self) -> list[Collection]:
        return [RECORD, replace(RECORD, id="photos", attachment=None)]

    async def open(self, collection: str) -> OpenCollection:
        assert collection == "birds"
        return self.opened


@dataclass
class Scene:
    """All that a test looks at."""

    store: FakeStore
    collections: FakeCollections
    newcomers: Newcomers
    told: list[int]
    now: list[datetime]

    async def tick(self) -> list[str]:
        """What one look asked of the store."""
        self.store.calls.clear()
        await self.newcomers.tick()
        return list(self.store.calls)


@pytest.fixture
def scene() -> Scene:
    clusters: dict[UUID, int | None] = {image_of_point(number): 1 for number in range(10)}
    store = FakeStore(clusters | {image_of_point(900): None})
    collections = FakeCollections()
    told: list[int] = []
    now = [datetime(2024, 1, 1, tzinfo=UTC)]
    newcomers = Newcomers(
        cast("Any", collections),
        cast("Any", store),
        store,
        cast("Any", store),
        lambda collection, by: told.append(by),
        lambda: now[0],
    )
    return Scene(store, collections, newcomers, told, now)


async def test_where_nothing_changed_two_counts_are_all(scene: Scene) -> None:
    assert await scene.tick() == ["count", "count", "list"]
    assert await scene.tick() == ["count", "count"]
    assert scene.told == []


async def test_newcomers_are_voted_on_once(scene: Scene) -> None:
    await scene.tick()
    scene.store.clusters |= {image_of_point(number): None for number in (10, 11, 12)}
    scene.store.home = {image_of_point(10): 2, image_of_point(11): 2}
    assert await scene.tick() == ["count", "count", "list", "vote on 3", "write 2 to 2"]
    assert scene.told == [3]
    assert await scene.tick() == ["count", "count"]
    # The outlier of a vote is looked at again when some time has passed, that of the run is not.
    scene.now[0] += timedelta(minutes=11)
    scene.store.home[image_of_point(12)] = 1
    assert await scene.tick() == ["count", "count", "list", "vote on 1", "write 1 to 1"]
    assert sum(scene.told) == 3


async def test_one_that_was_put_in_again_is_a_change_though_the_number_is_the_same(scene: Scene) -> None:
    await scene.tick()
    scene.store.clusters[image_of_point(3)] = None
    scene.store.home = {image_of_point(3): 1}
    assert await scene.tick() == ["count", "count", "list", "vote on 1", "write 1 to 1"]
    assert scene.told == [1, -1]


async def test_those_that_went_are_told(scene: Scene) -> None:
    await scene.tick()
    del scene.store.clusters[image_of_point(3)]
    assert await scene.tick() == ["count", "count"]
    assert scene.told == [-1]


async def test_many_are_voted_on_in_batches_until_another_run_is_in_force(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.tick()
    scene.store.clusters |= {image_of_point(number): None for number in range(100, 300)}
    scene.store.home = {image_of_point(number): 1 for number in range(100, 300)}
    write = scene.store.set_group

    async def then_another_run(*args: Any) -> None:
        await write(*args)
        scene.collections.opened.clusters = ClusterSet("r2", [a_cluster(1)])

    monkeypatch.setattr(scene.store, "set_group", then_another_run)
    assert (await scene.tick())[3:] == ["vote on 64", "write 1 to 64"]
    monkeypatch.setattr(scene.store, "set_group", write)
    assert (await scene.tick())[3:] == ["vote on 64", "write 1 to 64"] * 2 + ["vote on 8", "write 1 to 8"]


async def test_without_clusters_nothing_is_assigned_but_growth_is_told(scene: Scene) -> None:
    scene.collections.opened.clusters = None
    assert await scene.tick() == ["count"]
    scene.store.clusters[image_of_point(50)] = None
    assert await scene.tick() == ["count"]
    assert scene.told == [1]


async def test_a_store_that_does_not_answer_is_asked_again_later(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.store.down = True
    assert await scene.tick() == ["count"]
    assert "birds: new points could not be assigned" in caplog.text
    scene.store.down = False
    assert await scene.tick() == ["count", "count", "list"]
