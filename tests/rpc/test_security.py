"""TLS, certificates, keys that come and go while the server runs, limits and the record, over real connections."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal.v1.cluster_service_pb2 import AssignImageRequest, AssignImageResponse
from shoal.v1.collection_service_pb2 import ListCollectionsRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.image_service_pb2 import IngestImagesRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_client import (
    AsyncClient,
    Client,
    InvalidArgument,
    PermissionDenied,
    Tls,
    Unauthenticated,
    Unavailable,
    UnreadableFile,
)
from shoal_server.adapters.key_file import KeyFile
from shoal_server.application import limits
from shoal_server.domain.access import Role
from shoal_server.domain.errors import InvalidField
from shoal_server.rpc.cluster_service import ClusterService
from shoal_server.rpc.tls import Certificates, TlsFiles, server_credentials
from tests.certificates import Authority, Pair
from tests.fakes import picture
from tests.rpc.conftest import Served, refused, serving
from tests.rpc.test_authorization import add_key, authorized


async def listing(address: str, **options: Any) -> list[str]:
    """The collections that a client of its own sees."""
    async with AsyncClient(address, **options) as client:
        return [each.id async for each in client.collections()]


async def until(ask: Callable[[], Awaitable[object]], *, fails: type[Exception] | None = None) -> None:
    """Asks again until it succeeds, or fails as it should."""
    for _ in range(400):
        try:
            await ask()
            if fails is None:
                return
        except (Unauthenticated, Unavailable) as error:
            if fails is not None and isinstance(error, fails):
                return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to be")


async def test_a_client_with_a_key(tmp_path: Path) -> None:
    key, kept = add_key(tmp_path, Role.WRITE, "photos")
    async with serving(tmp_path) as server:
        with pytest.raises(Unauthenticated, match=r"without an API key; give a valid API key \(SHOAL_API_KEY"):
            await listing(server.address)
        with pytest.raises(Unauthenticated, match="not valid"):
            await listing(server.address, api_key="shoal_wrong")
        async with AsyncClient(server.address, api_key=key) as client:
            await client.ensure_collection("photos")
            with pytest.raises(PermissionDenied, match=rf"key {kept.id} \(write key\) may not .* collection 'other'"):
                await client.ensure_collection("other")
            with pytest.raises(PermissionDenied, match="needs the role admin"):
                await client.delete_collection("photos")
            # Images go by a blocking channel, in threads.
            results = [result async for result in client.collection("photos").ingest([tmp_path / "none.jpg"])]
            assert [result.error is not None for result in results] == [True]
            (tmp_path / "red.png").write_bytes(picture("red", 1))
            results = [result async for result in client.collection("photos").ingest([tmp_path / "red.png"])]
            assert [result.error for result in results] == [None]
            assert [each.id async for each in client.collections()] == ["photos"]

        def synchronously() -> list[str]:
            with Client(server.address, api_key=key) as blocking:
                return [each.id for each in blocking.collections()]

        assert await asyncio.to_thread(synchronously) == ["photos"]


async def test_the_key_is_not_in_what_a_client_shows(tmp_path: Path) -> None:
    key, _ = add_key(tmp_path, Role.READ)
    async with AsyncClient("127.0.0.1:9", api_key=key) as client:
        assert key not in repr(client)
        with pytest.raises(Unavailable) as raised:
            [each async for each in client.collections()]
    assert key not in repr(raised.value) + str(raised.value.__cause__)


@pytest.mark.parametrize("target", ["photos.example:50051", "192.0.2.1:50051", "127.example:50051", "dns:photos:50051"])
async def test_no_key_travels_in_clear(target: str) -> None:
    with pytest.raises(InvalidArgument, match="in clear") as raised:
        AsyncClient(target, api_key="shoal_secret")
    assert raised.value.reason == "KEY_IN_CLEAR"
    assert "shoal_secret" not in raised.value.message
    await AsyncClient(target, api_key="shoal_secret", plaintext=True).close()
    await AsyncClient(target, api_key="shoal_secret", tls=Tls()).close()


@pytest.mark.parametrize("key", ["", "two words", "line\n", "schlüssel"])
async def test_what_is_no_key_is_refused_unseen(key: str) -> None:
    with pytest.raises(InvalidArgument, match="no key has") as raised:
        AsyncClient("127.0.0.1:1", api_key=key)
    assert not key or key not in raised.value.message


async def test_keys_rotate_under_live_connections(tmp_path: Path) -> None:
    """A new key, both at once, the old one revoked: nobody is cut off but the old key, and that at once."""
    old, kept = add_key(tmp_path, Role.READ)
    async with (
        serving(tmp_path) as server,
        AsyncClient(server.address, api_key=old) as before,
    ):
        assert [each async for each in before.collections()] == []
        new, _ = add_key(tmp_path, Role.READ)
        await until(lambda: listing(server.address, api_key=new))
        assert [each async for each in before.collections()] == []
        KeyFile(tmp_path / "keys.json").change(
            lambda there: tuple(key.revoked(datetime.now(UTC)) if key.id == kept.id else key for key in there)
        )

        async def ask() -> None:
            assert [each async for each in before.collections()] == []

        await until(ask, fails=Unauthenticated)
        assert await listing(server.address, api_key=new) == []


async def test_a_key_expires_while_it_is_used(tmp_path: Path) -> None:
    key, _ = add_key(tmp_path, Role.READ, expires_at=datetime.now(UTC) + timedelta(seconds=1.5))
    async with serving(tmp_path) as server, AsyncClient(server.address, api_key=key) as client:
        assert [each async for each in client.collections()] == []

        async def ask() -> None:
            assert [each async for each in client.collections()] == []

        await until(ask, fails=Unauthenticated)


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    key, kept = add_key(tmp_path, Role.WRITE)
    async with serving(tmp_path) as server:
        async with AsyncClient(server.address, api_key=key) as client:
            await client.ensure_collection("photos")
        images: Any = ImageServiceStub(server.channel)
        revoked = asyncio.Event()

        async def requests() -> AsyncIterator[IngestImagesRequest]:
            yield IngestImagesRequest(parent="collections/photos", image=NewImage(content=picture("red", 1)))
            await revoked.wait()
            while True:
                yield IngestImagesRequest(image=NewImage(content=picture("red", 2)))
                await asyncio.sleep(0.02)

        call = images.IngestImages(requests(), metadata=authorized(key))
        stored = 0
        async with refused(grpc.StatusCode.UNAUTHENTICATED, "WRONG_CREDENTIALS", kept.id, "revoked"):
            async for response in call:
                stored += bool(response.image.name)
                if not revoked.is_set():
                    KeyFile(tmp_path / "keys.json").change(
                        lambda there: tuple(each.revoked(datetime.now(UTC)) for each in there)
                    )
                    revoked.set()
        assert 1 <= stored < 300


async def test_health_needs_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_key(tmp_path, Role.READ)
    async with serving(tmp_path) as server:
        stub: Any = health_pb2_grpc.HealthStub(server.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watching = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        watching.cancel()
        # A method that the service has and its servicer has not is no failure, and fills no log.
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.List(health_pb2.HealthListRequest())  # type: ignore[attr-defined]  # newer than the types
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "internal error" not in caplog.text


async def test_tls(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    pair = authority.sign("server")
    data = tmp_path / "data"
    key, _ = add_key(data, Role.READ)
    async with serving(data, tls_cert=pair.certificate, tls_key=pair.key) as server:
        assert await listing(server.address, api_key=key, tls=Tls(authority.file)) == []
        by_name = server.address.replace("127.0.0.1", "localhost")
        assert await listing(by_name, api_key=key, tls=Tls(str(authority.file))) == []
        with pytest.raises(Unavailable, match="not signed by an authority that is trusted here") as raised:
            await listing(server.address, api_key=key, tls=Tls(other.file))
        assert raised.value.reason == "TLS_FAILED"
        with pytest.raises(Unavailable, match="not signed"):
            await listing(server.address, api_key=key, tls=Tls())
        with pytest.raises(Unavailable, match="made out to another name"):
            await listing(server.address, api_key=key, tls=Tls(authority.file, server_name="photos.example"))
        with pytest.raises(Unavailable, match="if it speaks TLS"):
            await listing(server.address, api_key=key)
        with pytest.raises(UnreadableFile, match=r"none\.pem"):
            await listing(server.address, tls=Tls(tmp_path / "none.pem"))

        def synchronously() -> int:
            (tmp_path / "red.png").write_bytes(picture("red", 1))
            with Client(server.address, api_key=writing, tls=Tls(authority.file)) as client:
                client.ensure_collection("photos")
                return sum(
                    result.error is None for result in client.collection("photos").ingest([tmp_path / "red.png"])
                )

        writing, _ = add_key(data, Role.WRITE)
        await until(lambda: listing(server.address, api_key=writing, tls=Tls(authority.file)))
        assert await asyncio.to_thread(synchronously) == 1
    async with serving(tmp_path / "plain") as server:
        with pytest.raises(Unavailable, match="does not speak TLS"):
            await listing(server.address, tls=Tls(authority.file))


async def test_certificates_are_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """New files count for the next connection; open ones stay; files that cannot be used change nothing."""
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    pair = first.sign("server")
    async with (
        serving(tmp_path / "data", tls_cert=pair.certificate, tls_key=pair.key) as server,
        AsyncClient(server.address, tls=Tls(first.file)) as live,
    ):
        assert [each async for each in live.collections()] == []
        with pytest.raises(Unavailable):
            await listing(server.address, tls=Tls(second.file))

        pair.certificate.write_text("no certificate")
        with caplog.at_level(logging.ERROR, "shoal_server.rpc.tls"):
            assert await listing(server.address, tls=Tls(first.file)) == []
        assert "the certificates stay as they were" in caplog.text

        assert second.sign("server") == pair
        await until(lambda: listing(server.address, tls=Tls(second.file)))
        with pytest.raises(Unavailable):
            await listing(server.address, tls=Tls(first.file))
        assert [each async for each in live.collections()] == []


async def test_client_certificates(tmp_path: Path) -> None:
    authority, clients, strangers = (Authority(tmp_path, name) for name in ("authority", "clients", "strangers"))
    pair, scanner, stranger = authority.sign("server"), clients.sign("scanner-7"), strangers.sign("stranger")
    data = tmp_path / "data"
    settings: dict[str, Any] = {"tls_cert": pair.certificate, "tls_key": pair.key, "tls_client_ca": clients.file}

    def as_(client: Pair | None) -> Tls:
        if client is None:
            return Tls(authority.file)
        return Tls(authority.file, client.certificate, client.key)

    async with serving(data, tls_client_role="write", **settings) as server:
        async with AsyncClient(server.address, tls=as_(scanner)) as client:
            await client.ensure_collection("photos")
            with pytest.raises(PermissionDenied, match="certificate 'scanner-7' may not"):
                await client.delete_collection("photos")
        for refused_one in (None, stranger):
            with pytest.raises(Unavailable):
                await listing(server.address, tls=as_(refused_one))
        # The authority of clients is read again too.
        clients.file.write_bytes(strangers.file.read_bytes())
        await until(lambda: listing(server.address, tls=as_(stranger)))
        with pytest.raises(Unavailable):
            await listing(server.address, tls=as_(scanner))
    [line] = [json.loads(line) for line in (data / "audit.log").read_text().splitlines() if "DeleteCollection" in line]
    assert (line["caller"], line["outcome"]) == ("certificate:scanner-7", "PERMISSION_DENIED")

    key, _ = add_key(data, Role.ADMIN)
    async with serving(data, **settings) as server:
        with pytest.raises(Unauthenticated):
            await listing(server.address, tls=as_(stranger))
        assert await listing(server.address, tls=as_(stranger), api_key=key) == ["photos"]


def test_certificates_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    one, two = authority.sign("one"), authority.sign("two")
    assert server_credentials(TlsFiles(one.certificate, one.key)) is not None
    with pytest.raises(InvalidField, match="cannot be used"):
        server_credentials(TlsFiles(one.certificate, two.key))
    with pytest.raises(InvalidField, match="cannot be read: No such file"):
        server_credentials(TlsFiles(tmp_path / "none", one.key))
    (tmp_path / "text").write_text("text")
    with pytest.raises(InvalidField, match="holds no certificates"):
        server_credentials(TlsFiles(one.certificate, one.key, tmp_path / "text"))


def test_certificates_that_could_not_be_read_at_first_are_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where no more files can be opened, or where the key gets its owner after its content."""
    authority = Authority(tmp_path, "authority")
    pair = authority.sign("server")
    certificates = Certificates(TlsFiles(pair.certificate, pair.key))
    assert certificates.changed() is None
    assert authority.sign("server") == pair

    def fail(path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
        patched.setattr(Path, "read_bytes", fail)
        assert [certificates.changed() for _ in range(5)] == [None] * 5
    [told] = caplog.records
    assert "Too many open files" in told.getMessage()
    assert certificates.changed() is not None
    assert certificates.changed() is None


def test_a_pair_that_changes_while_it_is_read_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might be the certificate of the one pair, and the key of the other."""
    authority = Authority(tmp_path, "authority")
    pair = authority.sign("server")
    certificates = Certificates(TlsFiles(pair.certificate, pair.key))
    authority.sign("server")
    read = Path.read_bytes

    def read_late(path: Path) -> bytes:
        monkeypatch.setattr(Path, "read_bytes", read)
        content = read(path)
        authority.sign("server")
        return content

    monkeypatch.setattr(Path, "read_bytes", read_late)
    assert certificates.changed() is None
    assert certificates.changed() is not None


async def test_one_caller_cannot_take_the_server_from_the_others(tmp_path: Path) -> None:
    busy, quiet = authorized(add_key(tmp_path, Role.READ)[0]), authorized(add_key(tmp_path, Role.READ)[0])
    async with serving(tmp_path, rate_limit_per_s=0.5, rate_limit_burst=3, max_streams=2) as server:
        stub: Any = CollectionServiceStub(server.channel)
        for _ in range(3):
            await stub.ListCollections(ListCollectionsRequest(), metadata=busy)
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "0.5 calls a second", "try again in"):
            await stub.ListCollections(ListCollectionsRequest(), metadata=busy)
        await stub.ListCollections(ListCollectionsRequest(), metadata=quiet)

        health: Any = health_pb2_grpc.HealthStub(server.channel)
        streams = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for stream in streams:
            await stream.read()
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "2 open streams"):
            await health.Watch(health_pb2.HealthCheckRequest()).read()
        for stream in streams:
            stream.cancel()
        for _ in range(200):
            last = health.Watch(health_pb2.HealthCheckRequest())
            try:
                assert await last.read()
                last.cancel()
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)
        else:
            raise AssertionError("the streams' places were not given back")


async def test_strangers_are_refused_before_what_they_send_is_read(tmp_path: Path) -> None:
    """A single request is read whole before its handler is called: as many as come at once would fill the memory."""
    key, _ = add_key(tmp_path, Role.WRITE)
    async with serving(tmp_path) as server:
        for method in ("ImageService/CreateImage", "ClusterService/ExportAssignments", "StatusService/GetServerStatus"):
            for credentials in ((), authorized(key[:-1] + ("a" if key[-1] != "a" else "b"))):
                # Begins a request, and never sends it.
                call: Any = server.channel.stream_stream(f"/shoal.v1.{method}")
                async with refused(grpc.StatusCode.UNAUTHENTICATED, "WRONG_CREDENTIALS"):
                    await asyncio.wait_for(call(metadata=credentials).read(), 5)


@asynccontextmanager
async def trickling(server: Served, key: str, count: int) -> AsyncIterator[None]:
    """Calls that have begun, and whose message does not come."""
    begun: Any = server.channel.stream_unary("/shoal.v1.ClusterService/AssignImage")

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    calls = [begun(never(), metadata=authorized(key)) for _ in range(count)]
    for call in calls:
        await call.wait_for_connection()
    # There is nothing of them to be seen from here.
    await asyncio.sleep(0.5)
    try:
        yield
    finally:
        for call in calls:
            call.cancel()


async def test_a_caller_has_only_some_messages_read_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may only read could otherwise fill the memory with as many long messages as they like to send."""
    caplog.set_level(logging.DEBUG, "shoal_server.access")
    slow, other = (add_key(tmp_path, Role.READ)[0] for _ in range(2))
    many = f"{limits.READING + 1} calls at once"
    async with serving(tmp_path, max_calls=limits.READING + 1) as server:
        stub: Any = CollectionServiceStub(server.channel)
        async with trickling(server, slow, limits.READING):
            waiting = stub.ListCollections(ListCollectionsRequest(), metadata=authorized(slow))
            for _ in range(20):
                await asyncio.wait_for(stub.ListCollections(ListCollectionsRequest(), metadata=authorized(other)), 5)
            assert not waiting.done()
            async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", many, "try again in 1 s"):
                await stub.ListCollections(ListCollectionsRequest(), metadata=authorized(slow))
            health: Any = health_pb2_grpc.HealthStub(server.channel)
            await asyncio.wait_for(health.Check(health_pb2.HealthCheckRequest()), 5)
        # Whoever leaves gives the place back.
        await asyncio.wait_for(waiting, 5)
    ended = [getattr(line, "fields", {}).get("rpc_code") for line in caplog.records if "AssignImage" in line.message]
    assert ended == ["CANCELLED"] * limits.READING


async def test_a_caller_has_only_some_bytes_of_messages_answered_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, count = 2, 2 * limits.READING
    entered: list[str] = []
    may_go_on = asyncio.Event()

    async def answer(_: object, request: AssignImageRequest, context: object) -> AssignImageResponse:
        entered.append(request.parent)
        if request.image_content:
            await may_go_on.wait()
        return AssignImageResponse()

    async def until_entered(wanted: int) -> None:
        async with asyncio.timeout(5):
            while len(entered) < wanted:
                await asyncio.sleep(0.01)
        # No more than these.
        await asyncio.sleep(0.2)
        assert len(entered) == wanted

    monkeypatch.setattr(ClusterService, "AssignImage", answer)
    busy, other = (authorized(add_key(tmp_path, Role.READ)[0]) for _ in range(2))
    async with serving(tmp_path, max_message_bytes=2**20) as server:
        calls = {
            parent: server.clusters.AssignImage(
                AssignImageRequest(parent=parent, image_content=b"x" * 900_000), metadata=busy
            )
            for parent in (f"collections/photos{number}" for number in range(count))
        }
        await until_entered(fit)
        await asyncio.wait_for(server.clusters.AssignImage(AssignImageRequest(), metadata=other), 5)
        assert entered.pop() == ""
        left = set(entered)
        for parent in left:
            calls[parent].cancel()
        await until_entered(2 * fit)
        may_go_on.set()
        await asyncio.gather(*(call for parent, call in calls.items() if parent not in left))
        assert sorted(entered) == sorted(calls)


async def test_a_request_that_was_refused_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not until the garbage collector comes round either, which may be long after the memory is full."""

    class Long:
        """Stands for what a request brings, which cannot be looked for itself."""

    brought: list[weakref.ref[Long]] = []

    async def answer(_: object, request: AssignImageRequest, context: object) -> AssignImageResponse:
        content = Long()
        brought.append(weakref.ref(content))
        raise InvalidField("image", "is none")

    monkeypatch.setattr(ClusterService, "AssignImage", answer)
    async with serving(tmp_path) as server:
        gc.disable()
        try:
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "is none"):
                await server.clusters.AssignImage(AssignImageRequest())
            async with asyncio.timeout(5):
                while brought[0]() is not None:
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()


async def test_what_is_no_message_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        call: Any = server.channel.unary_unary("/shoal.v1.ClusterService/AssignImage")
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "request: its bytes are none"):
            await call(b"\xff")
        none: Any = server.channel.stream_unary("/shoal.v1.ClusterService/AssignImage")
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "request: is missing"):
            await asyncio.wait_for(none(iter(())), 5)


async def test_changes_are_on_record(tmp_path: Path) -> None:
    key, kept = add_key(tmp_path, Role.WRITE)
    async with serving(tmp_path) as server:
        async with AsyncClient(server.address, api_key=key) as client:
            await client.ensure_collection("photos")
            with pytest.raises(PermissionDenied):
                await client.delete_collection("photos")
        images: Any = ImageServiceStub(server.channel)
        sent = iter([IngestImagesRequest(parent="collections/photos", image=NewImage(content=picture("red", 1)))])
        assert [_ async for _ in images.IngestImages(sent, metadata=authorized(key))]
    text = (tmp_path / "audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["method"], line["collections"], line["outcome"]) for line in lines] == [
        ("shoal.v1.CollectionService/CreateCollection", ["photos"], "OK"),
        ("shoal.v1.CollectionService/DeleteCollection", [], "PERMISSION_DENIED"),
        ("shoal.v1.ImageService/IngestImages", ["photos"], "BEGUN"),
        ("shoal.v1.ImageService/IngestImages", ["photos"], "OK"),
    ]
    assert {(line["caller"], line["name"], line["address"]) for line in lines} == {
        (f"key:{kept.id}", "write key", "127.0.0.1")
    }
    assert all(line["request"] for line in lines)
    assert key not in text


async def test_whose_corrections_they_are(tmp_path: Path) -> None:
    key, _ = add_key(tmp_path, Role.WRITE)
    async with serving(tmp_path) as server, AsyncClient(server.address, api_key=key) as client:
        await client.ensure_collection("photos")
        photos = client.collection("photos")
        files = [tmp_path / f"{color}{number}.png" for color in ("red", "green", "blue") for number in range(12)]
        for number, file in enumerate(files):
            file.write_bytes(picture(("red", "green", "blue")[number // 12], number % 12))
        assert all([result.error is None async for result in photos.ingest(files)])
        await photos.recluster()
        [first, *_] = [cluster async for cluster in photos.clusters()]
        await photos.rename(first.id, "anna's", author="anna")
        [correction] = [each async for each in photos.corrections()]
        assert correction.author == "anna (as write key)"
