"""The ImageStore port on a Qdrant server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from qdrant_client import models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.access import READ_BATCH, UPSERT_BATCH, check_dimension
from shoal_server.adapters.qdrant_store.foreign_payload import to_cluster_id
from shoal_server.adapters.qdrant_store.layout import Layout
from shoal_server.adapters.qdrant_store.nearest import QdrantNearest
from shoal_server.application.capture_order import page_in_capture_order
from shoal_server.application.ports import CapturePosition, StoredVectors
from shoal_server.domain.errors import CollectionNotFound
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, Vector
from shoal_server.domain.payload import CAPTURED_LOCAL, CLUSTER_ID, said

_ID_BATCH = 1000
_FIRST_FACETS = 1024


class QdrantImages(QdrantNearest):
    """Images and their vectors: the points of the Qdrant collection that has the collection's name, or is attached.

    Every write waits until it is applied: an unwaited one is durable but would not be seen by the next read.
    """

    async def upsert_images(self, collection: str, images: Sequence[tuple[Image, Vector]]) -> None:
        """Stores images with their vectors; those of the same id are replaced.

        Raises:
            WrongDimension: a vector is not of the collection's model; nothing is stored.
            AttachedCollection: the points are somebody else's.
        """
        async with self._own_points(collection, "images cannot be put into it") as record:
            for _, vector in images:
                check_dimension(record, vector)
            for start in range(0, len(images), UPSERT_BATCH):
                batch = [points.image_point(*each) for each in images[start : start + UPSERT_BATCH]]
                await self._client.upsert(collection, batch, wait=True)

    async def get_images(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Image]:
        """The images of these ids; unknown ids are absent."""
        layout, _, found = await self._retrieve(collection, ids, with_payload=True, with_vectors=False)
        return {image.id: image for image in map(layout.to_image, found)}

    async def get_vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Vector]:
        """The unit vectors of these ids; unknown ids are absent.

        Raises:
            StoreIncompatible: the points are somebody else's, who has made them again with vectors of another length.
        """
        layout, dimension, found = await self._retrieve(collection, ids, with_payload=False, with_vectors=True)
        read = ((point, layout.to_vector(point)) for point in found)
        vectors = {layout.image_id(point.id): vector for point, vector in read if vector is not None}
        layout.check_vectors(dimension, list(vectors.values()))
        return vectors

    async def delete_images(self, collection: str, ids: Sequence[UUID]) -> None:
        """Removes images; unknown ids are passed over.

        Raises:
            AttachedCollection: the points are somebody else's.
        """
        async with self._own_points(collection, "images cannot be removed from it"):
            for start in range(0, len(ids), _ID_BATCH):
                batch = models.PointIdsList(points=[str(each) for each in ids[start : start + _ID_BATCH]])
                await self._client.delete(collection, batch, wait=True)

    async def count_images(self, collection: str, where: ImageFilter) -> int:
        """How many images, exactly."""
        async with self._points(collection) as (_, layout):
            return (await self._client.count(layout.source, layout.where(where), exact=True)).count

    async def count_by_cluster(self, collection: str) -> dict[int, int]:
        """Images per cluster id, exactly; ids without images are absent."""
        counts = await self.count_by(collection, CLUSTER_ID, ImageFilter())
        # Whatever an owner writes under the key of an attached collection is no cluster if it cannot be its id.
        found = ((to_cluster_id(value), count) for value, count in counts.items())
        return {cluster: count for cluster, count in found if cluster is not None}

    async def count_by(self, collection: str, field: str, where: ImageFilter) -> dict[str | int, int]:
        """Images per value of a field with an index, exactly; values without images are absent.

        Raises:
            InvalidField: the points are somebody else's and have no index on that field.
        """
        async with self._points(collection) as (_, layout):
            key = layout.key(field)
            if key is None:
                return {}
            condition = layout.where(where)
            limit = _FIRST_FACETS
            async with self._indexed(layout, field, "counted by it"):
                # The server keeps a queue of the limit's length, so it begins small.
                while (
                    len(hits := (await self._client.facet(layout.source, key, condition, limit, exact=True)).hits)
                    == limit
                ):
                    limit *= 16
        # In a server's index a value that no point has any more may stay, with a count of 0.
        return {hit.value: hit.count for hit in hits if hit.count}

    async def page_images(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        """Images in the order of their ids, and what to pass as ``after`` for the next page."""
        async with self._points(collection) as (_, layout):
            found, following = await self._client.scroll(
                layout.source,
                layout.where(where),
                limit,
                offset=None if after is None else layout.point_id(after),
                with_payload=True,
            )
        images = [layout.to_image(point) for point in found]
        return images, None if following is None else layout.image_id(_id(following))

    async def page_by_capture(
        self, collection: str, where: ImageFilter, after: CapturePosition | None, limit: int, descending: bool
    ) -> tuple[list[Image], CapturePosition | None]:
        """Images in the order of what the camera's clock showed, then of their ids, and where the next page begins.

        Raises:
            InvalidField: the points are somebody else's and have no index on that time.
        """
        return await page_in_capture_order(self, collection, where, after, limit, descending)

    async def first_by_capture(self, collection: str, where: ImageFilter, limit: int, descending: bool) -> list[Image]:
        """The first images in the order of their capture time; equal times in any order."""
        order = models.OrderBy(
            key=CAPTURED_LOCAL, direction=models.Direction.DESC if descending else models.Direction.ASC
        )
        async with self._points(collection) as (_, layout), self._indexed(layout, CAPTURED_LOCAL, "ordered by it"):
            found, _ = await self._client.scroll(
                layout.source, layout.where(where), limit, order_by=order, with_payload=True
            )
        images = [layout.to_image(point) for point in found]
        # What an owner has there may be no time that Shoal can read.
        return [image for image in images if image.metadata.captured_at is not None]

    async def scan_vectors(
        self, collection: str, with_vectors: bool = True, batch: int = READ_BATCH
    ) -> AsyncIterator[StoredVectors]:
        """The whole collection in batches, in the order of the ids.

        Raises:
            StoreIncompatible: the points are somebody else's, who has made them again with vectors of another length.
        """
        after: Any = None
        while True:
            async with self._points(collection) as (record, layout):
                found, after = await self._client.scroll(
                    layout.source,
                    layout.where(ImageFilter()),
                    limit=batch,
                    offset=after,
                    with_payload=list(layout.scanned),
                    with_vectors=layout.vectors if with_vectors else False,
                )
            if found:
                stretch = layout.to_stretch(found, with_vectors)
                if with_vectors:
                    layout.check_vectors(record.model.dimension, stretch.vectors)
                if stretch.ids:
                    # An owner's page may hold nothing but points without a direction.
                    yield stretch
            if after is None:
                return

    async def unclustered(self, collection: str) -> AsyncIterator[list[UUID]]:
        """The ids of all images in no cluster, in batches; nothing else of them is read."""
        after: Any = None
        while True:
            async with self._points(collection) as (_, layout):
                found, after = await self._client.scroll(
                    layout.source,
                    layout.where(ImageFilter(unclustered=True)),
                    _ID_BATCH,
                    offset=after,
                    with_payload=False,
                    with_vectors=False,
                )
            yield [layout.image_id(point.id) for point in found]
            if after is None:
                return

    async def set_group(self, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        """Writes one id (None removes it) to existing images and touches nothing else of their payload.

        Of somebody else's points only the cluster is written; what arrives while another server detaches is taken back.

        Raises:
            CollectionNotFound: it does not exist, or is not attached any more.
        """
        async with self._points(collection) as (record, layout):
            key = layout.key(field)
            if key is None:
                return
            await self._confirm(record)
            for start in range(0, len(ids), _ID_BATCH):
                # By filter: a server answers an unknown id with an error, though the others are written.
                batch = points.of_ids([layout.point_id(each) for each in ids[start : start + _ID_BATCH]])
                if group_id is None:
                    await self._client.delete_payload(layout.source, [key], batch, wait=True)
                    continue
                await self._client.set_payload(layout.source, {key: group_id}, batch, wait=True)
                try:
                    await self._confirm(record)
                except CollectionNotFound:
                    # Whoever cleaned the points may have been past these.
                    await self._client.delete_payload(layout.source, [key], batch, wait=True)
                    raise

    async def update_image(self, collection: str, image: Image) -> None:
        """Writes what people say of an existing image: its uri, also_at, tags and attributes, and nothing else.

        Raises:
            AttachedCollection: the points are somebody else's.
        """
        fields, absent = said(image)
        # By filter, as in set_group. All at once; a crash before the second call leaves only empty fields.
        of_image = points.of_ids([str(image.id)])
        async with self._own_points(collection, "its images cannot be changed"):
            await self._client.set_payload(collection, fields, of_image, wait=True)
            if absent:
                await self._client.delete_payload(collection, absent, of_image, wait=True)

    async def optimize(self, collection: str) -> None:
        """Does nothing but look whether the collection exists: a server builds its indexes by itself."""
        async with self._within(collection):
            pass

    async def _retrieve(
        self, collection: str, ids: Sequence[UUID], with_payload: bool, with_vectors: bool
    ) -> tuple[Layout, int, list[models.Record]]:
        """The layout, the dimension of the vectors that there should be, and the points."""
        found: list[models.Record] = []
        async with self._points(collection) as (record, layout):
            for start in range(0, len(ids), READ_BATCH):
                batch = [layout.point_id(each) for each in ids[start : start + READ_BATCH]]
                vectors = layout.vectors if with_vectors else False
                if layout.own:
                    found += await self._client.retrieve(layout.source, batch, with_payload, vectors)
                    continue
                # Not every point is an image there.
                among = models.Filter(must=[points.of_ids(batch), layout.where(ImageFilter()) or models.Filter()])
                stretch, _ = await self._client.scroll(
                    layout.source, among, len(batch), with_payload=with_payload, with_vectors=vectors
                )
                found += stretch
        return layout, record.model.dimension, found


def _id(offset: Any) -> int | str:
    """Where a scroll goes on, as the id that it is."""
    return offset if isinstance(offset, int) else str(offset)
