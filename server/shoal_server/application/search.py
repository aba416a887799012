"""Finding images and clusters by what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import ImageQuery, QueryVectors, Term, Where
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.image import ScoredImage, Vector
from shoal_server.domain.payload import CLUSTER_ID

#: Deeper pages of a search are not served: the store would have to rank everything before them again.
MAX_DEPTH = 10_000


@dataclass(frozen=True, slots=True)
class ScoredCluster:
    """A cluster that answers a query.

    Attributes:
        cluster: which.
        size: images in it now.
        matching: those of them that were asked for.
        score: cosine similarity of its centroid to the query, -1 to 1.
    """

    cluster: Cluster
    size: int
    matching: int
    score: float


@dataclass(frozen=True, slots=True)
class RankedClusters:
    """Clusters, best first, and the run they are of."""

    run: str
    clusters: list[ScoredCluster]


class Search:
    """Answers similarity queries."""

    def __init__(self, collections: OpenCollections, store: ImageStore, queries: QueryVectors) -> None:
        self._collections = collections
        self._store = store
        self._queries = queries

    async def images(
        self,
        collection: str,
        terms: Sequence[Term],
        where: Where,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        diversity: float = 0.0,
    ) -> list[ScoredImage]:
        """The images most like what is looked for, best first; queried images themselves are left out.

        Args:
            collection: where to look.
            terms: what for, at least one.
            where: among which images.
            limit: at most this many.
            offset: of the order, this many are left out before.
            score_threshold: images that score less are left out.
            diversity: as in :meth:`ImageStore.query_images`.

        Raises:
            ShoalError: as :meth:`QueryVectors.vector_of_terms`, :meth:`Where.as_filter` and
                :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        vector = await self._queries.vector_of_terms(opened, terms)
        asked = tuple(term.query.image for term in terms if isinstance(term.query, ImageQuery))
        return await self._nearest(opened, vector, where, asked, limit, offset, score_threshold, diversity)

    async def recommend(
        self,
        collection: str,
        liked: Sequence[UUID],
        disliked: Sequence[UUID],
        where: Where,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        diversity: float = 0.0,
    ) -> list[ScoredImage]:
        """The images most like the liked and unlike the disliked ones, best first; all of those are left out.

        Raises:
            ShoalError: as :meth:`QueryVectors.vector_of_tastes`, :meth:`Where.as_filter` and
                :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        vector = await self._queries.vector_of_tastes(opened, liked, disliked)
        asked = (*liked, *disliked)
        return await self._nearest(opened, vector, where, asked, limit, offset, score_threshold, diversity)

    async def clusters(self, collection: str, terms: Sequence[Term], where: Where) -> RankedClusters:
        """The clusters with images that ``where`` lets through, by the similarity of their centroid, best first.

        Raises:
            NotClustered: there are none yet.
            ShoalError: as :meth:`QueryVectors.vector_of_terms`, :meth:`Where.as_filter` and
                :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        opened.active_clusters()
        vector = await self._queries.vector_of_terms(opened, terms)
        async with opened.gate.reading():
            active = opened.active_clusters()
            sizes = await self._store.count_by_cluster(collection)
            matching = sizes
            if where != Where():
                counted = await self._store.count_by(collection, CLUSTER_ID, where.as_filter(opened))
                matching = {int(cluster_id): count for cluster_id, count in counted.items()}
        scores = active.centroids @ vector
        clusters = list(active.clusters.values())
        order = np.argsort(-scores, kind="stable")
        ranked = [
            ScoredCluster(cluster, sizes.get(cluster.id, 0), matching.get(cluster.id, 0), float(scores[row]))
            for row in order.tolist()
            if matching.get((cluster := clusters[row]).id) or where == Where()
        ]
        return RankedClusters(active.run, ranked)

    async def _nearest(
        self,
        opened: OpenCollection,
        vector: Vector,
        where: Where,
        exclude: tuple[UUID, ...],
        limit: int,
        offset: int,
        score_threshold: float | None,
        diversity: float,
    ) -> list[ScoredImage]:
        async with opened.gate.reading():
            among = where.as_filter(opened)
            if exclude:
                among = replace(among, exclude=exclude)
            return await self._store.query_images(opened.id, vector, among, limit, offset, score_threshold, diversity)
