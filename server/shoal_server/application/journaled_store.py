"""A store that puts into the change log which images' assignments it is about to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from shoal_server.application.change_log import Journal
from shoal_server.application.ports import Store
from shoal_server.domain.image import Image, Vector
from shoal_server.domain.payload import CLUSTER_ID


def journaled_store(store: Store, journal: Journal) -> Store:
    """The same store; every change of an assignment must go through it.

    What changes no assignment passes through as it is.
    """
    return cast("Store", _JournaledStore(store, journal))


class _JournaledStore:
    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def upsert_images(self, collection: str, images: Sequence[tuple[Image, Vector]]) -> None:
        """As the port has it."""
        async with self._journal.writing(collection, [image.id for image, _ in images]):
            await self._store.upsert_images(collection, images)

    async def delete_images(self, collection: str, ids: Sequence[UUID]) -> None:
        """As the port has it."""
        async with self._journal.writing(collection, ids):
            await self._store.delete_images(collection, ids)

    async def set_group(self, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        """As the port has it."""
        async with self._journal.writing(collection, ids if field == CLUSTER_ID else ()):
            await self._store.set_group(collection, field, group_id, ids)

    async def delete_collection(self, collection: str) -> None:
        """As the port has it; the log goes last, so that what a crash leaves is only a log too many."""
        await self._store.delete_collection(collection)
        await self._journal.forget(collection)
