"""The client, asynchronously."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

from shoal.v1 import collection_pb2, collection_service_pb2
from shoal_client import conversion, names
from shoal_client.async_collection import AsyncCollection
from shoal_client.errors import AlreadyExists, NotFound
from shoal_client.paging import MAX_PAGE, walk
from shoal_client.results import CollectionInfo
from shoal_client.transport import DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_TARGET, DEFAULT_TIMEOUT_S, Transport


class AsyncClient:
    """A Shoal server, for asyncio programs. Make it in a coroutine, and use it in the same event loop.

    Making one does not connect yet. All methods raise :class:`shoal_client.ShoalError` or a subclass;
    :class:`shoal_client.Unavailable` if no server answers, after about two seconds of trying.

    Args:
        target: the server's address, ``HOST:PORT``.
        max_message_bytes: the largest message sent or received, above 128 KiB; the server has a limit of its own.
        timeout: seconds that a call may take, its repetitions included; None means no limit. Ingesting, watching or
            activating a run, exporting and correcting have none.

    Raises:
        InvalidArgument: target is no address, or max_message_bytes or timeout is out of its range.
        RuntimeError: no event loop is running.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        timeout: float | None = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._transport = Transport(target, max_message_bytes, timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.target!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls under way are cancelled. Closing twice does nothing."""
        await self._transport.close()

    def collection(self, collection_id: str) -> AsyncCollection:
        """A handle on a collection; asks the server nothing.

        Raises:
            InvalidArgument: the id does not have its form.
        """
        return AsyncCollection(self._transport, collection_id)

    def collections(self, *, page_size: int = MAX_PAGE) -> AsyncGenerator[CollectionInfo, None]:
        """All collections by id, a page at a time.

        Args:
            page_size: collections fetched at once, 1 to 1000.
        """

        async def fetch(token: str) -> tuple[list[CollectionInfo], str]:
            request = collection_service_pb2.ListCollectionsRequest(page_size=page_size, page_token=token)
            page = await self._transport.call(self._transport.collections.ListCollections, request)
            return [conversion.collection(each) for each in page.collections], page.next_page_token

        return walk(fetch)

    async def get_collection(self, collection_id: str) -> CollectionInfo:
        """One collection.

        Raises:
            NotFound: there is none of that id.
        """
        request = collection_service_pb2.GetCollectionRequest(name=names.collection_name(collection_id))
        return conversion.collection(await self._transport.call(self._transport.collections.GetCollection, request))

    async def create_collection(self, collection_id: str, *, model: str | None = None) -> CollectionInfo:
        """Makes a collection.

        Args:
            collection_id: 1 to 63 characters of a-z, 0-9, ``-`` and ``_``, beginning with a letter.
            model: name of the embedding model, which is the collection's for life; the server's if left out.

        Raises:
            AlreadyExists: there is one of that id.
            FailedPrecondition: the server runs another model.
            InvalidArgument: the id does not have its form.
        """
        request = collection_service_pb2.CreateCollectionRequest(
            collection_id=names.checked_collection_id(collection_id),
            collection=collection_pb2.Collection(model=collection_pb2.EmbeddingModel(name=model or "")),
        )
        return conversion.collection(await self._transport.call(self._transport.collections.CreateCollection, request))

    async def ensure_collection(self, collection_id: str) -> CollectionInfo:
        """The collection; made with the server's model if there was none.

        Raises:
            InvalidArgument: the id does not have its form.
        """
        try:
            return await self.get_collection(collection_id)
        except NotFound:
            pass
        try:
            return await self.create_collection(collection_id)
        except AlreadyExists:  # somebody else was faster
            return await self.get_collection(collection_id)

    async def delete_collection(self, collection_id: str) -> None:
        """Removes a collection with its images, clusters and runs. There is no undo.

        Raises:
            NotFound: there is none of that id.
        """
        request = collection_service_pb2.DeleteCollectionRequest(name=names.collection_name(collection_id))
        await self._transport.call(self._transport.collections.DeleteCollection, request)
