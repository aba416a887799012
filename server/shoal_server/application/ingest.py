"""Storing images: read, decode, embed, assign, write; each image for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from shoal_server.application.assign import vote_on
from shoal_server.application.grouped_calls import GroupedCalls
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Embedder, ImageDecoder, ImageStore
from shoal_server.domain.image import Image, Metadata, Sha256, Vector, check_source, digest_of, image_id
from shoal_server.domain.moments import moment_of
from shoal_server.domain.places import place_of

#: Most images in one write to the store.
WRITE_BATCH = 64

#: Told the collection, and by how many its number of images changed.
OnChanged = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image as a client sends it."""

    content: bytes = field(repr=False)
    uri: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of an image.

    Attributes:
        image: as stored.
        duplicate: its bytes were stored before, and the stored image is as it was.
    """

    image: Image
    duplicate: bool


class _Batches:
    """What many images of one collection do together: being looked up, and being assigned and written."""

    def __init__(self, store: ImageStore, opened: OpenCollection, changed: OnChanged) -> None:
        self.opened = opened
        self._changed = changed
        self.lookups: GroupedCalls[UUID, Image | None] = GroupedCalls(self._look_up, WRITE_BATCH)
        self.writes: GroupedCalls[tuple[Image, Vector], Image] = GroupedCalls(self._write, WRITE_BATCH)
        self._store = store

    async def _look_up(self, ids: Sequence[UUID]) -> list[Image | None]:
        async with self.opened.gate.reading():
            found = await self._store.get_images(self.opened.id, ids)
        return [found.get(identity) for identity in ids]

    async def _write(self, images: Sequence[tuple[Image, Vector]]) -> list[Image]:
        vectors = np.stack([vector for _, vector in images])
        # From the vote to the write the clusters must not change: the ids would be of another run.
        async with self.opened.gate.reading():
            active = self.opened.clusters
            if active is not None:
                decisions = await vote_on(self._store, self.opened, active, vectors)
                images = [
                    (self._placed(image, cluster_id), vector)
                    for (image, vector), (cluster_id, _) in zip(images, decisions, strict=True)
                ]
            await self._store.upsert_images(self.opened.id, images)
        self._changed(self.opened.id, len(images))
        return [image for image, _ in images]

    def _placed(self, image: Image, cluster_id: int | None) -> Image:
        """The image in its cluster, and at the place and in the moment it belongs to, if they are known."""
        groupings, metadata = self.opened.groupings, image.metadata
        return replace(
            image,
            cluster_id=cluster_id,
            place_id=place_of(metadata.location, groupings.places),
            moment_id=moment_of(metadata.captured_at, groupings.moments),
        )


class Ingest:
    """Stores images; the same bytes are embedded and stored once, also when they are sent twice at the same time."""

    def __init__(
        self,
        collections: OpenCollections,
        store: ImageStore,
        decoder: ImageDecoder,
        embedder: Embedder,
        max_in_flight: int,
        changed: OnChanged = lambda collection, by: None,
    ) -> None:
        """Args:
        collections: where to.
        store: where to.
        decoder: of the files.
        embedder: of the pixels.
        max_in_flight: most images between decoding and embedding at once; bounds the memory that pixels take.
        changed: told how many images came to which collection.
        """
        self._collections = collections
        self._store = store
        self._decoder = decoder
        self._embedder = embedder
        self._changed = changed
        self._room = asyncio.Semaphore(max_in_flight)
        self._busy: dict[tuple[str, UUID], asyncio.Event] = {}
        self._open_batches: dict[str, _Batches] = {}

    async def check(self, collection: str) -> None:
        """Finds out whether images can be stored there at all, before the first of many is sent.

        Raises:
            ShoalError: as :meth:`OpenCollections.open`.
        """
        await self._collections.open(collection)

    async def __call__(self, collection: str, new: NewImage) -> Ingested:
        """Stores one image; when this returns, it is safe.

        Raises:
            UnreadableImage: the bytes are no image that is read here.
            ShoalError: as :meth:`OpenCollections.open` and :class:`Embedder`.
        """
        opened = await self._collections.open(collection)
        check_source(new.uri, new.tags)
        sha256 = await asyncio.to_thread(digest_of, new.content)
        key = (collection, image_id(sha256))
        while (other := self._busy.get(key)) is not None:
            await other.wait()
        done = self._busy[key] = asyncio.Event()
        try:
            stored = await self._batches(opened).lookups.ask(key[1])
            if stored is not None:
                return Ingested(stored, duplicate=True)
            return Ingested(await self._store_new(opened, key[1], sha256, new), duplicate=False)
        finally:
            del self._busy[key]
            done.set()

    async def _store_new(self, opened: OpenCollection, identity: UUID, sha256: Sha256, new: NewImage) -> Image:
        metadata, vector = await self._read(new.content)
        image = Image(
            id=identity,
            sha256=sha256,
            uri=new.uri,
            tags=new.tags,
            metadata=metadata,
            ingested_at=datetime.now(UTC),
        )
        return await self._batches(opened).writes.ask((image, vector))

    def _batches(self, opened: OpenCollection) -> _Batches:
        batches = self._open_batches.get(opened.id)
        if batches is None or batches.opened is not opened:
            # The first image of a collection, or of one that was deleted and made again.
            batches = self._open_batches[opened.id] = _Batches(self._store, opened, self._changed)
        return batches

    async def _read(self, content: bytes) -> tuple[Metadata, Vector]:
        async with self._room:
            decoded = await self._decoder.decode(content)
            metadata = decoded.metadata
            embedding = self._embedder.embed_image(decoded.pixels)
            # A photograph's pixels are tens of megabytes, and the model may be a while: nobody else may hold them.
            del decoded
            return metadata, await embedding
