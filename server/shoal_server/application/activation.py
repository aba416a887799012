"""Putting a run in force: its cluster ids go to the images, only where they differ.

The journal is the run's own file, written before anything else, and ``activating_run`` in the collection's record:

1. the run's file and clusters are stored, nothing of it is visible;
2. the record says ``activating_run`` (one atomic write: from here on the run will be in force, crash or not);
3. the ids of the points that differ are written, grouped by id;
4. the record says ``active_run`` (one atomic write).

A crash before 2 leaves the run without effect. After 2, the next start does 3 and 4 again: both can be repeated. A
store that does not answer in 3 or 4 is asked again until it does; until then nothing that names a cluster is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from shoal_server.application.assign import vote_on
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import RunAssignments, RunFiles, Store
from shoal_server.domain.cluster import NOISE, Cluster, NameSource
from shoal_server.domain.errors import RunNotFound, ShoalError, StoreUnavailable
from shoal_server.domain.run import ClusteringRun, RunStage, RunState, RunSummary

#: Most ids in one write; large enough that a cluster is mostly one write.
WRITE_BATCH = 1000
#: Images that are voted on at once. Each vote leaves all of them out, so that none has a vote on itself.
VOTE_BATCH = 64
#: Seconds before a store that did not answer is asked again: the first time, and at most.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0

_log = logging.getLogger(__name__)


class Activation:
    """Writes a run's cluster ids back and makes it the active one."""

    def __init__(self, collections: OpenCollections, store: Store, files: RunFiles) -> None:
        self._collections = collections
        self._store = store
        self._files = files

    async def put_in_force(self, opened: OpenCollection, run: ClusteringRun, summary: RunSummary) -> ClusteringRun:
        """Steps 2 to 4 for a run whose file and clusters are stored.

        Args:
            opened: its collection.
            run: the run, under way.
            summary: what came out of it, but for the number of writes.

        Returns:
            The run's final record. If anything is raised while the collection's record says ``activating_run``, the
            next start finishes the work.
        """
        # The summary goes to disk first, so that an activation finished after a crash can still tell it.
        run = replace(run, stage=RunStage.WRITING, summary=summary)
        await self._store.put_run(opened.id, run)
        await self._collections.change(opened, activating_run=run.id)
        return await self._finish(opened, run, summary)

    async def resume(self, opened: OpenCollection) -> ClusteringRun | None:
        """Completes an activation that a crash interrupted; None if there was none.

        Raises:
            RunNotFound: the run's record or file is gone.
        """
        if opened.record.activating_run is None:
            return None
        run = await self._store.get_run(opened.id, opened.record.activating_run)
        if run.summary is None:
            raise RunNotFound(opened.id, run.id)
        return await self._finish(opened, run, run.summary)

    async def _finish(self, opened: OpenCollection, run: ClusteringRun, summary: RunSummary) -> ClusteringRun:
        found = await self._store.get_clusters(opened.id, run.id)
        assignments = await self._files.read(opened.id, run.id)
        superseded = opened.record.active_run
        async with opened.gate.activating():
            writes = await self._switch(opened, run, found, assignments)
        finished = replace(
            run,
            state=RunState.SUCCEEDED,
            stage=RunStage.WRITING,
            progress=1.0,
            ended_at=datetime.now(UTC),
            summary=replace(summary, payload_writes=summary.payload_writes + writes),
        )
        try:
            await self._store.put_run(opened.id, finished)
            if superseded is not None and superseded != run.id:
                await self._store.delete_clusters(opened.id, superseded)
            if writes:
                await self._store.optimize(opened.id)
        except ShoalError as error:
            # The run is in force whatever becomes of this; the next start puts the records right.
            _log.warning("collection %s: tidying up after run %s failed: %s", opened.id, run.id, error.message)
        return finished

    async def _switch(
        self, opened: OpenCollection, run: ClusteringRun, found: list[Cluster], assignments: RunAssignments
    ) -> int:
        """Steps 3 and 4, again and again until the store has taken them; the number of points written."""
        wanted = dict(zip(assignments.ids, assignments.cluster_ids.tolist(), strict=True))
        writes = 0
        pause = FIRST_PAUSE_S
        while True:
            try:
                clusters = ClusterSet(run.id, await self._with_names_given_since(opened, run, found))
                writes += await self._write_differences(opened, clusters, wanted)
                await self._collections.change(opened, active_run=run.id, activating_run=None)
            except StoreUnavailable as error:
                _log.warning(
                    "collection %s: writing the cluster ids of run %s back goes on in %.1f s: %s",
                    *(opened.id, run.id, pause, error.message),
                )
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                opened.clusters = clusters
                return writes

    async def _with_names_given_since(
        self, opened: OpenCollection, run: ClusteringRun, found: list[Cluster]
    ) -> list[Cluster]:
        """What people named or gave back to the algorithm while the run was under way must not be lost."""
        before = {} if opened.clusters is None else opened.clusters.clusters
        clusters = []
        for cluster in found:
            former = before.get(cluster.id)
            given = former is not None and former.name_source is NameSource.PERSON
            name = former.name if former is not None and given else ""
            if former is not None and (given or cluster.name_source is NameSource.PERSON):
                named = cluster.renamed(name)
                if named != cluster:
                    await self._store.put_cluster(opened.id, run.id, named)
                clusters.append(named)
            else:
                clusters.append(cluster)
        return clusters

    async def _write_differences(self, opened: OpenCollection, clusters: ClusterSet, wanted: Mapping[UUID, int]) -> int:
        changes: dict[int, list[UUID]] = defaultdict(list)
        arrived: dict[UUID, int] = {}
        async for stretch in self._store.scan_vectors(opened.id, with_vectors=False):
            for identity, current in zip(stretch.ids, stretch.cluster_ids.tolist(), strict=True):
                if identity not in wanted:
                    if current != NOISE and current not in clusters.clusters:
                        # Its cluster is no more, and must not be voted for.
                        changes[NOISE].append(identity)
                        current = NOISE
                    arrived[identity] = current
                elif wanted[identity] != current:
                    changes[wanted[identity]].append(identity)
        writes = await self._write(opened, changes)
        if arrived:
            writes += await self._write(opened, await self._votes_on(opened, clusters, arrived))
        return writes

    async def _votes_on(
        self, opened: OpenCollection, clusters: ClusterSet, arrived: Mapping[UUID, int]
    ) -> dict[int, list[UUID]]:
        """The changes for images that came after the run had read the collection."""
        changes: dict[int, list[UUID]] = defaultdict(list)
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
                    changes[wanted].append(identity)
        return changes

    async def _write(self, opened: OpenCollection, changes: Mapping[int, list[UUID]]) -> int:
        for cluster_id, ids in changes.items():
            for start in range(0, len(ids), WRITE_BATCH):
                await self._store.set_cluster(
                    opened.id, None if cluster_id == NOISE else cluster_id, ids[start : start + WRITE_BATCH]
                )
        return sum(map(len, changes.values()))
