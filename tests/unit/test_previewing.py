"""What a correction would change is told and not done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest

from shoal_server.application.correcting import Correcting, Plan, former_of
from shoal_server.application.open_collections import ClusterSet, OpenCollection
from shoal_server.application.present import Present, no_assignments
from shoal_server.application.previewing import EXAMPLES, Previewing
from shoal_server.domain.cluster import Cluster, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.correction import CorrectionKind
from shoal_server.domain.errors import CannotCorrect, NotClustered

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def cluster(identity: int, name: str) -> Cluster:
    """A cluster of which only its name matters."""
    centroid = np.array([1, 0], np.float32)
    return Cluster(identity, name, NameSource.AUTOMATIC, (), 1, centroid, 1.0, 0.5, (UUID(int=identity),), NOW)


def opened(*clusters: Cluster) -> OpenCollection:
    """A collection with these clusters in force."""
    record = Collection("photos", EmbeddingModel("debug", "sha256:0", 2), NOW, next_cluster_id=9)
    return OpenCollection(record, ClusterSet("run", clusters) if clusters else None)


class There:
    """Images of which each is in a cluster."""

    def __init__(self, *cluster_ids: int) -> None:
        self.cluster_ids = np.array(cluster_ids, np.int64)

    async def present(self, _: OpenCollection) -> Present:
        count = len(self.cluster_ids)
        ids = [UUID(int=row) for row in range(count)]
        assignments = replace(no_assignments(), ids=ids, cluster_ids=self.cluster_ids)
        return Present([None] * count, [None] * count, np.ones(count, np.bool_), assignments)

    async def size_of(self, _: OpenCollection, cluster_id: int) -> int:
        return int((self.cluster_ids == cluster_id).sum())


def previewing(*cluster_ids: int) -> Previewing:
    """Previews of what becomes of such images."""
    return Previewing(cast("Correcting", There(*cluster_ids)))


def into(*cluster_ids: int, **fields: Any) -> Any:
    """Makes a plan that puts the images into these clusters."""

    async def plan(present: Present, active: ClusterSet) -> Plan:
        now = present.assignments
        return Plan(
            CorrectionKind.MERGE, (1,), np.array(cluster_ids, np.int64), now.placed, now.dissolved_ids, 9, **fields
        )

    return plan


async def test_flows_and_sizes() -> None:
    collection = opened(cluster(1, "cats"), cluster(2, "dogs"), cluster(3, "birds"))
    after = {1: replace(former_of(cluster(1, "cats")), name="pets")}
    plan = into(1, 1, 1, 1, -1, 9, clusters_after=after, detail="2 into 1")
    preview = await previewing(1, 2, 2, -1, 3, 3).carry_out(collection, "", plan)
    assert (preview.kind, preview.images, preview.detail) == (CorrectionKind.MERGE, 5, "2 into 1")
    flows = [(flow.before, flow.before_name, flow.after, flow.after_name, flow.images) for flow in preview.flows]
    assert flows == [(2, "dogs", 1, "pets", 2), (-1, "", 1, "pets", 1), (3, "birds", -1, "", 1), (3, "birds", 9, "", 1)]
    assert preview.flows[0].examples == [UUID(int=1), UUID(int=2)]
    sizes = {each.id: (each.name, each.size_before, each.size_after) for each in preview.clusters}
    assert sizes == {1: ("pets", 1, 4), 2: ("dogs", 2, 0), 3: ("birds", 2, 0), 9: ("", 0, 1)}
    assert preview.clusters[0].id == 1


async def test_only_some_images_are_told() -> None:
    preview = await previewing(*[2] * 100).carry_out(
        opened(cluster(1, "cats"), cluster(2, "dogs")), "", into(*[1] * 100)
    )
    [flow] = preview.flows
    assert (flow.images, len(flow.examples)) == (100, EXAMPLES)
    assert all(len(each.examples) <= EXAMPLES for each in preview.clusters)


async def test_what_changes_nothing_is_refused_as_the_deed_would_be() -> None:
    with pytest.raises(CannotCorrect):
        await previewing(1, 1).carry_out(opened(cluster(1, "cats")), "", into(1, 1))
    with pytest.raises(NotClustered):
        await previewing(1, 1).carry_out(opened(), "", into(1, 1))


async def test_a_change_of_a_clusters_own_record() -> None:
    collection = opened(cluster(1, "cats"))
    preview = await previewing(1, 1, -1).change(
        collection, 1, CorrectionKind.RENAME, "", "to 'felines'", lambda before: before.renamed("felines")
    )
    [told] = preview.clusters
    assert (told.name, told.size_before, told.size_after, preview.images) == ("felines", 2, 2, 0)
    assert collection.cluster(1).name == "cats"
