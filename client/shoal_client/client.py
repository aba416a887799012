"""The client, synchronously: every method waits for the one of the same name of :class:`shoal_client.AsyncClient`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shoal_client.async_client import AsyncClient
from shoal_client.backup import Progress
from shoal_client.collection import Collection
from shoal_client.credentials import Tls
from shoal_client.event_loop_thread import EventLoopThread
from shoal_client.paging import MAX_PAGE
from shoal_client.results import CollectionInfo, ServerStatus
from shoal_client.transport import DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_TARGET, DEFAULT_TIMEOUT_S


class Client:
    """A Shoal server, for programs without asyncio; may be used from many threads at once.

    Making one does not connect yet, and reads nothing from the environment. All methods raise
    :class:`shoal_client.ShoalError` or a subclass; :class:`shoal_client.Unavailable` if no server answers, after about
    two seconds of trying. Use it in a ``with`` block, or close it.

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
        async def connect() -> AsyncClient:
            return AsyncClient(
                target,
                max_message_bytes=max_message_bytes,
                timeout=timeout,
                api_key=api_key,
                tls=tls,
                plaintext=plaintext,
            )

        self._target = target
        self._loop = EventLoopThread()
        try:
            self._client = self._loop.run(connect())
        except BaseException:
            self._loop.close()
            raise

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls under way are cancelled. Closing twice does nothing."""
        if not self._loop.closed:
            self._loop.run(self._client.close())
            self._loop.close()

    def collection(self, collection_id: str) -> Collection:
        """A handle on a collection; asks the server nothing.

        Raises:
            InvalidArgument: the id does not have its form.
        """
        return Collection(self._client.collection(collection_id), self._loop)

    def collections(self, *, page_size: int = MAX_PAGE) -> Iterator[CollectionInfo]:
        """See :meth:`AsyncClient.collections`."""
        return self._loop.iterate(lambda: self._client.collections(page_size=page_size))

    def get_collection(self, collection_id: str) -> CollectionInfo:
        """See :meth:`AsyncClient.get_collection`."""
        return self._loop.run(self._client.get_collection(collection_id))

    def create_collection(self, collection_id: str, *, model: str | None = None) -> CollectionInfo:
        """See :meth:`AsyncClient.create_collection`."""
        return self._loop.run(self._client.create_collection(collection_id, model=model))

    def ensure_collection(self, collection_id: str) -> CollectionInfo:
        """See :meth:`AsyncClient.ensure_collection`."""
        return self._loop.run(self._client.ensure_collection(collection_id))

    def attach(
        self,
        source: str,
        *,
        collection_id: str | None = None,
        vector: str = "",
        model: str | None = None,
        payload_key: str = "cluster_id",
        where: str | Mapping[str, Any] | None = None,
    ) -> CollectionInfo:
        """See :meth:`AsyncClient.attach`."""
        return self._loop.run(
            self._client.attach(
                source,
                collection_id=collection_id,
                vector=vector,
                model=model,
                payload_key=payload_key,
                where=where,
            )
        )

    def detach(self, collection_id: str, *, clean: bool = False) -> int:
        """See :meth:`AsyncClient.detach`."""
        return self._loop.run(self._client.detach(collection_id, clean=clean))

    def delete_collection(self, collection_id: str) -> None:
        """See :meth:`AsyncClient.delete_collection`."""
        self._loop.run(self._client.delete_collection(collection_id))

    def status(self) -> ServerStatus:
        """See :meth:`AsyncClient.status`."""
        return self._loop.run(self._client.status())

    def backup(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        with_files: bool = True,
        on_progress: Progress | None = None,
    ) -> int:
        """See :meth:`AsyncClient.backup`; the progress is told in another thread."""
        return self._loop.run(
            self._client.backup(path, overwrite=overwrite, with_files=with_files, on_progress=on_progress)
        )
