"""A whole server with its explorer on a port of its own, and a client for its JSON API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shoal_server import bootstrap
from shoal_server.adapters.key_file import KeyFile
from shoal_server.domain.access import Role, make_key
from shoal_server.settings import Settings
from tests.fakes import COLORS, FakeClusterer, picture

COLLECTION = "photos"
API = "/api/v1"
PHOTOS = f"{API}/collections/{COLLECTION}"
MAX_MESSAGE = 2 * 1024 * 1024


@dataclass
class Explored:
    """A server and a client of its explorer.

    Attributes:
        grpc: its address for gRPC.
        last: the newest correction, for tests that look whether there is another.
    """

    http: httpx.AsyncClient
    clusterer: FakeClusterer
    grpc: str
    last: list[Any] = field(default_factory=list)

    async def get(self, path: str, **params: Any) -> Any:
        """What a path below the collection answers; it must succeed."""
        answer = await self.http.get(f"{PHOTOS}{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        """Likewise, with a body."""
        answer = await self.http.post(f"{PHOTOS}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def store(self, contents: Mapping[str, bytes]) -> list[Any]:
        """Stores files by their names; the answers."""
        return [await self.store_one(name, content) for name, content in contents.items()]

    async def store_one(self, name: str, content: bytes, **params: Any) -> Any:
        """Stores a file; the answer."""
        answer = await self.http.post(
            f"{PHOTOS}/images",
            params={"uri": name, **params},
            content=content,
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def three_colors(self, each: int = 12) -> None:
        """Stores pictures of three colours and clusters them."""
        for color in ("red", "green", "blue"):
            await self.store({f"{color}{number}.png": picture(color, number) for number in range(each)})
        await self.cluster()

    async def cluster(self) -> Any:
        """Runs a clustering to its end; the run."""
        started = await self.post("/runs")
        *_, (name, ended) = [event async for event in self.events(started["id"])][:-1]
        assert (name, ended["state"]) == ("run", "succeeded"), ended
        return ended

    async def events(self, run: str) -> AsyncIterator[tuple[str, Any]]:
        """The events of a run."""
        async with self.http.stream("GET", f"{PHOTOS}/runs/{run}/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            name = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))

    async def homes_of_all(self) -> dict[str, int | None]:
        """The cluster of each image, by id."""
        return {image["id"]: image["cluster"] for image in (await self.get("/images", page_size=1000))["images"]}

    async def homes(self) -> dict[str, int]:
        """The cluster that all images of a colour are in."""
        found: dict[str, set[int]] = {}
        for image in (await self.get("/images", page_size=1000))["images"]:
            if (color := image["uri"].removesuffix(".png").rstrip("0123456789")) in COLORS:
                found.setdefault(color, set()).add(image["cluster"])
        assert all(len(clusters) == 1 for clusters in found.values()), found
        return {color: clusters.pop() for color, clusters in found.items()}


@asynccontextmanager
async def exploring(data: Path, clusterer: FakeClusterer | None = None, **settings: Any) -> AsyncIterator[Explored]:
    """A server on a folder."""
    fake = clusterer or FakeClusterer()
    defaults: dict[str, Any] = {
        "model": "debug",
        "listen": "127.0.0.1:0",
        "web_listen": "127.0.0.1:0",
        "max_message_bytes": MAX_MESSAGE,
        "recluster_automatically": False,
    }
    async with bootstrap.running(Settings(data=data, **(defaults | settings)), lambda cache: fake) as listening:
        assert listening.web is not None
        async with httpx.AsyncClient(base_url=listening.web, trust_env=False, timeout=60) as client:
            yield Explored(client, fake, listening.address)


@pytest.fixture
async def explored(tmp_path: Path) -> AsyncIterator[Explored]:
    """A server with an empty collection ``photos``."""
    async with exploring(tmp_path) as server:
        made = await server.http.post(f"{API}/collections", json={"collection_id": COLLECTION})
        assert made.status_code == 201, made.text
        yield server


def add_key(data: Path, role: Role, collections: Iterable[str] | None = None) -> tuple[str, str]:
    """A key of a server on this folder, and its id."""
    scope = None if collections is None else frozenset(collections)
    key, made = make_key(f"{role.value} key", role, scope, datetime.now(UTC), None)
    KeyFile(data / "keys.json").change(lambda there: (*there, made))
    return key, made.id


def bearing(key: str) -> dict[str, str]:
    """The header that a key travels in."""
    return {"authorization": f"Bearer {key}"}


def refused(answer: httpx.Response, status: int, reason: str, *words: str) -> None:
    """Checks that a request failed with a status, a reason, and words in its message."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["reason"] == reason, error
    for word in words:
        assert word in error["message"], error
