"""Clustering runs: one at a time for each collection, watched, cancelled, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from shoal_server.application.activation import Activation
from shoal_server.application.history import History
from shoal_server.application.leases import Right
from shoal_server.application.live_run import LiveRun
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.application.reclustering import Reclustering
from shoal_server.application.run_ends import STOPPED, failed, put_end
from shoal_server.application.shared_runs import Elsewhere, SharedRuns
from shoal_server.domain.errors import (
    ClusteringFailed,
    CollectionNotFound,
    InvalidField,
    RunInProgress,
    RunNotFound,
    ShoalError,
)
from shoal_server.domain.run import ClusteringRun, RequestedParameters, RunStage, RunState

_log = logging.getLogger(__name__)

MAX_REQUEST_ID = 64

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
        shared: SharedRuns | None = None,
        on_progress: Callable[[str, ClusteringRun], None] = lambda collection, run: None,
    ) -> None:
        """Args:
        collections: whose.
        store: of their records.
        reclustering: does the finding.
        activation: puts what was found in force.
        history: tidies up after a run.
        tasks: that the runs' tasks belong to.
        on_ended: told of every run that ended.
        shared: knows of other servers on the store; None: there are none.
        on_progress: told of every new state of a run, the first time within the run's own task.
        """
        self._collections = collections
        self._shared = shared
        self._store = store
        self._reclustering = reclustering
        self._activation = activation
        self._history = history
        self._on_ended = on_ended
        self._on_progress = on_progress
        self._tasks = tasks
        self._live: dict[str, LiveRun] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    def carries_out(self, collection: str, run: str) -> bool:
        """Whether this run is under way on this server."""
        live = self._live.get(collection)
        return live is not None and live.run.id == run

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
            live = LiveRun(run, lambda newer: self._on_progress(collection, newer))
            right = None if self._shared is None else await self._shared.begin(collection, live)
            self._live[collection] = live
            task = self._tasks.create_task(self._carry_out(opened, live, right), name=f"clustering {collection}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            try:
                # If the caller leaves now, the run goes on, recorded and known.
                await asyncio.shield(live.recorded)
            except ShoalError:
                # Whoever is told that there is no run may start another at once.
                await live.end()
                raise
            return run

    async def get(self, collection: str, run: str) -> ClusteringRun:
        """Raises:
        RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        if live is not None:
            return live.run
        stored = await self._store.get_run(collection, run)
        elsewhere = await self._elsewhere(await self._collections.open_any(collection), [stored])
        if _looks_lost(stored, elsewhere):
            # It may have ended between the two looks.
            stored = await self._store.get_run(collection, run)
        return _as_it_is(stored, elsewhere)

    async def list(self, collection: str) -> list[ClusteringRun]:
        """All runs, newest first."""
        opened = await self._collections.open_any(collection)
        stored = await self._store.list_runs(collection)
        elsewhere = await self._elsewhere(opened, stored)
        if any(_looks_lost(run, elsewhere) and not self.carries_out(collection, run.id) for run in stored):
            # It may have ended between the two looks.
            listed = {run.id for run in stored}
            stored = [run for run in await self._store.list_runs(collection) if run.id in listed]
        live = self._live.get(collection)
        return [live.run if live is not None and live.run.id == run.id else _as_it_is(run, elsewhere) for run in stored]

    async def cancel(self, collection: str, run: str) -> ClusteringRun:
        """Stops a run and waits until it has stopped; what it wrote is taken back.

        One that has ended, or is past its last write, is answered as it is.

        Raises:
            RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        if live is None:
            stored = await self.get(collection, run)
            if stored.state.ended or self._shared is None:
                return stored
            return _as_it_is(await self._shared.cancel(collection, run), Elsewhere())
        live.cancel()
        await live.end()
        return live.run

    async def watch(self, collection: str, run: str) -> AsyncIterator[ClusteringRun]:
        """The run as it is now and after each change, until it has ended; changes in quick succession may be skipped.

        Raises:
            RunNotFound: there is none of that id.
        """
        live = await self._live_run(collection, run)
        if live is None and self._shared is not None:
            last: ClusteringRun | None = None
            async for current in self._shared.watch(collection, run):
                last = current
                yield current
            if last is not None and not last.state.ended:
                yield _as_it_is(last, Elsewhere())
            return
        if live is None:
            yield await self.get(collection, run)
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
            live.cancel(STOPPED)
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
        elif self._shared is not None and (run := (await self._shared.elsewhere(opened.id)).run):
            await self._shared.cancel(opened.id, run)

    async def _elsewhere(self, opened: OpenCollection, runs: Sequence[ClusteringRun]) -> Elsewhere:
        """What other servers and corrections are doing, if that makes a difference to any of these runs."""
        if all(run.state.ended for run in runs):
            return Elsewhere()
        found = Elsewhere() if self._shared is None else await self._shared.elsewhere(opened.id)
        return replace(found, deciding=found.deciding or opened.deciding.locked())

    async def _live_run(self, collection: str, run: str) -> LiveRun | None:
        await self._collections.open_any(collection)
        live = self._live.get(collection)
        return live if live is not None and live.run.id == run else None

    async def _carry_out(self, opened: OpenCollection, live: LiveRun, right: Right | None) -> None:
        """The whole run; whatever happens, it ends, and its end is recorded and told."""
        self._on_progress(opened.id, live.run)
        ended = failed(live.run, STOPPED, "SERVERSTOPPED")
        try:
            ended = await self._outcome(opened, live, right)
            if ended.state is not RunState.SUCCEEDED:
                ended = await self._record(opened, ended)
            await self._tidy(opened)
        finally:
            try:
                if right is not None and self._shared is not None:
                    # Not before its end is recorded: without the right it would be taken for lost.
                    await self._shared.end(right)
            finally:
                del self._live[opened.id]
                live.now(ended)
                self._on_ended(opened.id, ended)

    async def _tidy(self, opened: OpenCollection) -> None:
        try:
            # Nobody may put a run in force while it is let go of.
            async with opened.deciding:
                await self._history.tidy(opened)
        except ShoalError as error:
            # What is left is let go of the next time.
            _log.warning("collection %s: letting go of old runs failed: %s", opened.id, error.message)

    async def _outcome(self, opened: OpenCollection, live: LiveRun, right: Right | None) -> ClusteringRun:
        try:
            return await self._find_and_activate(opened, live, right)
        except asyncio.CancelledError:
            if live.stopped_because is not None or opened.record.activating_run == live.run.id:
                return failed(live.run, live.stopped_because or STOPPED, "SERVERSTOPPED")
            return replace(live.run, state=RunState.CANCELLED, ended_at=datetime.now(UTC), remaining_s=None)
        except ShoalError as error:
            _log.warning("collection %s: run %s failed: %s", opened.id, live.run.id, error.message)
            return failed(live.run, error.message, error.reason)
        except Exception:  # noqa: BLE001 - a fault of ours ends this run, not the server
            _log.exception("collection %s: run %s failed", opened.id, live.run.id)
            internal = ClusteringFailed("an internal error; the server's log has the details")
            return failed(live.run, internal.message, internal.reason)

    async def _record(self, opened: OpenCollection, ended: ClusteringRun) -> ClusteringRun:
        """Stores the end of a run that did not come into force.

        Returns:
            The run as it ended: where its server was silent for a while, another one may have put it in force.
        """
        if self._shared is None:
            await put_end(self._store, self._history, opened, ended)
            return ended
        try:
            # With the turn, so that no server is putting it in force just now; one that began to has finished.
            async with opened.deciding:
                if opened.removed:
                    return ended
                stored = await self._stored(opened, ended.id)
                if stored is not None and stored.state.ended:
                    return stored
                await put_end(self._store, self._history, opened, ended)
        except ShoalError as error:
            _log.warning("collection %s: the end of run %s was not recorded: %s", opened.id, ended.id, error.message)
        return ended

    async def _stored(self, opened: OpenCollection, run: str) -> ClusteringRun | None:
        try:
            return await self._store.get_run(opened.id, run)
        except RunNotFound:
            return None

    async def _find_and_activate(self, opened: OpenCollection, live: LiveRun, right: Right | None) -> ClusteringRun:
        try:
            await self._store.put_run(opened.id, live.run)
        except BaseException as error:
            live.recorded.set_exception(error if isinstance(error, Exception) else ClusteringFailed(STOPPED))
            raise
        live.recorded.set_result(None)
        async with self._reclustering.at_work() as scratch:
            finding = self._reclustering.find(opened, live.run.requested, scratch, live.at, live.sampled)
            grouped = await live.step(asyncio.create_task(finding, name=f"finding clusters in {opened.id}"))
            async with opened.deciding:
                if opened.removed:
                    raise CollectionNotFound(opened.id)
                if right is not None and self._shared is not None:
                    await self._shared.confirm(right)
                live.at(RunStage.MATCHING, 0.0)
                matching = self._reclustering.match(opened, live.run, grouped)
                found = await live.step(asyncio.create_task(matching, name=f"matching clusters of {opened.id}"))
                # Some hundred bytes for each image, of which nothing is needed any more.
                del grouped, matching
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


def _looks_lost(run: ClusteringRun, elsewhere: Elsewhere) -> bool:
    """Whether a stored run that this server does not carry out is under way, and no other server carries it out."""
    return not run.state.ended and not elsewhere.carries_out(run)


def _as_it_is(run: ClusteringRun, elsewhere: Elsewhere) -> ClusteringRun:
    """A stored run that this server does not carry out: if no other one does, it cannot be under way."""
    if _looks_lost(run, elsewhere):
        return failed(run, "its end was not recorded; run it again", "SERVERSTOPPED")
    return run if run.state.ended else elsewhere.as_it_is(run)
