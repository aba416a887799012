"""Traces of OpenTelemetry that go on in the server, for programs that have tracing set up."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

AnyChannel = TypeVar("AnyChannel")

_Metadata = Sequence[tuple[str, str | bytes]]


def traced(channel: AnyChannel) -> AnyChannel:
    """The same channel, with a span around every call and the trace's id sent along.

    That is so in programs that have imported OpenTelemetry before; all others get the channel as it is.
    """
    if "opentelemetry.trace" not in sys.modules:
        return channel
    return cast("AnyChannel", _TracedChannel(channel))


class _TracedChannel:
    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def unary_unary(self, path: str, *arguments: Any, **options: Any) -> Any:
        return partial(_call, self._channel.unary_unary(path, *arguments, **options), path)

    def unary_stream(self, path: str, *arguments: Any, **options: Any) -> Any:
        return partial(_call, self._channel.unary_stream(path, *arguments, **options), path)

    def stream_unary(self, path: str, *arguments: Any, **options: Any) -> Any:
        return partial(_call, self._channel.stream_unary(path, *arguments, **options), path)

    def stream_stream(self, path: str, *arguments: Any, **options: Any) -> Any:
        return partial(_call, self._channel.stream_stream(path, *arguments, **options), path)

    def close(self, *arguments: Any) -> Any:
        return self._channel.close(*arguments)


#: Tasks that end spans; nobody else holds them.
_ENDING: set[asyncio.Task[None]] = set()


def _call(callable_: Callable[..., Any], path: str, *arguments: Any, metadata: _Metadata = (), **options: Any) -> Any:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    service, _, method = path.removeprefix("/").partition("/")
    span = trace.get_tracer("shoal_client").start_span(
        f"{service}/{method}",
        kind=trace.SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
    )
    if not span.get_span_context().is_valid:
        return callable_(*arguments, metadata=metadata or None, **options)
    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers, trace.set_span_in_context(span))
    try:
        call = callable_(*arguments, metadata=(*metadata, *headers.items()), **options)
    except BaseException:
        span.end()
        raise
    if not hasattr(call, "add_done_callback") or not asyncio.iscoroutinefunction(call.code):
        # A call for threads: a single answer is there already, a stream is ended by whoever reads it.
        span.end()
        return call

    def ended(done: Any) -> None:
        ending = asyncio.ensure_future(_end(span, done))
        _ENDING.add(ending)
        ending.add_done_callback(_ENDING.discard)

    call.add_done_callback(ended)
    return call


async def _end(span: Any, call: Any) -> None:
    from opentelemetry.trace import Status, StatusCode

    code = await call.code()
    span.set_attribute("rpc.response.status_code", code.name)
    if code.value[0] != 0:
        span.set_status(Status(StatusCode.ERROR, code.name))
    span.end()
