"""Ports that tell a meter and a tracer of every call; the work itself is done by what they stand before."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.ports import Embedder, ImageDecoder, Store
from shoal_server.application.telemetry import CANCELLED, FAILED, OK, REFUSED, Meter, Tracer
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import Failed, ShoalError, Unavailable
from shoal_server.domain.image import DecodedImage, Pixels, Vector


def outcome_of(error: BaseException) -> str:
    """What an error counts as."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return CANCELLED
    return REFUSED if isinstance(error, ShoalError) and not isinstance(error, (Unavailable, Failed)) else FAILED


@contextmanager
def _timed(tell: Callable[[str, float], None]) -> Iterator[None]:
    began = perf_counter()
    try:
        yield
    except BaseException as error:
        tell(outcome_of(error), perf_counter() - began)
        raise
    tell(OK, perf_counter() - began)


#: Operations of the port: those that are awaited, and those that are walked through.
_OPERATIONS = {
    name: inspect.iscoroutinefunction(method)
    for name, method in inspect.getmembers(Store, inspect.isfunction)
    if not name.startswith("_") and name != "close"
}


def measured_store(store: Store, meter: Meter, tracer: Tracer) -> Store:
    """The same store, whose every operation is measured and has a span.

    What is not an operation of the port is the store's own and passes through as it is.
    """
    return cast("Store", _MeasuredStore(store, meter, tracer))


class _MeasuredStore:
    """Not a method for each of the port's: it would say forty times the same thing, and forget the next one."""

    def __init__(self, store: Store, meter: Meter, tracer: Tracer) -> None:
        self._store = store
        self._meter = meter
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        awaited = _OPERATIONS.get(name)
        if awaited is None:
            return found
        return self._call(name, found) if awaited else self._walk(name, found)

    def _call(self, name: str, operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            began = perf_counter()
            outcome = OK
            with self._tracer.span(f"store {name}", _about(arguments)):
                try:
                    return await operation(*arguments, **named)
                except BaseException as error:
                    outcome = outcome_of(error)
                    raise
                finally:
                    self._meter.store_called(name, outcome, perf_counter() - began)

        return call

    def _walk(self, name: str, operation: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def walk(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            # What the caller does between two answers is not the store's time, and no span of the store's.
            seconds, outcome = 0.0, OK
            answers = aiter(operation(*arguments, **named))
            try:
                while True:
                    began = perf_counter()
                    try:
                        with self._tracer.span(f"store {name}", _about(arguments)):
                            answer = await anext(answers, _END)
                    finally:
                        seconds += perf_counter() - began
                    if answer is _END:
                        return
                    yield answer
            except BaseException as error:
                outcome = outcome_of(error)
                raise
            finally:
                self._meter.store_called(name, outcome, seconds)
                close = getattr(answers, "aclose", None)
                if close is not None:
                    await close()

        return walk


_END = object()


def _about(arguments: Sequence[Any]) -> dict[str, str | int | float]:
    return {"shoal.collection": arguments[0]} if arguments and isinstance(arguments[0], str) else {}


class MeasuredDecoder(ImageDecoder):
    """A decoder, measured."""

    def __init__(self, decoder: ImageDecoder, meter: Meter, tracer: Tracer) -> None:
        """Args:
        decoder: does the work.
        meter: told of every file.
        tracer: likewise.
        """
        self._decoder = decoder
        self._meter = meter
        self._tracer = tracer

    async def decode(self, content: bytes, *, with_preview: bool = False) -> DecodedImage:
        """As the port has it."""
        with self._tracer.span("decode", {"shoal.bytes": len(content)}), _timed(self._meter.decoded):
            return await self._decoder.decode(content, with_preview=with_preview)


class MeasuredEmbedder(Embedder):
    """An embedder, measured from the call to the vector, with the waiting that is in between."""

    def __init__(self, embedder: Embedder, meter: Meter, tracer: Tracer) -> None:
        """Args:
        embedder: does the work.
        meter: told of every call.
        tracer: likewise.
        """
        self._embedder = embedder
        self._meter = meter
        self._tracer = tracer

    @property
    def model(self) -> EmbeddingModel:
        """What collections record."""
        return self._embedder.model

    async def embed_image(self, pixels: Pixels) -> Vector:
        """As the port has it."""
        call = self._embedder.embed_image(pixels)
        # A photograph's pixels are tens of megabytes, and the queue may be long.
        del pixels
        with self._measured("image", 1):
            return await call

    async def embed_text(self, text: str) -> Vector:
        """As the port has it."""
        with self._measured("text", 1):
            return await self._embedder.embed_text(text)

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As the port has it."""
        with self._measured("texts", len(texts)):
            return await self._embedder.embed_texts(texts)

    @contextmanager
    def _measured(self, kind: str, count: int) -> Iterator[None]:
        with (
            self._tracer.span("embed", {"shoal.kind": kind, "shoal.count": count}),
            _timed(lambda outcome, seconds: self._meter.embedded(kind, outcome, seconds)),
        ):
            yield
