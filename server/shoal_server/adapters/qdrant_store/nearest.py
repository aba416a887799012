"""The ImageStore port's searches on a Qdrant server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from shoal_server.adapters.qdrant_store.access import check_dimension
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.adapters.qdrant_store.layout import Layout, raw_vector
from shoal_server.adapters.qdrant_store.point_access import PointAccess
from shoal_server.application.ports import DIVERSE_AMONG
from shoal_server.domain.collection import Collection
from shoal_server.domain.diversity import diverse_order
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import ScoredImage, Vector
from shoal_server.domain.payload import CLUSTER_ID

#: Where the server does not compare by cosine, so many times as many points are taken in its order, ...
_OVERSAMPLING = 4
#: ... but at least so many, and put into the order by cosine.
_CANDIDATES = 64
#: Points whose vectors say how long vectors are in somebody else's collection.
_SAMPLE = 256


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the nearest points are asked for.

    Attributes:
        limit: at most this many.
        offset: this many are left out before.
        threshold: the least cosine similarity; None: any.
        payload: what is read of it.
        vectors: whether vectors are read.
    """

    limit: int
    offset: int = 0
    threshold: float | None = None
    payload: bool | list[str] = True
    vectors: bool = False


@dataclass(frozen=True, slots=True)
class _Nearest:
    """Points nearest to a vector, best first.

    Attributes:
        points: n of them.
        scores: cosine similarities, float32 (n,).
        vectors: unit rows, float32 (n, dimension), if they were read; else (0, 0).
    """

    points: Sequence[models.ScoredPoint]
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))


class QdrantNearest(PointAccess):
    """Finds the nearest images by cosine similarity, however the server compares vectors."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._lengths: dict[tuple[str, datetime], float] = {}

    async def query_images(
        self,
        collection: str,
        vector: Vector,
        where: ImageFilter,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        diversity: float = 0.0,
    ) -> list[ScoredImage]:
        """The images nearest to a vector by cosine similarity, best first, or in an order that prefers what is new.

        A server searches exactly until it has built an index (about 10 MB of vectors), then approximately. Where it
        does not compare by cosine, several times as many are taken in its order and then ordered by cosine.

        Raises:
            WrongDimension: the vector is not of the collection's model.
        """
        diverse = diversity > 0
        wanted = _Wanted(
            limit=DIVERSE_AMONG if diverse else limit,
            offset=0 if diverse else offset,
            threshold=score_threshold,
            vectors=diverse,
        )
        async with self._points(collection) as (record, layout):
            check_dimension(record, vector)
            [found] = await self._nearest(record, layout, vector[None, :], where, wanted)
        order: Sequence[int] = range(len(found.points))
        if diverse:
            # Not the server's own reordering: the oldest version that is supported does not have it, and both stores
            # must answer alike.
            order = diverse_order(found.scores, found.vectors, diversity, offset + limit)[offset:].tolist()
        return [ScoredImage(layout.to_image(found.points[row]), float(found.scores[row])) for row in order]

    async def query_neighbors(
        self, collection: str, vectors: NDArray[np.float32], where: ImageFilter, limit: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Cluster ids (-1 for none) and cosine similarities of each row's nearest images, best first.

        Raises:
            WrongDimension: the vectors are not of the collection's model.
        """
        async with self._points(collection) as (record, layout):
            for vector in vectors:
                check_dimension(record, vector)
            wanted = _Wanted(limit=limit, payload=[layout.key(CLUSTER_ID) or CLUSTER_ID])
            found = await self._nearest(record, layout, vectors, where, wanted)
        return [(layout.cluster_ids(each.points), each.scores) for each in found]

    async def _nearest(
        self,
        record: Collection,
        layout: Layout,
        vectors: NDArray[np.float32],
        where: ImageFilter,
        wanted: _Wanted,
    ) -> list[_Nearest]:
        """For each row of unit vectors the nearest points; one round trip."""
        if not len(vectors):
            return []
        condition = layout.where(where)
        length = await self._length(record, layout)
        end = wanted.offset + wanted.limit
        requests = [
            models.QueryRequest(
                query=(vector * np.float32(length)).tolist(),
                using=layout.using,
                filter=condition,
                limit=wanted.limit if layout.cosine else max(_OVERSAMPLING * end, _CANDIDATES),
                offset=wanted.offset if layout.cosine else 0,
                score_threshold=wanted.threshold if layout.cosine else None,
                with_payload=wanted.payload,
                with_vector=layout.vectors if wanted.vectors or not layout.cosine else False,
            )
            for vector in vectors
        ]
        answers = await self._client.query_batch_points(layout.source, requests)
        if not layout.cosine:
            return [
                _by_cosine(layout, vector, answer.points, wanted)
                for vector, answer in zip(vectors, answers, strict=True)
            ]
        return [
            _Nearest(
                answer.points,
                np.array([point.score for point in answer.points], dtype=np.float32),
                _unit_vectors(layout, answer.points) if wanted.vectors else np.zeros((0, 0), np.float32),
            )
            for answer in answers
        ]

    async def _length(self, record: Collection, layout: Layout) -> float:
        """How long the stored vectors are, by and large: a query of that length makes distances follow directions."""
        if layout.own:
            return 1.0
        key = (record.id, record.created_at)
        if key not in self._lengths:
            found, _ = await self._client.scroll(
                layout.source, layout.where(ImageFilter()), _SAMPLE, with_payload=False, with_vectors=layout.vectors
            )
            raw = (raw_vector(point, layout.using) for point in found)
            lengths = [length for each in raw if each is not None and (length := float(np.linalg.norm(each))) > 0]
            if not lengths:
                return 1.0
            self._lengths[key] = float(np.median(lengths))
        return self._lengths[key]


def _by_cosine(
    layout: Layout, vector: NDArray[np.float32], found: Sequence[models.ScoredPoint], wanted: _Wanted
) -> _Nearest:
    read = [(point, unit) for point in found if (unit := layout.to_vector(point)) is not None]
    if not read:
        return _Nearest([], np.zeros(0, np.float32))
    vectors = np.stack([unit for _, unit in read])
    scores = np.clip(vectors @ vector, -1.0, 1.0).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    if wanted.threshold is not None:
        order = order[scores[order] >= wanted.threshold]
    order = order[wanted.offset : wanted.offset + wanted.limit]
    return _Nearest([read[row][0] for row in order.tolist()], scores[order], vectors[order])


def _unit_vectors(layout: Layout, found: Sequence[models.ScoredPoint]) -> NDArray[np.float32]:
    vectors = [layout.to_vector(point) for point in found]
    dimension = next((len(each) for each in vectors if each is not None), 0)
    return np.array([np.zeros(dimension) if each is None else each for each in vectors], dtype=np.float32)
