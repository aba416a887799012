"""Many clients at once on many vectors: how fast, how often not, and what a reclustering does to a search.

    python benchmarks/load.py [--vectors 100000] [--dimension 512] [--clients 50] [--seconds 60] [--folder DIR]
                              [--json FILE]

1. the store alone, in this process: the same queries one after another; then a server is started, and left alone until
   it is idle;
2. the same through gRPC, one client: at the median, no more than 1.5 ms slower; before that through a bare gRPC server
   that has nothing but the store (``bare_server.py``), which says how much of that is Shoal's;
3. the same while all vectors are clustered: the 99th percentile no more than 3 times that of before;
4. many clients at once: 70 % searches, 20 % assignments, 10 % new images. No call may fail, but for those that the
   server refuses because it has too much to do, which it says (RESOURCE_EXHAUSTED).

The model is ``debug``, whose passes take no time: what is measured is Shoal. A folder that is named is filled once and
used again. The exit status is 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from driver import COLLECTION, Server
from figures import Figure, ended, json_option
from filled_folder import fill, vectors_of
from numpy.typing import NDArray
from PIL import Image
from table import head, kept_rows, row

from shoal.v1.cluster_pb2 import RUN_STATE_RUNNING, RunStage
from shoal.v1.cluster_service_pb2 import (
    AssignImageRequest,
    CancelClusteringRunRequest,
    GetClusteringRunRequest,
    RunClusteringRequest,
)
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.image_pb2 import Vector
from shoal.v1.image_service_pb2 import CreateImageRequest, NewImage, SearchImagesRequest
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.filters import ImageFilter

#: Milliseconds that the transport may add to the store's median.
TRANSPORT_MS = 1.5
#: How many times the 99th percentile of searches may grow while a run is under way.
SLOWDOWN = 3.0
LIMIT = 10

_PARENT = f"collections/{COLLECTION}"
_QUERIES = 500
_WARM_UP = 50
#: Searches, assignments and new images among the calls.
_SHARES = (("SearchImages", 0.7), ("AssignImage", 0.2), ("CreateImage", 0.1))


@dataclass
class Calls:
    """What became of the calls of one kind."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        """Milliseconds that so many per cent of the calls took at the most."""
        return float(np.percentile(self.milliseconds, share)) if self.milliseconds else float("nan")


@dataclass(frozen=True)
class Figures:
    """All that was measured; times in milliseconds.

    Attributes:
        store: the store alone.
        bare: the store behind a gRPC server that has nothing else.
        search: the same queries by one client.
        while_clustering: the same while a run is under way.
        stages: of that run, in which a search began.
        mixed: by RPC, many clients at once.
        seconds: that those took.
    """

    store: Calls
    bare: Calls
    search: Calls
    while_clustering: Calls
    stages: list[str]
    mixed: dict[str, Calls]
    seconds: float

    def judged(self, rows: Sequence[Sequence[str]], seconds: float) -> list[Figure]:
        """The three that have a bound, with the table that shows all."""
        added = self.search.percentile(50) - self.store.percentile(50)
        slower = self.while_clustering.percentile(99) / self.search.percentile(99)
        failed = {name: calls.failed for name, calls in self.mixed.items() if calls.failed}
        calls = sum(len(each.milliseconds) for each in self.mixed.values())
        return [
            Figure(
                "search: what gRPC adds to the store's median",
                "A search takes little longer through gRPC than in the store's own process.",
                f"<= {TRANSPORT_MS:g} ms",
                f"{added:.2f} ms; {self.bare.percentile(50) - self.store.percentile(50):.2f} ms without Shoal",
                added <= TRANSPORT_MS,
                rows,
                seconds,
            ),
            Figure(
                "search: p99 while everything is clustered",
                "A reclustering leaves the server usable.",
                f"<= {SLOWDOWN:g} times that of before",
                f"{slower:.1f} times",
                slower <= SLOWDOWN,
                rows,
            ),
            Figure(
                "many clients at once: failed calls",
                "Under load, calls are answered or refused as too many, and none fails.",
                "0",
                f"{failed}" if failed else f"0 of {calls:,}",
                not failed and calls > 0,
                rows,
            ),
        ]


def main() -> int:
    """Runs the benchmark; 1 if a bound was missed."""
    options = _options()
    began = time.monotonic()
    made: AbstractContextManager[str] = tempfile.TemporaryDirectory(prefix="shoal-load-")
    if options.folder:
        made = nullcontext(str(options.folder))
    with made as name:
        folder = Path(name)
        if not (folder / "data").exists():
            fill(folder, options.vectors, options.dimension)
        queries = vectors_of(_QUERIES, options.dimension, seed=6)
        store = asyncio.run(_store_alone(folder / "data", queries))
        bare = _bare(folder / "data", queries)
        os.environ["SHOAL_RECLUSTER_AUTOMATICALLY"] = "false"
        server = Server(folder, f"debug/{options.dimension}")
        try:
            server.until_idle()
            figures = asyncio.run(_through_grpc(server.address, queries, (store, bare), options))
        finally:
            server.stop()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with kept_rows() as rows:
        _show(figures, options)
    return ended(figures.judged(rows, time.monotonic() - began), options.json)


async def _store_alone(data: Path, queries: NDArray[np.float32]) -> Calls:
    store = await EdgeStore.open(data)
    try:
        calls = Calls()
        for number, query in enumerate(queries):
            began = time.perf_counter()
            await store.query_images(COLLECTION, query, ImageFilter(), LIMIT)
            if number >= _WARM_UP:
                calls.milliseconds.append(1000 * (time.perf_counter() - began))
        return calls
    finally:
        await store.close()


def _bare(data: Path, queries: NDArray[np.float32]) -> Calls:
    command = [sys.executable, str(Path(__file__).with_name("bare_server.py")), str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        calls = asyncio.run(_sequential_at(address, queries))
        assert process.stdin is not None
        process.stdin.close()
    return calls


async def _sequential_at(address: str, queries: NDArray[np.float32]) -> Calls:
    async with grpc.aio.insecure_channel(address) as channel:
        return await _sequential(ImageServiceStub(channel), queries)


async def _through_grpc(
    address: str, queries: NDArray[np.float32], before: tuple[Calls, Calls], options: argparse.Namespace
) -> Figures:
    async with grpc.aio.insecure_channel(address) as channel:
        stub, clusters = ImageServiceStub(channel), ClusterServiceStub(channel)
        search = await _sequential(stub, queries)
        run = await clusters.RunClustering(RunClusteringRequest(parent=_PARENT))
        meanwhile, stages = Calls(), dict[str, None]()
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            run = await clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name))
            if run.state != RUN_STATE_RUNNING:
                break
            stages[RunStage.Name(run.stage)] = None
            part = await _sequential(stub, queries[: _QUERIES // 5], warm_up=0)
            meanwhile.milliseconds += part.milliseconds
        await clusters.CancelClusteringRun(CancelClusteringRunRequest(name=run.name))
    mixed, seconds = await _mixed(address, queries, options)
    names = [stage.removeprefix("RUN_STAGE_") for stage in stages]
    return Figures(*before, search, meanwhile, names, mixed, seconds)


async def _sequential(stub: Any, queries: NDArray[np.float32], warm_up: int = _WARM_UP) -> Calls:
    calls = Calls()
    for number, query in enumerate(queries):
        began = time.perf_counter()
        answer = await stub.SearchImages(_search(query))
        if number >= warm_up:
            calls.milliseconds.append(1000 * (time.perf_counter() - began))
        assert len(answer.results) == LIMIT
    return calls


async def _mixed(
    address: str, queries: NDArray[np.float32], options: argparse.Namespace
) -> tuple[dict[str, Calls], float]:
    """Many clients, each with a connection of its own and the next call as soon as the last is answered."""
    mixed = {name: Calls() for name, _ in _SHARES}
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(options.clients):
            # Without this, all channels of a process share one connection.
            own = [("grpc.use_local_subchannel_pool", 1)]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=own))
            clients.append(_client(number, channel, queries, mixed, began + options.seconds))
        await asyncio.gather(*clients)
    return mixed, time.monotonic() - began


async def _client(
    number: int, channel: grpc.aio.Channel, queries: NDArray[np.float32], mixed: dict[str, Calls], until: float
) -> None:
    chance = random.Random(number)
    images, clusters = ImageServiceStub(channel), ClusterServiceStub(channel)
    made = 0
    while time.monotonic() < until:
        [name] = chance.choices([name for name, _ in _SHARES], [share for _, share in _SHARES])
        query = queries[chance.randrange(len(queries))]
        call: Callable[[], Awaitable[Any]]
        match name:
            case "SearchImages":
                call = partial(images.SearchImages, _search(query))
            case "AssignImage":
                assign = AssignImageRequest(parent=_PARENT, vector=Vector(values=query.tolist()))
                call = partial(clusters.AssignImage, assign)
            case _:
                made += 1
                new = CreateImageRequest(parent=_PARENT, image=NewImage(content=_picture(number, made)))
                call = partial(images.CreateImage, new)
        await _timed(call, mixed[name])


async def _timed(call: Callable[[], Awaitable[Any]], calls: Calls) -> None:
    began = time.perf_counter()
    try:
        await call()
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            calls.refused += 1
        else:
            calls.failed[error.code().name] = calls.failed.get(error.code().name, 0) + 1
    else:
        calls.milliseconds.append(1000 * (time.perf_counter() - began))


def _search(query: NDArray[np.float32]) -> SearchImagesRequest:
    return SearchImagesRequest(parent=_PARENT, vector=Vector(values=query.tolist()), page_size=LIMIT)


def _picture(client: int, number: int) -> bytes:
    """A small picture that no other client sends."""
    pixels = np.random.default_rng([client, number, time.time_ns()]).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _show(figures: Figures, options: argparse.Namespace) -> None:
    print(f"{options.vectors:,} vectors of {options.dimension} dimensions\n")
    head("calls", "p50", "p99", "refused", "failed")
    clustering = f"the same, while they are clustered ({', '.join(figures.stages).lower()})"
    named: Sequence[tuple[str, Calls]] = [
        ("search: the store alone, one after another", figures.store),
        ("search: the store behind a bare gRPC server, one client", figures.bare),
        ("search: through gRPC, one client", figures.search),
        (clustering, figures.while_clustering),
        *(
            (f"{options.clients} clients, {figures.seconds:.0f} s: {name}", figures.mixed[name])
            for name in figures.mixed
        ),
    ]
    for name, calls in named:
        times = [f"{calls.percentile(share):.2f} ms" for share in (50, 99)]
        row(name, f"{len(calls.milliseconds):,}", *times, f"{calls.refused}", f"{sum(calls.failed.values())}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--folder", type=Path, help="for the data; is kept")
    json_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
