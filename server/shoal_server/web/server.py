"""The HTTP server, on the event loop of everything else."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from shoal_server.web.tls import subject_of

_log = logging.getLogger(__name__)

#: Seconds that requests under way get when the server is stopped.
_GRACE_S = 2
_MAX_CONNECTIONS = 200
#: Seconds after which a connection is closed on which nothing is asked; up to twice as many after an answer.
_IDLE_S = 10.0


class _Quiet(uvicorn.Server):
    """Leaves the process's signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Impatient(H11Protocol):
    """Closes a connection on which nothing was asked for some time: uvicorn waits for a first request for ever."""

    _looking: asyncio.TimerHandle | None = None
    _seen: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        """Begins to look."""
        super().connection_made(transport)
        # Every request of the connection has it in its state.
        self.app_state = {**self.app_state, "certificate": subject_of(transport.get_extra_info("peercert"))}
        self._looking = self.loop.call_later(_IDLE_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends looking."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self._looking = self.loop.call_later(_IDLE_S, self._look)


class WebServer:
    """Listens, serves, and stops."""

    def __init__(self, app: ASGIApp, what: str, setting: str, tls: ssl.SSLContext | None = None) -> None:
        """Args:
        app: what to serve.
        what: it is, for messages.
        setting: the variable that says where.
        tls: with TLS; None: without.
        """
        self._what, self._setting = what, setting
        config = uvicorn.Config(
            app,
            http=_Impatient,
            log_config=None,
            # That it comes and goes is told elsewhere.
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_S,
        )
        config.load()
        # Its own context reads the certificate once and for all.
        config.ssl = tls
        self._server = _Quiet(config)
        self._serving: asyncio.Task[None] | None = None
        self._listening: socket.socket | None = None

    async def start(self, address: str) -> int:
        """Listens and serves.

        Args:
            address: host and port; port 0 picks a free one.

        Returns:
            The port.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._listening = listening = await asyncio.to_thread(_listen, address, self._setting)
        port: int = listening.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listening]), name="web server")
        self._serving.add_done_callback(self._ended)
        return port

    async def stop(self) -> None:
        """Takes no more requests and gives those under way 2 seconds."""
        if self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    def _ended(self, serving: asyncio.Task[None]) -> None:
        if not serving.cancelled() and not self._server.should_exit:
            _log.critical("the HTTP server has ended: nobody sees %s", self._what, exc_info=serving.exception())


def _listen(address: str, setting: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        [(family, kind, protocol, _, where), *_] = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            # Two that have bound one port and do not listen yet know nothing of one another.
            listening.listen()
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise OSError(
            f"cannot listen on {address} for HTTP: {error.strerror or error}; choose another with {setting}"
        ) from error
    return listening
