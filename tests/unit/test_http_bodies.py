"""Bodies of HTTP requests come in as fast as they should, or not at all."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from shoal_server.application.byte_budget import ByteBudget
from shoal_server.domain.errors import UploadStalled
from shoal_server.web.api import bodies as bodies_module
from shoal_server.web.api.authorization import Body
from shoal_server.web.api.bodies import Bodies
from shoal_server.web.api.errors import HttpProblem


def trickling(kind: str) -> Request:
    """A request whose body comes a byte at a time, and never ends."""

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    headers = [(b"content-type", kind.encode()), (b"content-length", b"8000000")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def test_what_trickles_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies_module, "PART_TIMEOUT_S", 0.1)
    bodies = Bodies(8_000_000, 8_000_000, ByteBudget(8_000_000))
    async with asyncio.timeout(5):
        # Two of these are all that may be read at once.
        for _ in range(3):
            with pytest.raises(HttpProblem, match="did not come to its end"):
                async with bodies.let_in(trickling("application/json"), Body.JSON) as request:
                    await request.body()
        with pytest.raises(UploadStalled):
            async with bodies.let_in(trickling("application/octet-stream"), Body.FILE):
                pytest.fail("it was let in")
