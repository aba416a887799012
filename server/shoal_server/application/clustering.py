"""Clustering runs: one at a time for each collection, watched, cancelled, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

from shoal_server.application.activation import Activation
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.application.reclustering import Reclustering
from shoal_server.domain.errors import ClusteringFailed, RunInProgress, RunNotCancellable, ShoalError
from shoal_server.domain.run import STAGE_START, ClusteringRun, RequestedParameters, RunStage, RunState

_log = logging.getLogger(__name__)


class _LiveRun:
    """A run under way: its newest state, who waits for the next one, and its task."""

    def __init__(self, run: ClusteringRun) -> None:
        self.run = run
        self.version = 0
        self.cancellable = True
        self.stopping_because: str | None = None
        self.task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def now(self, run: ClusteringRun) -> None:
        """Takes the newer state and wakes all who wait."""
        self.run = run
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, version: int) -> None:
        """Waits until there is a state newer than this version."""
        while self.version <= version:
            await self._changed.wait()


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
        self._live: dict[str, _LiveRun] = {}
        self._starting = asyncio.Lock()

    async def recover(self) -> None:
        """Puts right what a crash left behind, before the first request: finishes activations, ends lost runs."""
        for record in await self._collections.list():
            opened = await self._collections.open_any(record.id)
            resumed = await self._activation.resume(opened)
            if resumed is not None:
                _log.warning("collection %s: finished putting run %s in force after a crash", record.id, resumed.id)
            for run in await self._store.list_runs(record.id):
                if run.state.ended:
                    continue
                if run.id == opened.record.active_run and run.summary is not None:
                    # In force already; only the last write of its own record was missing.
                    ended = replace(run, state=RunState.SUCCEEDED, progress=1.0, ended_at=datetime.now(UTC))
                else:
                    await self._store.delete_clusters(record.id, run.id)
                    ended = _failed(run, "the server stopped while it was under way; run it again", "SERVER_STOPPED")
                await self._store.put_run(record.id, ended)

    async def start(self, collection: str, requested: RequestedParameters, request_id: str) -> ClusteringRun:
        """Starts a run, or finds the one that this request id started before.

        Raises:
            InvalidField: a parameter is out of its range.
            RunInProgress: another run of the collection is under way.
        """
        requested.check()
        opened = await self._collections.open(collection)
        async with self._starting:
            if request_id:
                for earlier in await self.list(collection):
                    if earlier.request_id == request_id:
                        return earlier
            live = self._live.get(collection)
            if live is not None:
                raise RunInProgress(collection, live.run.id)
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
            await self._store.put_run(collection, run)
            live = self._live[collection] = _LiveRun(run)
            live.task = self._tasks.create_task(self._carry_out(opened, live), name=f"clustering {collection}")
            return run

    async def get(self, collection: str, run: str) -> ClusteringRun:
        """Raises:
        RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        return live.run if live is not None else await self._store.get_run(collection, run)

    async def list(self, collection: str) -> list[ClusteringRun]:
        """All runs, newest first."""
        await self._collections.open(collection)
        live = self._live.get(collection)
        return [
            live.run if live is not None and live.run.id == run.id else run
            for run in await self._store.list_runs(collection)
        ]

    async def cancel(self, collection: str, run: str) -> ClusteringRun:
        """Stops a run and waits until it has stopped; one that has ended is answered as it is.

        Raises:
            RunNotFound: there is none of that id.
            RunNotCancellable: it is being put in force.
        """
        live = await self._live_run(collection, run)
        if live is None or live.task is None:
            return await self._store.get_run(collection, run)
        if not live.cancellable:
            raise RunNotCancellable(collection, run)
        live.task.cancel()
        await asyncio.wait([live.task])
        return live.run

    async def watch(self, collection: str, run: str) -> AsyncIterator[ClusteringRun]:
        """The run as it is now and after each change, until it has ended; changes in quick succession may be skipped.

        Raises:
            RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        if live is None:
            yield await self._store.get_run(collection, run)
            return
        while True:
            version, current = live.version, live.run
            yield current
            if current.state.ended:
                return
            await live.after(version)

    async def stop(self) -> None:
        """Ends all runs under way, but for those being put in force: those are finished."""
        tasks = []
        for live in list(self._live.values()):
            if live.task is not None:
                tasks.append(live.task)
                if live.cancellable:
                    live.stopping_because = "the server was stopped while it was under way; run it again"
                    live.task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def forget(self, collection: str) -> None:
        """Ends the run of a collection that is about to be deleted.

        Raises:
            RunNotCancellable: it is being put in force.
        """
        live = self._live.get(collection)
        if live is not None:
            await self.cancel(collection, live.run.id)

    async def _live_run(self, collection: str, run: str) -> _LiveRun | None:
        await self._collections.open(collection)
        live = self._live.get(collection)
        return live if live is not None and live.run.id == run else None

    async def _carry_out(self, opened: OpenCollection, live: _LiveRun) -> None:
        """The whole run; whatever happens, it ends and its end is recorded."""
        try:
            ended = await self._find_and_activate(opened, live)
        except asyncio.CancelledError:
            if live.stopping_because is None:
                ended = replace(live.run, state=RunState.CANCELLED, ended_at=datetime.now(UTC))
            else:
                ended = _failed(live.run, live.stopping_because, "SERVER_STOPPED")
            await self._record(opened, ended)
        except ShoalError as error:
            _log.warning("collection %s: run %s failed: %s", opened.id, live.run.id, error.message)
            ended = _failed(live.run, error.message, error.reason)
            await self._record(opened, ended)
        except Exception:  # noqa: BLE001 - a fault of ours ends this run, not the server
            _log.exception("collection %s: run %s failed", opened.id, live.run.id)
            internal = ClusteringFailed("an internal error; the server's log has the details")
            ended = _failed(live.run, internal.message, internal.reason)
            await self._record(opened, ended)
        finally:
            del self._live[opened.id]
        live.now(ended)

    async def _record(self, opened: OpenCollection, ended: ClusteringRun) -> None:
        try:
            await self._store.put_run(opened.id, ended)
            if opened.record.activating_run != ended.id:
                await self._store.delete_clusters(opened.id, ended.id)
        except ShoalError as error:
            # The record still says that the run is under way; the next start puts that right.
            _log.error("collection %s: the end of run %s was not recorded: %s", opened.id, ended.id, error.message)

    async def _find_and_activate(self, opened: OpenCollection, live: _LiveRun) -> ClusteringRun:
        def on_stage(stage: RunStage, share: float) -> None:
            live.now(replace(live.run, stage=stage, progress=_progress(stage, share)))

        # Only if the store failed in the middle of the last activation is there one to finish.
        await self._activation.resume(opened)
        found = await self._reclustering.find(opened, live.run.id, live.run.requested, on_stage)
        live.cancellable = False
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
