"""Runs that begin by themselves: when a collection's next one is due, and starting it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shoal_server.application.observations import Observations
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.domain.errors import (
    CollectionNotFound,
    ModelMismatch,
    NotFound,
    RunInProgress,
    RunNotFound,
    ShoalError,
    StoreIncompatible,
)
from shoal_server.domain.run import ClusteringRun, RequestedParameters
from shoal_server.domain.schedule import Due, Schedule, ScheduleState, in_quiet_hours, next_run

_log = logging.getLogger(__name__)

#: The store is asked which collections there are so often.
_LIST_EVERY = timedelta(minutes=1)
#: A collection whose run cannot begin is left alone for so long; all of them if the store does not answer.
_LEAVE_ALONE = timedelta(minutes=1)
#: Stands for all collections; none has this id.
_ALL = ""


class Ticker(Protocol):
    """Calls again and again, one call at a time, until it is stopped."""

    async def start(self, call: Callable[[], Awaitable[None]]) -> None:
        """Begins to call every few seconds; what the call raises is logged, and calling goes on."""
        ...

    async def stop(self) -> None:
        """Ends calling, and lets a call under way end."""
        ...


class Runs(Protocol):
    """What starts runs and knows of them."""

    async def start(
        self, collection: str, requested: RequestedParameters, request_id: str, *, trigger: str
    ) -> ClusteringRun:
        """As :meth:`Clustering.start`."""
        ...

    async def get(self, collection: str, run: str) -> ClusteringRun:
        """As :meth:`Clustering.get`."""
        ...


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A collection's schedule and what comes of it.

    Attributes:
        schedule: what is in force.
        is_default: it is the server's; the collection has none of its own.
        next_run: when, if nothing changes until then; None if nothing calls for one. While a run is under way, what
            would be due without it.
        last_run_at: when the last run ended, whatever became of it; None before the first.
        images_then: images that the last successful run read; 0 before the first.
        images_now: images that are there, as known a minute ago at worst.
        in_quiet_hours: no run begins by itself just now.
    """

    schedule: Schedule
    is_default: bool
    next_run: Due | None
    last_run_at: datetime | None
    images_then: int
    images_now: int
    in_quiet_hours: bool


