"""From a URI to a file's bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shoal_server.adapters.uri_fetcher.public_network import PublicNetwork
from shoal_server.adapters.uri_fetcher.rooted_files import RootedFiles
from shoal_server.adapters.uri_fetcher.web_files import WebFiles, refuse_web, without_secrets
from shoal_server.domain.errors import FetchNotAllowed

_FORMS = "only file:///path and http(s)://host/path are read by URI; write it as one of these, or send the file's bytes"


class UriFetcher:
    """A ``ContentFetcher`` for ``file``, ``http`` and ``https``."""

    def __init__(
        self,
        roots: Sequence[Path],
        http: bool,
        max_bytes: int,
        *,
        network: PublicNetwork | None = None,
        threads: int = 4,
    ) -> None:
        """Args:
        roots: files below these folders may be read; none if it is empty.
        http: public web addresses may be read.
        max_bytes: of one file.
        network: where web connections come from; None allows public addresses only.
        threads: that read files.
        """
        self._files = RootedFiles(roots, max_bytes)
        self._web = WebFiles(max_bytes, network or PublicNetwork()) if http else None
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="fetch")

    async def aclose(self) -> None:
        """Waits for the files that are being read and closes what is open."""
        if self._web is not None:
            await self._web.aclose()
        await asyncio.to_thread(self._pool.shutdown)

    async def fetch(self, uri: str) -> bytes:
        """The bytes of a file; see :class:`~shoal_server.application.ports.ContentFetcher`.

        Args:
            uri: ``file://``, ``http://`` or ``https://``.

        Raises:
            FetchNotAllowed: this server does not read there.
            FetchFailed: it may, but the file cannot be had.
            FetchUnavailable: it cannot be had just now.
            FileTooLarge: it has more than ``max_bytes``.
        """
        match uri.partition(":")[0].lower():
            case "file":
                return await asyncio.get_running_loop().run_in_executor(self._pool, self._files.read, uri)
            case "http" | "https":
                if self._web is None:
                    raise refuse_web(uri)
                return await self._web.read(uri)
            case _:
                raise FetchNotAllowed(without_secrets(uri), _FORMS)
