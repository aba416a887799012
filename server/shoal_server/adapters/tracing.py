"""The tracer in OpenTelemetry's terms; needs the extra ``tracing``.

Spans go to a collector over OTLP (gRPC), in the background and in batches; what the collector does not take is dropped.
Everything else is set by OpenTelemetry's own variables, such as ``OTEL_SERVICE_NAME`` and ``OTEL_TRACES_SAMPLER``:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shoal_server.application.telemetry import Attributes, Span, Tracer

#: Codes that are the server's fault, by OpenTelemetry's conventions for gRPC.
_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
_PROPAGATOR = TraceContextTextMapPropagator()


class OtelTracer(Tracer):
    """Spans of one server. The provider is the tracer's own and not set for the whole process."""

    def __init__(self, version: str, processor: SpanProcessor) -> None:
        """Args:
        version: of Shoal.
        processor: gets the spans.
        """
        attributes = {SERVICE_VERSION: version}
        if "OTEL_SERVICE_NAME" not in os.environ:
            attributes[SERVICE_NAME] = "shoal"
        self._provider = TracerProvider(resource=Resource.create(attributes))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("shoal_server", version)

    @classmethod
    def exporting(cls, version: str, endpoint: str | None) -> OtelTracer:
        """One whose spans go to a collector.

        Args:
            version: of Shoal.
            endpoint: ``http://HOST:PORT`` of its OTLP over gRPC, ``https://`` for TLS; None leaves it to
                OpenTelemetry's variables.
        """
        return cls(version, BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))

    async def aclose(self) -> None:
        """Sends what is left, off the event loop, and lets go of the collector."""
        await asyncio.to_thread(self._provider.shutdown)

    @contextmanager
    def call(self, service: str, method: str, headers: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
        """As the port has it."""
        span = self._tracer.start_span(
            f"{service}/{method}",
            context=_PROPAGATOR.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )
        # Not detached: every call has a task of its own, and what is left of an abandoned stream ends in another one.
        otel_context.attach(trace.set_span_in_context(span))

        def tell_code(code: str) -> None:
            span.set_attribute("rpc.response.status_code", code)
            if code in _FAULTS:
                span.set_status(Status(StatusCode.ERROR, code))

        try:
            yield tell_code
        finally:
            span.end()

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[None]:
        """As the port has it."""
        return self._block(name, attributes)

    @contextmanager
    def _block(self, name: str, attributes: Attributes) -> Iterator[None]:
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield

    def begin(self, name: str, attributes: Attributes) -> Span:
        """As the port has it."""
        span = self._tracer.start_span(name, attributes=attributes)
        otel_context.attach(trace.set_span_in_context(span))
        return _OtelSpan(self._tracer, span)


class _OtelSpan(Span):
    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    def child(self, name: str, attributes: Attributes) -> Span:
        parent = trace.set_span_in_context(self._span)
        return _OtelSpan(self._tracer, self._tracer.start_span(name, context=parent, attributes=attributes))

    def end(self, problem: str = "") -> None:
        if problem:
            self._span.set_status(Status(StatusCode.ERROR, problem))
        self._span.end()
