"""Images come out of a stream whole, and only as fast as there is room for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from shoal.v1.image_pb2 import AttributeValue
from shoal.v1.image_service_pb2 import NEAR_DUPLICATES_SKIP, IngestImagesRequest, IngestOptions, NewImage
from shoal_server.application.byte_budget import ByteBudget
from shoal_server.application.ingest import NewImage as Accepted
from shoal_server.domain.errors import CollectionNotFound, FileTooLarge, InvalidField, UploadStalled
from shoal_server.domain.image import OnNearDuplicate
from shoal_server.rpc import uploads as uploads_module
from shoal_server.rpc.uploads import Upload, Uploads

PARENT = "collections/photos"


def part(content: bytes, *, more: bool = False, parent: str = PARENT, uri: str = "") -> IngestImagesRequest:
    return IngestImagesRequest(parent=parent, image=NewImage(content=content, uri=uri), more=more)


async def stream(requests: Iterable[IngestImagesRequest]) -> AsyncIterator[IngestImagesRequest]:
    for request in requests:
        yield request


async def begin(_: str) -> None:
    pass


def contents(images: Iterable[Upload]) -> list[bytes | str]:
    """Bytes of those that came in, reasons of the others."""
    return [each.image.content if isinstance(each.image, Accepted) else each.image.reason for each in images]


async def read(uploads: Uploads, *requests: IngestImagesRequest) -> list[Upload]:
    """All images of a stream, each given back at once."""
    found = []
    async for upload in uploads.of(stream(requests), begin):
        uploads.done(upload)
        found.append(upload)
    return found


async def test_parts_become_one_image_with_what_was_said_of_the_first() -> None:
    requests = [
        part(b"ab", more=True, uri="file:///first"),
        part(b"cd", more=True, uri="file:///ignored", parent=""),
        part(b"ef"),
        part(b"gh"),
    ]
    found = await read(Uploads(100, ByteBudget(100)), *requests)
    assert contents(found) == [b"abcdef", b"gh"]
    assert isinstance(found[0].image, Accepted)
    assert found[0].image.uri == "file:///first"


async def test_options_are_those_of_the_first_message() -> None:
    first = part(b"a")
    first.options.CopyFrom(IngestOptions(drop_location=True, near_duplicates=NEAR_DUPLICATES_SKIP))
    found = await read(Uploads(100, ByteBudget(100)), first, part(b"b"))
    assert {each.options.drop_location for each in found} == {True}
    assert {each.options.near_duplicates for each in found} == {OnNearDuplicate.SKIP}


async def test_an_image_that_is_too_large_fails_alone() -> None:
    found = await read(
        Uploads(5, ByteBudget(100)), part(b"123456"), part(b"1234", more=True), part(b"56"), part(b"12345")
    )
    assert contents(found) == [FileTooLarge.reason, FileTooLarge.reason, b"12345"]


async def test_an_attribute_without_a_value_fails_alone() -> None:
    bad = part(b"a")
    bad.image.attributes["album"].CopyFrom(AttributeValue())
    assert contents(await read(Uploads(100, ByteBudget(100)), bad, part(b"b"))) == [InvalidField.reason, b"b"]


async def test_a_stream_that_ends_within_an_image_is_an_error() -> None:
    with pytest.raises(InvalidField, match="ended within an image"):
        await read(Uploads(100, ByteBudget(100)), part(b"a"), part(b"b", more=True))


async def test_a_stream_that_stalls_within_an_image_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "PART_TIMEOUT_S", 0.01)

    async def stalling() -> AsyncIterator[IngestImagesRequest]:
        yield part(b"a", more=True)
        await asyncio.Event().wait()

    with pytest.raises(UploadStalled):
        async for _ in Uploads(100, ByteBudget(100)).of(stalling(), begin):
            pass


async def test_a_stream_that_trickles_gives_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "PART_TIMEOUT_S", 0.05)

    async def trickling() -> AsyncIterator[IngestImagesRequest]:
        while True:
            yield part(b"a", more=True)
            await asyncio.sleep(0.01)

    with pytest.raises(UploadStalled):
        async for _ in Uploads(10**9, ByteBudget(100)).of(trickling(), begin):
            pass


async def test_an_empty_part_is_refused() -> None:
    with pytest.raises(InvalidField, match="empty"):
        await read(Uploads(100, ByteBudget(100)), part(b"a", more=True), part(b"", more=True), part(b"b"))


async def test_whole_images_that_wait_for_room_keep_others_from_being_put_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit, count = 4, 12
    monkeypatch.setattr(uploads_module, "PARTIAL_BYTES", fit * 40)
    uploads = Uploads(100, ByteBudget(10))
    busy = uploads.of(stream([part(b"x" * 10)]), begin)
    working = await anext(busy)
    whole: list[int] = []

    async def large(number: int) -> AsyncIterator[IngestImagesRequest]:
        yield part(b"a" * 20, more=True)
        await asyncio.sleep(0.001 * number)
        yield part(b"b" * 19, more=True)
        whole.append(number)
        yield part(b"c")

    streams = [uploads.of(large(number), begin) for number in range(count)]
    coming = [asyncio.ensure_future(anext(each)) for each in streams]
    await asyncio.sleep(0.05)
    assert 1 <= len(whole) <= fit
    uploads.done(working)
    for each in asyncio.as_completed(coming):
        uploads.done(await each)
    assert len(whole) == len(streams)


async def test_many_that_come_slowly_are_not_waited_for() -> None:
    uploads = Uploads(100, ByteBudget(100))
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[IngestImagesRequest]:
        yield part(b"a", more=True)
        await go_on.wait()
        yield part(b"b")

    slowly = [asyncio.ensure_future(anext(uploads.of(slow(), begin))) for _ in range(20)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        assert contents(await read(uploads, part(b"c", more=True), part(b"d"))) == [b"cd"]
    go_on.set()
    assert contents(await asyncio.gather(*slowly)) == [b"ab"] * 20


async def test_the_time_that_an_image_waits_for_room_is_not_its_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "PARTIAL_BYTES", 10)
    monkeypatch.setattr(uploads_module, "PART_TIMEOUT_S", 0.1)
    monkeypatch.setattr(uploads_module, "LEAST_RATE", 10**4)

    async def first() -> AsyncIterator[IngestImagesRequest]:
        yield part(b"x" * 10, more=True)
        for _ in range(4):
            await asyncio.sleep(0.08)
            yield part(b"x" * 10**4, more=True)
        yield part(b"x")

    uploads = Uploads(10**6, ByteBudget(10**6))
    oldest = asyncio.ensure_future(anext(uploads.of(first(), begin)))
    await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(read(uploads, part(b"a", more=True), part(b"b")))
    assert isinstance((await oldest).image, Accepted)
    assert contents(await waiting) == [b"ab"]


async def test_unary_images_wait_for_the_same_room() -> None:
    uploads = Uploads(8, ByteBudget(10))
    with pytest.raises(FileTooLarge):
        async with uploads.room(9):
            pytest.fail("it was let in")
    async with uploads.room(6):
        waiting = asyncio.ensure_future(anext(uploads.of(stream([part(b"123456")]), begin)))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    assert contents([await waiting]) == [b"123456"]


async def test_another_parent_is_refused() -> None:
    with pytest.raises(InvalidField, match="differs"):
        await read(Uploads(100, ByteBudget(100)), part(b"a"), part(b"b", parent="collections/other"))


async def test_a_collection_that_is_not_there_is_known_before_the_first_image() -> None:
    async def missing(collection: str) -> None:
        raise CollectionNotFound(collection)

    with pytest.raises(CollectionNotFound):
        async for _ in Uploads(100, ByteBudget(100)).of(stream([part(b"a")]), missing):
            pytest.fail("an image came out")


async def test_streams_wait_for_room_together() -> None:
    uploads = Uploads(100, ByteBudget(10))
    one = uploads.of(stream([part(b"123456"), part(b"7")]), begin)
    two = uploads.of(stream([part(b"abcdef")]), begin)
    first = await anext(one)
    waiting = asyncio.ensure_future(anext(two))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    uploads.done(first)
    assert contents([await waiting]) == [b"abcdef"]
    assert contents([await anext(one)]) == [b"7"]
