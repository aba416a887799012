"""Clustering runs: one at a time for each collection, watched, cancelled, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

from shoal_server.application.activation import Activation
from shoal_server.application.live_run import LiveRun
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.application.reclustering import Reclustering
from shoal_server.domain.errors import (
    ClusteringFailed,
    CollectionNotFound,
    InvalidField,
    RunInProgress,
    RunNotCancellable,
    ShoalError,
)
from shoal_server.domain.run import STAGE_START, ClusteringRun, RequestedParameters, RunStage, RunState

_log = logging.getLogger(__name__)

MAX_REQUEST_ID = 64

_STOPPED = "the server stopped while it was under way; run it again"
#: Seconds that an activation gets to end when the server is stopped. One that does not is finished by the next start.
_STOP_S = 30.0


class Clustering:
    """Starts runs and knows of all there were. Its tasks belong to the task group it is given."""

    def __init__(
        self,
        collections: OpenCollections,
        store: Store,
        reclustering: Reclustering,
        activation: Activation,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._collections = collections
        self._store = store
        self._reclustering = reclustering
        self._activation = activation
        self._tasks = tasks
        self._live: dict[str, LiveRun] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    async def recover(self) -> None:
        """Puts right what a crash left behind, before the first request: finishes activations, ends lost runs.

        A collection where that is impossible is set aside; the others are served.
        """
        for record in await self._collections.list():
            opened = await self._collections.open_any(record.id)
            try:
                await self._recover(opened)
            except ShoalError as error:
                opened.set_aside = (
                    f"collection {record.id!r} cannot be used: finishing run {opened.record.activating_run!r} after a "
                    f"crash failed ({error.message}); restore its files from a backup, or delete the collection"
                )
                _log.error("%s", opened.set_aside)

    async def _recover(self, opened: OpenCollection) -> None:
        resumed = await self._activation.resume(opened)
        if resumed is not None:
            _log.warning("collection %s: finished putting run %s in force after a crash", opened.id, resumed.id)
        for run in await self._store.list_runs(opened.id):
            in_force = run.id == opened.record.active_run
            if not in_force:
                await self._store.delete_clusters(opened.id, run.id)
            if run.state is RunState.SUCCEEDED or (run.state.ended and not in_force):
                continue
            if in_force:
                # Only the last write of its own record was missing.
                ended = replace(run, state=RunState.SUCCEEDED, progress=1.0, ended_at=datetime.now(UTC))
            else:
                ended = _failed(run, _STOPPED, "SERVER_STOPPED")
            await self._store.put_run(opened.id, ended)

    async def start(self, collection: str, requested: RequestedParameters, request_id: str) -> ClusteringRun:
        """Starts a run, or finds the one that this request id started before.

        Raises:
            InvalidField: a parameter is out of its range, or the request id is too long.
            RunInProgress: another run of the collection is under way.
        """
        requested.check()
        if len(request_id) > MAX_REQUEST_ID:
            raise InvalidField("request_id", f"{len(request_id)} characters; a UUID has 36")
        opened = await self._collections.open(collection)
        async with self._starting:
            if request_id:
                for earlier in await self.list(collection):
                    if earlier.request_id == request_id:
                        return earlier
            under_way = self._live.get(collection)
            if under_way is not None:
                if request_id and under_way.run.request_id == request_id:
                    await asyncio.shield(under_way.recorded)
                    return under_way.run
                raise RunInProgress(collection, under_way.run.id)
            if opened.deleting:
                raise CollectionNotFound(collection)
            now = datetime.now(UTC)
            run = ClusteringRun(
                id=f"{now:%Y%m%d-%H%M%S}-{now.microsecond:06d}-{secrets.token_hex(2)}",
                state=RunState.RUNNING,
                stage=RunStage.READING,
                progress=0.0,
                created_at=now,
                requested=requested,
                request_id=request_id,
            )
            live = self._live[collection] = LiveRun(run)
            task = self._tasks.create_task(self._carry_out(opened, live), name=f"clustering {collection}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            # If the caller leaves now, the run goes on, recorded and known.
            await asyncio.shield(live.recorded)
            return run

    async def get(self, collection: str, run: str) -> ClusteringRun:
        """Raises:
        RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        return live.run if live is not None else _as_it_is(await self._store.get_run(collection, run))

    async def list(self, collection: str) -> list[ClusteringRun]:
        """All runs, newest first."""
        await self._collections.open_any(collection)
        stored = await self._store.list_runs(collection)
        live = self._live.get(collection)
        return [live.run if live is not None and live.run.id == run.id else _as_it_is(run) for run in stored]

    async def cancel(self, collection: str, run: str) -> ClusteringRun:
        """Stops a run and waits until it has stopped; one that has ended is answered as it is.

        Raises:
            RunNotFound: there is none of that id.
            RunNotCancellable: it is being put in force.
        """
        live = await self._live_run(collection, run)
        if live is None:
            return _as_it_is(await self._store.get_run(collection, run))
        if not live.cancel():
            raise RunNotCancellable(collection, run)
        await live.end()
        return live.run

    async def watch(self, collection: str, run: str) -> AsyncIterator[ClusteringRun]:
        """The run as it is now and after each change, until it has ended; changes in quick succession may be skipped.

        Raises:
            RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        if live is None:
            yield _as_it_is(await self._store.get_run(collection, run))
            return
        while True:
            version, current = live.version, live.run
            yield current
            if current.state.ended:
                return
            await live.after(version)

    async def stop(self) -> None:
        """Ends all runs under way, but for those being put in force: those get some time to be finished."""
        for live in self._live.values():
            live.cancel(_STOPPED)
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_STOP_S)
            for task in late:
                task.cancel()

    async def forget(self, opened: OpenCollection) -> None:
        """Ends the run of a collection that is about to be deleted.

        Raises:
            RunNotCancellable: it is being put in force.
        """
        live = self._live.get(opened.id)
        if live is None:
            return
        if not live.cancel():
            raise RunNotCancellable(opened.id, live.run.id)
        await live.end()

    async def _live_run(self, collection: str, run: str) -> LiveRun | None:
        await self._collections.open_any(collection)
        live = self._live.get(collection)
        return live if live is not None and live.run.id == run else None

    async def _carry_out(self, opened: OpenCollection, live: LiveRun) -> None:
        """The whole run; whatever happens, it ends, and its end is recorded and told."""
        ended = _failed(live.run, _STOPPED, "SERVER_STOPPED")
        try:
            ended = await self._outcome(opened, live)
            if ended.state is not RunState.SUCCEEDED:
                await self._record(opened, ended)
        finally:
            del self._live[opened.id]
            live.now(ended)

    async def _outcome(self, opened: OpenCollection, live: LiveRun) -> ClusteringRun:
        try:
            return await self._find_and_activate(opened, live)
        except asyncio.CancelledError:
            if live.stopped_because is not None:
                return _failed(live.run, live.stopped_because, "SERVER_STOPPED")
            return replace(live.run, state=RunState.CANCELLED, ended_at=datetime.now(UTC))
        except ShoalError as error:
            _log.warning("collection %s: run %s failed: %s", opened.id, live.run.id, error.message)
            return _failed(live.run, error.message, error.reason)
        except Exception:  # noqa: BLE001 - a fault of ours ends this run, not the server
            _log.exception("collection %s: run %s failed", opened.id, live.run.id)
            internal = ClusteringFailed("an internal error; the server's log has the details")
            return _failed(live.run, internal.message, internal.reason)

    async def _record(self, opened: OpenCollection, ended: ClusteringRun) -> None:
        """Stores the end of a run that did not come into force."""
        if opened.record.activating_run == ended.id:
            # Some ids are written, some are not. The record must stay as it is for the next start to finish the work.
            opened.set_aside = (
                f"collection {opened.id!r} cannot be used: putting run {ended.id!r} in force failed half-way "
                f"({ended.error}); start the server again to finish it"
            )
            _log.error("%s", opened.set_aside)
            return
        try:
            await self._store.put_run(opened.id, ended)
            await self._store.delete_clusters(opened.id, ended.id)
        except ShoalError as error:
            # The record still says that the run is under way; the next start puts that right.
            _log.warning("collection %s: the end of run %s was not recorded: %s", opened.id, ended.id, error.message)

    async def _find_and_activate(self, opened: OpenCollection, live: LiveRun) -> ClusteringRun:
        def on_stage(stage: RunStage, share: float) -> None:
            live.now(replace(live.run, stage=stage, progress=_progress(stage, share)))

        try:
            await self._store.put_run(opened.id, live.run)
        except BaseException as error:
            live.recorded.set_exception(error if isinstance(error, Exception) else ClusteringFailed(_STOPPED))
            raise
        live.recorded.set_result(None)
        finding = self._reclustering.find(opened, live.run.id, live.run.requested, on_stage)
        found = await live.find(asyncio.create_task(finding, name=f"finding clusters in {opened.id}"))
        on_stage(RunStage.WRITING, 0.0)
        live.now(replace(live.run, parameters=found.parameters))
        await self._collections.change(opened, next_cluster_id=found.next_cluster_id)
        return await self._activation.put_in_force(opened, live.run, found.summary)


def _progress(stage: RunStage, share: float) -> float:
    stages = list(STAGE_START)
    after = stages.index(stage) + 1
    end = STAGE_START[stages[after]] if after < len(stages) else 1.0
    return STAGE_START[stage] + share * (end - STAGE_START[stage])


def _failed(run: ClusteringRun, problem: str, reason: str) -> ClusteringRun:
    return replace(run, state=RunState.FAILED, ended_at=datetime.now(UTC), error=problem, error_reason=reason)


def _as_it_is(run: ClusteringRun) -> ClusteringRun:
    """A stored run that nobody is working on: it cannot be under way, whatever its record says."""
    return run if run.state.ended else _failed(run, "its end was not recorded; run it again", "SERVER_STOPPED")
