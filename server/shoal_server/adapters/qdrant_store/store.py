"""The Store port on a Qdrant server.

The collection ``photos`` is the Qdrant collection ``photos``, with the images' vectors unnamed, so that other programs
search and filter it under that very name; its clusters are in ``photos.clusters``, the records of all collections, runs
and corrections in ``shoal.records``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Self

from qdrant_client import AsyncQdrantClient

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.access import clusters_of
from shoal_server.adapters.qdrant_store.attached import QdrantAttached
from shoal_server.adapters.qdrant_store.catalog import CREATING, DELETING, READY
from shoal_server.adapters.qdrant_store.clusters import QdrantClusters
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.adapters.qdrant_store.history import QdrantHistory
from shoal_server.adapters.qdrant_store.images import QdrantImages
from shoal_server.adapters.qdrant_store.records_format import bring_up_to_date
from shoal_server.adapters.qdrant_store.sharing import QdrantSharing, fenced, holds
from shoal_server.adapters.qdrant_store.tuned_client import TunedClient
from shoal_server.adapters.qdrant_store.tuning import Tuning
from shoal_server.adapters.qdrant_store.upgrading import upgrade_images
from shoal_server.domain.collection import Collection, check_collection_id
from shoal_server.domain.errors import (
    AttachedCollection,
    CollectionExists,
    CollectionNotFound,
    LeaseLost,
    RecordChanged,
    StoreIncompatible,
    StoreRefused,
    StoreUnavailable,
)
from shoal_server.domain.lease import Fence
from shoal_server.domain.payload import INDEXED, FieldType

_log = logging.getLogger(__name__)

#: Seconds between two looks whether a server has come up.
_LOOK_EVERY_S = 1.0


class QdrantStore(QdrantImages, QdrantClusters, QdrantHistory, QdrantAttached, QdrantSharing):
    """Collections on a Qdrant server or cluster."""

    def __init__(self, client: AsyncQdrantClient, location: str, tuning: Tuning | None = None) -> None:
        """Args:
        client: is closed with the store.
        location: where it leads to, for messages.
        tuning: how new collections are made; by default, as the server does it.
        """
        super().__init__(Connection(client, location))
        self._tuning = tuning or Tuning()
        self._changing = asyncio.Lock()

    @classmethod
    async def connect(
        cls,
        url: str,
        api_key: str | None = None,
        grpc_port: int | None = 6334,
        tuning: Tuning | None = None,
        wait_s: float = 0,
    ) -> Self:
        """Connects, checks the server's version and completes what a crash or an older version left undone.

        Deletions that were cut short are done before it returns, and fields and payload indexes that an older version
        did not make are made, once.

        Args:
            url: for instance ``https://qdrant.example.com:6333``.
            api_key: None for a server without one.
            grpc_port: of the same host; None for REST alone.
            tuning: how collections are made and calls are done.
            wait_s: so long a server that does not answer yet is waited for.

        Raises:
            StoreUnavailable: the server does not answer, or refuses the API key.
            StoreIncompatible: the server is too old.
        """
        tuning = tuning or Tuning()
        if api_key is not None and url.startswith("http:"):
            _log.warning("the API key of the Qdrant server goes to %s without TLS: whoever is on the way reads it", url)
        location = f"{url} ({'REST' if grpc_port is None else f'gRPC port {grpc_port}'})"
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            store = cls(TunedClient(url, api_key, grpc_port, tuning), location, tuning)
            try:
                await store._open()
            except BaseException as error:
                await store.close()
                left = deadline - asyncio.get_running_loop().time()
                if not isinstance(error, StoreUnavailable) or isinstance(error, StoreRefused) or left <= 0:
                    raise
                _log.warning("%s; waiting for it for %.0f s more", error.message, left)
                await asyncio.sleep(min(_LOOK_EVERY_S, left))
            else:
                return store

    async def _open(self) -> None:
        await self._connection.check_version()
        await bring_up_to_date(self._catalog, self._connection.location)
        for each in await self._catalog.collections(DELETING):
            with contextlib.suppress(RecordChanged):
                # Another server that is being started does the same.
                await self._give_up(DELETING, each)
        await self._finish_detaching()
        for each in await self._catalog.collections(READY):
            if each.attachment is None:
                await self._upgrade(each.id)

    async def close(self) -> None:
        """Closes the connection; what was acknowledged is durable already."""
        await self._client.close()

    async def create_collection(self, collection: Collection) -> None:
        """Makes the room for its images and clusters, payload indexes first, then the record.

        Raises:
            CollectionExists: there is one of that id.
            InvalidName: the id is not of the form of one.
            StoreIncompatible: there is a Qdrant collection of that name that Shoal did not make.
            RecordChanged: another server makes one of that id at the same time.
        """
        check_collection_id(collection.id)
        async with self._changing:
            found = await self._catalog.find_collection(collection.id)
            if found is not None:
                if found[0] == READY:
                    raise CollectionExists(collection.id)
                await self._give_up(*found)
            await self._refuse_strangers(collection.id)
            if await self._catalog.find_collection(collection.id) is not None:
                raise RecordChanged(collection.id)
            claim = await self._catalog.put_collection(CREATING, collection)
            await self._make_room(collection)
            await self._catalog.turn(collection, CREATING, READY, claim)

    async def get_collection(self, collection: str) -> Collection:
        """Raises:
        CollectionNotFound: there is none of that id.
        """
        found = await self._catalog.find_collection(collection)
        if found is None or found[0] != READY:
            self._known.pop(collection, None)
            raise CollectionNotFound(collection)
        # Another server may have made it again since, or attached it in another way.
        self._known[collection] = found[1]
        return found[1]

    async def list_collections(self) -> list[Collection]:
        """All, by id."""
        return sorted(await self._catalog.collections(READY), key=lambda collection: collection.id)

    async def update_collection(self, collection: Collection, fence: Fence | None = None) -> None:
        """Replaces the record of an existing collection, if this is its next version.

        Raises:
            CollectionNotFound: there is none of that id.
            RecordChanged: another server was faster.
            LeaseLost: another server has the lease.
        """
        if await self._catalog.next_version(collection, fenced(fence)):
            return
        await self.get_collection(collection.id)
        payload = await self._payload(collection.id)
        if fence is not None and payload is not None and not holds(payload, fence):
            raise LeaseLost(collection.id)
        raise RecordChanged(collection.id)

    async def delete_collection(self, collection: str) -> None:
        """Marks the record as deleted first, then removes images, clusters, runs, groupings and corrections.

        Raises:
            CollectionNotFound: there is none of that id.
            AttachedCollection: its images are somebody else's.
            RecordChanged: another server does something of the kind at the same time.
        """
        async with self._changing:
            record = await self.get_collection(collection)
            if record.attachment is not None:
                raise AttachedCollection(collection, "it cannot be deleted", f"`shoal detach {collection}` instead")
            await self._catalog.turn(record, READY, DELETING)
            self._known.pop(collection, None)
            await self._give_up(DELETING, record)

    async def _upgrade(self, collection: str) -> None:
        with contextlib.suppress(CollectionNotFound), self._connection.translated(collection):
            info = await self._client.get_collection(collection)
            await upgrade_images(self._client, collection, info)
            if differences := self._tuning.differences(info.config):
                _log.warning(
                    "the Qdrant collection %s was made with other settings (%s); they are for new collections, and "
                    "Qdrant's update_collection changes one that exists",
                    collection,
                    "; ".join(differences),
                )

    async def _refuse_strangers(self, collection: str) -> None:
        with self._connection.translated():
            for name in (collection, clusters_of(collection)):
                if await self._client.collection_exists(name):
                    raise StoreIncompatible(
                        f"the Qdrant server {self._connection.location} has a collection {name!r} that Shoal did not "
                        "make and does not touch; choose another name",
                        collection=collection,
                    )

    async def _make_room(self, collection: Collection) -> None:
        dimension = collection.model.dimension
        await self._create(collection.id, self._tuning.of_images(dimension), INDEXED)
        await self._create(clusters_of(collection.id), self._tuning.of_clusters(dimension), points.CLUSTER_FIELDS)

    async def _create(self, name: str, settings: Mapping[str, Any], fields: Mapping[str, FieldType]) -> None:
        with self._connection.translated():
            await self._client.create_collection(name, **settings)
            # At once: one after the other, some twenty round trips would add up. All are waited for.
            made = await asyncio.gather(
                *(
                    self._client.create_payload_index(name, field, points.SCHEMA[kind], wait=True)
                    for field, kind in fields.items()
                ),
                return_exceptions=True,
            )
            for each in made:
                if isinstance(each, BaseException):
                    raise each
