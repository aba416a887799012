"""Collections that are too large to be clustered at once, which here are small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shoal.v1.cluster_service_pb2 import GetClusteringRunRequest, RunClusteringRequest, StreamClusteringRunRequest
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.image_pb2 import Image
from tests.fakes import FakeClusterer
from tests.rpc.conftest import PARENT, Served, serving

COLORS = ("red", "green", "blue")


async def test_a_sample_is_clustered_and_every_image_has_its_cluster_or_none(tmp_path: Path) -> None:
    clusterer = FakeClusterer()
    async with serving(tmp_path, clusterer, sample_above=300, sample_size=120) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        stored = await served.three_colors(each=120)
        # Two of a kind are too few to be a cluster.
        stored["white"] = await served.store("white", range(2))
        run = await served.recluster()
        assert (run.sampled_count, run.summary.image_count, run.summary.cluster_count) == (120, 362, 3)
        assert clusterer.sample is not None
        assert len(clusterer.sample) == 120
        first = await clusters_of(served, stored)
        assert first["white"] == {""}
        homes = {color: first[color] - {""} for color in COLORS}
        assert all(len(home) == 1 for home in homes.values())
        assert len(set.union(*homes.values())) == 3
        assigned = await served.assigned()
        # Those that are not quite like the others of their colour are few.
        assert sum(cluster == "" for cluster in assigned.values()) <= 2 + 0.05 * 360

        # Some more come, and it is clustered again.
        stored["red"] += await served.store("red", range(1000, 1025))
        stored["green"] += await served.store("green", range(1000, 1025))
        again = await served.recluster()
        assert again.sampled_count == len(clusterer.sample) == 120
        assert (again.summary.kept_count, again.summary.born_count, again.summary.dissolved_count) == (3, 0, 0)
        second = await clusters_of(served, stored)
        assert {color: second[color] - {""} for color in COLORS} == homes
        now = await served.assigned()
        kept = sum(now[name] == cluster for name, cluster in assigned.items() if cluster)
        assert kept >= 0.99 * sum(cluster != "" for cluster in assigned.values())


async def clusters_of(served: Served, stored: Mapping[str, Sequence[Image]]) -> dict[str, set[str]]:
    """The clusters that images of each colour are in, an empty name for none."""
    assigned = await served.assigned()
    return {color: {assigned[image.name] for image in images} for color, images in stored.items()}


async def test_a_run_tells_that_it_assigns(tmp_path: Path) -> None:
    async with serving(tmp_path, sample_above=100, sample_size=100) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors(each=40)
        run = await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
        seen = [
            (response.clustering_run.stage, response.clustering_run.progress)
            async for response in served.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name))
        ]
        assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
        whole = await served.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name))
        assert "assigning" in whole.timings
        assert whole.sampled_count == 100


async def test_up_to_the_threshold_all_are_clustered(tmp_path: Path) -> None:
    clusterer = FakeClusterer()
    async with serving(tmp_path, clusterer, sample_above=120, sample_size=100) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors(each=40)
        run = await served.recluster()
        assert run.sampled_count == 0
        assert clusterer.sample is None
