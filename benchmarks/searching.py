"""Searches and assignments by vector: what gRPC adds, how many a second, and what a write-back does to them.

    python benchmarks/searching.py [--vectors 100000] [--dimension 512] [--clients 16] [--seconds 10]
                                   [--share 0.2] [--folder DIR] [--json FILE]

1. the store on a copy of the server's folder, in this process, and the server through gRPC, one client, in turn:
   at the median, gRPC adds no more than 1 ms; what is found is what is nearest;
2. the engine alone, asked by as many threads as there are clients, without gRPC: its limit. Then the clients, in two
   processes that share the machine with the server: 1,000 a second, or four fifths of that limit;
3. the store alone before, during and after a share of all images is written to, as a clustering run does, and the
   index is built anew.

The model is ``debug``, whose passes take no time. A folder that is named is filled once and used again. qdrant-client's
local mode is measured by ``peers.py``. The exit status is 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import qdrant_edge as edge
from driver import COLLECTION, Server, cpu_seconds
from figures import Figure, ended, json_option
from filled_folder import fill, image_of, vectors_of
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from numpy.typing import NDArray
from table import head, kept_rows, percent, row

from shoal.v1.cluster_service_pb2 import AssignImageRequest
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.image_pb2 import Vector
from shoal.v1.image_service_pb2 import SearchImagesRequest
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.edge_store.copying import copy_apart
from shoal_server.adapters.edge_store.points import RESCORED
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.payload import CLUSTER_ID
from shoal_server.domain.voting import NEIGHBORS

#: Milliseconds that gRPC may add to the store's median.
TRANSPORT_MS = 1.0
#: Calls a second, or this share of what the engine alone does.
RATE, LIMIT_SHARE = 1_000, 0.8
RECALL = 0.99
#: How many times slower a search may be, at the median, while the index is built anew after a write-back.
SLOWDOWN = 3.0

_LIMIT = 10
_QUERIES = 500
_WARM_UP = 50
_CALLING_PROCESSES = 2
_PARENT = f"collections/{COLLECTION}"
_WRITTEN_AT_ONCE = 1_000

Times = list[float]
_EVERY = ImageFilter()


@dataclass(frozen=True)
class Rate:
    """What many callers at once got.

    Attributes:
        per_second: calls.
        milliseconds: that each took.
        server_ms: CPU time of the server for a call.
        caller_ms: of the callers.
    """

    per_second: float
    milliseconds: Times
    server_ms: float
    caller_ms: float


def main() -> int:
    """Runs the benchmark; 1 if a bound was missed."""
    options = _options()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{options.vectors:,} vectors of {options.dimension} dimensions\n", flush=True)
    made: AbstractContextManager[str] = tempfile.TemporaryDirectory(prefix="shoal-searching-")
    if options.folder:
        made = nullcontext(str(options.folder))
    with made as name, tempfile.TemporaryDirectory(prefix="shoal-copy-") as beside:
        folder, copy = Path(name), Path(beside) / "data"
        if not (folder / "data").exists():
            fill(folder, options.vectors, options.dimension)
        asyncio.run(copy_apart(folder / "data", copy))
        queries = vectors_of(_QUERIES, options.dimension, seed=6)
        os.environ["SHOAL_RECLUSTER_AUTOMATICALLY"] = "false"
        figures: list[Figure] = []
        server = Server(folder, f"debug/{options.dimension}")
        try:
            server.until_idle()
            figures += asyncio.run(_overhead(server, copy, queries, options))
            figures += _throughput(server, copy, queries, options)
        finally:
            server.stop()
        if options.share:
            figures += asyncio.run(_write_back(copy, queries, options))
    return ended(figures, options.json)


async def _overhead(
    server: Server, copy: Path, queries: NDArray[np.float32], options: argparse.Namespace
) -> list[Figure]:
    """The store and the server in turn, one call at a time."""
    began = time.monotonic()
    found: list[list[str]] = []
    store = await EdgeStore.open(copy)
    try:
        # gRPC's client for asyncio takes a third of a millisecond more, which is not the server's doing.
        with grpc.insecure_channel(server.address) as channel:
            images: Any = ImageServiceStub(channel)
            clusters: Any = ClusterServiceStub(channel)
            health: Any = HealthStub(channel)

            async def search(query: NDArray[np.float32]) -> None:
                answer = images.SearchImages(_search(query))
                found.append([each.image.name.rpartition("/")[2] for each in answer.results])

            async def assign(query: NDArray[np.float32]) -> None:
                clusters.AssignImage(_assign(query))

            async def check(query: NDArray[np.float32]) -> None:
                health.Check(HealthCheckRequest())

            kinds: dict[str, Callable[[NDArray[np.float32]], Awaitable[Any]]] = {
                "search: the store": lambda query: store.query_images(COLLECTION, query, _EVERY, _LIMIT),
                "search: gRPC, one client": search,
                "assign: the store": lambda query: store.query_neighbors(
                    COLLECTION, query[None], ImageFilter(clustered=True), NEIGHBORS
                ),
                "assign: gRPC, one client": assign,
                "gRPC alone: a call that asks for nothing": check,
            }
            times: dict[str, Times] = {name: [] for name in kinds}
            for number, query in enumerate(queries):
                for name, ask in kinds.items():
                    asked = time.perf_counter()
                    await ask(query)
                    if number >= _WARM_UP:
                        times[name].append(1000 * (time.perf_counter() - asked))
    finally:
        await store.close()
    with kept_rows() as rows:
        head("calls", "p50", "p99")
        for name, each in times.items():
            _times_row(name, each)
    recall = _recall(found, queries, options)
    print(f"\nrecall@{_LIMIT} of {_QUERIES} searches: {percent(recall)}\n", flush=True)
    table, seconds = tuple(rows), time.monotonic() - began
    figures = []
    for what in ("search", "assign"):
        added = float(np.median(times[f"{what}: gRPC, one client"]) - np.median(times[f"{what}: the store"]))
        claim = f"An answer to {what} by vector takes little longer through gRPC than from the store in the process."
        figures.append(
            Figure(
                f"{what}: what gRPC adds to the store's median",
                claim,
                f"<= {TRANSPORT_MS:g} ms",
                f"{added:.2f} ms",
                added <= TRANSPORT_MS,
                table,
                seconds,
            )
        )
    figures.append(
        Figure(
            f"recall@{_LIMIT}",
            "What is found is what is nearest.",
            f">= {percent(RECALL)}",
            percent(recall),
            recall >= RECALL,
        )
    )
    return figures


def _recall(found: Sequence[Sequence[str]], queries: NDArray[np.float32], options: argparse.Namespace) -> float:
    """The share of the nearest vectors of all that was found."""
    vectors = vectors_of(options.vectors, options.dimension)
    ids = np.array([str(image_of(number, None).id) for number in range(options.vectors)])
    shares = []
    for query, names in zip(queries, found, strict=True):
        nearest = np.argpartition(vectors @ query, -_LIMIT)[-_LIMIT:]
        shares.append(len(set(names) & set(ids[nearest].tolist())) / _LIMIT)
    return float(np.mean(shares))


def _throughput(server: Server, copy: Path, queries: NDArray[np.float32], options: argparse.Namespace) -> list[Figure]:
    """The engine alone, then many callers through gRPC."""
    figures = []
    began = time.monotonic()
    with kept_rows() as rows:
        head("a second", "p50", "p99", "CPU of the server", "CPU of the callers")
        limits: dict[str, float] = {}
        for what, request in (("search", _engine_search), ("assign", _engine_assign)):
            for threads in (1, options.clients):
                rate, times = _engine_alone(copy, [request(query) for query in queries], threads, options.seconds)
                limits[what] = max(rate, limits.get(what, 0.0))
                _rate_row(f"{what}: the engine alone, {threads} threads", rate, times)
        rates = {}
        for what in ("search", "assign"):
            rates[what] = _called(server, what, options)
            name = f"{what}: gRPC, {options.clients} clients in {_CALLING_PROCESSES} processes"
            cpu = [f"{each:.2f} ms" for each in (rates[what].server_ms, rates[what].caller_ms)]
            _rate_row(name, rates[what].per_second, rates[what].milliseconds, *cpu)
    print(flush=True)
    table, seconds = tuple(rows), time.monotonic() - began
    for what, reached in rates.items():
        share = reached.per_second / limits[what]
        figures.append(
            Figure(
                f"{what}: {options.clients} clients at once",
                f"As many answers to {what} by vector as the engine has.",
                f">= {RATE:,}/s, or >= {percent(LIMIT_SHARE)} of the engine alone",
                f"{reached.per_second:,.0f}/s, {percent(share)} of {limits[what]:,.0f}/s",
                reached.per_second >= RATE or share >= LIMIT_SHARE,
                table,
                seconds,
            )
        )
    return figures


def _engine_search(query: NDArray[np.float32]) -> edge.SearchRequest:
    """What a search asks of the engine."""
    return edge.SearchRequest(
        query=edge.Query.Nearest(query.tolist()), limit=_LIMIT + 1, params=RESCORED, with_payload=True
    )


def _engine_assign(query: NDArray[np.float32]) -> edge.SearchRequest:
    """What an assignment asks of the engine."""
    clustered = edge.Filter(must_not=[edge.IsEmptyCondition(CLUSTER_ID)])
    return edge.SearchRequest(
        query=edge.Query.Nearest(query.tolist()),
        limit=NEIGHBORS,
        filter=clustered,
        params=RESCORED,
        with_payload=[CLUSTER_ID],
    )


def _engine_alone(
    copy: Path, requests: Sequence[edge.SearchRequest], threads: int, seconds: float
) -> tuple[float, Times]:
    """Calls a second of threads that ask the engine for nothing but points, and the milliseconds of each."""
    shard = edge.EdgeShard.load(str(copy / "collections" / COLLECTION / "images"))
    try:
        for request in requests[:_WARM_UP]:
            shard.search(request)
        times: list[Times] = [[] for _ in range(threads)]
        until = time.perf_counter() + seconds

        def ask(thread: int) -> None:
            number = thread * 31
            while (asked := time.perf_counter()) < until:
                shard.search(requests[number % len(requests)])
                times[thread].append(1000 * (time.perf_counter() - asked))
                number += 1

        asking = [threading.Thread(target=ask, args=(thread,)) for thread in range(threads)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
    finally:
        shard.close()
    together = [each for of_thread in times for each in of_thread]
    return len(together) / seconds, together


def _called(server: Server, what: str, options: argparse.Namespace) -> Rate:
    """Callers in processes of their own, which begin and end together."""
    with _callers(server.address, what, options) as callers:
        for each in callers:
            each.recv()
        before = cpu_seconds(server.process)
        for each in callers:
            each.send(options.seconds)
        answers = [each.recv() for each in callers]
        server_s = cpu_seconds(server.process) - before
    times = [each for taken, _ in answers for each in taken]
    caller_s = sum(cpu for _, cpu in answers)
    return Rate(len(times) / options.seconds, times, 1000 * server_s / len(times), 1000 * caller_s / len(times))


@contextmanager
def _callers(address: str, what: str, options: argparse.Namespace) -> Iterator[list[Connection]]:
    spawning = multiprocessing.get_context("spawn")
    ends, processes = [], []
    for number in range(_CALLING_PROCESSES):
        here, there = spawning.Pipe()
        tasks = len(range(number, options.clients, _CALLING_PROCESSES))
        process = spawning.Process(target=_calling, args=(there, address, what, tasks, options.dimension, number))
        process.start()
        ends.append(here)
        processes.append(process)
    try:
        yield ends
    finally:
        for process in processes:
            process.join()


def _calling(parent: Connection, address: str, what: str, tasks: int, dimension: int, number: int) -> None:
    """A process of callers: says that it is ready, is told for how long, and answers what each call took."""
    queries = vectors_of(_QUERIES, dimension, seed=7 + number)
    asyncio.run(_calling_tasks(parent, address, what, tasks, queries))


async def _calling_tasks(parent: Connection, address: str, what: str, tasks: int, queries: NDArray[np.float32]) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        searching = what == "search"
        ask: Any = ImageServiceStub(channel).SearchImages if searching else ClusterServiceStub(channel).AssignImage
        requests = [_search(query) if searching else _assign(query) for query in queries]
        for request in requests[:_WARM_UP]:
            await ask(request)
        times: Times = []

        async def call(task: int, until: float) -> None:
            number = task * 31
            while (asked := time.perf_counter()) < until:
                await ask(requests[number % len(requests)])
                times.append(1000 * (time.perf_counter() - asked))
                number += 1

        parent.send("ready")
        seconds = await asyncio.to_thread(parent.recv)
        before = time.process_time()
        until = time.perf_counter() + seconds
        await asyncio.gather(*(call(task, until) for task in range(tasks)))
        parent.send((times, time.process_time() - before))


async def _write_back(copy: Path, queries: NDArray[np.float32], options: argparse.Namespace) -> list[Figure]:
    """Searches of the store before, during and after the index is built that a write-back leaves behind."""
    began = time.monotonic()
    written = [image_of(number, None).id for number in range(0, options.vectors, max(1, round(1 / options.share)))]
    store = await EdgeStore.open(copy)
    try:
        before = await _searches(store, queries)
        for start in range(0, len(written), _WRITTEN_AT_ONCE):
            await store.set_group(COLLECTION, CLUSTER_ID, 1, written[start : start + _WRITTEN_AT_ONCE])
        unindexed = await _searches(store, queries[: _WARM_UP * 2])
        asked = time.monotonic()
        await store.optimize(COLLECTION)
        indexed = asyncio.create_task(store.indexed(COLLECTION))
        during: Times = []
        while not indexed.done():
            during += await _searches(store, queries[:_WARM_UP], pause_s=0.01)
        building_s = time.monotonic() - asked
        after = await _searches(store, queries)
    finally:
        await store.close()
    with kept_rows() as rows:
        head("calls", "p50", "p99")
        _times_row("the store before", before)
        _times_row(f"{len(written):,} images written to", unindexed)
        _times_row(f"while the index is built, {building_s:.0f} s", during)
        _times_row("after", after)
    slower = float(np.median(during) / np.median(before))
    return [
        Figure(
            f"search while the index is built after a write-back of {percent(options.share)}",
            "After a run, searches stay fast while the store optimises itself.",
            f"<= {SLOWDOWN:g} times the median of before",
            f"{slower:.1f} times",
            slower <= SLOWDOWN,
            tuple(rows),
            time.monotonic() - began,
        )
    ]


async def _searches(store: EdgeStore, queries: NDArray[np.float32], pause_s: float = 0.0) -> Times:
    times = []
    for query in queries:
        asked = time.perf_counter()
        await store.query_images(COLLECTION, query, _EVERY, _LIMIT)
        times.append(1000 * (time.perf_counter() - asked))
        # Others need the machine too, as they do beside a real server.
        await asyncio.sleep(pause_s)
    return times


def _search(query: NDArray[np.float32]) -> SearchImagesRequest:
    return SearchImagesRequest(parent=_PARENT, vector=Vector(values=query.tolist()), page_size=_LIMIT)


def _assign(query: NDArray[np.float32]) -> AssignImageRequest:
    return AssignImageRequest(parent=_PARENT, vector=Vector(values=query.tolist()))


def _times_row(name: str, times: Times) -> None:
    row(name, f"{len(times):,}", *(f"{np.percentile(times, share):.2f} ms" for share in (50, 99)))


def _rate_row(name: str, rate: float, times: Times, server: str = "", callers: str = "") -> None:
    row(name, f"{rate:,.0f}", *(f"{np.percentile(times, share):.2f} ms" for share in (50, 99)), server, callers)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement with many callers")
    parser.add_argument("--share", type=float, default=0.2, help="of the images that the write-back changes; 0: none")
    parser.add_argument("--folder", type=Path, help="for the data; is kept")
    json_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
