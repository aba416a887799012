"""How the explorer's map bears many points: ``python benchmarks/explorer.py [--count 100000] [--json FILE]``.

A server with so many images, made without a picture and grouped without UMAP, and Chromium without a window that opens
the map, moves it and zooms. Times are the browser's own, from the beginning of the navigation; frames are those in
which the map was drawn anew. It says what the browser drew with: without a graphics card, on the processor.

From 100,000 points on it has bounds: the first points within 3 seconds, in the best of three visits, and 20 frames a
second while the map is moved; the exit status is 1 if one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from driver import COLLECTION
from figures import Figure, ended, json_option
from filled_folder import GROUPS, image_of, vectors_of
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright
from table import head, kept_rows, row

from shoal_server import bootstrap
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.application.ports import Before, ClusteringResult
from shoal_server.domain.collection import Collection
from shoal_server.domain.run import ClusteringParameters, RunStage
from shoal_server.settings import Settings

_DIMENSION = 32
_AT_ONCE = 2_048
_NOISE_SHARE = 0.05
_MOVED_S = 5
_REPEATS = 3
#: From so many points on there are bounds.
_MANY = 100_000
MOST_SECONDS = 3.0
LEAST_FRAMES = 20.0

#: Notes when the map is first drawn with its points, and counts how often; runs before the page does.
_WATCH = """
    window.drawn = { count: 0, first: null };
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (...given) {
        put.apply(this, given);
        window.drawn.count += 1;
        window.drawn.first ??= performance.now();
    };
"""
_MOVE = """async ([seconds, zoom]) => {
    const surface = document.querySelector(".map-surface");
    const [began, before, gaps] = [performance.now(), window.drawn.count, []];
    let last = began;
    for (let step = 0; performance.now() - began < 1000 * seconds; step += 1) {
        const now = await new Promise((resolve) => requestAnimationFrame(resolve));
        gaps.push(now - last);
        last = now;
        const place = { clientX: 500 + 200 * Math.sin(step / 15), clientY: 400 + 100 * Math.cos(step / 22) };
        const event = zoom
            ? new WheelEvent("wheel", { ...place, deltaY: step % 60 < 30 ? -60 : 60, cancelable: true })
            : new PointerEvent("pointermove", { ...place, pointerId: 1, pointerType: "mouse" });
        surface.dispatchEvent(event);
    }
    gaps.sort((a, b) => a - b);
    const rate = (window.drawn.count - before) / ((performance.now() - began) / 1000);
    return [rate, gaps[Math.floor(gaps.length * 0.95)], gaps.at(-1)];
}"""
_RENDERER = """() => {
    const gl = document.createElement("canvas").getContext("webgl2");
    const told = gl?.getExtension("WEBGL_debug_renderer_info");
    return told ? gl.getParameter(told.UNMASKED_RENDERER_WEBGL) : "no WebGL";
}"""


class KnownGroups:
    """Finds the groups that the vectors were made in, at once: what is measured here is the page."""

    deaths = 0

    async def start(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Nothing to let go of."""

    async def cluster(
        self,
        vectors: Path,
        parameters: ClusteringParameters,
        on_stage: Callable[[RunStage, float], None],
        before: Before | None = None,
        sample: NDArray[np.int64] | None = None,
    ) -> ClusteringResult:
        """As the port has it."""
        matrix: NDArray[np.float32] = np.load(vectors)
        rng = np.random.default_rng(3)
        middles = np.random.default_rng(1).normal(size=(GROUPS, matrix.shape[1])).astype(np.float32)
        labels = np.argmax(matrix @ middles.T, axis=1)
        places = 6 * rng.normal(size=(GROUPS, 2)).astype(np.float32)
        coordinates = places[labels] + 0.9 * rng.normal(size=(len(matrix), 2)).astype(np.float32)
        stray = rng.random(len(matrix)) < _NOISE_SHARE
        labels[stray] = -1
        neighbours = rng.integers(0, len(matrix), (len(matrix), 15))
        return ClusteringResult(
            labels=labels,
            strengths=(labels >= 0).astype(np.float32),
            coordinates=coordinates.astype(np.float32),
            reduced=matrix[:, :5].copy(),
            neighbor_rows=neighbours,
            neighbor_similarities=np.full(neighbours.shape, 0.5, np.float32),
            parameters=parameters,
        )


async def _fill(data: Path, count: int) -> None:
    vectors = vectors_of(count, _DIMENSION)
    store = await EdgeStore.open(data)
    try:
        model = DebugEngine(_DIMENSION).model
        await store.create_collection(Collection(id=COLLECTION, model=model, created_at=datetime.now(UTC)))
        for start in range(0, count, _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, count))
            images = [image_of(each, None) for each in rows]
            await store.upsert_images(COLLECTION, list(zip(images, vectors[rows.start : rows.stop], strict=True)))
    finally:
        await store.close()


