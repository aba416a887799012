"""Files from public web addresses."""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator

import httpcore
import httpx

from shoal_server.adapters.uri_fetcher.public_network import AddressRefused, NameUnresolved, PublicNetwork
from shoal_server.domain.errors import FetchFailed, FetchNotAllowed, FetchUnavailable, FileTooLarge

MAX_REDIRECTS = 5
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0
TOTAL_TIMEOUT_S = 60.0

#: Fetches at once; more wait.
_CONNECTIONS = 16
#: An address is checked when it is connected to: a connection is not kept for long.
_KEEP_ALIVE_S = 10.0
_PART = 256 * 1024

_HEADERS = [(b"User-Agent", b"shoal"), (b"Accept", b"image/*, */*;q=0.5"), (b"Accept-Encoding", b"identity")]
_TIMEOUTS = {
    "timeout": {
        "connect": CONNECT_TIMEOUT_S,
        "read": READ_TIMEOUT_S,
        "write": READ_TIMEOUT_S,
        "pool": TOTAL_TIMEOUT_S,
    }
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Besides those from 500 on: the request took too long, or there were too many.
_PASSING = frozenset({408, 429})
_ZLIB_ENCODINGS = {b"gzip", b"x-gzip", b"deflate"}
#: Either header, gzip's or zlib's own.
_ANY_ZLIB_HEADER = 32 + zlib.MAX_WBITS

_SWITCHED_OFF = "it reads nothing from the web; set SHOAL_INGEST_HTTP on the server, or send the file's bytes"
_PRIVATE = "its host has no public address, and private ones are not read; send the file's bytes"
_CREDENTIALS = "it has a user name or password in it, which would be stored with the image; send the file's bytes"


class WebFiles:
    """Reads files by http and https.

    Only from public addresses, each redirect included; without proxies, cookies or a user's credentials. The client is
    httpcore itself: httpx logs every URL whole, and those of signed downloads are secrets.
    """

    def __init__(
        self,
        max_bytes: int,
        network: PublicNetwork,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        """Args:
        max_bytes: of one file, decompressed.
        network: where connections come from.
        total_timeout_s: for one file, redirects included.
        """
        # At DEBUG it logs the headers of answers, and those of a redirect may hold a signed URL.
        logging.getLogger("httpcore").setLevel(logging.INFO)
        self._max_bytes = max_bytes
        self._total_timeout_s = total_timeout_s
        self._network = network
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=_CONNECTIONS,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=network,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()
        self._network.close()

    async def read(self, uri: str) -> bytes:
        """The body of the answer to a GET.

        Args:
            uri: ``http://`` or ``https://``.

        Raises:
            FetchNotAllowed: the host is not public, or the URI holds credentials.
            FetchFailed: it is not well-formed, or the file cannot be had.
            FetchUnavailable: the file cannot be had just now.
            FileTooLarge: it has more than ``max_bytes``.
        """
        shown = without_secrets(uri)
        try:
            async with asyncio.timeout(self._total_timeout_s):
                return await self._read(uri, shown)
        except AddressRefused as error:
            raise FetchNotAllowed(shown, _PRIVATE) from error
        except NameUnresolved as error:
            raise FetchUnavailable(shown, "its host's name cannot be resolved; try again") from error
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise FetchUnavailable(shown, "it took too long; try again, or send the file's bytes") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, zlib.error) as error:
            problem = f"{type(error).__name__}: {error}"[:200] if str(error) else type(error).__name__
            if _is_passing(error):
                raise FetchUnavailable(shown, f"{problem}; try again, or check the address") from error
            raise FetchFailed(shown, f"{problem}; check the address, or send the file's bytes") from error

    async def _read(self, uri: str, shown: str) -> bytes:
        url = _parsed(uri, shown)
        for _ in range(MAX_REDIRECTS + 1):
            target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
            headers = [(b"Host", url.netloc), *_HEADERS]
            async with self._pool.stream("GET", target, headers=headers, extensions=_TIMEOUTS) as response:
                if response.status == 200:
                    return await self._body(response, shown)
                if response.status >= 500 or response.status in _PASSING:
                    raise FetchUnavailable(shown, f"the server answered with status {response.status}; try again")
                if response.status not in _REDIRECTS:
                    raise FetchFailed(shown, f"the server answered with status {response.status}")
                location = _headers(response).get(b"location")
            if location is None:
                raise FetchFailed(shown, f"the server answered with status {response.status} and no location")
            try:
                url = _parsed(str(url.join(location.decode("ascii"))), shown)
            except (httpx.InvalidURL, UnicodeError) as error:
                raise FetchFailed(shown, "it is redirected to something that is not a URL") from error
        raise FetchFailed(shown, f"it is redirected more than {MAX_REDIRECTS} times")

    async def _body(self, response: httpcore.Response, shown: str) -> bytes:
        headers = _headers(response)
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_bytes:
            raise FileTooLarge(self._max_bytes)
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding in _ZLIB_ENCODINGS:
            parts = _inflated(response.aiter_stream(), shown)
        elif encoding in (b"", b"identity"):
            parts = response.aiter_stream()
        else:
            raise FetchFailed(shown, f"the server sent it in the encoding {encoding[:40]!r}, which was not asked for")
        body = bytearray()
        try:
            async for part in parts:
                body += part
                if len(body) > self._max_bytes:
                    raise FileTooLarge(self._max_bytes)
        except httpcore.RemoteProtocolError as error:
            raise FetchUnavailable(shown, "the server broke off before its end; try again") from error
        return bytes(body)


def refuse_web(uri: str) -> FetchNotAllowed:
    """What is said of a web address where those are switched off."""
    return FetchNotAllowed(without_secrets(uri), _SWITCHED_OFF)


def without_secrets(uri: str) -> str:
    """A URI as it may be told and logged: without what may be a password or a signature."""
    try:
        url = httpx.URL(uri)
    except httpx.InvalidURL:
        return f"{uri.partition(':')[0][:20]}:..."
    shown = str(url.copy_with(username=None, password=None, query=None, fragment=None))
    return f"{shown}?..." if url.query else shown


def _is_passing(error: Exception) -> bool:
    """Whether an exchange that failed may succeed another time: there was no connection, or it broke off."""
    # httpcore wraps what went wrong, and drops it as the cause.
    wrapped = error.args[0] if error.args else None
    if isinstance(error, httpcore.RemoteProtocolError):
        # In words of httpcore's own: the server hung up without any. Else, what it said is no HTTP.
        return isinstance(wrapped, str)
    return isinstance(error, httpcore.NetworkError) and not isinstance(wrapped, ssl.SSLError)


def _headers(response: httpcore.Response) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in response.headers}


