"""Putting a run in force: its ids go to the images, only where they differ.

The journal is the run's own file, written before anything else, and ``activating_run`` in the collection's record:

1. the run's file and clusters are stored, nothing of it is visible;
2. the file of the run in force is completed with the images that came since, so that it can be put in force again
   exactly as it is left;
3. the record says ``activating_run`` (one atomic write: from here on the run will be in force, crash or not), and
   every other server on the store has seen it;
4. the ids of the points that differ are written, grouped by id;
5. the record says ``active_run`` (one atomic write).

A crash before 3 leaves the run without effect. After 3, the next start does 4 and 5 again: both can be repeated. A
store that does not answer in 4 or 5 is asked again until it does; until then nothing that names a cluster is answered.
Who cancels in 4 has the run before activated in its place, by the same steps.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import numpy as np

from shoal_server.application.assign import vote_on
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import RunAssignments, RunFiles, Store, StoredVectors
from shoal_server.application.present import no_assignments, read_present
from shoal_server.domain.cluster import NOISE, Cluster, Hold, NameSource
from shoal_server.domain.errors import LeaseLost, Overloaded, RunNotFound, ShoalError, StoreFull, StoreUnavailable
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.moments import moments_of
from shoal_server.domain.payload import CLUSTER_ID, MOMENT_ID, PLACE_ID
from shoal_server.domain.places import places_of
from shoal_server.domain.run import ClusteringRun, RunStage, RunState

#: Most ids in one write; large enough that a cluster is mostly one write.
WRITE_BATCH = 1000
#: Images that are voted on at once. Each vote leaves all of them out, so that none has a vote on itself.
VOTE_BATCH = 64
#: Seconds before a store that did not answer is asked again: the first time, and at most.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
#: A longer one nobody waits for: who asks for clusters is told instead.
SHORT_PAUSE_S = 2.0

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Withdrawn(Exception):
    """Somebody cancelled while ids were being written."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What is to be in force.

    Attributes:
        clusters: of the run.
        groupings: of the run.
        wanted: cluster, place and moment of every image that the run knows.
        votes: whether images it does not know are voted on; if not, they are in no cluster.
        former: it was complete before; people may have named, pinned or let go of clusters since.
    """

    clusters: ClusterSet
    groupings: Groupings
    wanted: Mapping[UUID, tuple[int, int, int]]
    votes: bool = True
    former: bool = False


class Activation:
    """Writes a run's ids back and makes it the active one."""

    def __init__(
        self,
        collections: OpenCollections,
        store: Store,
        files: RunFiles,
        others_know: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Args:
        collections: whose.
        store: of the images' ids.
        files: of the runs.
        others_know: waits until other servers on the store give no more answers that name clusters of a collection
            whose record says ``activating_run``; None: there are no other servers.
        """
        self._collections = collections
        self._store = store
        self._files = files
        self._others_know = others_know

    async def put_in_force(
        self, opened: OpenCollection, run: ClusteringRun, withdrawn: Callable[[], bool] = lambda: False
    ) -> ClusteringRun:
        """Steps 2 to 5 for a run whose file and clusters are stored.

        Args:
            opened: its collection; the caller holds ``deciding``.
            run: the run with its summary, under way or complete.
            withdrawn: asked before each write; once it says yes, what was written is taken back.

        Returns:
            The run's final record; CANCELLED if it was withdrawn. If anything is raised while the collection's record
            says ``activating_run``, the next start finishes the work.
        """
        # The summary goes to disk first, so that an activation finished after a crash can still tell it.
        await self._store.put_run(opened.id, run)
        target = replace(await self._target(opened, run.id), former=run.state.complete)
        async with opened.gate.activating():
            superseded = opened.record.active_run
            if superseded != run.id:
                await self._complete_superseded(opened)
            if withdrawn():
                # Nothing is journaled yet, so there is nothing to take back.
                return _withdrawn(run)
            await self._collections.change(opened, activating_run=run.id)
            try:
                try:
                    writes = await self._switch(opened, run.id, target, withdrawn)
                except Withdrawn:
                    await self._take_back(opened, superseded)
                    return _withdrawn(run)
            except LeaseLost:
                # Another server finishes the work; until it has, nobody may read here.
                opened.gate.stay_closed()
                raise
            except BaseException as error:
                # Some ids are written, some are not: the next start finishes the work before it serves.
                opened.set_aside = (
                    f"collection {opened.id!r} cannot be used: putting run {run.id!r} in force failed half-way "
                    f"({error or type(error).__name__}); start the server again to finish it"
                )
                _log.error("%s", opened.set_aside)
                if self._others_know is not None:
                    # Who waits to read has asked before it was set aside.
                    opened.gate.stay_closed()
                raise
        return await self._end(opened, run, writes)

    async def resume(self, opened: OpenCollection) -> ClusteringRun | None:
        """Completes an activation that a crash interrupted; None if there was none.

        Raises:
            RunNotFound: the run's record or file is gone.
        """
        if opened.record.activating_run is None:
            return None
        run = await self._store.get_run(opened.id, opened.record.activating_run)
        if run.state in (RunState.FAILED, RunState.CANCELLED):
            # The store took the journal's first line and said that it had not: nothing was written after it.
            await self._collections.change(opened, activating_run=None)
            return None
        if run.summary is None:
            raise RunNotFound(opened.id, run.id)
        target = replace(await self._target(opened, run.id), former=run.state.complete)
        async with opened.gate.activating():
            try:
                writes = await self._switch(opened, run.id, target)
            except BaseException:
                if self._others_know is not None:
                    # Some ids are written, some are not: nobody may read before some server has finished the work.
                    opened.gate.stay_closed()
                raise
        return await self._end(opened, run, writes)

    async def _target(self, opened: OpenCollection, run: str) -> _Target:
        clusters = ClusterSet(run, await self._store.get_clusters(opened.id, run))
        assignments = await self._files.read(opened.id, run)
        if set(np.unique(assignments.cluster_ids).tolist()) - {NOISE} - clusters.clusters.keys():
            # Somebody began to let go of it.
            raise RunNotFound(opened.id, run)
        wanted = await asyncio.to_thread(_wanted, assignments)
        return _Target(clusters, await self._store.get_groupings(opened.id, run), wanted)

    async def _end(self, opened: OpenCollection, run: ClusteringRun, writes: int) -> ClusteringRun:
        now = datetime.now(UTC)
        finished = replace(
            run,
            state=RunState.SUCCEEDED,
            stage=RunStage.WRITING,
            progress=1.0,
            ended_at=run.ended_at or now,
            activated_at=now,
            summary=None if run.summary is None else replace(run.summary, payload_writes=writes),
            remaining_s=None,
        )
        try:
            await _until_it_answers(lambda: self._store.put_run(opened.id, finished), "recording a run", opened)
            if writes:
                await self._store.optimize(opened.id)
        except ShoalError as error:
            # The run is in force whatever becomes of this; the next start puts the records right.
            _log.warning("collection %s: tidying up after run %s failed: %s", opened.id, run.id, error.message)
        return finished

    async def _complete_superseded(self, opened: OpenCollection) -> None:
        """Step 2."""
        superseded = opened.record.active_run
        if superseded is None:
            return
        as_left = (await read_present(self._store, self._files, opened)).assignments
        try:
            stored = await self._files.read(opened.id, superseded)
        except RunNotFound:
            stored = no_assignments()
        if not await asyncio.to_thread(_says_it_all, stored, as_left):
            await self._files.write(opened.id, superseded, as_left)

    async def _switch(
        self, opened: OpenCollection, run: str | None, target: _Target, withdrawn: Callable[[], bool] = lambda: False
    ) -> int:
        """Steps 4 and 5, again and again until the store has taken them; the number of points written."""
        written: set[UUID] = set()
        if self._others_know is not None:
            await _until_it_answers(self._others_know, "waiting for the other servers", opened)

        async def switch() -> ClusterSet:
            named = await self._with_present_names(opened, target)
            await self._write_differences(opened, replace(target, clusters=named), written, withdrawn)
            if withdrawn():
                raise Withdrawn
            await self._collections.change(opened, active_run=run, activating_run=None)
            return named

        named = await _until_it_answers(switch, f"writing the ids of run {run} back", opened)
        opened.clusters = None if run is None else named
        opened.groupings = target.groupings
        return len(written)

    async def _take_back(self, opened: OpenCollection, superseded: str | None) -> None:
        """Puts what was in force before in force again."""
        if superseded is None:
            # Until all is cleared the record goes on to name the run: a crash now completes it instead.
            nothing = _Target(ClusterSet("", ()), Groupings(), {}, votes=False)
            await self._switch(opened, None, nothing)
            return

        async def begin() -> _Target:
            target = await self._target(opened, superseded)
            await self._collections.change(opened, activating_run=superseded)
            return target

        target = await _until_it_answers(begin, f"taking run {superseded} up again", opened)
        await self._switch(opened, superseded, target)

    async def _with_present_names(self, opened: OpenCollection, target: _Target) -> ClusterSet:
        """What people named, pinned, or gave back to the algorithm since the run was stored must not be lost."""
        before = {} if opened.clusters is None else opened.clusters.clusters
        named: list[Cluster] = []
        for cluster in target.clusters.clusters.values():
            former = before.get(cluster.id)
            present = cluster
            if former is not None and target.former:
                present = _named_as_now(cluster, former)
                present = replace(present, holds=(present.holds - {Hold.PINNED}) | (former.holds & {Hold.PINNED}))
            if present != cluster:
                await self._store.put_cluster(opened.id, target.clusters.run, present)
            named.append(present)
        return ClusterSet(target.clusters.run, named)

    async def _write_differences(
        self, opened: OpenCollection, target: _Target, written: set[UUID], withdrawn: Callable[[], bool]
    ) -> None:
        changes: dict[tuple[str, int], list[UUID]] = defaultdict(list)
        arrived: dict[UUID, int] = {}
        async for stretch in self._store.scan_vectors(opened.id, with_vectors=False):
            if withdrawn():
                raise Withdrawn
            await asyncio.to_thread(_compare, stretch, target, changes, arrived)
        await self._write(opened, changes, written, withdrawn)
        if arrived and target.votes:
            await self._write(opened, await self._votes_on(opened, target.clusters, arrived), written, withdrawn)

    async def _votes_on(
        self, opened: OpenCollection, clusters: ClusterSet, arrived: Mapping[UUID, int]
    ) -> dict[tuple[str, int], list[UUID]]:
        """The changes for images that came after the run had read the collection."""
        changes: dict[tuple[str, int], list[UUID]] = defaultdict(list)
        ids = list(arrived)
        for start in range(0, len(ids), VOTE_BATCH):
            batch = ids[start : start + VOTE_BATCH]
            found = await self._store.get_vectors(opened.id, batch)
            if not found:
                continue
            decisions = await vote_on(self._store, opened, clusters, np.stack(list(found.values())), exclude=batch)
            for identity, (cluster_id, _) in zip(found, decisions, strict=True):
                wanted = NOISE if cluster_id is None else cluster_id
                if wanted != arrived[identity]:
                    changes[CLUSTER_ID, wanted].append(identity)
        return changes

    async def _write(
        self,
        opened: OpenCollection,
        changes: Mapping[tuple[str, int], list[UUID]],
        written: set[UUID],
        withdrawn: Callable[[], bool],
    ) -> None:
        for (field, group_id), ids in changes.items():
            for start in range(0, len(ids), WRITE_BATCH):
                if withdrawn():
                    raise Withdrawn
                batch = ids[start : start + WRITE_BATCH]
                await opened.deciding.confirm()
                await self._store.set_group(opened.id, field, None if group_id == NOISE else group_id, batch)
                written.update(batch)


async def _until_it_answers(work: Callable[[], Awaitable[Answer]], what: str, opened: OpenCollection) -> Answer:
    """Does something again and again until the store has taken it: it answers, has room again, or takes more."""
    pause = FIRST_PAUSE_S
    try:
        while True:
            try:
                return await work()
            except (StoreUnavailable, StoreFull, Overloaded) as error:
                wait = max(pause, error.retry_after_s) if isinstance(error, Overloaded) else pause
                _log.warning("collection %s: %s goes on in %.1f s: %s", opened.id, what, wait, error.message)
                if wait > SHORT_PAUSE_S:
                    opened.gate.halted = (opened.id, error.message)
                await asyncio.sleep(wait)
                pause = min(2 * pause, LONGEST_PAUSE_S)
    finally:
        opened.gate.halted = None


def _withdrawn(run: ClusteringRun) -> ClusteringRun:
    return replace(run, state=RunState.CANCELLED, ended_at=datetime.now(UTC), remaining_s=None)


def _named_as_now(cluster: Cluster, present: Cluster) -> Cluster:
    """A cluster of a stored run with the name that people gave it, or gave back, since."""
    if NameSource.PERSON not in (present.name_source, cluster.name_source):
        return cluster
    return cluster.renamed(present.name if present.name_source is NameSource.PERSON else "")


def _says_it_all(stored: RunAssignments, as_left: RunAssignments) -> bool:
    """Whether a run's file has every image where it is now."""
    places = _wanted(stored)
    return all(places.get(identity) == place for identity, place in _wanted(as_left).items())


def _wanted(assignments: RunAssignments) -> dict[UUID, tuple[int, int, int]]:
    columns = (assignments.cluster_ids, assignments.place_ids, assignments.moment_ids)
    return dict(zip(assignments.ids, zip(*(column.tolist() for column in columns), strict=True), strict=True))


def _compare(
    stretch: StoredVectors,
    target: _Target,
    changes: dict[tuple[str, int], list[UUID]],
    arrived: dict[UUID, int],
) -> None:
    """Adds what must be changed of a stretch, and the images that the target does not know with their clusters."""
    columns = (stretch.cluster_ids, stretch.place_ids, stretch.moment_ids)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    new = [number for number, identity in enumerate(stretch.ids) if identity not in target.wanted]
    places = places_of([stretch.locations[number] for number in new], target.groupings.places)
    moments = moments_of([stretch.captured_at[number] for number in new], target.groupings.moments)
    surroundings = dict(zip(new, zip(places, moments, strict=True), strict=True))
    for number, (identity, current) in enumerate(zip(stretch.ids, rows, strict=True)):
        wanted = target.wanted.get(identity)
        if wanted is None:
            # A cluster that is no more must not be voted for.
            lives = target.votes and current[0] in target.clusters.clusters
            arrived[identity] = current[0] if lives else NOISE
            place, moment = surroundings[number]
            wanted = (arrived[identity], NOISE if place is None else place, NOISE if moment is None else moment)
        for field, is_now, should_be in zip((CLUSTER_ID, PLACE_ID, MOMENT_ID), current, wanted, strict=True):
            if is_now != should_be:
                changes[field, should_be].append(identity)
