"""Keeps other pages away from the explorer, and the explorer from other pages.

A page of somebody else's that is open in the same browser must neither change anything here nor read anything. There
are no cookies that could go with its requests, but where no API key is needed, nothing has to go with them. So a
request that changes something must come from the page itself. And where the server listens on loopback only, a request
must have been sent to a name of this machine: a foreign name that was made to mean 127.0.0.1 (DNS rebinding) is not
answered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoal_server.web.api.errors import HttpProblem, answer

#: Nothing from elsewhere, nothing inline, in no frame of anybody's.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "font-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

_READING = {"GET", "HEAD", "OPTIONS"}
_OWN_FETCHES = {"same-origin", "none"}


class Shield:
    """Around the whole application."""

    def __init__(self, app: ASGIApp, *, loopback: bool, names: Collection[str]) -> None:
        """Args:
        app: what is behind it.
        loopback: the server listens on loopback only.
        names: hosts that it is reached by besides, for instance that of a proxy before it.
        """
        self._app = app
        self._loopback = loopback
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except HttpProblem as problem:
            await answer(problem)(scope, receive, shielded)
            return
        await self._app(scope, receive, shielded)

    def _check(self, scope: Scope) -> None:
        """Raises:
        HttpProblem: the request comes from another page, or was sent to another name.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._loopback and not self._is_ours(host):
            raise HttpProblem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "UNKNOWN_HOST",
                f"this server listens on loopback and is not {host[:80]!r}; open it as 127.0.0.1 or localhost, or set "
                "SHOAL_WEB_HOSTS if a proxy before it has that name",
            )
        if scope["method"] in _READING:
            return
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "none") not in _OWN_FETCHES or (
            origin is not None and not self._is_own(origin, host)
        ):
            raise HttpProblem(
                HTTPStatus.FORBIDDEN,
                "FOREIGN_ORIGIN",
                f"a page at {(origin or 'another address')[:80]!r} may not change anything here; set SHOAL_WEB_HOSTS "
                "if that is the address of a proxy before this server",
            )

    def _is_ours(self, host: str) -> bool:
        name = _name(host)
        return name == "localhost" or name in self._names or _is_loopback(name)

    def _is_own(self, origin: str, host: str) -> bool:
        netloc = urlsplit(origin).netloc.lower()
        return bool(netloc) and (netloc == host.lower() or _name(netloc) in self._names)


def _name(host: str) -> str:
    """A host without its port, in lower case."""
    name = host[: host.rindex(":")] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    return name.strip("[]").lower()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
