"""What the parts of the store share: which collections there are, and where their points stand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from shoal_server.adapters.qdrant_store.catalog import READY, Catalog
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import CollectionNotFound, WrongDimension
from shoal_server.domain.image import Vector

#: Points given to the client at once, which may need several requests for them, and in one read.
UPSERT_BATCH = 1024
READ_BATCH = 1024


class Access:
    """Entry to collections that exist."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self._catalog = Catalog(connection)
        # Only a collection's existence and its model are taken from here: the rest of a record changes.
        self._known: dict[str, Collection] = {}

    @property
    def connection(self) -> Connection:
        """To the server."""
        return self._connection

    @contextlib.asynccontextmanager
    async def _within(self, collection: str) -> AsyncIterator[Collection]:
        """Around calls about a collection.

        Raises:
            CollectionNotFound: it does not exist, or another server has deleted it.
        """
        if collection not in self._known:
            found = await self._catalog.find_collection(collection)
            if found is None or found[0] != READY:
                raise CollectionNotFound(collection)
            self._known[collection] = found[1]
        try:
            with self._connection.translated(collection):
                yield self._known[collection]
        except (CollectionNotFound, WrongDimension):
            # Another server may have deleted it, or made it again with another model.
            self._known.pop(collection, None)
            raise


def clusters_of(collection: str) -> str:
    """The Qdrant collection with a collection's clusters; its images are in the one of its own name.

    No collection's id has a dot, so that none can have this name.
    """
    return f"{collection}.clusters"


def check_dimension(record: Collection, vector: Vector) -> None:
    """Raises:
    WrongDimension: the vector is not of the collection's model.
    """
    if vector.shape != (record.model.dimension,):
        raise WrongDimension(vector.size, record.model.dimension, record.model.name or "(unknown)")
