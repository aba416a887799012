"""Which cluster an image belongs to, by a vote of its nearest clustered neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import ImageQuery, Query, QueryVectors
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.voting import NEIGHBORS, Ballot, decide, vote


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cluster that got votes.

    Attributes:
        cluster: which.
        similarity: mean cosine similarity to the neighbours in it, -1 to 1.
        share: of the vote, 0 to 1.
    """

    cluster: Cluster
    similarity: float
    share: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """The outcome of a vote.

    Attributes:
        cluster: the winner; None if the image is an outlier.
        similarity: of the winner, also when the image is an outlier, -1 to 1; 0 if nobody voted.
        outlier_score: 1 less the mean cosine similarity to the nearest clustered neighbours, 0 to 2; 2 if there are
            none.
        alternatives: all that got votes, the winner first.
    """

    cluster: Cluster | None
    similarity: float
    outlier_score: float
    alternatives: tuple[Alternative, ...]


async def vote_on(
    store: ImageStore,
    opened: OpenCollection,
    active: ClusterSet,
    vectors: NDArray[np.float32],
    exclude: Sequence[UUID] = (),
) -> list[tuple[int | None, Ballot]]:
    """For each row of vectors, float32 (n, dimension), the id of its cluster (None: outlier) and the votes.

    The caller holds the collection's gate. Images in ``exclude`` have no vote.
    """
    if not active.clusters:
        nobody = vote(np.zeros(0, np.int64), np.zeros(0, np.float32))
        return [(None, nobody)] * len(vectors)
    where = ImageFilter(clustered=True, exclude=tuple(exclude))
    decisions = []
    for cluster_ids, similarities in await store.query_neighbors(opened.id, vectors, where, NEIGHBORS):
        ballot = vote(cluster_ids, similarities)
        decisions.append((decide(ballot, active.thresholds), ballot))
    return decisions


class Assign:
    """Answers which cluster an image belongs to; stores nothing."""

    def __init__(self, collections: OpenCollections, store: ImageStore, queries: QueryVectors) -> None:
        self._collections = collections
        self._store = store
        self._queries = queries

    async def __call__(self, collection: str, query: Query) -> Assignment:
        """The cluster of an image, given as bytes, by id or as a vector.

        Raises:
            NotClustered: there are no clusters yet.
            ShoalError: as :meth:`QueryVectors.vector_of` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        opened.active_clusters()
        vector = await self._queries.vector_of(opened, query)
        exclude = (query.image,) if isinstance(query, ImageQuery) else ()
        async with opened.gate.reading():
            active = opened.active_clusters()
            [(winner, ballot)] = await vote_on(self._store, opened, active, vector[None, :], exclude)
        alternatives = tuple(
            Alternative(active.clusters[cluster_id], similarity, share)
            for cluster_id, similarity, share in zip(
                ballot.cluster_ids.tolist(), ballot.similarities.tolist(), ballot.shares.tolist(), strict=True
            )
            if cluster_id in active.clusters
        )
        return Assignment(
            cluster=None if winner is None else active.clusters[winner],
            similarity=alternatives[0].similarity if alternatives else 0.0,
            outlier_score=1.0 - ballot.nearness,
            alternatives=alternatives,
        )
