"""Clustering runs: started, watched, compared, put in force, and their maps."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from shoal_server.application.page_tokens import page_size as size_of
from shoal_server.application.run_map import RunMap
from shoal_server.domain.errors import ShoalError
from shoal_server.domain.run import ClusteringRun
from shoal_server.web.api.errors import ErrorAnswer, problem_of
from shoal_server.web.api.models.base import Asked
from shoal_server.web.api.models.clusters import RunClusterAnswer, RunClusterList
from shoal_server.web.api.models.runs import NewRun, Run, RunComparison, RunList
from shoal_server.web.api.paging import Pages
from shoal_server.web.api.routes.parameters import CollectionId, PageSize, PageToken, RunId
from shoal_server.web.api.routes.routers import collection_router
from shoal_server.web.api.use_cases import UseCases

#: Stands for the run in force.
ACTIVE = "active"
#: Seconds without a word after which something is sent all the same, so that nobody on the way takes the connection for
#: a dead one.
_QUIET_S = 15.0


class Nothing(Asked):
    """There is nothing to say."""


def routes(use: UseCases) -> APIRouter:
    """The routes."""
    router = collection_router("runs")

    async def told(collection: str, run: ClusteringRun, *, whole: bool = True) -> Run:
        opened = await use.collections.open_any(collection)
        return Run.of(run, opened.record.active_run, whole=whole)

    @router.get("/runs")
    async def list_runs(
        collection: CollectionId,
        kind: Annotated[Literal["clustering", "correction"] | None, Query(description="Only these.")] = None,
        page_size: PageSize = 0,
        page_token: PageToken = "",
    ) -> RunList:
        """A page of runs, newest first."""
        pages = Pages("runs", collection, kind)
        size, cursor = size_of(page_size, 100), pages.cursor(page_token)
        rest = [
            run
            for run in await use.clustering.list(collection)
            if (not cursor or run.id < cursor) and kind in (None, run.kind.value)
        ]
        return RunList(
            runs=[await told(collection, run, whole=False) for run in rest[:size]],
            next_page_token=pages.token(rest[size - 1].id if len(rest) > size else ""),
        )

    @router.post("/runs", status_code=201)
    async def start_run(collection: CollectionId, asked: NewRun) -> Run:
        """Starts a run."""
        run = await use.clustering.start(collection, asked.parameters.requested(), asked.request_id)
        return await told(collection, run)

    @router.get("/runs:compare")
    async def compare_runs(
        collection: CollectionId,
        base: Annotated[str, Query(alias="from", description="A run's id.")],
        other: Annotated[str, Query(alias="to", description="A run's id.")],
    ) -> RunComparison:
        """What differs between two runs."""
        return RunComparison.of(await use.history.compare(collection, base, other))

    @router.get("/runs/{run}")
    async def get_run(collection: CollectionId, run: RunId) -> Run:
        """One run, with what became of the clusters."""
        return await told(collection, await use.clustering.get(collection, run))

    @router.get(
        "/runs/{run}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "A `run` event for each new state."}},
    )
    async def watch_run(collection: CollectionId, run: RunId) -> StreamingResponse:
        """A run as it is now and after each change, until it has ended."""
        states = use.clustering.watch(collection, run)
        # Before the answer begins it must be known that there is one.
        first = await anext(states)

        async def events() -> AsyncIterator[bytes]:
            try:
                yield _event("run", await told(collection, first, whole=False))
                async for state in _with_pauses(states):
                    yield (
                        b": still there\n\n"
                        if state is None
                        else _event("run", await told(collection, state, whole=False))
                    )
                yield b"event: end\ndata: {}\n\n"
            except ShoalError as error:
                yield _event("error", ErrorAnswer(error=problem_of(error)[1]))

        return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    @router.get("/runs/{run}/clusters")
    async def run_clusters(collection: CollectionId, run: RunId) -> RunClusterList:
        """What a run called its clusters."""
        found = await use.history.clusters(collection, run)
        return RunClusterList(run=run, clusters=[RunClusterAnswer.of(each) for each in found])

    @router.get(
        "/runs/{run}/map",
        response_class=Response,
        responses={
            200: {
                "content": {"application/octet-stream": {}},
                "description": "Little-endian: uint32 n; n ids of 16 bytes; n pairs of float32; n int32, -1 for none.",
            }
        },
    )
    async def run_map(collection: CollectionId, run: RunId) -> Response:
        """Where a run has the images on the map, and which clusters they are in; `active` for the run in force."""
        found = await (use.maps.in_force(collection) if run == ACTIVE else use.maps.of(collection, run))
        content = await asyncio.to_thread(_encoded, found)
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"x-shoal-run": found.run, "cache-control": "no-store"},
        )

    @router.post("/runs/{run}:cancel")
    async def cancel_run(collection: CollectionId, run: RunId, asked: Nothing) -> Run:
        """Stops a run; what it wrote is taken back."""
        return await told(collection, await use.clustering.cancel(collection, run))

    @router.post("/runs/{run}:activate")
    async def activate_run(collection: CollectionId, run: RunId, asked: Nothing) -> Run:
        """Puts a run in force again, or one that was held back."""
        return await told(collection, await use.history.activate(collection, run))

    return router


def _event(name: str, data: Run | ErrorAnswer) -> bytes:
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n".encode()


async def _with_pauses(states: AsyncIterator[ClusteringRun]) -> AsyncIterator[ClusteringRun | None]:
    """The states, and None where for some time there is none."""
    waiting = asyncio.ensure_future(anext(states, None))
    try:
        while True:
            done, _ = await asyncio.wait([waiting], timeout=_QUIET_S)
            if not done:
                yield None
                continue
            state = waiting.result()
            if state is None:
                return
            yield state
            waiting = asyncio.ensure_future(anext(states, None))
    finally:
        waiting.cancel()


def _encoded(found: RunMap) -> bytes:
    count = len(found.ids)
    return b"".join(
        (
            struct.pack("<I", count),
            *(image.bytes for image in found.ids),
            np.ascontiguousarray(found.coordinates, "<f4").tobytes(),
            np.ascontiguousarray(found.cluster_ids, "<i4").tobytes(),
        )
    )
