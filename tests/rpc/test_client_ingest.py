"""Ingesting through a stream: order, failures in between, bounds, and streams that break."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from shoal.v1 import image_service_pb2
from shoal_client import (
    AsyncClient,
    Client,
    FailedPrecondition,
    ImageSource,
    InvalidArgument,
    NearDuplicates,
    NewImage,
    Outcome,
    ResourceExhausted,
    Unavailable,
    UnreadableFile,
)
from shoal_client.bulk.messages import CHUNK, READ_WHOLE
from shoal_client.bulk.queue import HELD_BYTES, IN_FLIGHT, READ_AHEAD
from shoal_client.ingest import MAX_REFUSALS
from shoal_client.sources import ArchiveMember, Origin
from shoal_client.transport import ENVELOPE_BYTES
from tests.rpc.test_client_fake import FakeServer, serving, status


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def test_results_come_in_order_with_failures_in_between(server: FakeServer, tmp_path: Path) -> None:
    """Whoever fails, on whichever side, fails alone and in its place."""
    good, bad, large, folder = (tmp_path / name for name in ("good.jpg", "bad.jpg", "large.jpg", "folder.jpg"))
    good.write_bytes(b"good")
    bad.write_bytes(b"bad bytes")
    large.write_bytes(bytes(300_000))  # which is more than a message may be
    folder.mkdir()
    sources: list[ImageSource] = [good, tmp_path / "vanished.jpg", bad, large, b"in memory", folder]
    sources += [(b"named", "uri:1", ["t"]), str(good)]
    with Client(server.address, max_message_bytes=ENVELOPE_BYTES + 200_000) as client:
        results = list(client.collection("default").ingest(sources, tags=["all"]))
    assert [result.index for result in results] == list(range(8))
    stored, failed, duplicate = Outcome.STORED, Outcome.FAILED, Outcome.DUPLICATE
    assert [result.outcome for result in results] == [stored, failed, failed, stored, stored, failed, stored, duplicate]
    assert results[0].image is not None
    assert results[0].image.uri == good.resolve().as_uri()
    assert isinstance(results[1].error, UnreadableFile)
    assert str(tmp_path / "vanished.jpg") in results[1].error.message
    assert isinstance(results[2].error, InvalidArgument)
    assert (results[2].error.reason, results[2].error.metadata) == ("UNSUPPORTED_FORMAT", {"allowed": "PNG"})
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

    # One more of each is waiting for room.
    for size, most in ((8, IN_FLIGHT + READ_AHEAD + 1), (2**20, HELD_BYTES // 2**20 + 1)):
        pulled = 0
        server.answering.clear()
        with Client(server.address) as client:
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


def test_a_broken_stream_is_begun_anew_with_what_was_not_answered(server: FakeServer) -> None:
    server.break_after = 300
    contents = [b"%d" % number for number in range(1000)]
    with Client(server.address) as client:
        results = list(client.collection("default").ingest(contents))
    assert [result.index for result in results] == list(range(1000))
    assert {result.outcome for result in results} == {Outcome.STORED}
    assert [len(stream) for stream in server.streams] == [300, 300, 300, 100]
    assert [content for stream in server.streams for content in stream] == contents


def test_a_stream_that_never_gets_anywhere_is_one_error_after_what_was_stored(server: FakeServer) -> None:
    server.break_after, server.break_again_after = 3, 0
    outcomes = []
    with Client(server.address) as client, pytest.raises(Unavailable) as caught:
        for result in client.collection("default").ingest((b"%d" % number for number in range(500)), patience=1):
            outcomes.append(result.outcome)  # noqa: PERF401
    assert caught.value.reason == "SHUTTING_DOWN"
    assert outcomes == [Outcome.STORED] * 3
    assert len(server.streams) > 2


def test_an_error_that_lasts_is_not_tried_again(server: FakeServer) -> None:
    server.break_after = 2
    server.broken_with = status(grpc.StatusCode.FAILED_PRECONDITION, "made with x", "MODEL_MISMATCH")
    outcomes = []
    with Client(server.address) as client, pytest.raises(FailedPrecondition, match="made with x"):
        for result in client.collection("default").ingest([b"1", b"2", b"3"]):
            outcomes.append(result.outcome)  # noqa: PERF401
    assert outcomes == [Outcome.STORED] * 2
    assert len(server.streams) == 1


def test_what_the_server_has_no_room_for_is_sent_again(server: FakeServer) -> None:
    server.refusals.update({b"3": 3, b"50": 1, b"299": 2})
    with Client(server.address) as client:
        results = list(client.collection("default").ingest(b"%d" % number for number in range(300)))
    assert [result.index for result in results] == list(range(300))
    assert {result.outcome for result in results} == {Outcome.STORED}
    [stream] = server.streams
    assert len(stream) == 306


def test_an_image_that_is_refused_for_ever_fails_alone(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal_client.ingest.LONGEST_DELAY_S", 0.01)
    server.refusals[b"never"] = 1000
    with Client(server.address) as client:
        first, second = client.collection("default").ingest([b"never", b"good"])
    assert isinstance(first.error, ResourceExhausted)
    assert second.outcome is Outcome.STORED
    assert server.streams[0].count(b"never") == MAX_REFUSALS + 1


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, READ_WHOLE + CHUNK + 7])
def test_a_large_image_is_sent_in_parts(server: FakeServer, tmp_path: Path, size: int) -> None:
    """And none is longer than the least limit that a server can have."""
    content = os.urandom(size)
    (tmp_path / "large.tif").write_bytes(content)
    sources: list[ImageSource] = [NewImage(tmp_path / "large.tif", "uri:1", ["a"], {"n": 1}), b"small", content]
    with Client(server.address) as client:
        first, second, third = client.collection("default").ingest(sources)
    assert server.streams == [[content, b"small", content]]
    assert server.longest_message <= 2**20
    assert first.image is not None
    assert (first.image.uri, first.image.tags, first.image.attributes) == ("uri:1", ("a",), {"n": 1})
    assert (second.outcome, third.outcome) == (Outcome.STORED, Outcome.DUPLICATE)


def test_a_large_file_that_breaks_off_while_it_is_sent_fails_alone(server: FakeServer, tmp_path: Path) -> None:
    """Half of it is never taken for an image."""

    @dataclass(frozen=True)
    class Breaking:
        size: int = READ_WHOLE + 1
        held: int = 0

        @contextmanager
        def open(self) -> Iterator[Any]:
            left = [b"x" * CHUNK, b"x" * CHUNK]

            def read(size: int) -> bytes:
                if not left:
                    raise OSError("the drive was pulled out")
                return left.pop()

            yield SimpleNamespace(read=read)

    broken = ArchiveMember(tmp_path / "a.zip", "b.tif", "uri:b", Breaking(), Origin(b"a", 1, 1))
    sources: list[ImageSource] = [b"before", NewImage(broken), *(b"%d" % number for number in range(50))]
    with Client(server.address) as client:
        results = list(client.collection("default").ingest(sources))
    assert [result.outcome for result in results] == [Outcome.STORED, Outcome.FAILED, *[Outcome.STORED] * 50]
    assert isinstance(results[1].error, UnreadableFile)
    assert not any(content.startswith(b"x") for stream in server.streams for content in stream)


def test_near_duplicates_and_options(server: FakeServer) -> None:
    with Client(server.address) as client:
        default = client.collection("default")
        first, second = default.ingest(
            [b"one", b"alike"], drop_location=True, near_duplicates=NearDuplicates.SKIP, attributes={"x": 1.5}
        )
    assert first.image is not None
    assert first.image.attributes == {"x": 1.5}
    assert (second.outcome, second.near_duplicate_of, second.image) == (
        Outcome.NEAR_DUPLICATE, first.image.id, first.image,
    )  # fmt: skip
    [options] = server.options
    assert (options.drop_location, options.near_duplicates) == (True, image_service_pb2.NEAR_DUPLICATES_SKIP)


def test_by_uri_nothing_is_read(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"bad if it was sent")
    sources: list[ImageSource] = [NewImage(uri="s3://bucket/b.jpg"), tmp_path / "a.jpg", b"in memory"]
    with Client(server.address) as client:
        first, second, third = client.collection("default").ingest(sources, by_uri=True)
        [without] = client.collection("default").ingest([NewImage(uri="s3://bucket/b.jpg")])
    assert server.streams[0] == [b"", b""]
    assert (first.uri, second.uri) == ("s3://bucket/b.jpg", (tmp_path / "a.jpg").resolve().as_uri())
    assert (first.outcome, second.outcome) == (Outcome.STORED, Outcome.STORED)
    for result in (third, without):
        assert isinstance(result.error, InvalidArgument)
        assert "by_uri" in result.error.message


def test_the_journal_leaves_out_what_the_server_has(server: FakeServer, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.jpg" for number in range(1500)]
    for file in files:
        file.write_bytes(file.name.encode())
    journal = tmp_path / "state" / "journal.sqlite"
    with Client(server.address) as client:
        default = client.collection("default")
        assert {result.outcome for result in default.ingest(files[:1200], journal=journal)} == {Outcome.STORED}
        server.calls.clear()
        server.streams.clear()
        results = list(default.ingest([*files, b"bytes"], journal=journal))
        assert [result.outcome for result in results] == [Outcome.KNOWN] * 1200 + [Outcome.STORED] * 301
        assert sum(map(len, server.streams)) == 301
        assert [method for method, _ in server.calls].count("CheckImages") == 2

        # What was changed, deleted on the server, or is for another collection, is sent.
        files[3].write_bytes(b"changed")
        gone = next(
            name for name, image in server.images["collections/default"].items() if image.uri.endswith("/7.jpg")
        )
        del server.images["collections/default"][gone]
        again = list(default.ingest(files[:10], journal=journal))
        assert [result.index for result in again if result.outcome is Outcome.STORED] == [3, 7]
        server.images["collections/other"] = {}
        other = client.collection("other").ingest(files[:10], journal=journal)
        assert {result.outcome for result in other} == {Outcome.STORED}


def test_what_is_said_of_a_known_file_is_said_once(server: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"a")
    journal = tmp_path / "journal.sqlite"
    with Client(server.address) as client:
        default = client.collection("default")

        def outcome(**said: Any) -> Outcome:
            [result] = default.ingest([file], journal=journal, **said)
            return result.outcome

        assert outcome() is Outcome.STORED
        assert outcome(tags=["x"]) is Outcome.DUPLICATE
        assert outcome(tags=["x"]) is Outcome.KNOWN
        assert outcome(tags=["x"], attributes={"n": 1}) is Outcome.DUPLICATE
        assert outcome(tags=["x"], attributes={"n": 1}) is Outcome.KNOWN
        assert outcome() is Outcome.KNOWN
        [image] = server.images["collections/default"].values()
        assert (list(image.tags), image.attributes["n"].integer) == (["x"], 1)


def test_a_journal_that_cannot_be_written_is_a_warning(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "folder").mkdir()
    with Client(server.address) as client:
        for outcome in (Outcome.STORED, Outcome.DUPLICATE):
            [result] = client.collection("default").ingest([tmp_path / "a.jpg"], journal=tmp_path / "folder")
            assert result.outcome is outcome
    assert "--journal FILE" in caplog.text


def test_a_server_that_checks_nothing_gets_everything(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    journal = tmp_path / "journal.sqlite"
    with Client(server.address) as client:
        for outcome in (Outcome.STORED, Outcome.DUPLICATE):
            server.failures["CheckImages"] = [status(grpc.StatusCode.UNIMPLEMENTED, "what?")]
            [result] = client.collection("default").ingest([tmp_path / "a.jpg"], journal=journal)
            assert result.outcome is outcome


def test_a_large_image_can_be_added_alone(server: FakeServer) -> None:
    with Client(server.address, max_message_bytes=ENVELOPE_BYTES + 10_000) as client:
        default = client.collection("default")
        image = default.add(b"z" * 20_000, uri="uri:z", tags=["t"], attributes={"ok": True})
        with pytest.raises(InvalidArgument, match="no image"):
            default.add(b"bad" * 20_000)
    assert (image.uri, image.tags, image.attributes) == ("uri:z", ("t",), {"ok": True})
    assert server.streams[0] == [b"z" * 20_000]


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


@contextmanager
def restarted(server: FakeServer, after_s: float) -> Iterator[None]:
    """A server that ended is there again after a while."""
    over = threading.Event()

    def serve() -> None:
        time.sleep(after_s)
        with serving(server):
            over.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_server_that_has_answered_is_waited_for(tmp_path: Path) -> None:
    """So it goes when an image comes into a watched folder during a restart: that is an ingest of its own."""
    (tmp_path / "first.jpg").write_bytes(b"first")
    (tmp_path / "second.jpg").write_bytes(b"second")
    with serving() as server:
        client = Client(server.address)
        default = client.collection("default")
        [first] = default.ingest([tmp_path / "first.jpg"], journal=tmp_path / "journal.sqlite")
    with client, restarted(server, after_s=1):
        [second] = default.ingest([tmp_path / "second.jpg"])
    assert (first.outcome, second.outcome) == (Outcome.STORED, Outcome.STORED)


def test_what_is_known_is_asked_about_until_the_server_is_back(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    with serving() as server:
        client = Client(server.address)
        default = client.collection("default")
        list(default.ingest([tmp_path / "a.jpg"], journal=tmp_path / "journal.sqlite"))
    with client, restarted(server, after_s=6):  # more than gRPC itself tries
        [known] = default.ingest([tmp_path / "a.jpg"], journal=tmp_path / "journal.sqlite")
    assert known.outcome is Outcome.KNOWN


def test_a_server_that_has_answered_is_not_waited_for_for_ever() -> None:
    with serving() as server:
        client = Client(server.address)
        default = client.collection("default")
        list(default.ingest([b"first"]))
    with client, pytest.raises(Unavailable, match="no Shoal server answers"):
        list(default.ingest([b"second"], patience=1))


def test_no_time_is_lost_while_there_is_nothing_to_send() -> None:
    """A list on stdin that rests for longer than the patience, while the server is being restarted, goes on."""
    patience = 1.0

    def images(ended: threading.Event) -> Iterator[bytes]:
        yield b"first"
        ended.wait()
        time.sleep(1.5 * patience)
        yield b"second"

    ended = threading.Event()
    with serving() as server:
        client = Client(server.address)
        results = client.collection("default").ingest(images(ended), patience=patience)
        first = next(results)
        time.sleep(1.5 * patience)
    with client, restarted(server, after_s=1.5 * patience + 0.5):
        ended.set()
        [second] = results
    assert (first.outcome, second.outcome) == (Outcome.STORED, Outcome.STORED)
