"""Putting a run in force: its cluster ids go to the images, only where they differ.

The journal is the run's own file, written before anything else, and ``activating_run`` in the collection's record:

1. the run's file and clusters are stored, nothing of it is visible;
2. the record says ``activating_run`` (one atomic write: from here on the run will be in force, crash or not);
3. the ids of the points that differ are written, grouped by id;
4. the record says ``active_run`` (one atomic write).

A crash before 2 leaves the run without effect. After 2, the next start does 3 and 4 again: both can be repeated.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from shoal_server.application.assign import vote_on
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import RunFiles, Store
from shoal_server.domain.cluster import NOISE, Cluster, NameSource
from shoal_server.domain.errors import RunNotFound
from shoal_server.domain.run import ClusteringRun, RunStage, RunState, RunSummary

#: Most ids in one write; large enough that a cluster is mostly one write.
WRITE_BATCH = 1000


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
            The run's final record, stored.
        """
        # The summary goes to disk first, so that an activation finished after a crash can still tell it.
        await self._store.put_run(opened.id, replace(run, stage=RunStage.WRITING, summary=summary))
        await self._collections.change(opened, activating_run=run.id)
        return await self._finish(opened, run, summary)

    async def resume(self, opened: OpenCollection) -> ClusteringRun | None:
        """Completes an activation that a crash interrupted; None if there was none."""
        if opened.record.activating_run is None:
            return None
        run = await self._store.get_run(opened.id, opened.record.activating_run)
        if run.summary is None:
            raise RunNotFound(opened.id, run.id)
        return await self._finish(opened, run, run.summary)

    async def _finish(self, opened: OpenCollection, run: ClusteringRun, summary: RunSummary) -> ClusteringRun:
        found = await self._store.get_clusters(opened.id, run.id)
        assignments = await self._files.read(opened.id, run.id)
        wanted = dict(zip(assignments.ids, assignments.cluster_ids.tolist(), strict=True))
        async with opened.gate.activating():
            clusters = ClusterSet(run.id, await self._with_names_given_since(opened, run, found))
            writes = await self._write_differences(opened, clusters, wanted)
            superseded = opened.record.active_run
            await self._collections.change(opened, active_run=run.id, activating_run=None)
            opened.clusters = clusters
        finished = replace(
            run,
            state=RunState.SUCCEEDED,
            stage=RunStage.WRITING,
            progress=1.0,
            ended_at=datetime.now(UTC),
            summary=replace(summary, payload_writes=summary.payload_writes + writes),
        )
        await self._store.put_run(opened.id, finished)
        if superseded is not None and superseded != run.id:
            await self._store.delete_clusters(opened.id, superseded)
        if writes:
            await self._store.optimize(opened.id)
        return finished

    async def _with_names_given_since(
        self, opened: OpenCollection, run: ClusteringRun, found: list[Cluster]
    ) -> list[Cluster]:
        """Names that people gave while the run was under way must not be lost."""
        before = {} if opened.clusters is None else opened.clusters.clusters
        clusters = []
        for cluster in found:
            former = before.get(cluster.id)
            if former is not None and former.name_source is NameSource.PERSON and former.name != cluster.name:
                cluster = cluster.renamed(former.name)
                await self._store.put_cluster(opened.id, run.id, cluster)
            clusters.append(cluster)
        return clusters

    async def _write_differences(self, opened: OpenCollection, clusters: ClusterSet, wanted: Mapping[UUID, int]) -> int:
        changes: dict[int, list[UUID]] = defaultdict(list)
        arrived: dict[UUID, int] = {}
        async for stretch in self._store.scan_vectors(opened.id, with_vectors=False):
            for identity, current in zip(stretch.ids, stretch.cluster_ids.tolist(), strict=True):
                if identity not in wanted:
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
        for start in range(0, len(ids), WRITE_BATCH):
            found = await self._store.get_vectors(opened.id, ids[start : start + WRITE_BATCH])
            if not found:
                continue
            matrix = np.stack(list(found.values()))
            # They have no vote themselves: their ids may be of the run before.
            decisions = await vote_on(self._store, opened, clusters, matrix, exclude=ids)
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
                await asyncio.sleep(0)
        return sum(map(len, changes.values()))
