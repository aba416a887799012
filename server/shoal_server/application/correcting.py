"""How a correction is carried out: as a run of its own, derived from the one in force.

So it is written back, journaled, kept in the history and rolled back like any other run, and a crash at any moment
leaves all of it or nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.activation import Activation
from shoal_server.application.clustering import new_run_id
from shoal_server.application.describing import Describing, Scene
from shoal_server.application.history import History
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import RunFiles, Store
from shoal_server.application.present import Present, read_present
from shoal_server.application.reclustering import summarized
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.cluster import NOISE, Cluster
from shoal_server.domain.correction import Correction, CorrectionKind, Former, Moves
from shoal_server.domain.errors import CannotCorrect, CollectionNotFound, NotClustered, ShoalError
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.lineage import lineage_of
from shoal_server.domain.run import ClusteringRun, RunKind, RunStage, RunState
from shoal_server.domain.voting import thresholds_within

_log = logging.getLogger(__name__)

#: Vectors read at once.
_READ_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What a correction does to the n images that are there.

    Attributes:
        kind: what it is.
        clusters: those that it is about, the one to name first first.
        cluster_ids: int64 (n,), where the images are afterwards, -1 for none.
        placed: bool (n,), a person put the image where it is.
        dissolved_ids: int64 (n,), as in ``RunAssignments``.
        clusters_after: clusters that are not as they are now, with their new names and holds; also such as are not in
            force and come back. Only what people may change of them counts.
        next_cluster_id: the first id that is free afterwards.
        detail: in words.
    """

    kind: CorrectionKind
    clusters: tuple[int, ...]
    cluster_ids: NDArray[np.int64]
    placed: NDArray[np.bool_]
    dissolved_ids: NDArray[np.int64]
    next_cluster_id: int
    clusters_after: Mapping[int, Former] = field(default_factory=dict)
    detail: str = ""


MakePlan = Callable[[Present, ClusterSet], Awaitable[Plan]]
Change = Callable[[Cluster], Cluster]


