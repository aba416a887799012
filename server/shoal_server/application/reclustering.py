"""One clustering run, from reading the vectors to a stored result that can be put in force."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.describing import Describing, Scene
from shoal_server.application.grouping import Grouping, GroupingsFound
from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import (
    Before,
    Clusterer,
    ClusteringResult,
    FreeSpace,
    Purpose,
    RunAssignments,
    RunFiles,
    Store,
)
from shoal_server.application.present import Present, read_present
from shoal_server.application.vector_file import VectorFile, VectorFileWriter
from shoal_server.domain.cluster import NOISE, Cluster
from shoal_server.domain.errors import RunNotFound, TooFewImages
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.fingerprints import fingerprints, have_changed
from shoal_server.domain.identity import IdentityMatch, match_identities
from shoal_server.domain.lineage import Lineage, LineageKind, lineage_of
from shoal_server.domain.plausibility import Change, objections
from shoal_server.domain.respect import Respected, Standing, families_of, respect, stays
from shoal_server.domain.run import (
    MIN_IMAGES,
    ClusteringParameters,
    ClusteringRun,
    RequestedParameters,
    RunStage,
    RunSummary,
)
from shoal_server.domain.sampling import Sampling
from shoal_server.domain.voting import leave_one_out_thresholds

#: Room that a run's temporary files take, as a multiple of its vectors.
_WORKING_COPIES = 2

#: Strata of images that are in no cluster: those that the run in force left out, and those that came since.
_LEFT_OUT, _CAME_SINCE = NOISE, NOISE - 1

#: Share of the images after which the progress of reading them is told again.
_TOLD_EVERY = 0.01

OnStage = Callable[[RunStage, float], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A collection as a run read it.

    Attributes:
        ids: of the images.
        file: ``.npy``, float32 (n, dimension), unit rows.
        fingerprints: float32 (n,), of these rows.
    """

    ids: list[UUID]
    file: Path
    fingerprints: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grouped:
    """What the algorithm found, before anything is matched.

    Attributes:
        sample: rows of the images that were clustered, the others having been assigned; None: all were.
    """

    snapshot: Snapshot
    result: ClusteringResult
    sample: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found; stored, not yet in force.

    Attributes:
        run: its record with all that is known now.
        next_ids: what the collection's record must say before the run is put in force.
    """

    run: ClusteringRun
    next_ids: Mapping[str, int]


class Reclustering:
    """Reads, clusters, matches, names and stores; changes nothing that anybody sees."""

    def __init__(
        self,
        store: Store,
        clusterer: Clusterer,
        files: RunFiles,
        describing: Describing,
        grouping: Grouping,
        space: FreeSpace,
        sampling: Sampling,
    ) -> None:
        self._store = store
        self._clusterer = clusterer
        self._files = files
        self._describing = describing
        self._grouping = grouping
        self._space = space
        self._sampling = sampling

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Path]:
        """A folder for the time of a run."""
        scratch = await asyncio.to_thread(self._files.scratch)
        try:
            yield scratch
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def find(
        self,
        opened: OpenCollection,
        requested: RequestedParameters,
        scratch: Path,
        on_stage: OnStage,
        on_sampled: Callable[[int], None] = lambda size: None,
    ) -> Grouped:
        """Reads a collection and groups its images.

        Args:
            opened: the collection.
            requested: how to do it.
            scratch: folder for the vectors.
            on_stage: called with the stage and the share of it that is done, 0 to 1.
            on_sampled: told how many images are clustered, if they are too many to cluster all.

        Raises:
            TooFewImages: there are too few.
            StoreFull: there is too little room for the temporary files.
            InvalidField: the parameters do not go with so few images.
            ClusteringFailed: the worker failed.
        """
        # The words are embedded while the worker process is busy with the images.
        words = asyncio.create_task(self._describing.prepare())
        try:
            on_stage(RunStage.READING, 0.0)
            # Vectors name no cluster: nobody who puts other ids in force should have to wait until all are read.
            snapshot = await self._read(opened, scratch / "vectors.npy", on_stage)
            async with opened.gate.reading():
                present = await read_present(self._store, self._files, opened)
                active = await self._active_run(opened)
            parameters = requested.complete(len(snapshot.ids))
            before, strata = await asyncio.to_thread(_before, snapshot, present, active, requested, parameters)
            del present
            sample = await asyncio.to_thread(
                self._sampling.of, snapshot.ids, strata, parameters.seed, parameters.n_clusters
            )
            if sample is not None:
                on_sampled(len(sample))
            result = await self._clusterer.cluster(snapshot.file, parameters, on_stage, before, sample)
            await words
            return Grouped(snapshot, result, sample)
        finally:
            words.cancel()
            await asyncio.gather(words, return_exceptions=True)

    async def match(self, opened: OpenCollection, run: ClusteringRun, grouped: Grouped) -> Found:
        """Makes what was found agree with what there is, describes and stores it; the caller holds ``deciding``."""
        snapshot, result = grouped.snapshot, grouped.result
        # Corrections, deletions and new images may have come while the worker was busy.
        everything = await read_present(self._store, self._files, opened)
        clusters = {} if opened.clusters is None else opened.clusters.clusters
        seen = len(snapshot.ids)
        came = await asyncio.to_thread(_came_and_stay, everything, snapshot, clusters)
        there, present = await asyncio.to_thread(everything.of, snapshot.ids + came)
        # What was deleted makes no cluster, and is in none.
        result = replace(result, labels=np.where(there[:seen], result.labels, NOISE))
        now = present.assignments
        families = families_of(await self._store.list_corrections(opened.id))
        standing = replace(_standing(present, clusters), families=families)
        match, respected = await asyncio.to_thread(
            _matched, standing, now.last_ids, result, opened.record.next_cluster_id
        )
        thresholds = await asyncio.to_thread(
            leave_one_out_thresholds,
            result.neighbor_rows,
            result.neighbor_similarities,
            respected.cluster_ids[:seen],
            grouped.sample,
        )
        scene = Scene(
            collection=opened.id,
            ids=snapshot.ids,
            vectors=VectorFile(snapshot.file),
            cluster_ids=respected.cluster_ids[:seen],
            captured_at=present.captured_at[:seen],
            locations=present.locations[:seen],
        )
        joined = Counter(respected.cluster_ids[seen:].tolist())
        unseen = {cluster: clusters[cluster] for cluster in joined.keys() - thresholds.keys() - {NOISE}}
        found = await self._describing.all(scene, unseen, clusters, thresholds)
        described = [replace(cluster, size=cluster.size + joined[cluster.id]) for cluster in found]
        described += [replace(cluster, size=joined[cluster.id]) for cluster in unseen.values()]
        groupings = await self._grouping.find(
            opened.record,
            captured_at=present.captured_at,
            locations=present.locations,
            place_ids=now.place_ids,
            moment_ids=now.moment_ids,
            clusters=described,
            cluster_ids=respected.cluster_ids,
            former=opened.groupings,
            former_cluster_ids=now.cluster_ids,
        )
        await self._keep(opened, run.id, grouped, now, respected, described, groupings)
        lineage = await asyncio.to_thread(
            lineage_of, now.cluster_ids[there], respected.cluster_ids[there], clusters, match.returned
        )
        same = _asked_alike(await self._active_run(opened), run.requested)
        complete = replace(
            run,
            parent=opened.record.active_run,
            parameters=result.parameters,
            trials=result.trials,
            quality=result.quality,
            lineage=lineage,
            held_because=objections(
                Change(now.cluster_ids[:seen], respected.cluster_ids[:seen], present.read[:seen], same)
            ),
        )
        next_ids = {
            "next_cluster_id": match.next_id,
            "next_theme_id": groupings.next_theme_id,
            "next_place_id": groupings.next_place_id,
            "next_moment_id": groupings.next_moment_id,
        }
        return Found(replace(complete, summary=summarized(respected.cluster_ids[:seen], complete.lineage)), next_ids)

    async def _keep(
        self,
        opened: OpenCollection,
        run: str,
        grouped: Grouped,
        now: RunAssignments,
        respected: Respected,
        described: list[Cluster],
        groupings: GroupingsFound,
    ) -> None:
        result = grouped.result
        ids = respected.cluster_ids
        was_in = np.where(now.cluster_ids == NOISE, now.last_ids, now.cluster_ids)
        seen = len(grouped.snapshot.ids)
        strengths = np.concatenate([result.strengths, now.strengths[seen:]])
        assignments = RunAssignments(
            ids=now.ids,
            cluster_ids=ids,
            strengths=np.where(ids == NOISE, np.float32(0), strengths).astype(np.float32),
            coordinates=_with_unknown(result.coordinates, len(ids)),
            reduced=_with_unknown(result.reduced, len(ids)),
            fingerprints=_with_unknown(grouped.snapshot.fingerprints, len(ids)),
            placed=now.placed,
            last_ids=np.where(ids == NOISE, was_in, ids),
            dissolved_ids=respected.dissolved_ids,
            place_ids=groupings.place_ids,
            moment_ids=groupings.moment_ids,
        )
        await self._files.write(opened.id, run, assignments)
        await self._store.put_groupings(opened.id, run, groupings.groupings)
        themed = [replace(cluster, theme_id=groupings.theme_of.get(cluster.id)) for cluster in described]
        await self._store.put_clusters(opened.id, run, themed)

    async def _active_run(self, opened: OpenCollection) -> ClusteringRun | None:
        """The record of the run in force; None if there is none."""
        if opened.record.active_run is None:
            return None
        try:
            return await self._store.get_run(opened.id, opened.record.active_run)
        except RunNotFound:
            return None

    async def _read(self, opened: OpenCollection, file: Path, on_stage: OnStage) -> Snapshot:
        count = await self._store.count_images(opened.id, ImageFilter())
        if count < MIN_IMAGES:
            raise TooFewImages(opened.id, count, MIN_IMAGES)
        dimension = opened.record.model.dimension
        self._space.check(Purpose.GROW, _WORKING_COPIES * count * dimension * np.dtype(np.float32).itemsize)
        ids: list[UUID] = []
        taken: list[NDArray[np.float32]] = []
        told = 0.0
        with VectorFileWriter(file, dimension) as vectors:
            async for stretch in self._store.scan_vectors(opened.id):
                vectors.append(stretch.vectors)
                ids += stretch.ids
                taken.append(fingerprints(stretch.vectors))
                # Stretches are short; whoever watches does not want to hear of each.
                if (share := min(len(ids) / count, 1.0)) >= told + _TOLD_EVERY:
                    told = share
                    on_stage(RunStage.READING, share)
        if len(ids) < MIN_IMAGES:
            raise TooFewImages(opened.id, len(ids), MIN_IMAGES)
        return Snapshot(ids, file, np.concatenate(taken))


def _asked_alike(active: ClusteringRun | None, requested: RequestedParameters) -> bool:
    """Whether the run in force was asked for in the same way, the seed aside."""
    return active is not None and replace(active.requested, seed=None) == replace(requested, seed=None)


def _before(
    snapshot: Snapshot,
    present: Present,
    active: ClusteringRun | None,
    requested: RequestedParameters,
    parameters: ClusteringParameters,
) -> tuple[Before, NDArray[np.int64]]:
    """What the algorithm is told of the run before: nothing of its clusters if other ones are asked for, and nothing of
    images whose vectors have changed.

    And the stratum of each image, of which every sample has some.
    """
    there = present.of(snapshot.ids)[1]
    known = there.assignments
    n = len(snapshot.ids)
    alike = _asked_alike(active, requested)
    used = None if active is None else active.parameters
    same_space = (
        used is not None
        and parameters.reducer is used.reducer
        and parameters.n_neighbors == used.n_neighbors
        and parameters.n_components == known.reduced.shape[1]
    )
    changed = have_changed(snapshot.fingerprints, known.fingerprints)
    reduced = known.reduced if same_space else np.zeros((n, 0), np.float32)
    # Somebody else's point may be there and be none to read, because its vector has no direction.
    as_read = not present.gone and bool(there.read.all()) and np.count_nonzero(present.read) == n
    before = Before(
        cluster_ids=np.where(changed | (not alike), NOISE, known.cluster_ids),
        reduced=np.where(changed[:, None], np.float32(np.nan), reduced),
        parameters=used if alike else None,
        unchanged=alike and as_read and not changed.any(),
    )
    outside = np.where(there.read, _LEFT_OUT, _CAME_SINCE)
    return before, np.where(known.cluster_ids == NOISE, outside, known.cluster_ids)


def _standing(present: Present, clusters: Mapping[int, Cluster]) -> Standing:
    now = present.assignments
    return Standing(clusters, now.cluster_ids, present.read, now.placed, now.dissolved_ids)


def _came_and_stay(everything: Present, snapshot: Snapshot, clusters: Mapping[int, Cluster]) -> list[UUID]:
    """The images that the run did not see and that nevertheless stay where they are."""
    if everything.ids == snapshot.ids:
        return []
    known = set(snapshot.ids)
    seen = np.array([identity in known for identity in everything.ids], np.bool_)
    rows = np.flatnonzero(stays(_standing(everything, clusters), seen))
    return [everything.ids[row] for row in rows.tolist()]


def _with_unknown(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Rows, (k,) or (k, d), followed by rows of NaN, together n."""
    following = [(0, n - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, following, constant_values=np.nan)


def _matched(
    standing: Standing,
    last_ids: NDArray[np.int64],
    result: ClusteringResult,
    next_id: int,
) -> tuple[IdentityMatch, Respected]:
    """Hands the ids on, and lets people's corrections win."""
    # A cluster is what a run put together: an image that was only voted into it does not say which one it is.
    clustered = np.where(standing.read, standing.old_ids, NOISE)[: len(result.labels)]
    last_ids = np.where(standing.read, last_ids, NOISE)[: len(result.labels)]
    match = match_identities(clustered, result.labels, next_id, last_ids)
    respected = respect(standing, match.cluster_ids(result.labels), result.neighbor_rows)
    # A new id that went to nobody in the end is not used up.
    living = set(np.unique(respected.cluster_ids).tolist())
    born = tuple(cluster for cluster in match.born if cluster in living)
    number = dict(zip(born, range(next_id, next_id + len(born)), strict=True))
    ids, rows = np.unique(respected.cluster_ids, return_inverse=True)
    renumbered = np.array([number.get(cluster, cluster) for cluster in ids.tolist()], dtype=np.int64)[rows]
    match = replace(match, born=tuple(number.values()), next_id=next_id + len(born))
    return match, replace(respected, cluster_ids=renumbered)


def summarized(cluster_ids: NDArray[np.int64], lineage: Sequence[Lineage]) -> RunSummary:
    """The counts of a run, but for the number of writes.

    Args:
        cluster_ids: (n,), -1 for none.
        lineage: what became of the clusters.
    """
    kinds = Counter(entry.kind for entry in lineage)
    born = kinds[LineageKind.BORN] + kinds[LineageKind.SPLIT]
    dissolved = kinds[LineageKind.DISSOLVED]
    clustered = int((cluster_ids != NOISE).sum())
    return RunSummary(
        images=len(cluster_ids),
        clusters=len(lineage) - dissolved,
        clustered=clustered,
        noise=len(cluster_ids) - clustered,
        payload_writes=0,
        kept=len(lineage) - dissolved - born,
        born=born,
        dissolved=dissolved,
    )
