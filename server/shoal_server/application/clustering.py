"""Clustering runs: one at a time for each collection, watched, cancelled, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

from shoal_server.application.activation import Activation
from shoal_server.application.history import History
from shoal_server.application.live_run import LiveRun
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.application.reclustering import Reclustering
from shoal_server.domain.errors import (
    ClusteringFailed,
    CollectionNotFound,
    InvalidField,
    RunInProgress,
    ShoalError,
)
from shoal_server.domain.run import ClusteringRun, RequestedParameters, RunStage, RunState

_log = logging.getLogger(__name__)

MAX_REQUEST_ID = 64

#: What the trigger of a run that takes a correction back begins with; the correction's id follows.
UNDO = "undo "

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
        history: History,
        tasks: asyncio.TaskGroup,
        on_ended: Callable[[str, ClusteringRun], None] = lambda collection, run: None,
    ) -> None:
        """Args:
        collections: whose.
        store: of their records.
        reclustering: does the finding.
        activation: puts what was found in force.
        history: tidies up after a run.
        tasks: that the runs' tasks belong to.
        on_ended: told of every run that ended.
        """
        self._collections = collections
        self._store = store
        self._reclustering = reclustering
        self._activation = activation
        self._history = history
        self._on_ended = on_ended
        self._tasks = tasks
        self._live: dict[str, LiveRun] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    async def recover(self) -> None:
        """Puts right what a crash left behind, before the first request: finishes activations, ends lost runs.

        A collection where that is impossible is set aside; the others are served.
        """
        for record in await self._collections.list():
            try:
                opened = await self._collections.open_any(record.id)
            except ShoalError as error:
                # Whoever opens it is told the same.
                _log.error("collection %s cannot be used: %s", record.id, error.message)
                continue
            try:
                await self._recover(opened)
            except ShoalError as error:
                opened.set_aside = (
                    f"collection {record.id!r} cannot be used: putting right what a crash has left failed "
                    f"({error.message}); restore its files from a backup, or delete the collection"
                )
                _log.error("%s", opened.set_aside)

    async def _recover(self, opened: OpenCollection) -> None:
        resumed = await self._activation.resume(opened)
        if resumed is not None:
            _log.warning("collection %s: finished putting run %s in force after a crash", opened.id, resumed.id)
        runs = await self._store.list_runs(opened.id)
        superseded = {run.parent for run in runs if run.state.complete}
        for run in runs:
            if run.state is not RunState.RUNNING:
                continue
            if run.id == opened.record.active_run or run.id in superseded:
                # Only the last write of its own record was missing.
                now = datetime.now(UTC)
                ended = replace(run, state=RunState.SUCCEEDED, progress=1.0, ended_at=now, activated_at=now)
                await self._store.put_run(opened.id, ended)
            else:
                await self._record(opened, _failed(run, _STOPPED, "SERVER_STOPPED"))
        await self._recover_corrections(opened)
        await self._history.tidy(opened)

    async def _recover_corrections(self, opened: OpenCollection) -> None:
        """Makes the records of corrections agree with what came of their runs."""
        runs = {run.id: run for run in await self._store.list_runs(opened.id)}
        undone = {
            run.trigger.removeprefix(UNDO): run for run in runs.values() if run.state.complete and UNDO in run.trigger
        }
        for correction in await self._store.list_corrections(opened.id):
            made = None if correction.run is None else runs.get(correction.run)
            if made is not None and not made.state.complete:
                await self._store.delete_correction(opened.id, correction.id)
            elif correction.undone_at is None and correction.id in undone:
                taken_back = replace(correction, undone_at=undone[correction.id].ended_at)
                await self._store.put_correction(opened.id, taken_back)

    async def start(
        self, collection: str, requested: RequestedParameters, request_id: str, trigger: str = "person"
    ) -> ClusteringRun:
        """Starts a run, or finds the one that this request id started before.

        Args:
            collection: which.
            requested: how to do it.
            request_id: the caller's idempotency key; may be empty.
            trigger: who asks.

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
                id=new_run_id(now),
                state=RunState.RUNNING,
                stage=RunStage.READING,
                progress=0.0,
                created_at=now,
                requested=requested,
                request_id=request_id,
                trigger=trigger,
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
        """Stops a run and waits until it has stopped; what it wrote is taken back.

        One that has ended, or is past its last write, is answered as it is.

        Raises:
            RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        if live is None:
            return _as_it_is(await self._store.get_run(collection, run))
        live.cancel()
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
        """Ends the run of a collection that is about to be deleted."""
        live = self._live.get(opened.id)
        if live is not None:
            live.cancel()
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
            # Nobody may put a run in force while it is let go of.
            async with opened.deciding:
                await self._history.tidy(opened)
        finally:
            del self._live[opened.id]
            live.now(ended)
            self._on_ended(opened.id, ended)

    async def _outcome(self, opened: OpenCollection, live: LiveRun) -> ClusteringRun:
        try:
            return await self._find_and_activate(opened, live)
        except asyncio.CancelledError:
            if live.stopped_because is not None or opened.record.activating_run == live.run.id:
                return _failed(live.run, live.stopped_because or _STOPPED, "SERVER_STOPPED")
            return replace(live.run, state=RunState.CANCELLED, ended_at=datetime.now(UTC), remaining_s=None)
        except ShoalError as error:
            _log.warning("collection %s: run %s failed: %s", opened.id, live.run.id, error.message)
            return _failed(live.run, error.message, error.reason)
        except Exception:  # noqa: BLE001 - a fault of ours ends this run, not the server
            _log.exception("collection %s: run %s failed", opened.id, live.run.id)
            internal = ClusteringFailed("an internal error; the server's log has the details")
            return _failed(live.run, internal.message, internal.reason)

    async def _record(self, opened: OpenCollection, ended: ClusteringRun) -> None:
        """Stores the end of a run that did not come into force."""
        if ended.id in (opened.record.activating_run, opened.record.active_run):
            # The record must stay as it is for the next start to finish the work, or to say that it was finished.
            return
        try:
            await self._store.put_run(opened.id, ended)
            if not ended.state.complete:
                await self._history.drop(opened, ended.id)
        except ShoalError as error:
            # The record still says that the run is under way; the next start puts that right.
            _log.warning("collection %s: the end of run %s was not recorded: %s", opened.id, ended.id, error.message)

    async def _find_and_activate(self, opened: OpenCollection, live: LiveRun) -> ClusteringRun:
        try:
            await self._store.put_run(opened.id, live.run)
        except BaseException as error:
            live.recorded.set_exception(error if isinstance(error, Exception) else ClusteringFailed(_STOPPED))
            raise
        live.recorded.set_result(None)
        async with self._reclustering.at_work() as scratch:
            finding = self._reclustering.find(opened, live.run.requested, scratch, live.at)
            grouped = await live.step(asyncio.create_task(finding, name=f"finding clusters in {opened.id}"))
            async with opened.deciding:
                live.at(RunStage.MATCHING, 0.0)
                matching = self._reclustering.match(opened, live.run, grouped)
                found = await live.step(asyncio.create_task(matching, name=f"matching clusters of {opened.id}"))
                # Ids that were worked out are used up, whatever becomes of the run.
                await self._collections.change(opened, **found.next_ids)
                live.begin_writing()
                live.now(found.run)
                if found.run.held_because:
                    return replace(
                        found.run,
                        state=RunState.HELD_BACK,
                        progress=1.0,
                        ended_at=datetime.now(UTC),
                        remaining_s=None,
                    )
                live.at(RunStage.WRITING, 0.0)
                return await self._activation.put_in_force(opened, live.run, lambda: live.withdrawn)


def new_run_id(now: datetime) -> str:
    """An id for a run or a correction that sorts by time."""
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond:06d}-{secrets.token_hex(2)}"


def _failed(run: ClusteringRun, problem: str, reason: str) -> ClusteringRun:
    return replace(
        run,
        state=RunState.FAILED,
        ended_at=datetime.now(UTC),
        error=problem,
        error_reason=reason,
        held_because=(),
        remaining_s=None,
    )


def _as_it_is(run: ClusteringRun) -> ClusteringRun:
    """A stored run that nobody is working on: it cannot be under way, whatever its record says."""
    return run if run.state.ended else _failed(run, "its end was not recorded; run it again", "SERVER_STOPPED")
