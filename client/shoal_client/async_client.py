"""The client, asynchronously."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shoal.v1 import collection_pb2, collection_service_pb2, status_service_pb2
from shoal_client import conversion, names
from shoal_client.async_collection import AsyncCollection
from shoal_client.backup import Progress, back_up
from shoal_client.credentials import Credentials, Tls
from shoal_client.errors import AlreadyExists, NotFound
from shoal_client.paging import MAX_PAGE, walk
from shoal_client.results import CollectionInfo, ServerStatus
from shoal_client.transport import DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_TARGET, DEFAULT_TIMEOUT_S, Transport


class AsyncClient:
    """A Shoal server, for asyncio programs. Make it in a coroutine, and use it in the same event loop.

    Making one does not connect yet, and reads nothing from the environment. All methods raise
    :class:`shoal_client.ShoalError` or a subclass; :class:`shoal_client.Unavailable` if no server answers, after about
    two seconds of trying.

    Args:
        target: the server's address, ``HOST:PORT``.
        max_message_bytes: the largest message sent or received, above 128 KiB; the server has a limit of its own.
        timeout: seconds that a call may take, its repetitions included; None means no limit. Ingesting, watching or
            activating a run, exporting and correcting have none.
        api_key: for servers that ask for one.
        tls: for an encrypted connection; None: it is not encrypted.
        plaintext: send the key even if the connection is not encrypted and leads to another machine.

    Raises:
        InvalidArgument: target is no address, max_message_bytes or timeout is out of its range, or the key would travel
            to another machine in clear.
        UnreadableFile: a file for TLS cannot be read.
        RuntimeError: no event loop is running.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        api_key: str | None = None,
        tls: Tls | None = None,
        plaintext: bool = False,
    ) -> None:
        self._transport = Transport(target, max_message_bytes, timeout, Credentials(api_key, tls, plaintext))

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

    async def attach(
        self,
        source: str,
        *,
        collection_id: str | None = None,
        vector: str = "",
        model: str | None = None,
        payload_key: str = "cluster_id",
        where: str | Mapping[str, Any] | None = None,
    ) -> CollectionInfo:
        """Begins to cluster a Qdrant collection that somebody else owns and fills; nothing else of it is touched.

        Args:
            source: name of the Qdrant collection, on the Qdrant server that Shoal stores in.
            collection_id: what it is called here; its own name if left out.
            vector: name of the vector to cluster; empty for the unnamed one.
            model: the model that the vectors come from, which must be the server's, so that texts and pictures can be
                compared with them; None if it is not known.
            payload_key: the field of the points' payload that the cluster's id is written to.
            where: a filter of Qdrant, as JSON or as what that stands for, that says which points belong; None: all.

        Raises:
            AlreadyExists: there is a collection of that id.
            FailedPrecondition: it cannot be attached; the message says why.
            InvalidArgument: an id, the key or the filter does not have its form.
        """
        if where is not None and not isinstance(where, str):
            where = json.dumps(where)
        request = collection_service_pb2.AttachCollectionRequest(
            collection_id=names.checked_collection_id(collection_id) if collection_id else "",
            attachment=collection_pb2.Attachment(
                source=source, vector=vector, payload_key=payload_key, filter_json=where or ""
            ),
            model=model or "",
        )
        # An index on many points takes its time.
        method = self._transport.collections.AttachCollection
        return conversion.collection(await self._transport.call(method, request, limited=False))

    async def detach(self, collection_id: str, *, clean: bool = False) -> int:
        """Ends an attachment, and forgets the clusters.

        Args:
            collection_id: as the collection is called here.
            clean: take the clusters' ids, and an index that Shoal made, from the points as well, so that they are as
                they were before.

        Returns:
            How many points the field was taken from; 0 without ``clean``.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: it is not attached.
        """
        request = collection_service_pb2.DetachCollectionRequest(name=names.collection_name(collection_id), clean=clean)
        method = self._transport.collections.DetachCollection
        return (await self._transport.call(method, request, limited=False)).cleaned_count

    async def delete_collection(self, collection_id: str) -> None:
        """Removes a collection with its images, clusters and runs. There is no undo.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: it is attached to somebody else's points; detach it.
        """
        request = collection_service_pb2.DeleteCollectionRequest(name=names.collection_name(collection_id))
        await self._transport.call(self._transport.collections.DeleteCollection, request)

    async def status(self) -> ServerStatus:
        """How the server is: whether model and store work, and what it has of each collection."""
        request = status_service_pb2.GetServerStatusRequest()
        return conversion.server_status(await self._transport.call(self._transport.servers.GetServerStatus, request))

    async def backup(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        with_files: bool = True,
        on_progress: Progress | None = None,
    ) -> int:
        """Writes a copy of the server's data folder, as it is at one moment, to a file that ``shoal restore`` unpacks.

        The file appears when all is written; nothing stays of it otherwise.

        Args:
            path: of the file; compressed with gzip if it ends in ``.gz`` or ``.tgz``.
            overwrite: replace a file that is there.
            with_files: thumbnails and originals of the images too.
            on_progress: called with the bytes that came so far, and about how many there will be.

        Returns:
            How many bytes came; the file has fewer if it is compressed.

        Raises:
            AlreadyExists: there is such a file, and it is not to be overwritten.
            FailedPrecondition: the server stores in Qdrant, or has no room for its copy of one collection.
            OSError: the file cannot be written.
        """
        return await back_up(
            self._transport, Path(path), overwrite=overwrite, with_files=with_files, on_progress=on_progress
        )
