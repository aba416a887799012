from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import ipaddress
import logging
import os
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shoal_server.adapters.uri_fetcher import UriFetcher, web_files
from shoal_server.adapters.uri_fetcher.public_network import IpAddress, PublicNetwork, is_public
from shoal_server.adapters.uri_fetcher.web_files import without_secrets
from shoal_server.domain.errors import FetchFailed, FetchNotAllowed, FetchUnavailable, FileTooLarge

LIMIT = 100_000


@asynccontextmanager
async def fetching(
    roots: Sequence[Path] = (), http: bool = False, network: PublicNetwork | None = None
) -> AsyncIterator[UriFetcher]:
    fetcher = UriFetcher(roots, http, LIMIT, network=network)
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


@pytest.fixture
async def files(root: Path) -> AsyncIterator[UriFetcher]:
    async with fetching([root]) as fetcher:
        yield fetcher


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that may be read, beside one that may not."""
    folder = tmp_path / "photos"
    (folder / "2024").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "2024" / "b.jpg").write_bytes(b"b")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "photos-of-others").mkdir()
    (tmp_path / "photos-of-others" / "a.jpg").write_bytes(b"secret")
    return folder


async def test_files_below_a_root_are_read(files: UriFetcher, root: Path) -> None:
    assert await files.fetch((root / "a.jpg").as_uri()) == b"a"
    assert await files.fetch((root / "2024" / "b.jpg").as_uri()) == b"b"
    assert await files.fetch(f"file://{root}/2024/../a.jpg") == b"a"
    assert await files.fetch(f"FILE:{root}//2024/./b.jpg") == b"b"


async def test_each_of_several_roots_is_read(root: Path, tmp_path: Path) -> None:
    async with fetching([root / "2024", tmp_path / "photos-of-others", tmp_path / "not-there-yet"]) as fetcher:
        assert await fetcher.fetch((root / "2024" / "b.jpg").as_uri()) == b"b"
        assert await fetcher.fetch((tmp_path / "photos-of-others" / "a.jpg").as_uri()) == b"secret"
        with pytest.raises(FetchNotAllowed):
            await fetcher.fetch((root / "a.jpg").as_uri())


@pytest.mark.parametrize("name", ["ein Bild.jpg", "grün.jpg", "100%.jpg", "what?#.jpg", "a%2Fb.jpg", "日本.jpg"])
async def test_names_are_percent_decoded(files: UriFetcher, root: Path, name: str) -> None:
    (root / name).write_bytes(name.encode())
    assert await files.fetch((root / name).as_uri()) == name.encode()


async def test_names_that_are_not_utf8_are_read(files: UriFetcher, root: Path) -> None:
    (root / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"x")
    assert await files.fetch(f"file://{root}/%FF%FE.jpg") == b"x"


async def test_a_root_may_be_a_link_or_lead_through_one(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    async with fetching([tmp_path / "x" / ".." / "link"]) as fetcher:
        assert await fetcher.fetch(f"file://{tmp_path}/link/a.jpg") == b"a"
        assert await fetcher.fetch(f"file://{root}/a.jpg") == b"a"


async def test_links_within_a_root_are_followed(files: UriFetcher, root: Path) -> None:
    (root / "latest.jpg").symlink_to("2024/b.jpg")
    (root / "album").symlink_to(root / "2024")
    assert await files.fetch(f"file://{root}/latest.jpg") == b"b"
    assert await files.fetch(f"file://{root}/album/b.jpg") == b"b"


async def test_without_roots_nothing_is_read_and_the_setting_is_named(root: Path) -> None:
    async with fetching() as fetcher:
        with pytest.raises(FetchNotAllowed, match="SHOAL_INGEST_ROOTS"):
            await fetcher.fetch((root / "a.jpg").as_uri())


async def test_nothing_leaves_a_root(files: UriFetcher, root: Path, tmp_path: Path) -> None:
    (root / "out.jpg").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    (root / "up").symlink_to("..")
    for path in (
        f"{root}/../secret",
        f"{root}/%2e%2e/secret",
        f"{root}/2024/..%2f..%2fsecret",
        f"{root}/out.jpg",
        f"{root}/out/secret",
        f"{root}/up/secret",
        f"{root}/up/photos-of-others/a.jpg",
        f"{tmp_path}/secret",
        f"{tmp_path}/photos-of-others/a.jpg",
        f"{tmp_path}",
        "/etc/passwd",
        "/",
        "/proc/self/environ",
    ):
        with pytest.raises(FetchNotAllowed, match="SHOAL_INGEST_ROOTS"):
            await files.fetch(f"file://{path}")


async def test_what_exists_outside_cannot_be_told(files: UriFetcher, root: Path, tmp_path: Path) -> None:
    (root / "there").symlink_to(tmp_path / "secret")
    (root / "gone").symlink_to(tmp_path / "missing")
    (tmp_path / "into").symlink_to(root)

    async def refusal(uri: str) -> str:
        with pytest.raises(FetchNotAllowed) as raised:
            await files.fetch(uri)
        return raised.value.message.replace(uri, "URI")

    refusals = [
        await refusal(f"file://{path}")
        for path in (
            tmp_path / "secret",
            tmp_path / "missing",
            tmp_path / "secret" / "below-a-file",
            root / "there",
            root / "gone",
            root / ".." / "secret",
            root / ".." / "missing",
            tmp_path / "into" / "a.jpg",
            tmp_path / "not-into" / "a.jpg",
        )
    ]
    assert len(set(refusals)) == 1


async def test_outside_the_file_system_is_not_even_asked(
    files: UriFetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("the file system was asked")

    monkeypatch.setattr(os.path, "realpath", asked)
    with pytest.raises(FetchNotAllowed):
        await files.fetch(f"file://{tmp_path}/secret")


async def test_a_link_put_in_place_after_the_check_leads_nowhere(
    files: UriFetcher, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.jpg").write_bytes(b"secret")
    real = os.path.realpath

    def swapped_after(path: str) -> str:
        checked = real(path)
        if (root / "2024").is_symlink():
            (root / "a.jpg").unlink()
            (root / "a.jpg").symlink_to(tmp_path / "secret")
        else:
            (root / "2024").rename(tmp_path / "moved")
            (root / "2024").symlink_to(tmp_path / "elsewhere")
        return checked

    monkeypatch.setattr(os.path, "realpath", swapped_after)
    with pytest.raises(FetchFailed):
        await files.fetch(f"file://{root}/2024/b.jpg")
    with pytest.raises(FetchFailed):
        await files.fetch(f"file://{root}/a.jpg")


async def test_what_is_not_a_regular_file_is_refused(files: UriFetcher, root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "fifo.jpg")
    (root / "zero.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        for name in ("fifo.jpg", "socket", "2024", "."):
            with pytest.raises(FetchFailed):
                await files.fetch(f"file://{root}/{name}")
    with pytest.raises(FetchNotAllowed):
        await files.fetch(f"file://{root}/zero.jpg")
    async with fetching([Path("/dev")]) as devices:
        with pytest.raises(FetchFailed, match="not a regular file"):
            await devices.fetch("file:///dev/zero")


async def test_what_is_missing_below_a_root_is_said(files: UriFetcher, root: Path) -> None:
    (root / "loop").symlink_to("loop")
    for name in ("missing.jpg", "a.jpg/b.jpg", "loop", "x" * 300):
        with pytest.raises(FetchFailed, match="check the path"):
            await files.fetch(f"file://{root}/{name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_may_not_be_read_is_said(files: UriFetcher, root: Path) -> None:
    (root / "a.jpg").chmod(0)
    with pytest.raises(FetchFailed, match="ermission"):
        await files.fetch(f"file://{root}/a.jpg")


@pytest.mark.parametrize(
    "uri",
    [
        "file://host/a.jpg",
        "file://localhost/a.jpg",
        "file://user@host/a.jpg",
        "file://127.0.0.1/a.jpg",
        "file:relative/a.jpg",
        "file:",
        "file:///a%00.jpg",
        "file:///a.jpg?x",
        "file:///a.jpg#x",
        "file://[/a.jpg",
    ],
)
async def test_uris_that_are_not_of_a_local_file_are_refused(files: UriFetcher, uri: str) -> None:
    with pytest.raises(FetchFailed, match=r"file:///path/to/file|%3F|three slashes"):
        await files.fetch(uri)


@pytest.mark.parametrize("size", [0, LIMIT - 1, LIMIT])
async def test_files_up_to_the_limit_are_read(files: UriFetcher, root: Path, size: int) -> None:
    (root / "x").write_bytes(b"x" * size)
    assert len(await files.fetch(f"file://{root}/x")) == size


async def test_larger_files_are_refused(files: UriFetcher, root: Path) -> None:
    (root / "x").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(FileTooLarge):
        await files.fetch(f"file://{root}/x")


async def test_a_file_that_grows_while_it_is_read_is_refused(
    files: UriFetcher, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "x").write_bytes(b"x" * LIMIT)
    read = os.read

    def growing(descriptor: int, length: int) -> bytes:
        if (root / "x").stat().st_size == LIMIT:
            with (root / "x").open("ab") as file:
                file.write(b"x" * 10)
        return read(descriptor, length)

    monkeypatch.setattr(os, "read", growing)
    with pytest.raises(FileTooLarge):
        await files.fetch(f"file://{root}/x")


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc to count what is open")
async def test_no_descriptor_stays_open(files: UriFetcher, root: Path) -> None:
    await files.fetch(f"file://{root}/a.jpg")
    before = open_descriptors()
    for name in ("2024/b.jpg", "missing", "2024/missing/x", "2024", "a.jpg/b"):
        try:
            await files.fetch(f"file://{root}/{name}")
        except FetchFailed:
            continue
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "uri", ["ftp://example.com/a.jpg", "gopher://x/", "data:image/png;base64,AA", "/a.jpg", "", ":"]
)
async def test_other_schemes_are_refused_with_those_there_are(files: UriFetcher, uri: str) -> None:
    with pytest.raises(FetchNotAllowed, match=r"file:///path and http\(s\)"):
        await files.fetch(uri)


# The web. A server on 127.0.0.1 stands for a public one: only the tests' own network lets it be reached.

Answer = Callable[[str, Mapping[str, str]], bytes | AsyncIterator[bytes]]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    given = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


@dataclass
class Web:
    """A web server and the network by which it is reached as ``public.example``."""

    port: int
    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=lambda: {"public.example": ["127.0.0.1"]})
    resolved: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://public.example:{self.port}"

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.resolved.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.names[host]

    @property
    def network(self) -> PublicNetwork:
        def allowed(address: IpAddress) -> bool:
            return address == ipaddress.ip_address("127.0.0.1") or is_public(address)

        return PublicNetwork(self.resolve, allowed)


@asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server on 127.0.0.1 that has closed all connections at the end."""
    writers: list[asyncio.StreamWriter] = []

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handled, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            target = head.split(" ")[1]
            made.asked.append(target)
            made.headers.append(head)
            writer.write(made.answers.get(target, answer(status="404 Not Found")))
            await writer.drain()

    async with listening(serve) as port:
        made = Web(port)
        yield made


