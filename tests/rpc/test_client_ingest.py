"""Ingesting through a stream: order, failures in between, bounds, and streams that break."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal_client import (
    AsyncClient,
    Client,
    FileTooLarge,
    ImageSource,
    InvalidArgument,
    Outcome,
    Unavailable,
    UnreadableFile,
)
from shoal_client.ingest import IN_FLIGHT, READ_AHEAD, READERS
from shoal_client.transport import ENVELOPE_BYTES
from tests.rpc.test_client_fake import FakeServer, serving


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def test_results_come_in_order_with_failures_in_between(server: FakeServer, tmp_path: Path) -> None:
    """Whoever fails, on whichever side, fails alone and in its place."""
    good, bad, large, folder = (tmp_path / name for name in ("good.jpg", "bad.jpg", "large.jpg", "folder.jpg"))
    good.write_bytes(b"good")
    bad.write_bytes(b"bad bytes")
    large.write_bytes(bytes(300_000))
    folder.mkdir()
    sources: list[ImageSource] = [good, tmp_path / "vanished.jpg", bad, large, b"in memory", folder]
    sources += [(b"named", "uri:1", ["t"]), str(good)]
    with Client(server.address, max_message_bytes=ENVELOPE_BYTES + 200_000) as client:
        results = list(client.collection("default").ingest(sources, tags=["all"]))
    assert [result.index for result in results] == list(range(8))
    stored, failed, duplicate = Outcome.STORED, Outcome.FAILED, Outcome.DUPLICATE
    assert [result.outcome for result in results] == [stored, failed, failed, failed, stored, failed, stored, duplicate]
    assert results[0].image is not None
    assert results[0].image.uri == good.resolve().as_uri()
    assert isinstance(results[1].error, UnreadableFile)
    assert str(tmp_path / "vanished.jpg") in results[1].error.message
    assert isinstance(results[2].error, InvalidArgument)
    assert (results[2].error.reason, results[2].error.metadata) == ("UNSUPPORTED_FORMAT", {"allowed": "PNG"})
    assert isinstance(results[3].error, FileTooLarge)
    assert "raise SHOAL_MAX_MESSAGE_BYTES on both sides" in results[3].error.message
    assert isinstance(results[5].error, UnreadableFile)
    assert results[6].image is not None
    assert (results[6].image.uri, results[6].image.tags) == ("uri:1", ("t", "all"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_fails_alone(server: FakeServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    secret.chmod(0)
    with Client(server.address) as client:
        first, second = client.collection("default").ingest([secret, b"good"])
    assert isinstance(first.error, UnreadableFile)
    assert second.outcome is Outcome.STORED


async def test_many_images_asynchronously(server: FakeServer) -> None:
    async with AsyncClient(server.address) as client:
        sources = (b"%d" % number for number in range(1000))
        results = [result async for result in client.collection("default").ingest(sources)]
    assert [result.index for result in results] == list(range(1000))
    assert {result.outcome for result in results} == {Outcome.STORED}
    assert len(server.images["collections/default"]) == 1000


@pytest.mark.parametrize("one", ["photo.jpg", b"bytes", bytearray(b"bytes"), Path("photo.jpg")])
def test_a_single_image_instead_of_a_list_is_refused(server: FakeServer, one: Any) -> None:
    with Client(server.address) as client, pytest.raises(InvalidArgument, match=r"put it into a list: ingest\(\[image"):
        list(client.collection("default").ingest(one))
    assert server.calls == []


def test_nothing_to_ingest(server: FakeServer) -> None:
    with Client(server.address) as client:
        assert list(client.collection("default").ingest([])) == []


def test_no_more_is_read_than_can_be_sent(server: FakeServer) -> None:
    """A server that does not answer stops the reading, in number and in bytes."""
    pulled = 0

    def sources(size: int) -> Iterator[bytes]:
        nonlocal pulled
        for number in range(10_000):
            pulled += 1
            yield number.to_bytes(size, "little")

    for size, most in ((8, IN_FLIGHT + READ_AHEAD + READERS), (400_000, 60)):  # gRPC itself holds some MiB
        pulled = 0
        server.answering.clear()
        with Client(server.address, max_message_bytes=ENVELOPE_BYTES + 450_000) as client:
            results = client.collection("default").ingest(sources(size))
            thread = threading.Thread(target=lambda results=results: next(results))
            thread.start()
            seen = -1
            while pulled != seen or pulled == 0:
                seen = pulled
                time.sleep(0.5)
            assert pulled <= most
            server.answering.set()
            thread.join()


def test_a_broken_stream_is_one_error_after_what_was_stored(server: FakeServer) -> None:
    server.break_after = 3
    outcomes = []
    with Client(server.address) as client:
        results = client.collection("default").ingest(b"%d" % number for number in range(500))
        with pytest.raises(Unavailable) as caught:
            for result in results:
                outcomes.append(result.outcome)  # noqa: PERF401
    assert caught.value.reason == "SHUTTING_DOWN"
    assert outcomes == [Outcome.STORED] * 3


def test_an_error_of_the_callers_iterable_comes_after_what_it_gave(server: FakeServer) -> None:
    def sources() -> Iterator[bytes]:
        yield b"one"
        yield b"two"
        raise LookupError("mine")

    outcomes = []
    with Client(server.address) as client, pytest.raises(LookupError, match="mine"):
        for result in client.collection("default").ingest(sources()):
            outcomes.append(result.outcome)  # noqa: PERF401
    assert outcomes == [Outcome.STORED] * 2


def test_text_that_is_none_fails_alone(server: FakeServer) -> None:
    with Client(server.address) as client:
        first, second = client.collection("default").ingest([(b"one", "file:///\udcff", []), b"two"])
    assert isinstance(first.error, InvalidArgument)
    assert second.outcome is Outcome.STORED


def test_what_is_no_image_at_all_is_the_callers_mistake(server: FakeServer) -> None:
    with Client(server.address) as client, pytest.raises(TypeError):
        list(client.collection("default").ingest([b"one", 7]))  # type: ignore[list-item]


def test_stopping_early_leaves_a_usable_client(server: FakeServer) -> None:
    with Client(server.address) as client:
        default = client.collection("default")
        for _ in default.ingest(b"%d" % number for number in range(10_000)):
            break
        assert len(list(default.ingest([b"again"]))) == 1


def test_no_server() -> None:
    with Client("127.0.0.1:9") as client, pytest.raises(Unavailable, match="start one with `shoal serve`"):
        list(client.collection("default").ingest([b"image"]))
