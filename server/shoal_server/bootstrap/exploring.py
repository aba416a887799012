"""The explorer: its page and its JSON API, on a port of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from shoal_server.bootstrap.guarding import Guarding
from shoal_server.bootstrap.use_cases import Built
from shoal_server.bootstrap.watching import Instruments
from shoal_server.settings import Settings, is_loopback
from shoal_server.web.api.app import Facts, Reached, make_api
from shoal_server.web.api.bodies import Bodies
from shoal_server.web.api.guarding import Guard
from shoal_server.web.server import WebServer
from shoal_server.web.tls import Certificates

_log = logging.getLogger(__name__)


@asynccontextmanager
async def exploring(
    settings: Settings, built: Built, guarding: Guarding, tools: Instruments
) -> AsyncIterator[str | None]:
    """Serves it for the time that the context is open; its URL, or None if there is to be none.

    Raises:
        InvalidField: the certificates cannot be used.
        OSError: the address cannot be listened on.
    """
    if settings.web_listen is None:
        yield None
        return
    host = settings.web_listen.rpartition(":")[0]
    guard = Guard(
        guarding.access,
        guarding.limits,
        guarding.trail,
        tools.meter,
        tools.tracer,
        Bodies(settings.max_message_bytes, settings.max_file_bytes, built.room),
    )
    app = make_api(
        built.web,
        guard,
        Facts(version("shoal"), settings.max_file_bytes, settings.keep_originals),
        Reached(loopback=is_loopback(host.strip("[]")), names=settings.web_hosts),
    )
    certificates = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        certificates = await asyncio.to_thread(
            Certificates, settings.tls_cert, settings.tls_key, settings.tls_client_ca
        )
    tls = None if certificates is None else certificates.context
    server = WebServer(app, "the explorer", "SHOAL_WEB_LISTEN", tls)
    port = await server.start(settings.web_listen)
    url = f"http{'' if tls is None else 's'}://{host}:{port}/"
    _log.info("the explorer is at %s", url)
    try:
        yield url
    finally:
        await server.stop()