def _parsed(uri: str, shown: str) -> httpx.URL:
    """A URL that may be asked for.

    Raises:
        FetchNotAllowed: it is none of http or https, or holds credentials.
        FetchFailed: it is not well-formed.
    """
    try:
        url = httpx.URL(uri)
    except httpx.InvalidURL as error:
        raise FetchFailed(shown, "it is not a URL; write https://host/path") from error
    if url.scheme not in ("http", "https"):
        raise FetchNotAllowed(shown, "it is redirected to what is neither http nor https; send the file's bytes")
    if url.userinfo:
        raise FetchNotAllowed(shown, _CREDENTIALS)
    # Not `host`, which decodes it and fails for names that are looked up all the same.
    if not url.raw_host or not 0 < (url.port or 80) < 65536:
        raise FetchFailed(shown, "it names no host, or an impossible port; write https://host/path")
    return url


async def _inflated(parts: AsyncIterator[bytes], shown: str) -> AsyncIterator[bytes]:
    """Decompressed in small parts: a few bytes may stand for gigabytes."""
    inflate = zlib.decompressobj(_ANY_ZLIB_HEADER)
    async for part in parts:
        rest = part
        while rest and not inflate.eof:
            yield inflate.decompress(rest, _PART)
            rest = inflate.unconsumed_tail
    while piece := inflate.decompress(inflate.unconsumed_tail, _PART):
        yield piece
    if not inflate.eof:
        raise FetchFailed(shown, "what the server sent is cut off; see whether the file there is whole")
