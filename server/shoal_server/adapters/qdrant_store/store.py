"""The Store port on a Qdrant server.

The collection ``photos`` is the Qdrant collection ``photos``, with the images' vectors unnamed, so that other programs
search and filter it under that very name; its clusters are in ``photos.clusters``, the records of all collections, runs
and corrections in ``shoal.records``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from qdrant_client import AsyncQdrantClient, models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.access import clusters_of
from shoal_server.adapters.qdrant_store.catalog import CREATING, DELETING, READY
from shoal_server.adapters.qdrant_store.clusters import QdrantClusters
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.adapters.qdrant_store.history import QdrantHistory
from shoal_server.adapters.qdrant_store.images import QdrantImages
from shoal_server.adapters.qdrant_store.upgrading import upgrade_images
from shoal_server.domain.collection import Collection, check_collection_id
from shoal_server.domain.errors import CollectionExists, CollectionNotFound, StoreIncompatible
from shoal_server.domain.payload import INDEXED, FieldType

#: Seconds for one call; the client's own default of 5 is short for a batch that waits for an index.
_TIMEOUT_S = 60


class QdrantStore(QdrantImages, QdrantClusters, QdrantHistory):
    """Collections on a Qdrant server or cluster, which one Shoal server at a time may use."""

    def __init__(self, client: AsyncQdrantClient, location: str) -> None:
        """Args:
        client: is closed with the store.
        location: where it leads to, for messages.
        """
        super().__init__(Connection(client, location))
        self._changing = asyncio.Lock()

    @classmethod
    async def connect(cls, url: str, api_key: str | None = None, grpc_port: int = 6334) -> QdrantStore:
        """Connects over gRPC, checks the server's version and completes what a crash or an older version left undone.

        Deletions that were cut short are done before it returns, and fields and payload indexes that an older version
        did not make are made, once.

        Args:
            url: for instance ``https://qdrant.example.com:6333``.
            api_key: None for a server without one.
            grpc_port: of the same host.

        Raises:
            StoreUnavailable: the server does not answer, or refuses the API key.
            StoreIncompatible: the server is too old.
        """
        client = AsyncQdrantClient(
            url=url,
            api_key=api_key,
            grpc_port=grpc_port,
            prefer_grpc=True,
            timeout=_TIMEOUT_S,
            # The client's own check only warns.
            check_compatibility=False,
        )
        store = cls(client, f"{url} (gRPC port {grpc_port})")
        try:
            await store._connection.check_version()
            for each in await store._catalog.collections(DELETING):
                await store._clear(each.id)
            for each in await store._catalog.collections(READY):
                await store._upgrade(each.id)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Closes the connection; what was acknowledged is durable already."""
        await self._client.close()

    async def create_collection(self, collection: Collection) -> None:
        """Makes the room for its images and clusters, payload indexes first, then the record.

        Raises:
            CollectionExists: there is one of that id.
            InvalidName: the id is not of the form of one.
            StoreIncompatible: there is a Qdrant collection of that name that Shoal did not make.
        """
        check_collection_id(collection.id)
        async with self._changing:
            found = await self._catalog.find_collection(collection.id)
            if found is None:
                await self._refuse_strangers(collection.id)
            elif found[0] == READY:
                raise CollectionExists(collection.id)
            else:
                await self._clear(collection.id)
            await self._catalog.put_collection(CREATING, collection)
            dimension = collection.model.dimension
            await self._create(collection.id, dimension, INDEXED)
            await self._create(clusters_of(collection.id), dimension, points.CLUSTER_FIELDS)
            await self._catalog.put_collection(READY, collection)

    async def get_collection(self, collection: str) -> Collection:
        """Raises:
        CollectionNotFound: there is none of that id.
        """
        found = await self._catalog.find_collection(collection)
        if found is None or found[0] != READY:
            raise CollectionNotFound(collection)
        return found[1]

    async def list_collections(self) -> list[Collection]:
        """All, by id."""
        return sorted(await self._catalog.collections(READY), key=lambda collection: collection.id)

    async def update_collection(self, collection: Collection) -> None:
        """Replaces the record of an existing collection."""
        async with self._changing:
            await self.get_collection(collection.id)
            await self._catalog.put_collection(READY, collection)

    async def delete_collection(self, collection: str) -> None:
        """Marks the record as deleted first, then removes images, clusters, runs, groupings and corrections.

        Raises:
            CollectionNotFound: there is none of that id.
        """
        async with self._changing:
            await self._catalog.put_collection(DELETING, await self.get_collection(collection))
            self._known.pop(collection, None)
            await self._clear(collection)

    async def _clear(self, collection: str) -> None:
        with self._connection.translated():
            for name in (collection, clusters_of(collection)):
                if await self._client.collection_exists(name):
                    await self._client.delete_collection(name)
        await self._catalog.forget(collection)

    async def _upgrade(self, collection: str) -> None:
        with contextlib.suppress(CollectionNotFound), self._connection.translated(collection):
            await upgrade_images(self._client, collection)

    async def _refuse_strangers(self, collection: str) -> None:
        with self._connection.translated():
            for name in (collection, clusters_of(collection)):
                if await self._client.collection_exists(name):
                    raise StoreIncompatible(
                        f"the Qdrant server {self._connection.location} has a collection {name!r} that Shoal did not "
                        "make and does not touch; choose another name",
                        collection=collection,
                    )

    async def _create(self, name: str, dimension: int, fields: Mapping[str, FieldType]) -> None:
        with self._connection.translated():
            await self._client.create_collection(
                name, vectors_config=models.VectorParams(size=dimension, distance=models.Distance.COSINE)
            )
            for field, kind in fields.items():
                await self._client.create_payload_index(name, field, points.SCHEMA[kind], wait=True)