class Scheduling:
    """Starts the runs that are due, at most one at a time over all collections, and tells when the next one is."""

    def __init__(
        self,
        collections: OpenCollections,
        store: Store,
        runs: Runs,
        observations: Observations,
        default: Schedule,
        shared: bool = False,
    ) -> None:
        """Args:
        collections: all of them.
        store: of their runs.
        runs: starts them.
        observations: of the collections.
        default: for collections that have no schedule of their own; one that passes its check.
        shared: other servers may work with the same collections.
        """
        self._shared = shared
        self._collections = collections
        self._store = store
        self._runs = runs
        self._observations = observations
        self._default = default
        self._known: list[str] = []
        self._listed_at: datetime | None = None
        self._left_alone_since: dict[str, datetime] = {}
        self._decided: dict[str, tuple[Schedule, ScheduleState, Due | None]] = {}
        self._under_way: tuple[str, str] | None = None

    async def state(self, collection: str) -> ScheduleStatus:
        """A collection's schedule and what comes of it; nothing does where the model is not the server's.

        Raises:
            CollectionNotFound: there is none.
        """
        opened = await self._collections.open_any(collection)
        schedule = self._schedule_of(opened)
        try:
            state = await self._observations.state(opened)
        except StoreIncompatible:
            if not opened.record.unusable:
                raise
            state = ScheduleState(None, 0, 0, None)
        try:
            await self._collections.open(collection)
        except (ModelMismatch, StoreIncompatible):
            due = None
        else:
            due = self._due(opened, state)
        return ScheduleStatus(
            schedule=schedule,
            is_default=opened.record.schedule is None,
            next_run=due,
            last_run_at=state.last_run_at,
            images_then=state.images_then,
            images_now=state.images_now,
            in_quiet_hours=in_quiet_hours(schedule, self._observations.now()),
        )

    async def set(self, collection: str, schedule: Schedule | None) -> ScheduleStatus:
        """Gives a collection a schedule of its own, or with None the server's again.

        Raises:
            CollectionNotFound: there is none.
            InvalidField: the schedule makes no sense.
        """
        if schedule is not None:
            schedule.check()
        opened = await self._collections.open_any(collection)
        await self._collections.change(opened, schedule=schedule)
        self._left_alone_since.pop(collection, None)
        return await self.state(collection)

    async def tick(self) -> None:
        """Starts what is due; called every few seconds, it nearly always finds that nothing is. Raises nothing."""
        if self._is_left_alone(_ALL):
            return
        try:
            await self._note_end()
            collections = await self._list()
        except Exception as error:  # noqa: BLE001 - the server serves on, and a later tick may fare better
            self._leave_alone(_ALL, "the schedules could not be followed", error)
            return
        for collection in collections:
            if self._is_left_alone(collection):
                continue
            try:
                await self._start_if_due(collection)
            except (CollectionNotFound, ModelMismatch, RunInProgress, StoreIncompatible):
                # Others have told of it, or there is nothing to tell.
                self._leave_alone(collection)
            except Exception as error:  # noqa: BLE001 - the other collections' runs must not wait for this one's
                self._leave_alone(collection, f"collection {collection}: its schedule could not be followed", error)

    def _is_left_alone(self, collection: str) -> bool:
        since = self._left_alone_since.get(collection)
        # A clock that is set back must not make it hours.
        if since is not None and abs(self._observations.now() - since) < _LEAVE_ALONE:
            return True
        self._left_alone_since.pop(collection, None)
        return False

    def _leave_alone(self, collection: str, what: str = "", error: Exception | None = None) -> None:
        self._left_alone_since[collection] = self._observations.now()
        if isinstance(error, ShoalError):
            _log.warning("%s: %s", what, error.message)
        elif error is not None:
            _log.error("%s", what, exc_info=error)

    async def _list(self) -> list[str]:
        now = self._observations.now()
        if self._listed_at is None or abs(now - self._listed_at) >= _LIST_EVERY:
            self._known = [collection.id for collection in await self._collections.list()]
            self._listed_at = now
            self._observations.keep_only(set(self._known))
            if self._shared:
                for collection in self._known:
                    self._observations.look_again(collection)
            self._decided = {name: decided for name, decided in self._decided.items() if name in self._known}
        return self._known

    async def _start_if_due(self, collection: str) -> None:
        opened = await self._collections.open(collection)
        due = self._due(opened, await self._observations.state(opened))
        if due is None or due.at > self._observations.now() or self._under_way is not None:
            return
        if self._shared:
            # Another server may just have done it.
            self._observations.look_again(collection)
            due = self._due(opened, await self._observations.state(opened))
            if due is None or due.at > self._observations.now():
                return
        requested = await self._as_a_person_asked(opened)
        run = await self._runs.start(collection, requested, "", trigger=f"schedule: {due.reason}")
        self._under_way = (collection, run.id)
        _log.info("collection %s: the schedule started run %s (%s)", collection, run.id, due.reason)

    async def _note_end(self) -> None:
        """Finds out whether the run that was started last has ended."""
        if self._under_way is None:
            return
        collection, _ = self._under_way
        try:
            run = await self._runs.get(*self._under_way)
        except NotFound:
            self._under_way = None
            return
        if run.state.ended:
            self._observations.ran(collection, run)
            self._under_way = None

    async def _as_a_person_asked(self, opened: OpenCollection) -> RequestedParameters:
        """What was asked for in the run in force: a run that nobody asked for must not undo somebody's choice."""
        if opened.record.active_run is None:
            return RequestedParameters()
        try:
            # A correction has what was asked for in the run that it corrects.
            return (await self._store.get_run(opened.id, opened.record.active_run)).requested
        except RunNotFound:
            return RequestedParameters()

    def _schedule_of(self, opened: OpenCollection) -> Schedule:
        return self._default if opened.record.schedule is None else opened.record.schedule

    def _due(self, opened: OpenCollection, state: ScheduleState) -> Due | None:
        """The next run; looked for anew only if something changed or its time has come."""
        schedule, now = self._schedule_of(opened), self._observations.now()
        decided = self._decided.get(opened.id)
        if decided is not None and decided[:2] == (schedule, state) and (decided[2] is None or now <= decided[2].at):
            return decided[2]
        due = next_run(schedule, state, now)
        self._decided[opened.id] = (schedule, state, due)
        return due