def to_this_machine() -> PublicNetwork:
    """A network on which every name is this machine."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    return PublicNetwork(resolve, lambda address: True)


@pytest.fixture
async def reached(web: Web) -> AsyncIterator[UriFetcher]:
    async with fetching(http=True, network=web.network) as fetcher:
        yield fetcher


async def test_a_file_is_read_from_the_web(web: Web, reached: UriFetcher) -> None:
    web.answers["/a%20b.jpg?x=1"] = answer(b"picture")
    web.answers["/chunked"] = answer(
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked"
    )
    assert await reached.fetch(f"{web.url}/a b.jpg?x=1#fragment") == b"picture"
    assert await reached.fetch(f"{web.url}/chunked") == b"abcde"
    assert f"Host: public.example:{web.port}\r\n" in web.headers[0]
    assert "Accept-Encoding: identity\r\n" in web.headers[0]


async def test_the_web_is_switched_off_by_default_and_the_setting_is_named(web: Web) -> None:
    async with fetching(network=web.network) as fetcher:
        with pytest.raises(FetchNotAllowed, match="SHOAL_INGEST_HTTP") as raised:
            await fetcher.fetch(f"http://anna:hunter2@public.example:{web.port}/a.jpg?token=hunter2")
    assert "hunter2" not in str(raised.value) + str(raised.value.metadata)
    assert web.resolved == web.asked == []


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "204 No Content", "206 Partial"])
async def test_any_other_status_is_said(web: Web, reached: UriFetcher, status: str) -> None:
    web.answers["/a.jpg"] = answer(status=status)
    with pytest.raises(FetchFailed, match=status[:3]):
        await reached.fetch(f"{web.url}/a.jpg")


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "429 Too Many", "408 Too Slow"])
async def test_a_status_that_may_pass_is_said_to_be_for_the_moment(web: Web, reached: UriFetcher, status: str) -> None:
    web.answers["/a.jpg"] = answer(status=status)
    with pytest.raises(FetchUnavailable, match=rf"{status[:3]}; try again"):
        await reached.fetch(f"{web.url}/a.jpg")


@pytest.mark.parametrize("size", [0, LIMIT])
async def test_web_files_up_to_the_limit_are_read(web: Web, reached: UriFetcher, size: int) -> None:
    web.answers["/a.jpg"] = answer(b"x" * size)
    assert len(await reached.fetch(f"{web.url}/a.jpg")) == size


async def test_larger_web_files_are_refused_whatever_is_said_of_their_length(web: Web, reached: UriFetcher) -> None:
    body = b"x" * (LIMIT + 1)
    web.answers["/said"] = answer(b"", Content_Length=str(10**12))
    web.answers["/sent"] = answer(body)
    web.answers["/chunked"] = answer(
        f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked"
    )
    for path in ("/said", "/sent", "/chunked"):
        with pytest.raises(FileTooLarge):
            await reached.fetch(f"{web.url}{path}")


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_compressed_answers_are_read_up_to_the_limit(
    web: Web, reached: UriFetcher, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    content = os.urandom(50_000) + b"x" * 50_000
    web.answers["/a.jpg"] = answer(compress(content), Content_Encoding=encoding)
    web.answers["/empty"] = answer(compress(b""), Content_Encoding=encoding)
    assert await reached.fetch(f"{web.url}/a.jpg") == content
    assert await reached.fetch(f"{web.url}/empty") == b""


async def test_bombs_are_not_inflated_beyond_the_limit(
    web: Web, reached: UriFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < LIMIT
    web.answers["/bomb"] = answer(bomb, Content_Encoding="gzip")
    made = zlib.decompressobj
    inflated: list[int] = []

    class Watched:
        def __init__(self, bits: int) -> None:
            self.inner = made(bits)

        def decompress(self, data: bytes, length: int) -> bytes:
            got = self.inner.decompress(data, length)
            inflated.append(len(got))
            return got

        @property
        def eof(self) -> bool:
            return self.inner.eof

        @property
        def unconsumed_tail(self) -> bytes:
            return self.inner.unconsumed_tail

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(FileTooLarge):
        await reached.fetch(f"{web.url}/bomb")
    assert 0 < sum(inflated) < 2_000_000


async def test_encodings_that_were_not_asked_for_are_refused(web: Web, reached: UriFetcher) -> None:
    for encoding in ("br", "zstd", "gzip, gzip"):
        web.answers["/a.jpg"] = answer(b"x", Content_Encoding=encoding)
        with pytest.raises(FetchFailed, match="encoding"):
            await reached.fetch(f"{web.url}/a.jpg")


async def test_damaged_answers_are_said(web: Web, reached: UriFetcher) -> None:
    web.answers["/cut"] = answer(gzip.compress(b"x" * 1000)[:-8], Content_Encoding="gzip")
    web.answers["/other"] = answer(b"not compressed", Content_Encoding="gzip")
    web.answers["/garbage"] = b"\0\1\2 not http\r\n\r\n"
    for path in ("/cut", "/other", "/garbage"):
        with pytest.raises(FetchFailed):
            await reached.fetch(f"{web.url}{path}")


async def test_redirects_are_followed_up_to_five(web: Web, reached: UriFetcher) -> None:
    for number, status in enumerate(("301", "302", "303", "307", "308", "302")):
        location = f"/{number + 1}" if number % 2 else f"{web.url}/{number + 1}"
        web.answers[f"/{number}"] = answer(status=f"{status} Elsewhere", Location=location)
    web.answers["/6"] = answer(b"picture")
    assert await reached.fetch(f"{web.url}/1") == b"picture"
    with pytest.raises(FetchFailed, match="more than 5"):
        await reached.fetch(f"{web.url}/0")
    web.answers["/lost"] = answer(status="302 Found")
    with pytest.raises(FetchFailed, match="302 and no location"):
        await reached.fetch(f"{web.url}/lost")


@pytest.mark.parametrize(
    "location",
    [
        "http://private.example/",
        "//private.example/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://anna:hunter2@public.example/",
        "file:///etc/passwd",
        "ftp://public.example/",
    ],
)
async def test_redirects_to_what_may_not_be_read_are_refused(web: Web, reached: UriFetcher, location: str) -> None:
    web.names |= {name: [name] for name in ("169.254.169.254", "::1")} | {"private.example": ["10.0.0.1"]}
    web.answers["/a.jpg"] = answer(status="302 Found", Location=location)
    with pytest.raises(FetchNotAllowed) as raised:
        await reached.fetch(f"{web.url}/a.jpg")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("location", ["http://public.example:x/", "http:///", "\u00fc"])
async def test_redirects_to_nonsense_are_said(web: Web, reached: UriFetcher, location: str) -> None:
    web.answers["/a.jpg"] = answer(status="302 Found", Location=location)
    with pytest.raises(FetchFailed):
        await reached.fetch(f"{web.url}/a.jpg")


async def test_the_address_that_was_checked_is_the_one_connected_to(web: Web) -> None:
    async def rebinding(host: str, port: int) -> Sequence[str]:
        web.resolved.append(host)
        return ["127.0.0.1"] if len(web.resolved) == 1 else ["10.0.0.1"]

    web.answers["/a.jpg"] = answer(b"picture", Connection="close")
    network = PublicNetwork(rebinding, lambda address: str(address) == "127.0.0.1")
    async with fetching(http=True, network=network) as fetcher:
        assert await fetcher.fetch(f"{web.url}/a.jpg") == b"picture"
        assert web.resolved == ["public.example"]
        with pytest.raises(FetchNotAllowed):
            await fetcher.fetch(f"{web.url}/a.jpg")


async def test_one_private_address_among_several_is_enough_to_refuse(web: Web, reached: UriFetcher) -> None:
    web.names["public.example"] = ["127.0.0.1", "10.0.0.1"]
    with pytest.raises(FetchNotAllowed):
        await reached.fetch(f"{web.url}/a.jpg")
    assert web.asked == []


async def test_an_address_that_does_not_answer_is_passed_over(web: Web) -> None:
    web.answers["/a.jpg"] = answer(b"picture")
    web.names["public.example"] = ["127.0.0.2", "127.0.0.1"]
    async with fetching(http=True, network=PublicNetwork(web.resolve, lambda address: True)) as fetcher:
        assert await fetcher.fetch(f"{web.url}/a.jpg") == b"picture"


async def test_names_that_do_not_exist_and_private_ones_cannot_be_told_apart(web: Web, reached: UriFetcher) -> None:
    web.names["private.example"] = ["10.0.0.1"]
    messages = []
    for host in ("private.example", "missing.example"):
        with pytest.raises(FetchNotAllowed, match="no public address") as raised:
            await reached.fetch(f"http://{host}/a.jpg")
        messages.append(raised.value.message.replace(host, "HOST"))
    assert messages[0] == messages[1]


async def test_a_name_service_that_is_away_is_said() -> None:
    async def away(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    async with fetching(http=True, network=PublicNetwork(away)) as fetcher:
        with pytest.raises(FetchUnavailable, match="cannot be resolved"):
            await fetcher.fetch("http://public.example/a.jpg")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",  # noqa: S104 - nothing listens there
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::1]",
        "[fe80::1]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "10.0.0.1",
        "192.168.0.1",
        "224.0.0.1",
    ],
)
async def test_private_addresses_are_refused_by_default_however_they_are_written(web: Web, host: str) -> None:
    async with fetching(http=True) as fetcher:
        for scheme in ("http", "https"):
            with pytest.raises(FetchNotAllowed, match="no public address"):
                await fetcher.fetch(f"{scheme}://{host}:{web.port}/a.jpg")
    assert web.asked == []


@pytest.mark.parametrize(
    "host", ["0177.0.0.1", "017700000001", "127.0.0.1%00.example", "127.0.0.1 .example", "１２７.0.0.1"]
)
async def test_hosts_that_are_none_are_refused_by_default(web: Web, host: str) -> None:
    async with fetching(http=True) as fetcher:
        with pytest.raises((FetchNotAllowed, FetchFailed)):
            await fetcher.fetch(f"http://{host}:{web.port}/a.jpg")
    assert web.asked == []


async def test_a_name_that_resolves_to_a_private_address_is_refused_by_default(web: Web) -> None:
    for address in ("127.0.0.1", "10.1.2.3", "::ffff:169.254.169.254", "fd00::1", "fe80::1%lo"):
        web.names["public.example"] = [address]
        async with fetching(http=True, network=PublicNetwork(web.resolve)) as fetcher:
            with pytest.raises(FetchNotAllowed, match="no public address"):
                await fetcher.fetch(f"{web.url}/a.jpg")
    assert web.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((address, True) for address in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")),
        *((address, True) for address in ("2002:808:808::1", "1.1.1.1", "193.99.144.80")),
        *((address, False) for address in ("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1")),  # noqa: S104
        *((address, False) for address in ("172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1")),
        *((address, False) for address in ("192.0.0.8", "192.88.99.1", "198.18.0.1", "203.0.113.9", "224.0.0.251")),
        *((address, False) for address in ("168.63.129.16", "::ffff:168.63.129.16", "64:ff9b::a83f:8110")),
        *((address, True) for address in ("168.63.129.15", "168.63.129.17")),
        *((address, False) for address in ("239.1.2.3", "240.0.0.1", "255.255.255.255")),
        *((address, False) for address in ("::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:10.0.0.1", "100::1")),
        *((address, False) for address in ("64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:a00:1::1", "2001:db8::1")),
        *((address, False) for address in ("2001:0:808:808::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1")),
        *((address, False) for address in ("fec0::1", "ff02::1", "ff0e::1", "5f00::1", "4000::1")),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("userinfo", ["anna:hunter2", "hunter2"])
async def test_credentials_are_neither_used_nor_told(
    web: Web, reached: UriFetcher, caplog: pytest.LogCaptureFixture, userinfo: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(FetchNotAllowed, match="user name or password") as raised:
        await reached.fetch(f"http://{userinfo}@public.example:{web.port}/a.jpg")
    web.answers["/a.jpg?sig=hunter2"] = answer(status="302 Found", Location="/b.jpg?sig=hunter2")
    web.answers["/b.jpg?sig=hunter2"] = answer(status="403 Forbidden")
    with pytest.raises(FetchFailed, match=r"a\.jpg\?\.\.\.") as failed:
        await reached.fetch(f"{web.url}/a.jpg?sig=hunter2")
    assert web.asked == ["/a.jpg?sig=hunter2", "/b.jpg?sig=hunter2"]
    told = caplog.text + "".join(str(each.value) + str(each.value.metadata) for each in (raised, failed))
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://anna:pass@host/a.jpg?sig=1#x", "https://host/a.jpg?..."),
        ("https://host:8443/a%20b.jpg", "https://host:8443/a%20b.jpg"),
        ("https://host/@anna/a.jpg", "https://host/@anna/a.jpg"),
        ("http://anna:pa/ss@host/", "http:..."),
        ("http://anna:pass@[::1/", "http:..."),
        ("ftp://anna:pass@host/a.jpg", "ftp://host/a.jpg"),
    ],
)
def test_what_is_shown_of_a_uri(uri: str, shown: str) -> None:
    assert without_secrets(uri) == shown


@pytest.mark.parametrize("uri", ["http://", "http:///a.jpg", "https:a.jpg", "http://host:99999/", "http://[::1/"])
async def test_malformed_urls_are_said(reached: UriFetcher, uri: str) -> None:
    with pytest.raises(FetchFailed):
        await reached.fetch(uri)


async def test_proxies_of_the_environment_are_not_used(
    web: Web, reached: UriFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    web.answers["/a.jpg"] = answer(b"picture")
    assert await reached.fetch(f"{web.url}/a.jpg") == b"picture"


async def test_cookies_are_not_kept(web: Web, reached: UriFetcher) -> None:
    web.answers["/a.jpg"] = answer(b"picture", Set_Cookie="id=1; Path=/")
    await reached.fetch(f"{web.url}/a.jpg")
    await reached.fetch(f"{web.url}/a.jpg")
    assert not any("cookie" in head.lower() for head in web.headers)


async def test_a_server_that_does_not_answer_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    network = to_this_machine()
    async with listening(silent) as port:
        with monkeypatch.context() as patch:
            patch.setitem(web_files._TIMEOUTS["timeout"], "read", 0.1)
            async with fetching(http=True, network=network) as fetcher:
                with pytest.raises(FetchUnavailable, match="too long"):
                    await fetcher.fetch(f"http://public.example:{port}/a.jpg")
    async with listening(dripping) as port:
        web = web_files.WebFiles(LIMIT, network, total_timeout_s=0.3)
        with pytest.raises(FetchUnavailable, match="too long"):
            await web.read(f"http://public.example:{port}/a.jpg")
        await web.aclose()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"])
async def test_a_server_that_is_not_there_or_hangs_up_is_so_for_the_moment(said: bytes) -> None:
    async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)

    async with fetching(http=True, network=to_this_machine()) as fetcher:
        async with listening(hanging_up) as port:
            with pytest.raises(FetchUnavailable):
                await fetcher.fetch(f"http://public.example:{port}/a.jpg")
        for scheme in ("http", "https"):
            with pytest.raises(FetchUnavailable, match="ConnectError"):
                await fetcher.fetch(f"{scheme}://public.example:{port}/a.jpg")


async def test_a_server_that_does_not_speak_tls_never_will() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(plain) as port, fetching(http=True, network=to_this_machine()) as fetcher:
        with pytest.raises(FetchFailed, match="SSL"):
            await fetcher.fetch(f"https://public.example:{port}/a.jpg")


@pytest.mark.parametrize("host", ["xn--a", "xn--", "xn--ls8h.example", "a.xn--0"])
async def test_names_in_punycode_that_stand_for_nothing_are_refused(host: str) -> None:
    async with fetching(http=True, network=PublicNetwork(Web(0).resolve)) as fetcher:
        for scheme in ("http", "https"):
            with pytest.raises(FetchNotAllowed, match="no public address"):
                await fetcher.fetch(f"{scheme}://{host}/x.jpg")


async def test_a_redirect_to_punycode_that_stands_for_nothing_is_refused(web: Web, reached: UriFetcher) -> None:
    web.answers["/a.jpg"] = answer(status="302 Found", Location="https://xn--a/x.jpg")
    with pytest.raises(FetchNotAllowed, match="no public address"):
        await reached.fetch(f"{web.url}/a.jpg")


async def test_names_nobody_answers_for_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, asked = threading.Event(), threading.Semaphore(0)

    def silent(*_: object, **__: object) -> list[object]:
        asked.release()
        assert answered.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    async with fetching(http=True) as fetcher:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", silent)
            fetches = [asyncio.create_task(fetcher.fetch(f"http://silent-{each}.example/")) for each in range(3)]
            try:
                while not asked.acquire(blocking=False):
                    await asyncio.sleep(0.001)
                digest = await asyncio.wait_for(asyncio.to_thread(hashlib.sha256, b"an upload"), 30)
            finally:
                answered.set()
            results = await asyncio.gather(*fetches, return_exceptions=True)
    assert digest.digest() == hashlib.sha256(b"an upload").digest()
    assert all(isinstance(result, FetchNotAllowed) for result in results)


async def test_closing_does_not_wait_for_names_nobody_answers_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, asked = threading.Event(), threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        asked.set()
        assert answered.wait(60)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", silent)
        try:
            async with fetching(http=True) as fetcher:
                fetch = asyncio.create_task(fetcher.fetch("http://silent.example/"))
                while not asked.is_set():
                    await asyncio.sleep(0.001)
                fetch.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await fetch
            assert not answered.is_set()
        finally:
            answered.set()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE])
async def test_a_file_the_system_cannot_open_for_the_moment_is_said_to_be_so(
    files: UriFetcher, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def failing(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with pytest.raises(FetchUnavailable, match="try again"):
            await files.fetch(f"file://{root}/a.jpg")
