"""What every store does with cluster sets, runs, groupings and corrections, on each of them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from shoal_server.application.ports import Store
from shoal_server.domain.errors import (
    CorrectionNotFound,
    RunNotFound,
)
from shoal_server.domain.groupings import Groupings, Theme
from shoal_server.domain.lineage import Lineage, LineageKind, Share
from shoal_server.domain.run import (
    ClusteringParameters,
    Granularity,
    Method,
    Reducer,
    RequestedParameters,
    RunKind,
    RunStage,
    RunState,
    RunSummary,
    Trial,
)
from tests.contract.conftest import (
    a_cluster,
    a_collection,
    a_correction,
    a_run,
    some_groupings,
)

# The in-memory client says that it has no payload indexes; a server has them.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

# Clusters and runs.


async def test_clusters_are_read_back_by_id_with_their_centroids(store: Store, collection: str) -> None:
    clusters = [a_cluster(each) for each in (30, 4, 100)]
    await store.put_clusters(collection, "r1", clusters)
    found = await store.get_clusters(collection, "r1")
    expected = sorted(clusters, key=lambda cluster: cluster.id)
    assert found == expected
    for got, want in zip(found, expected, strict=True):
        assert got.centroid.dtype == np.float32
        np.testing.assert_allclose(got.centroid, want.centroid, atol=1e-6)
    assert await store.get_clusters(collection, "r2") == []


async def test_a_set_of_clusters_is_replaced_as_a_whole(store: Store, collection: str) -> None:
    await store.put_clusters(collection, "r1", [a_cluster(1), a_cluster(2)])
    await store.put_clusters(collection, "r2", [a_cluster(1, name="dogs")])
    await store.put_clusters(collection, "r1", [a_cluster(2, name="two"), a_cluster(3)])
    assert await store.get_clusters(collection, "r1") == [a_cluster(2, name="two"), a_cluster(3)]
    assert await store.get_clusters(collection, "r2") == [a_cluster(1, name="dogs")]
    await store.put_clusters(collection, "r1", [])
    assert await store.get_clusters(collection, "r1") == []


async def test_many_clusters(store: Store, collection: str) -> None:
    clusters = [a_cluster(each) for each in range(1, 1300)]
    await store.put_clusters(collection, "r1", clusters)
    assert await store.get_clusters(collection, "r1") == clusters


async def test_one_cluster_is_replaced(store: Store, collection: str) -> None:
    await store.put_clusters(collection, "r1", [a_cluster(1), a_cluster(2)])
    await store.put_clusters(collection, "r2", [a_cluster(1)])
    changed = a_cluster(1).renamed("lions")
    await store.put_cluster(collection, "r1", changed)
    assert await store.get_clusters(collection, "r1") == [changed, a_cluster(2)]
    assert await store.get_clusters(collection, "r2") == [a_cluster(1)]


async def test_deleting_a_set_leaves_the_others(store: Store, collection: str) -> None:
    await store.put_clusters(collection, "r1", [a_cluster(1)])
    await store.put_clusters(collection, "r2", [a_cluster(1)])
    await store.delete_clusters(collection, "r1")
    await store.delete_clusters(collection, "r1")
    assert await store.get_clusters(collection, "r1") == []
    assert await store.get_clusters(collection, "r2") == [a_cluster(1)]


async def test_collections_do_not_share_what_belongs_to_them(store: Store, collection: str) -> None:
    other = a_collection()
    await store.create_collection(other)
    await store.put_clusters(collection, "r1", [a_cluster(1)])
    await store.put_run(collection, a_run("r1"))
    assert await store.get_clusters(other.id, "r1") == []
    assert await store.list_runs(other.id) == []
    await store.put_groupings(collection, "r1", some_groupings())
    await store.put_correction(collection, a_correction("c1"))
    assert await store.get_groupings(other.id, "r1") == Groupings()
    assert await store.list_corrections(other.id) == []
    await store.delete_run(other.id, "r1")
    await store.delete_groupings(other.id, "r1")
    await store.delete_correction(other.id, "c1")
    await store.delete_collection(other.id)
    assert await store.get_clusters(collection, "r1") == [a_cluster(1)]
    assert await store.get_run(collection, "r1") == a_run("r1")
    assert await store.get_groupings(collection, "r1") == some_groupings()
    assert await store.list_corrections(collection) == [a_correction("c1")]


async def test_a_run_is_read_back_and_replaced(store: Store, collection: str) -> None:
    run = a_run("r1")
    await store.put_run(collection, run)
    assert await store.get_run(collection, "r1") == run
    ended = replace(
        run,
        state=RunState.FAILED,
        stage=RunStage.WRITING,
        progress=0.5,
        requested=RequestedParameters(n_neighbors=7),
        request_id="key",
        ended_at=datetime(2024, 2, 2, tzinfo=UTC),
        parameters=ClusteringParameters(
            n_neighbors=7,
            n_components=5,
            min_cluster_size=9,
            min_samples=None,
            seed=1,
            granularity=Granularity.FINE,
            n_clusters=30,
            reducer=Reducer.PCA,
            method=Method.SPHERICAL_KMEANS,
        ),
        summary=RunSummary(1, 2, 3, 4, 5, 6, 7, 8),
        error="what happened",
        error_reason="WHY",
        kind=RunKind.CORRECTION,
        trigger="growth",
        parent="r0",
        lineage=(
            Lineage(3, LineageKind.MERGED, (Share(3, 90, 1.0, 0.75), Share(4, 30, 0.5, 0.25))),
            Lineage(4, LineageKind.DISSOLVED, ()),
        ),
        held_because=("far fewer clusters", "été"),
        trials=(Trial(9, 3, 30, 0.125, 0.5, "won"), Trial(50, 5, 1, 0.0, -math.inf, "one huge cluster")),
        quality={"silhouette": 0.25, "relative_validity": -0.5},
        timings={"reading": 1.5},
        activated_at=datetime(2024, 2, 3, tzinfo=UTC),
    )
    await store.put_run(collection, ended)
    assert await store.get_run(collection, "r1") == ended
    assert await store.list_runs(collection) == [ended]


async def test_runs_are_listed_newest_first(store: Store, collection: str) -> None:
    for name, minutes in (("b", 1), ("c", 0), ("a", 2), ("d", 1)):
        await store.put_run(collection, a_run(name, minutes))
    assert [run.id for run in await store.list_runs(collection)] == ["a", "d", "b", "c"]


@pytest.mark.parametrize("name", ["absent", "../collection", ""])
async def test_a_run_that_does_not_exist(store: Store, collection: str, name: str) -> None:
    with pytest.raises(RunNotFound):
        await store.get_run(collection, name)


async def test_a_deleted_run_is_gone_alone(store: Store, collection: str) -> None:
    for name in ("r1", "r2"):
        await store.put_run(collection, a_run(name))
        await store.put_clusters(collection, name, [a_cluster(1)])
        await store.put_groupings(collection, name, some_groupings(name))
    for _ in range(2):
        await store.delete_run(collection, "r1")
    await store.delete_run(collection, "../collection")
    with pytest.raises(RunNotFound):
        await store.get_run(collection, "r1")
    assert await store.list_runs(collection) == [a_run("r2")]
    # Its clusters and groupings are deleted by methods of their own.
    assert await store.get_clusters(collection, "r1") == [a_cluster(1)]
    assert await store.get_groupings(collection, "r1") == some_groupings("r1")
    assert (await store.get_collection(collection)).id == collection


# Groupings and corrections.


async def test_groupings_are_read_back_and_replaced(store: Store, collection: str) -> None:
    assert await store.get_groupings(collection, "r1") == Groupings()
    await store.put_groupings(collection, "r1", some_groupings())
    await store.put_groupings(collection, "r2", some_groupings("vehicles"))
    assert await store.get_groupings(collection, "r1") == some_groupings()
    fewer = replace(some_groupings("animals and plants"), places=(), moments=())
    await store.put_groupings(collection, "r1", fewer)
    assert await store.get_groupings(collection, "r1") == fewer
    await store.put_groupings(collection, "r1", Groupings())
    assert await store.get_groupings(collection, "r1") == Groupings()
    assert await store.get_groupings(collection, "r2") == some_groupings("vehicles")
    # A run's groupings are no run.
    assert await store.list_runs(collection) == []


async def test_deleted_groupings_are_gone_alone(store: Store, collection: str) -> None:
    for name in ("r1", "r2"):
        await store.put_groupings(collection, name, some_groupings(name))
    for _ in range(2):
        await store.delete_groupings(collection, "r1")
    await store.delete_groupings(collection, "absent")
    assert await store.get_groupings(collection, "r1") == Groupings()
    assert await store.get_groupings(collection, "r2") == some_groupings("r2")


async def test_many_groups(store: Store, collection: str) -> None:
    moment, place = some_groupings().moments[0], some_groupings().places[0]
    many = Groupings(
        themes=tuple(Theme(i, f"theme {i}", i - 1 or None, tuple(range(i))) for i in range(1, 200)),
        places=tuple(replace(place, id=i) for i in range(1, 2000)),
        moments=tuple(replace(moment, id=i) for i in range(1, 2000)),
    )
    await store.put_groupings(collection, "r1", many)
    assert await store.get_groupings(collection, "r1") == many


async def test_a_correction_is_read_back_and_replaced(store: Store, collection: str) -> None:
    await store.put_correction(collection, a_correction("c1"))
    await store.put_correction(collection, a_correction("c2"))
    assert await store.get_correction(collection, "c1") == a_correction("c1")
    undone = replace(a_correction("c1"), undone_at=datetime(2024, 3, 3, tzinfo=UTC), undone_by="bob")
    await store.put_correction(collection, undone)
    assert await store.get_correction(collection, "c1") == undone
    bare = replace(a_correction("c1"), author="", clusters=(), images=0, detail="", former=(), run=None)
    await store.put_correction(collection, bare)
    assert await store.get_correction(collection, "c1") == bare
    assert await store.get_correction(collection, "c2") == a_correction("c2")


async def test_corrections_are_listed_newest_first(store: Store, collection: str) -> None:
    assert await store.list_corrections(collection) == []
    corrections = [a_correction(name, minutes) for name, minutes in (("b", 1), ("c", 0), ("a", 2), ("d", 1))]
    for each in corrections:
        await store.put_correction(collection, each)
    assert [each.id for each in await store.list_corrections(collection)] == ["a", "d", "b", "c"]
    for _ in range(2):
        await store.delete_correction(collection, "d")
    await store.delete_correction(collection, "absent")
    await store.delete_correction(collection, "../collection")
    assert [each.id for each in await store.list_corrections(collection)] == ["a", "b", "c"]
    with pytest.raises(CorrectionNotFound):
        await store.get_correction(collection, "d")


async def test_a_correction_and_a_run_may_have_the_same_id(store: Store, collection: str) -> None:
    await store.put_run(collection, a_run("x"))
    await store.put_groupings(collection, "x", some_groupings())
    await store.put_correction(collection, a_correction("x"))
    await store.delete_correction(collection, "x")
    assert await store.get_run(collection, "x") == a_run("x")
    assert await store.get_groupings(collection, "x") == some_groupings()


async def test_more_corrections_than_one_page(store: Store, collection: str) -> None:
    corrections = [a_correction(f"c{i}", minutes=-i) for i in range(300)]
    for each in corrections:
        await store.put_correction(collection, each)
    assert await store.list_corrections(collection) == corrections


@pytest.mark.parametrize("name", ["absent", "../collection", ""])
async def test_a_correction_that_does_not_exist(store: Store, collection: str, name: str) -> None:
    with pytest.raises(CorrectionNotFound):
        await store.get_correction(collection, name)
    assert await store.get_groupings(collection, name) == Groupings()