@contextmanager
def _serving(data: Path) -> Iterator[str]:
    """The address of a server's page; it runs in a thread, which has nothing to do while the map is moved."""
    listening: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        settings = Settings(
            data=data,
            model=f"debug/{_DIMENSION}",
            listen="127.0.0.1:0",
            web_listen="127.0.0.1:0",
            recluster_automatically=False,
        )
        async with bootstrap.running(settings, lambda cache: KnownGroups()) as server:
            stop = asyncio.Event()
            assert server.web is not None
            listening.set_result((server.web.rstrip("/"), asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    address, loop, stop = listening.result(120)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _cluster(address: str) -> None:
    runs = f"{address}/api/v1/collections/{COLLECTION}/runs"
    with httpx.Client(timeout=600) as http:
        run = http.post(runs, json={}).raise_for_status().json()["id"]
        while (state := http.get(f"{runs}/{run}").json()["state"]) == "running":
            threading.Event().wait(0.5)
    if state != "succeeded":
        sys.exit(f"the run ended as {state}")


def _opened(page: Page, address: str) -> tuple[float, float]:
    """Milliseconds from the beginning of the navigation to the first points, and to the clusters' names."""
    page.goto("about:blank")
    page.goto(f"{address}/#/{COLLECTION}/map")
    page.wait_for_selector(".map-label")
    named = page.evaluate("performance.now()")
    return page.evaluate("window.drawn.first"), named


def _moved(page: Page, *, zoom: bool) -> list[float]:
    page.wait_for_timeout(1500)
    page.mouse.move(500, 400)
    if not zoom:
        page.mouse.down()
    found: list[float] = page.evaluate(_MOVE, [_MOVED_S, zoom])
    page.mouse.up()
    return found


def measure(address: str, ratio: int) -> dict[str, Any]:
    """Opens the map in a fresh browser, and moves and zooms it."""
    with sync_playwright() as driver:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        context = browser.new_context(viewport={"width": 1360, "height": 850}, device_scale_factor=ratio)
        context.add_init_script(_WATCH)
        page = context.new_page()
        opened = [_opened(page, address) for _ in range(_REPEATS)]
        panned = _moved(page, zoom=False)
        zoomed = _moved(page, zoom=True)
        renderer = page.evaluate(_RENDERER)
        version = browser.version
        browser.close()
    return {
        "first": [first for first, _ in opened],
        "named": [named for _, named in opened],
        "panned": panned,
        "zoomed": zoomed,
        "drawn with": f"canvas 2D on the processor; Chromium {version} without a window, composing with {renderer}",
    }


def main() -> int:
    """Fills a folder, serves it, and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=_MANY)
    json_option(parser)
    options = parser.parse_args()
    count: int = options.count
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        asyncio.run(_fill(data, count))
        with _serving(data) as address:
            _cluster(address)
            found = {ratio: measure(address, ratio) for ratio in (1, 2)}
    return ended(_figures(count, found, time.monotonic() - began), options.json)


def _figures(count: int, found: dict[int, dict[str, Any]], seconds: float) -> list[Figure]:
    print(f"{count:,} points; {found[1]['drawn with']}; load of the machine {os.getloadavg()[0]:.1f}\n")
    columns = list(found.values())

    def shown(what: str, cell: Callable[[dict[str, Any]], str]) -> None:
        row(what, *map(cell, columns))

    with kept_rows() as rows:
        head("1 device pixel for each of CSS", "2")
        shown("first points after, s: first visit, best", lambda c: _first_and_best(c["first"]))
        shown("names after, s: first visit, best", lambda c: _first_and_best(c["named"]))
        shown("frames/s while panned", lambda c: f"{c['panned'][0]:.1f}")
        shown("... 95th percentile and longest, ms", lambda c: f"{c['panned'][1]:.0f}, {c['panned'][2]:.0f}")
        shown("frames/s while zoomed", lambda c: f"{c['zoomed'][0]:.1f}")
        shown("drawn with", lambda c: c["drawn with"])
    first, frames = min(found[1]["first"]) / 1000, found[1]["panned"][0]
    many = count >= _MANY
    return [
        Figure(
            "first points",
            "The map shows its first points soon after the page is opened.",
            f"< {MOST_SECONDS:g} s" if many else "",
            f"{first:.2f} s",
            first < MOST_SECONDS if many else None,
            rows,
            seconds,
        ),
        Figure(
            "frames while the map is moved",
            "The map follows the hand, without a graphics card.",
            f">= {LEAST_FRAMES:g} a second" if many else "",
            f"{frames:.1f} a second",
            frames >= LEAST_FRAMES if many else None,
            rows,
        ),
    ]


def _first_and_best(milliseconds: list[float]) -> str:
    return f"{milliseconds[0] / 1000:.2f}, {min(milliseconds) / 1000:.2f}"


if __name__ == "__main__":
    sys.exit(main())
