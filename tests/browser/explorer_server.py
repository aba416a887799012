"""A whole server with its page, in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from shoal_server import bootstrap
from shoal_server.settings import Settings
from tests.fakes import FakeClusterer

COLLECTION = "photos"
# The server closes connections that nobody uses; one that is just being closed would fail the next request.
_FRESH = httpx.Limits(max_keepalive_connections=0)
_FILE = {"content-type": "application/octet-stream"}


@dataclass(frozen=True)
class Explorer:
    """A server that serves, and what its API says of the collection ``photos``.

    Attributes:
        address: of the page, ``http://127.0.0.1:PORT``.
        clusterer: finds the groups, and can be held up.
    """

    address: str
    clusterer: FakeClusterer
    _http: httpx.Client
    _loop: asyncio.AbstractEventLoop

    def url(self, view: str = "", **params: str) -> str:
        """The address of a view of the collection, for instance ``clusters/3``."""
        query = "&".join(f"{name}={quote(value)}" for name, value in params.items())
        return f"{self.address}/#/{COLLECTION}/{view}{'?' if query else ''}{query}"

    def get(self, path: str, **params: Any) -> Any:
        """What the API answers below the collection."""
        return self._answer("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the API answers to a request that changes something."""
        return self._answer("POST", path, json=body or {})

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the API answers to a request that changes a resource."""
        return self._answer("PATCH", path, json=body)

    def make_collection(self, collection: str = COLLECTION) -> None:
        """Makes the collection, or another one, empty."""
        self._http.post("/api/v1/collections", json={"collection_id": collection}).raise_for_status()

    def collections(self) -> list[str]:
        """Ids of all collections."""
        return [each["id"] for each in self._http.get("/api/v1/collections").json()["collections"]]

    def store(self, name: str, content: bytes) -> str:
        """Stores a file; the id of its image."""
        answer = self._answer("POST", "images", params={"uri": name}, content=content, headers=_FILE)
        return str(answer["image"]["id"])

    def cluster(self) -> str:
        """Runs a clustering to its end; the id of the run."""
        run = str(self.post("runs")["id"])
        while (state := self.get(f"runs/{run}")["state"]) == "running":
            threading.Event().wait(0.05)
        assert state in ("succeeded", "held_back"), state
        return run

    def clusters(self) -> dict[int, dict[str, Any]]:
        """The clusters in force, by id."""
        return {each["id"]: each for each in self.get("clusters")["clusters"]}

    def hold_up(self, *, held: bool) -> None:
        """Makes runs wait in the clusterer, or lets them go on."""
        event = self.clusterer.may_go_on
        self._loop.call_soon_threadsafe(event.clear if held else event.set)

    def _answer(self, method: str, path: str, **request: Any) -> Any:
        response = self._http.request(method, f"/api/v1/collections/{COLLECTION}/{path}".rstrip("/"), **request)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None


@contextmanager
def serving(data: Path, key: str = "") -> Iterator[Explorer]:
    """A server with the model that needs no weights and a clusterer that needs no time, on a port of its own.

    Args:
        data: its folder.
        key: of the client that talks to its API beside the page, where the folder has keys.
    """
    listening: Future[tuple[str, FakeClusterer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        clusterer = FakeClusterer()
        settings = Settings(data=data, model="debug", listen="127.0.0.1:0", web_listen="127.0.0.1:0")
        async with bootstrap.running(settings, lambda cache: clusterer) as server:
            stop = asyncio.Event()
            assert server.web is not None
            listening.set_result((server.web, clusterer, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if not listening.done():
                listening.set_exception(error)
                return
            raise

    thread = threading.Thread(target=run, name="shoal")
    thread.start()
    web, clusterer, loop, stop = listening.result(120)
    try:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(base_url=web, timeout=60, limits=_FRESH, headers=headers) as http:
            yield Explorer(web.rstrip("/"), clusterer, http, loop)
    finally:
        loop.call_soon_threadsafe(clusterer.may_go_on.set)
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
