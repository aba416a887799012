"""What a server is watched by: its numbers, traces, health, and HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from urllib.parse import urlsplit

from shoal_server.adapters.prometheus_metrics import PrometheusMetrics
from shoal_server.application.access import Access
from shoal_server.application.census import Census
from shoal_server.application.readings import Readings
from shoal_server.application.status import Identity
from shoal_server.application.telemetry import NoTracer, Tracer
from shoal_server.application.vitals import Vitals
from shoal_server.domain.errors import MissingExtra
from shoal_server.settings import Settings
from shoal_server.web.app import Watched, anybody, make_app
from shoal_server.web.authorization import by_api_key
from shoal_server.web.server import WebServer

_log = logging.getLogger(__name__)

#: OpenTelemetry's own variables that say where traces go.
_OTEL_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
#: Seconds that counts on the page may be old, and that a scrape waits for newer ones.
_COUNT_EVERY_S, _SCRAPE_PATIENCE_S = 60.0, 2.0


@dataclass(frozen=True, slots=True)
class Instruments:
    """What the work is told to.

    Attributes:
        meter: numbers.
        tracer: spans.
    """

    meter: PrometheusMetrics
    tracer: Tracer


@asynccontextmanager
async def instruments(settings: Settings) -> AsyncIterator[Instruments]:
    """For the time that a server runs; spans that are left are sent at the end.

    Raises:
        MissingExtra: traces are asked for and cannot be had.
    """
    meter = PrometheusMetrics()
    named = any(os.environ.get(name) for name in _OTEL_ENDPOINTS)
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not (settings.otlp_endpoint or named):
        yield Instruments(meter, NoTracer())
        return
    try:
        # Imported here: it is an extra.
        from shoal_server.adapters.tracing import OtelTracer
    except ModuleNotFoundError as error:
        if settings.otlp_endpoint is not None:
            raise MissingExtra("sending traces (SHOAL_OTLP_ENDPOINT)", "tracing") from error
        # Such variables may have been set for all programs of a machine.
        named_by = " or ".join(_OTEL_ENDPOINTS)
        _log.warning("no traces are sent although %s is set: pip install 'shoal[tracing]'", named_by)
        yield Instruments(meter, NoTracer())
        return
    tracer = OtelTracer.exporting(version("shoal"), settings.otlp_endpoint)
    try:
        yield Instruments(meter, tracer)
    finally:
        await tracer.aclose()


def identity_of(settings: Settings) -> Identity:
    """What a server says of itself."""
    store = "embedded"
    if settings.qdrant_url is not None:
        # Without what may be a secret in the URL.
        where = urlsplit(settings.qdrant_url)
        store = f"Qdrant at {where.hostname or ''}{'' if where.port is None else f':{where.port}'}"
    return Identity(version("shoal"), store, datetime.now(UTC))


@asynccontextmanager
async def serving_http(
    settings: Settings, vitals: Vitals, census: Census, meter: PrometheusMetrics, access: Access
) -> AsyncIterator[str | None]:
    """An HTTP server for the time that the context is open; its address, or None if there is to be none.

    Raises:
        OSError: the address cannot be listened on.
    """
    if settings.http_listen is None:
        yield None
        return

    async def page() -> tuple[bytes, str]:
        await census.look(_COUNT_EVERY_S, _SCRAPE_PATIENCE_S)
        meter.look()
        return await asyncio.to_thread(meter.page)

    app = make_app(Watched(lambda: vitals.problems, page), anybody if settings.http_public else by_api_key(access))
    server = WebServer(app, "metrics and health", "SHOAL_HTTP_LISTEN")
    port = await server.start(settings.http_listen)
    address = f"{settings.http_listen.rpartition(':')[0]}:{port}"
    _log.info("metrics and health on http://%s", address)
    try:
        yield address
    finally:
        await server.stop()


def show(meter: PrometheusMetrics, identity: Identity, model: str, readings: Callable[[], Readings]) -> None:
    """Has the meter show a server."""
    store = "embedded" if identity.store == "embedded" else "qdrant"
    meter.show(readings, version=identity.version, model=model, store=store)
