"""Around every call: its request id, its span, its numbers, and a line in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc

from shoal_server.application.log_context import note, request_id_of
from shoal_server.application.telemetry import Meter, Tracer
from shoal_server.rpc.interceptor import Context, Handler, OncePerMethod, Single, Streaming, around
from shoal_server.rpc.request_headers import REQUEST_ID_HEADER, answer_headers

#: What a call of a method that there is not counts as: anybody may make up names.
UNKNOWN = "unknown"

#: Verbs of methods that change nothing.
_READING = (
    "Assign", "Check", "Compare", "Download", "Export", "Facet", "Get", "List", "Recommend", "Search",
    "ServerReflection", "Stream", "Watch",
)  # fmt: skip
#: The metrics count them, and who has no credentials is told of by whoever asks for them.
_TURNED_AWAY = (grpc.StatusCode.UNAUTHENTICATED.name, grpc.StatusCode.RESOURCE_EXHAUSTED.name)
#: A single answer that took longer gets a line in the log, whatever it was.
SLOW_S = 1.0

_log = logging.getLogger("shoal_server.access")


class ObserveCalls(grpc.aio.ServerInterceptor):
    """The outermost interceptor: what the others refuse is observed as well."""

    def __init__(self, meter: Meter, tracer: Tracer) -> None:
        """Args:
        meter: told of every call.
        tracer: has a span for every call, below the caller's.
        """
        self._meter = meter
        self._tracer = tracer
        self._observing = OncePerMethod(self._around)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler that would have been called."""
        handler = await continuation(handler_call_details)
        if handler is None:
            self._meter.call_began(UNKNOWN, UNKNOWN)
            self._meter.call_ended(UNKNOWN, UNKNOWN, grpc.StatusCode.UNIMPLEMENTED.name, 0.0)
            return None
        return self._observing(handler_call_details.method, handler)

    def _around(self, full_name: str, handler: Handler) -> Handler:
        service, _, method = full_name.removeprefix("/").partition("/")
        observed = partial(self._observed, service, method, handler.response_streaming)
        return around(handler, partial(_single, observed), partial(_streaming, observed))

    @contextmanager
    def _observed(self, service: str, method: str, streams: bool, context: Context) -> Iterator[None]:
        headers = _headers(context)
        note(request_id=request_id_of(headers.get(REQUEST_ID_HEADER)))
        context.set_trailing_metadata(answer_headers())
        self._meter.call_began(service, method)
        began = time.perf_counter()
        code = grpc.StatusCode.UNKNOWN.name
        try:
            with self._tracer.call(service, method, headers) as tell_code:
                try:
                    yield
                    code = _code(context, grpc.StatusCode.OK)
                except BaseException:
                    code = _code(context, _left(context))
                    raise
                finally:
                    tell_code(code)
        finally:
            seconds = time.perf_counter() - began
            self._meter.call_ended(service, method, code, seconds)
            _tell(service, method, code, seconds, streams=streams)


def _single(observed: Callable[[Context], Any], behavior: Single) -> Single:
    async def call(request: Any, context: Context) -> Any:
        with observed(context):
            return await behavior(request, context)

    return call


def _streaming(observed: Callable[[Context], Any], behavior: Streaming) -> Streaming:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        with observed(context):
            async for response in behavior(request, context):
                yield response

    return call


def _headers(context: Context) -> Mapping[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _code(context: Context, otherwise: grpc.StatusCode) -> str:
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else otherwise.name


def _left(context: Context) -> grpc.StatusCode:
    """Why a handler was cancelled: the caller left, or had no more time."""
    remaining = context.time_remaining()
    return grpc.StatusCode.DEADLINE_EXCEEDED if remaining is not None and remaining <= 0 else grpc.StatusCode.CANCELLED


def _tell(service: str, method: str, code: str, seconds: float, *, streams: bool) -> None:
    """One line a call: at INFO if it changed something, failed or was slow, for that is what somebody looks for later.

    What is left is reading, which may be thousands of calls a second that nobody asks about, and is told at DEBUG. So
    are calls that were turned away at the door, which anybody may make as many of as they like. A stream is as slow as
    whoever reads it.
    """
    slow = seconds > SLOW_S and not streams
    failed = code not in (grpc.StatusCode.OK.name, grpc.StatusCode.CANCELLED.name)
    changing = service.startswith("shoal.") and not method.startswith(_READING)
    level = logging.INFO if (slow or failed or changing) and code not in _TURNED_AWAY else logging.DEBUG
    if _log.isEnabledFor(level):
        fields = {"rpc_service": service, "rpc_method": method, "rpc_code": code, "seconds": round(seconds, 6)}
        _log.log(level, "%s/%s %s in %.3f s", service, method, code, seconds, extra={"fields": fields})