class Correcting:
    """Carries plans out."""

    def __init__(
        self,
        collections: OpenCollections,
        store: Store,
        files: RunFiles,
        activation: Activation,
        history: History,
        describing: Describing,
    ) -> None:
        self._collections = collections
        self._store = store
        self._files = files
        self._activation = activation
        self._history = history
        self._describing = describing

    async def present(self, opened: OpenCollection) -> Present:
        """What a plan would be made for; the caller holds the collection's gate."""
        return await read_present(self._store, self._files, opened)

    async def size_of(self, opened: OpenCollection, cluster_id: int) -> int:
        """Images that are in a cluster now; the caller holds the collection's gate."""
        return (await self._store.count_by_cluster(opened.id)).get(cluster_id, 0)

    async def carry_out(self, opened: OpenCollection, author: str, plan: MakePlan, trigger: str = "") -> Correction:
        """Makes a plan for what is there, and carries it out before anything else changes.

        Args:
            opened: the collection.
            author: who asks.
            plan: makes the plan; may raise what it likes.
            trigger: what the run says of who asked for it; the correction's id if empty.

        Returns:
            The record of the correction, as stored.

        Raises:
            NotClustered: there are no clusters yet.
            CannotCorrect: the plan changes nothing.
        """
        return await unbroken(self._carry_out(opened, author, plan, trigger))

    async def change(
        self, opened: OpenCollection, cluster_id: int, kind: CorrectionKind, author: str, detail: str, change: Change
    ) -> Correction:
        """Changes a cluster's own record, which moves no image and so needs no run.

        Args:
            opened: the collection.
            cluster_id: which cluster.
            kind: what is done.
            author: who asks.
            detail: in words.
            change: makes the cluster as it is to be; may raise what it likes.

        Returns:
            The record of the correction, as stored.

        Raises:
            ClusterNotFound: there is none of that id in force.
        """

        async def carry_out() -> Correction:
            async with opened.deciding:
                correction = await changed()
                # Before another server has its turn, which would decide with the cluster as it was.
                await self._collections.tell(opened)
                return correction

        async def changed() -> Correction:
            async with opened.gate.reading(), opened.changing:
                if opened.removed:
                    raise CollectionNotFound(opened.id)
                before = opened.cluster(cluster_id)
                now = datetime.now(UTC)
                correction = Correction(
                    id=new_run_id(now),
                    kind=kind,
                    author=author,
                    created_at=now,
                    clusters=(cluster_id,),
                    images=0,
                    detail=detail,
                    former=(former_of(before),),
                )
                after = change(before)
                # First the record: a change that nobody can take back is worse than a record of none.
                await self._store.put_correction(opened.id, correction)
                active = opened.active_clusters()
                await self._store.put_cluster(opened.id, active.run, after)
                opened.clusters = active.with_cluster(after)
                return correction

        return await unbroken(carry_out())

    async def _carry_out(self, opened: OpenCollection, author: str, make: MakePlan, trigger: str) -> Correction:
        async with opened.deciding:
            if opened.deleting or opened.removed:
                raise CollectionNotFound(opened.id)
            if opened.clusters is None:
                raise NotClustered(opened.id)
            present = await read_present(self._store, self._files, opened)
            plan = await make(present, opened.clusters)
            moved = moved_by(opened, plan, present)
            correction = _record(plan, author, opened.clusters, len(moved))
            run = await self._run(opened, present, plan, trigger or f"correction {correction.id}")
            correction = replace(correction, run=run.id)
            try:
                await self._store.put_run(opened.id, run)
                if not trigger:
                    ids = [present.ids[row] for row in moved.tolist()]
                    moves = Moves(ids, present.assignments.cluster_ids[moved], plan.cluster_ids[moved])
                    await self._files.write_moves(opened.id, correction.id, moves)
                    await self._store.put_correction(opened.id, correction)
                await self._store_result(opened, run.id, present, plan)
                await self._collections.change(opened, next_cluster_id=plan.next_cluster_id)
                await self._activation.put_in_force(opened, run)
            except BaseException as error:
                if run.id not in (opened.record.activating_run, opened.record.active_run):
                    await self._forget(opened, run, correction, error)
                raise
            await self._history.tidy(opened)
            return correction

    async def _forget(
        self, opened: OpenCollection, run: ClusteringRun, correction: Correction, error: BaseException
    ) -> None:
        """Leaves nothing of a correction that failed before anything of it was in force."""
        reason = error.reason if isinstance(error, ShoalError) else "INTERNAL"
        failed = replace(
            run,
            state=RunState.FAILED,
            ended_at=datetime.now(UTC),
            error=f"the correction was not carried out: {error}",
            error_reason=reason,
        )
        try:
            await self._store.delete_correction(opened.id, correction.id)
            await self._store.put_run(opened.id, failed)
            await self._history.drop(opened, run.id)
        except ShoalError as another:
            # The next start does it.
            _log.warning("collection %s: run %s was left half done: %s", opened.id, run.id, another.message)

    async def _run(self, opened: OpenCollection, present: Present, plan: Plan, trigger: str) -> ClusteringRun:
        now = datetime.now(UTC)
        before = opened.clusters_of_run()
        base = await self._store.get_run(opened.id, before.run)
        given_before = {cluster for cluster in plan.clusters_after if cluster < opened.record.next_cluster_id}
        lineage = lineage_of(present.assignments.cluster_ids, plan.cluster_ids, before.clusters, given_before)
        return ClusteringRun(
            id=new_run_id(now),
            state=RunState.RUNNING,
            stage=RunStage.WRITING,
            progress=0.0,
            created_at=now,
            requested=base.requested,
            parameters=base.parameters,
            summary=summarized(plan.cluster_ids, lineage),
            kind=RunKind.CORRECTION,
            trigger=trigger,
            parent=before.run,
            lineage=lineage,
            quality=base.quality,
        )

    async def _store_result(self, opened: OpenCollection, run: str, present: Present, plan: Plan) -> None:
        now = present.assignments
        moved = plan.cluster_ids != now.cluster_ids
        strengths = np.where(moved, (plan.cluster_ids != NOISE).astype(np.float32), now.strengths)
        assignments = replace(
            now,
            cluster_ids=plan.cluster_ids,
            strengths=strengths.astype(np.float32),
            placed=plan.placed,
            last_ids=np.where(plan.cluster_ids == NOISE, now.last_ids, plan.cluster_ids),
            dissolved_ids=plan.dissolved_ids,
        )
        await self._files.write(opened.id, run, assignments)
        await self._store.put_clusters(opened.id, run, await self._clusters(opened, present, plan))
        sources = {
            int(cluster): int(now.cluster_ids[rows[0]])
            for cluster in np.unique(plan.cluster_ids[moved]).tolist()
            if len(rows := np.flatnonzero(moved & (plan.cluster_ids == cluster) & (now.cluster_ids != NOISE)))
        }
        alive = set(np.unique(plan.cluster_ids).tolist())
        await self._store.put_groupings(opened.id, run, _regrouped(opened.groupings, sources, alive))

    async def _clusters(self, opened: OpenCollection, present: Present, plan: Plan) -> list[Cluster]:
        """The whole set: the touched clusters described anew, the others with their present sizes."""
        before = opened.clusters_of_run().clusters
        now = present.assignments.cluster_ids
        moved = plan.cluster_ids != now
        touched = {*now[moved].tolist(), *plan.cluster_ids[moved].tolist(), *plan.clusters_after} - {NOISE}
        living, sizes = np.unique(plan.cluster_ids[plan.cluster_ids != NOISE], return_counts=True)
        size_of = dict(zip(living.tolist(), sizes.tolist(), strict=True))
        others = {
            cluster.id: replace(cluster, size=size_of[cluster.id])
            for cluster in before.values()
            if cluster.id in size_of and cluster.id not in touched
        }
        wanted = sorted(touched & size_of.keys())
        rows = np.flatnonzero(np.isin(plan.cluster_ids, wanted))
        scene, of_scene = await self._scene(opened, present, plan.cluster_ids, rows)
        prior = float(np.mean([cluster.threshold for cluster in before.values()])) if before else 1.0
        thresholds = await asyncio.to_thread(thresholds_within, of_scene, scene.cluster_ids, prior)
        former = dict(before)
        for cluster_id, given in plan.clusters_after.items():
            former[cluster_id] = _as_given(before.get(cluster_id), given, of_scene.shape[1])
        # A cluster that vanished between the scan and the reading of the vectors has nothing to describe.
        wanted = [cluster for cluster in wanted if cluster in thresholds]
        return [*others.values(), *await self._describing.some(scene, wanted, others, former, thresholds)]

    async def _scene(
        self, opened: OpenCollection, present: Present, cluster_ids: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[Scene, NDArray[np.float32]]:
        """What the images of some rows show, and their vectors, float32 (n, d)."""
        of_scene = np.empty((len(rows), opened.record.model.dimension), np.float32)
        kept: list[int] = []
        for start in range(0, len(rows), _READ_BATCH):
            batch = rows[start : start + _READ_BATCH].tolist()
            found = await self._store.get_vectors(opened.id, [present.ids[row] for row in batch])
            for row in batch:
                if (vector := found.get(present.ids[row])) is not None:
                    of_scene[len(kept)] = vector
                    kept.append(row)
        of_scene = of_scene[: len(kept)]
        scene = Scene(
            collection=opened.id,
            ids=[present.ids[row] for row in kept],
            vectors=of_scene,
            cluster_ids=cluster_ids[kept],
            captured_at=[present.captured_at[row] for row in kept],
            locations=[present.locations[row] for row in kept],
        )
        return scene, of_scene


def moved_by(opened: OpenCollection, plan: Plan, present: Present) -> NDArray[np.int64]:
    """The rows of the images that a plan puts elsewhere, at least one.

    Raises:
        CannotCorrect: there are none.
    """
    moved = np.flatnonzero(plan.cluster_ids != present.assignments.cluster_ids)
    if not len(moved):
        raise CannotCorrect(opened.id, "every image is where it should be already")
    return moved


def _record(plan: Plan, author: str, clusters: ClusterSet, images: int) -> Correction:
    now = datetime.now(UTC)
    return Correction(
        id=new_run_id(now),
        kind=plan.kind,
        author=author,
        created_at=now,
        clusters=plan.clusters,
        images=images,
        detail=plan.detail,
        former=tuple(former_of(clusters.clusters[each]) for each in plan.clusters if each in clusters.clusters),
    )


def former_of(cluster: Cluster) -> Former:
    """What people may change of a cluster, as it is."""
    return Former(cluster.id, cluster.name, cluster.name_source, cluster.holds, cluster.created_at)


def _as_given(cluster: Cluster | None, given: Former, dimension: int) -> Cluster:
    """A cluster with the name and holds that it is given; the rest is described anew."""
    if cluster is not None:
        return replace(cluster, name=given.name, name_source=given.name_source, holds=given.holds)
    return Cluster(
        id=given.cluster_id,
        name=given.name,
        name_source=given.name_source,
        candidates=(),
        size=0,
        centroid=np.zeros(dimension, np.float32),
        cohesion=0.0,
        threshold=1.0,
        exemplars=(),
        created_at=given.created_at,
        holds=given.holds,
    )


def _regrouped(groupings: Groupings, sources: Mapping[int, int], alive: set[int]) -> Groupings:
    """The same themes: new clusters go where those that they come from are, and what is no more goes."""
    themes = []
    for theme in groupings.themes:
        below = set(theme.cluster_ids) | {new for new, source in sources.items() if source in theme.cluster_ids}
        if below & alive:
            themes.append(replace(theme, cluster_ids=tuple(sorted(below & alive))))
    return replace(groupings, themes=tuple(themes))
