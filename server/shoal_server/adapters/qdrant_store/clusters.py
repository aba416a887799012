"""The ClusterStore port's cluster sets on a Qdrant server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.access import READ_BATCH, UPSERT_BATCH, Access, check_dimension, clusters_of
from shoal_server.domain.cluster import Cluster


class QdrantClusters(Access):
    """Cluster sets: the points of a Qdrant collection beside the images'."""

    async def put_clusters(self, collection: str, run: str, clusters: Sequence[Cluster]) -> None:
        """Stores a run's whole set of clusters; what stood there for the run is replaced.

        A crash in between leaves a part of the set: a run's clusters are put before the run comes into force.

        Raises:
            WrongDimension: a centroid is not of the collection's model; nothing is stored.
        """
        async with self._within(collection) as record:
            for cluster in clusters:
                check_dimension(record, cluster.centroid)
        await self.delete_clusters(collection, run)
        async with self._within(collection):
            for start in range(0, len(clusters), UPSERT_BATCH):
                batch = [points.cluster_point(run, each) for each in clusters[start : start + UPSERT_BATCH]]
                await self._client.upsert(clusters_of(collection), batch, wait=True)

    async def get_clusters(self, collection: str, run: str) -> list[Cluster]:
        """A run's clusters by id, with their centroids; empty if it has none."""
        clusters: list[Cluster] = []
        after: Any = None
        async with self._within(collection):
            while True:
                found, after = await self._client.scroll(
                    clusters_of(collection),
                    points.matching(run=run),
                    READ_BATCH,
                    offset=after,
                    with_payload=True,
                    with_vectors=True,
                )
                clusters += [points.to_cluster(point) for point in found]
                if after is None:
                    return sorted(clusters, key=lambda cluster: cluster.id)

    async def put_cluster(self, collection: str, run: str, cluster: Cluster) -> None:
        """Replaces one cluster of a run.

        Raises:
            WrongDimension: the centroid is not of the collection's model.
        """
        async with self._within(collection) as record:
            check_dimension(record, cluster.centroid)
            await self._client.upsert(clusters_of(collection), [points.cluster_point(run, cluster)], wait=True)

    async def delete_clusters(self, collection: str, run: str) -> None:
        """Removes a run's set."""
        async with self._within(collection):
            await self._client.delete(clusters_of(collection), points.matching(run=run), wait=True)
