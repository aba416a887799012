"""Ports that are measured do what they did before, and tell of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from shoal_server.application.measured import MeasuredDecoder, MeasuredEmbedder, measured_store, outcome_of
from shoal_server.application.telemetry import Attributes, NoMeter, NoTracer
from shoal_server.domain.errors import (
    CollectionNotFound,
    EmptyImage,
    ModelFailed,
    Overloaded,
    RunInProgress,
    StoreUnavailable,
)


class Noted(NoMeter):
    """Notes what it is told, without the seconds."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def store_called(self, operation: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 10
        self.told.append((operation, outcome))

    def decoded(self, outcome: str, seconds: float) -> None:
        self.told.append(("decode", outcome))

    def embedded(self, kind: str, outcome: str, seconds: float) -> None:
        self.told.append((kind, outcome))


class Followed(NoTracer):
    """Notes the names of spans, and the problems that left them."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[str] = []

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[None]:
        self.spans.append(f"{name} {dict(attributes)}")
        yield


class Store:
    """Some of a store's operations."""

    extra = "the store's own"

    async def get_images(self, collection: str, ids: Any) -> dict[UUID, Any]:
        if collection == "gone":
            raise CollectionNotFound(collection)
        if collection == "down":
            raise StoreUnavailable("here", "it is down")
        return dict.fromkeys(ids, collection)

    async def scan_vectors(self, collection: str, with_vectors: bool = True, batch: int = 1024) -> AsyncIterator[int]:
        try:
            for each in range(3):
                yield each
            if collection == "down":
                raise StoreUnavailable("here", "it is down")
        finally:
            self.extra = "left"

    async def close(self) -> None:
        self.extra = "closed"


@pytest.fixture
def meter() -> Noted:
    return Noted()


@pytest.fixture
def tracer() -> Followed:
    return Followed()


async def test_operations_are_counted_by_what_came_of_them(meter: Noted, tracer: Followed) -> None:
    plain: Any = Store()
    store: Any = measured_store(plain, meter, tracer)
    identity = UUID(int=1)
    assert await store.get_images("photos", [identity]) == {identity: "photos"}
    with pytest.raises(CollectionNotFound):
        await store.get_images("gone", [])
    with pytest.raises(StoreUnavailable):
        await store.get_images(collection="down", ids=[])
    assert meter.told == [("get_images", "ok"), ("get_images", "refused"), ("get_images", "failed")]
    assert tracer.spans[0] == "store get_images {'shoal.collection': 'photos'}"


async def test_a_walk_is_counted_once_and_left_in_order(meter: Noted, tracer: Followed) -> None:
    plain: Any = Store()
    store: Any = measured_store(plain, meter, tracer)
    assert [each async for each in store.scan_vectors("photos")] == [0, 1, 2]
    assert meter.told == [("scan_vectors", "ok")]
    with pytest.raises(StoreUnavailable):
        _ = [each async for each in store.scan_vectors("down")]
    assert meter.told[1:] == [("scan_vectors", "failed")]
    walk = store.scan_vectors("photos")
    assert await anext(walk) == 0
    plain.extra = "walked"
    await walk.aclose()
    assert meter.told[2:] == [("scan_vectors", "cancelled")]
    assert plain.extra == "left"


async def test_what_is_no_operation_passes_through(meter: Noted, tracer: Followed) -> None:
    plain: Any = Store()
    store: Any = measured_store(plain, meter, tracer)
    assert store.extra == "the store's own"
    await store.close()
    assert plain.extra == "closed"
    assert meter.told == []
    with pytest.raises(AttributeError):
        _ = store.nothing_of_the_kind


async def test_a_store_that_is_replaced_meanwhile_is_asked(
    meter: Noted, tracer: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain: Any = Store()
    store: Any = measured_store(plain, meter, tracer)
    await store.get_images("photos", [])

    async def other(self: object, *_: object) -> dict[UUID, Any]:
        return {UUID(int=2): "another"}

    monkeypatch.setattr(Store, "get_images", other)
    assert await store.get_images("photos", []) == {UUID(int=2): "another"}


async def test_decoder_and_embedder(meter: Noted, tracer: Followed) -> None:
    class Decoder:
        async def decode(self, content: bytes, *, with_preview: bool = False) -> Any:
            if not content:
                raise EmptyImage
            return content, with_preview

    class Embedder:
        model = "a model"

        async def embed_image(self, pixels: Any) -> Any:
            if pixels.max() > 1:
                raise ModelFailed("a model")
            return pixels[0]

        async def embed_text(self, text: str) -> Any:
            await asyncio.sleep(10)

        async def embed_texts(self, texts: Any) -> Any:
            return np.zeros((len(texts), 2))

    plain_decoder: Any = Decoder()
    plain_embedder: Any = Embedder()
    decoder, embedder = MeasuredDecoder(plain_decoder, meter, tracer), MeasuredEmbedder(plain_embedder, meter, tracer)
    whole: Any = await decoder.decode(b"x", with_preview=True)
    assert whole == (b"x", True)
    with pytest.raises(EmptyImage):
        await decoder.decode(b"")
    assert str(embedder.model) == "a model"
    pixels: Any = np.ones(1)
    assert await embedder.embed_image(pixels) == 1
    with pytest.raises(ModelFailed):
        await embedder.embed_image(pixels * 2)
    assert (await embedder.embed_texts(["a", "b"])).shape == (2, 2)
    waiting = asyncio.create_task(embedder.embed_text("a"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert meter.told == [
        ("decode", "ok"),
        ("decode", "refused"),
        ("image", "ok"),
        ("image", "failed"),
        ("texts", "ok"),
        ("text", "cancelled"),
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CollectionNotFound("photos"), "refused"),
        (RunInProgress("photos", "1"), "refused"),
        (Overloaded("a queue", 1), "refused"),
        (StoreUnavailable("here", "it is down"), "failed"),
        (ModelFailed("debug"), "failed"),
        (ZeroDivisionError(), "failed"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_whose_fault_an_error_is(error: BaseException, outcome: str) -> None:
    assert outcome_of(error) == outcome
