"""The ImageStore port on Qdrant Edge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from shoal_server.adapters.edge_store import points
from shoal_server.adapters.edge_store.filters import to_filter
from shoal_server.adapters.edge_store.room import Room
from shoal_server.adapters.edge_store.rooms import READ_BATCH, UPSERT_BATCH, Rooms, check_dimension, optional_id
from shoal_server.application.capture_order import page_in_capture_order
from shoal_server.application.ports import DIVERSE_AMONG, CapturePosition, Purpose, StoredVectors
from shoal_server.domain.diversity import diverse_order
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, ScoredImage, Vector
from shoal_server.domain.payload import CAPTURED_LOCAL, CLUSTER_ID, said

_ID_BATCH = 1000
_QUERY_BATCH = 32
_FIRST_FACETS = 1024
#: Points that are read with their vectors at once: a thousand take 100 ms, and every search waits for as long.
_VECTOR_BATCH = 32
#: Seconds that a scan rests at most between two such reads ...
_REST_S = 0.05
#: ... for as long after somebody else has asked for something.
_SHARED_S = 1.0


class EdgeImages(Rooms):
    """Images and their vectors: the points of a collection's image shard."""

    async def upsert_images(self, collection: str, images: Sequence[tuple[Image, Vector]]) -> None:
        """Stores images with their vectors; those of the same id are replaced.

        Raises:
            WrongDimension: a vector is not of the collection's model; nothing is stored.
        """
        record = self._room(collection).record
        for _, vector in images:
            check_dimension(record, vector)

        def write(room: Room, batch: Sequence[tuple[Image, Vector]]) -> None:
            operation = edge.UpdateOperation.upsert_points([points.image_point(*each) for each in batch])
            room.update_images(operation, [image.id for image, _ in batch])

        await self._write_images(collection, images, UPSERT_BATCH, write, Purpose.GROW)

    async def get_images(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Image]:
        """The images of these ids; unknown ids are absent."""
        found = await self._retrieve(collection, ids, with_payload=True, with_vector=False)
        return {points.identity_of(point): points.to_image(point) for point in found}

    async def get_vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Vector]:
        """The unit vectors of these ids; unknown ids are absent."""
        found = await self._retrieve(collection, ids, with_payload=False, with_vector=True)
        return {points.identity_of(point): points.to_vector(point) for point in found}

    async def delete_images(self, collection: str, ids: Sequence[UUID]) -> None:
        """Removes images; unknown ids are passed over."""

        def write(room: Room, batch: Sequence[UUID]) -> None:
            room.update_images(edge.UpdateOperation.delete_points(list(batch)), batch, deletes=True)

        await self._write_images(collection, ids, _ID_BATCH, write, Purpose.FINISH)

    async def count_images(self, collection: str, where: ImageFilter) -> int:
        """How many images, exactly."""
        request = edge.CountRequest(exact=True, filter=to_filter(where))
        return await self._within(collection, lambda room: room.images.count(request))

    async def count_by_cluster(self, collection: str) -> dict[int, int]:
        """Images per cluster id, exactly; ids without images are absent."""
        counts = await self.count_by(collection, CLUSTER_ID, ImageFilter())
        return {int(cluster): count for cluster, count in counts.items()}

    async def count_by(self, collection: str, field: str, where: ImageFilter) -> dict[str | int, int]:
        """Images per value of a field with an index, exactly; values without images are absent."""
        condition = to_filter(where)
        limit = _FIRST_FACETS
        while len(hits := await self._facet(collection, field, condition, limit)) == limit:
            limit *= 16
        # A value that no point has any more stays in the index, with a count of 0.
        return {hit.value: hit.count for hit in hits if hit.count}

    async def page_images(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        """Images in the order of their ids, and what to pass as ``after`` for the next page."""
        request = edge.ScrollRequest(offset=after, limit=limit, filter=to_filter(where), with_payload=True)
        found, following = await self._scroll(collection, request)
        return [points.to_image(point) for point in found], following

    async def page_by_capture(
        self, collection: str, where: ImageFilter, after: CapturePosition | None, limit: int, descending: bool
    ) -> tuple[list[Image], CapturePosition | None]:
        """Images in the order of what the camera's clock showed, then of their ids, and where the next page begins."""
        return await page_in_capture_order(self, collection, where, after, limit, descending)

    async def first_by_capture(self, collection: str, where: ImageFilter, limit: int, descending: bool) -> list[Image]:
        """The first images in the order of their capture time; equal times in any order."""
        order = edge.OrderBy(CAPTURED_LOCAL, edge.Direction.Desc if descending else edge.Direction.Asc)
        request = edge.ScrollRequest(limit=limit, filter=to_filter(where), with_payload=True, order_by=order)
        found, _ = await self._within(collection, lambda room: room.images.scroll(request))
        return [points.to_image(point) for point in found]

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

        Raises:
            WrongDimension: the vector is not of the collection's model.
        """
        check_dimension(self._room(collection).record, vector)
        diverse = diversity > 0
        # A search and not a query: that takes 0.3 ms more, and the answer is the same.
        request = edge.SearchRequest(
            query=edge.Query.Nearest(vector.tolist()),
            limit=DIVERSE_AMONG if diverse else limit,
            offset=0 if diverse else offset,
            filter=to_filter(where),
            params=points.RESCORED,
            score_threshold=score_threshold,
            with_payload=True,
            with_vector=diverse,
        )
        found = await self._ask(collection, lambda room: room.images.search(request))
        if diverse:
            # Not the engine's own reordering: servers of the oldest version that is supported do not have it, and both
            # stores must answer alike.
            scores = np.array([point.score for point in found], dtype=np.float32)
            order = diverse_order(scores, points.to_vectors(found), diversity, offset + limit)
            found = [found[row] for row in order[offset:]]
        return [ScoredImage(points.to_image(point), point.score) for point in found]

    async def query_neighbors(
        self, collection: str, vectors: NDArray[np.float32], where: ImageFilter, limit: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Cluster ids (-1 for none) and cosine similarities of each row's nearest images, best first.

        Raises:
            WrongDimension: the vectors are not of the collection's model.
        """
        record = self._room(collection).record
        for vector in vectors:
            check_dimension(record, vector)
        condition = to_filter(where)
        requests = [
            edge.SearchRequest(
                query=edge.Query.Nearest(vector.tolist()),
                limit=limit,
                filter=condition,
                params=points.RESCORED,
                with_payload=[CLUSTER_ID],
            )
            for vector in vectors
        ]
        if len(requests) == 1:
            found = [await self._ask(collection, lambda room: room.images.search(requests[0]))]
        else:
            found = []
            for start in range(0, len(requests), _QUERY_BATCH):
                found += await self._search_batch(collection, requests[start : start + _QUERY_BATCH])
        return [
            (
                points.group_ids(neighbors, CLUSTER_ID),
                np.array([point.score for point in neighbors], dtype=np.float32),
            )
            for neighbors in found
        ]

    async def scan_vectors(
        self, collection: str, with_vectors: bool = True, batch: int = READ_BATCH
    ) -> AsyncIterator[StoredVectors]:
        """The whole collection in batches, in the order of the ids.

        With vectors it rests for as long as it works while others ask for something: the engine keeps the interpreter
        lock, and searches need it too.
        """
        limit = min(batch, _VECTOR_BATCH) if with_vectors else batch
        after: UUID | None = None
        jobs, shared_until = self._engine.jobs, 0.0
        while True:
            began = time.perf_counter()
            request = edge.ScrollRequest(
                offset=after, limit=limit, with_payload=points.SCANNED, with_vector=with_vectors
            )
            found, after = await self._scroll(collection, request)
            if found:
                yield points.to_stretch(found, with_vectors)
            if after is None:
                return
            now = time.perf_counter()
            # One of them was this scan's own.
            if self._engine.jobs > jobs + 1:
                shared_until = now + _SHARED_S
            jobs = self._engine.jobs
            if with_vectors:
                await asyncio.sleep(min(now - began, _REST_S) if now < shared_until else 0.0)

    async def set_group(self, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        """Writes one id (None removes it) to existing images and touches nothing else of their payload."""

        def write(room: Room, batch: Sequence[UUID]) -> None:
            # By filter: an operation on ids is an error if one of them does not exist, though the others are written.
            of_batch = points.of_ids(batch)
            if group_id is None:
                operation = edge.UpdateOperation.delete_payload_by_filter(of_batch, [field])
            else:
                operation = edge.UpdateOperation.set_payload_by_filter(of_batch, {field: group_id})
            room.update_images(operation, batch)

        await self._write_images(collection, ids, _ID_BATCH, write, Purpose.FINISH)

    async def update_image(self, collection: str, image: Image) -> None:
        """Writes what people say of an existing image: its uri, also_at, tags and attributes, and nothing else."""
        fields, absent = said(image)

        def write(room: Room, batch: Sequence[UUID]) -> None:
            # By filter, as in set_group. All at once; a crash before the second operation leaves only empty fields.
            of_image = points.of_ids(batch)
            room.update_images(edge.UpdateOperation.set_payload_by_filter(of_image, fields), batch)
            if absent:
                room.update_images(edge.UpdateOperation.delete_payload_by_filter(of_image, absent), batch)

        await self._write_images(collection, [image.id], 1, write, Purpose.GROW)

    async def _retrieve(
        self, collection: str, ids: Sequence[UUID], with_payload: bool, with_vector: bool
    ) -> list[edge.Record]:
        self._room(collection)
        found: list[edge.Record] = []
        for start in range(0, len(ids), READ_BATCH):
            batch: list[edge.PointId] = list(ids[start : start + READ_BATCH])
            found += await self._retrieve_batch(collection, batch, with_payload, with_vector)
        return found

    async def _retrieve_batch(
        self, collection: str, ids: list[edge.PointId], with_payload: bool, with_vector: bool
    ) -> list[edge.Record]:
        return await self._within(collection, lambda room: room.images.retrieve(ids, with_payload, with_vector))

    async def _facet(
        self, collection: str, field: str, condition: edge.Filter | None, limit: int
    ) -> list[edge.FacetHit]:
        request = edge.FacetRequest(field, limit=limit, exact=True, filter=condition)
        return await self._within(collection, lambda room: room.images.facet(request).hits)

    async def _search_batch(self, collection: str, requests: list[edge.SearchRequest]) -> list[list[edge.ScoredPoint]]:
        # Not the engine's own batch: a query takes as long in it as alone, or longer.
        return await self._within(collection, lambda room: [room.images.search(request) for request in requests])

    async def _scroll(self, collection: str, request: edge.ScrollRequest) -> tuple[list[edge.Record], UUID | None]:
        found, following = await self._within(collection, lambda room: room.images.scroll(request))
        return found, optional_id(following)
