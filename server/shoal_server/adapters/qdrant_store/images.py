"""The ImageStore port on a Qdrant server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.access import READ_BATCH, UPSERT_BATCH, Access, check_dimension
from shoal_server.adapters.qdrant_store.filters import to_filter
from shoal_server.application.capture_order import page_in_capture_order
from shoal_server.application.ports import DIVERSE_AMONG, CapturePosition, StoredVectors
from shoal_server.domain.diversity import diverse_order
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, ScoredImage, Vector
from shoal_server.domain.payload import CAPTURED_LOCAL, CLUSTER_ID, said

_ID_BATCH = 1000
_FIRST_FACETS = 1024


class QdrantImages(Access):
    """Images and their vectors: the points of the Qdrant collection that has the collection's name.

    Every write waits until it is applied: an unwaited one is durable but would not be seen by the next read.
    """

    async def upsert_images(self, collection: str, images: Sequence[tuple[Image, Vector]]) -> None:
        """Stores images with their vectors; those of the same id are replaced.

        Raises:
            WrongDimension: a vector is not of the collection's model; nothing is stored.
        """
        async with self._within(collection) as record:
            for _, vector in images:
                check_dimension(record, vector)
            for start in range(0, len(images), UPSERT_BATCH):
                batch = [points.image_point(*each) for each in images[start : start + UPSERT_BATCH]]
                await self._client.upsert(collection, batch, wait=True)

    async def get_images(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Image]:
        """The images of these ids; unknown ids are absent."""
        found = await self._retrieve(collection, ids, with_payload=True, with_vectors=False)
        return {image.id: image for image in map(points.to_image, found)}

    async def get_vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Vector]:
        """The unit vectors of these ids; unknown ids are absent."""
        found = await self._retrieve(collection, ids, with_payload=False, with_vectors=True)
        return {UUID(str(point.id)): points.to_vector(point) for point in found}

    async def delete_images(self, collection: str, ids: Sequence[UUID]) -> None:
        """Removes images; unknown ids are passed over."""
        async with self._within(collection):
            for start in range(0, len(ids), _ID_BATCH):
                batch = models.PointIdsList(points=[str(each) for each in ids[start : start + _ID_BATCH]])
                await self._client.delete(collection, batch, wait=True)

    async def count_images(self, collection: str, where: ImageFilter) -> int:
        """How many images, exactly."""
        async with self._within(collection):
            return (await self._client.count(collection, to_filter(where), exact=True)).count

    async def count_by_cluster(self, collection: str) -> dict[int, int]:
        """Images per cluster id, exactly; ids without images are absent."""
        counts = await self.count_by(collection, CLUSTER_ID, ImageFilter())
        return {int(cluster): count for cluster, count in counts.items()}

    async def count_by(self, collection: str, field: str, where: ImageFilter) -> dict[str | int, int]:
        """Images per value of a field with an index, exactly; values without images are absent."""
        condition = to_filter(where)
        limit = _FIRST_FACETS
        async with self._within(collection):
            # The server keeps a queue of the limit's length, so it begins small.
            while (
                len(hits := (await self._client.facet(collection, field, condition, limit, exact=True)).hits) == limit
            ):
                limit *= 16
        # In a server's index a value that no point has any more may stay, with a count of 0.
        return {hit.value: hit.count for hit in hits if hit.count}

    async def page_images(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        """Images in the order of their ids, and what to pass as ``after`` for the next page."""
        async with self._within(collection):
            found, following = await self._client.scroll(
                collection,
                to_filter(where),
                limit,
                offset=None if after is None else str(after),
                with_payload=True,
            )
        return [points.to_image(point) for point in found], None if following is None else UUID(str(following))

    async def page_by_capture(
        self, collection: str, where: ImageFilter, after: CapturePosition | None, limit: int, descending: bool
    ) -> tuple[list[Image], CapturePosition | None]:
        """Images in the order of what the camera's clock showed, then of their ids, and where the next page begins."""
        return await page_in_capture_order(self, collection, where, after, limit, descending)

    async def first_by_capture(self, collection: str, where: ImageFilter, limit: int, descending: bool) -> list[Image]:
        """The first images in the order of their capture time; equal times in any order."""
        order = models.OrderBy(
            key=CAPTURED_LOCAL, direction=models.Direction.DESC if descending else models.Direction.ASC
        )
        async with self._within(collection):
            found, _ = await self._client.scroll(collection, to_filter(where), limit, order_by=order, with_payload=True)
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

        A server searches exactly until it has built an index (about 10 MB of vectors), then approximately.

        Raises:
            WrongDimension: the vector is not of the collection's model.
        """
        diverse = diversity > 0
        async with self._within(collection) as record:
            check_dimension(record, vector)
            answer = await self._client.query_points(
                collection,
                vector.tolist(),
                query_filter=to_filter(where),
                limit=DIVERSE_AMONG if diverse else limit,
                offset=0 if diverse else offset,
                score_threshold=score_threshold,
                with_payload=True,
                with_vectors=diverse,
            )
        found = answer.points
        if diverse:
            # Not the server's own reordering: the oldest version that is supported does not have it, and both stores
            # must answer alike.
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
        condition = to_filter(where)
        async with self._within(collection) as record:
            for vector in vectors:
                check_dimension(record, vector)
            requests = [
                models.QueryRequest(query=vector.tolist(), filter=condition, limit=limit, with_payload=[CLUSTER_ID])
                for vector in vectors
            ]
            answers = await self._client.query_batch_points(collection, requests) if requests else []
        return [
            (
                points.group_ids(answer.points, CLUSTER_ID),
                np.array([point.score for point in answer.points], dtype=np.float32),
            )
            for answer in answers
        ]

    async def scan_vectors(
        self, collection: str, with_vectors: bool = True, batch: int = READ_BATCH
    ) -> AsyncIterator[StoredVectors]:
        """The whole collection in batches, in the order of the ids."""
        after: Any = None
        while True:
            async with self._within(collection):
                found, after = await self._client.scroll(
                    collection, limit=batch, offset=after, with_payload=points.SCANNED, with_vectors=with_vectors
                )
            if found:
                yield points.to_stretch(found, with_vectors)
            if after is None:
                return

    async def set_group(self, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        """Writes one id (None removes it) to existing images and touches nothing else of their payload."""
        async with self._within(collection):
            for start in range(0, len(ids), _ID_BATCH):
                # By filter: a server answers an unknown id with an error, though the others are written.
                batch = points.of_ids(ids[start : start + _ID_BATCH])
                if group_id is None:
                    await self._client.delete_payload(collection, [field], batch, wait=True)
                else:
                    await self._client.set_payload(collection, {field: group_id}, batch, wait=True)

    async def update_image(self, collection: str, image: Image) -> None:
        """Writes what people say of an existing image: its uri, also_at, tags and attributes, and nothing else."""
        fields, absent = said(image)
        # By filter, as in set_group. All at once; a crash before the second call leaves only empty fields.
        of_image = points.of_ids([image.id])
        async with self._within(collection):
            await self._client.set_payload(collection, fields, of_image, wait=True)
            if absent:
                await self._client.delete_payload(collection, absent, of_image, wait=True)

    async def optimize(self, collection: str) -> None:
        """Does nothing but look whether the collection exists: a server builds its indexes by itself."""
        async with self._within(collection):
            pass

    async def _retrieve(
        self, collection: str, ids: Sequence[UUID], with_payload: bool, with_vectors: bool
    ) -> list[models.Record]:
        found: list[models.Record] = []
        async with self._within(collection):
            for start in range(0, len(ids), READ_BATCH):
                batch = [str(each) for each in ids[start : start + READ_BATCH]]
                found += await self._client.retrieve(
                    collection, batch, with_payload=with_payload, with_vectors=with_vectors
                )
        return found
