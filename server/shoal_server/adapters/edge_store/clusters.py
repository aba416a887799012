"""The ClusterStore port's cluster sets: points of a shard of their own."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import qdrant_edge as edge

from shoal_server.adapters.edge_store import points
from shoal_server.adapters.edge_store.rooms import READ_BATCH, UPSERT_BATCH, Rooms, check_dimension, optional_id
from shoal_server.application.ports import Purpose
from shoal_server.domain.cluster import Cluster


class EdgeClusters(Rooms):
    """Cluster sets."""

    async def put_clusters(self, collection: str, run: str, clusters: Sequence[Cluster]) -> None:
        """Stores a run's whole set of clusters; what stood there for the run is replaced.

        A crash in between leaves a part of the set: a run's clusters are put before the run comes into force.

        Raises:
            WrongDimension: a centroid is not of the collection's model; nothing is stored.
        """
        record = self._room(collection).record
        for cluster in clusters:
            check_dimension(record, cluster.centroid)
        await self.delete_clusters(collection, run)
        for start in range(0, len(clusters), UPSERT_BATCH):
            await self._upsert_clusters(collection, run, clusters[start : start + UPSERT_BATCH], Purpose.GROW)

    async def get_clusters(self, collection: str, run: str) -> list[Cluster]:
        """A run's clusters by id, with their centroids; empty if it has none."""
        clusters: list[Cluster] = []
        after: UUID | None = None
        while True:
            request = edge.ScrollRequest(
                offset=after, limit=READ_BATCH, filter=points.of_run(run), with_payload=True, with_vector=True
            )
            found, after = await self._scroll_clusters(collection, request)
            clusters += [points.to_cluster(point) for point in found]
            if after is None:
                return sorted(clusters, key=lambda cluster: cluster.id)

    async def put_cluster(self, collection: str, run: str, cluster: Cluster) -> None:
        """Replaces one cluster of a run.

        Raises:
            WrongDimension: the centroid is not of the collection's model.
        """
        check_dimension(self._room(collection).record, cluster.centroid)
        await self._upsert_clusters(collection, run, [cluster], Purpose.FINISH)

    async def delete_clusters(self, collection: str, run: str) -> None:
        """Removes a run's set."""
        operation = edge.UpdateOperation.delete_points_by_filter(points.of_run(run))
        await self._write_within(collection, lambda room: room.clusters.update(operation), Purpose.FINISH)

    async def _upsert_clusters(self, collection: str, run: str, clusters: Sequence[Cluster], purpose: Purpose) -> None:
        operation = edge.UpdateOperation.upsert_points([points.cluster_point(run, each) for each in clusters])
        await self._write_within(collection, lambda room: room.clusters.update(operation), purpose)

    async def _scroll_clusters(
        self, collection: str, request: edge.ScrollRequest
    ) -> tuple[list[edge.Record], UUID | None]:
        found, following = await self._within(collection, lambda room: room.clusters.scroll(request))
        return found, optional_id(following)
