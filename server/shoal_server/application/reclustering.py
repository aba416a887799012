"""One clustering run from reading the vectors to a stored result that can be put in force."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import Clusterer, ClusteringResult, RunAssignments, RunFiles, Store
from shoal_server.application.vocabulary import NamingWords
from shoal_server.domain.cluster import NOISE, Cluster, NameSource
from shoal_server.domain.errors import ImplausibleResult, TooFewImages
from shoal_server.domain.identity import IdentityMatch, match_identities
from shoal_server.domain.image import ImageFilter
from shoal_server.domain.naming import name_clusters
from shoal_server.domain.run import MIN_IMAGES, ClusteringParameters, RequestedParameters, RunStage, RunSummary
from shoal_server.domain.voting import leave_one_out_thresholds

#: How many typical images a cluster's record names.
EXEMPLARS = 5

OnStage = Callable[[RunStage, float], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A collection as a run read it.

    Attributes:
        ids: of the images.
        cluster_ids: int64 (n,), as they were, -1 for none.
        file: ``.npy``, float32 (n, dimension), unit rows.
    """

    ids: list[UUID]
    cluster_ids: NDArray[np.int64]
    file: Path


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found; stored, not yet in force.

    Attributes:
        parameters: what was used.
        summary: complete but for the number of writes.
        next_cluster_id: what the collection's record must say before the run is put in force.
    """

    parameters: ClusteringParameters
    summary: RunSummary
    next_cluster_id: int


class Reclustering:
    """Reads, clusters, matches, names and stores; changes nothing that anybody sees."""

    def __init__(self, store: Store, clusterer: Clusterer, files: RunFiles, words: NamingWords) -> None:
        self._store = store
        self._clusterer = clusterer
        self._files = files
        self._words = words

    async def find(self, opened: OpenCollection, run: str, requested: RequestedParameters, on_stage: OnStage) -> Found:
        """Clusters a collection and stores the result under the run's id.

        Args:
            opened: the collection.
            run: the id.
            requested: how to do it.
            on_stage: called with the stage and the share of it that is done, 0 to 1.

        Raises:
            TooFewImages: there are too few.
            InvalidField: the parameters do not go with so few images.
            ImplausibleResult: nothing was found where there are clusters.
            ClusteringFailed: the worker failed.
        """
        scratch = await asyncio.to_thread(self._files.scratch)
        # The words are embedded while the worker process is busy with the images.
        words = asyncio.create_task(self._words.vectors())
        try:
            on_stage(RunStage.READING, 0.0)
            snapshot = await self._read(opened, scratch / "vectors.npy")
            parameters = requested.complete(len(snapshot.ids))
            result = await self._clusterer.cluster(snapshot.file, parameters, on_stage)
            on_stage(RunStage.MATCHING, 0.0)
            return await self._keep(opened, run, parameters, snapshot, result, await words)
        finally:
            words.cancel()
            await asyncio.gather(words, return_exceptions=True)
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _read(self, opened: OpenCollection, file: Path) -> Snapshot:
        count = await self._store.count_images(opened.id, ImageFilter())
        if count < MIN_IMAGES:
            raise TooFewImages(opened.id, count, MIN_IMAGES)
        dimension = opened.record.model.dimension
        vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(count, dimension))
        ids: list[UUID] = []
        cluster_ids: list[NDArray[np.int64]] = []
        async with opened.gate.reading():
            async for stretch in self._store.scan_vectors(opened.id):
                # Images that came since the count are left to the vote when the run is put in force.
                room = min(len(stretch.ids), count - len(ids))
                vectors[len(ids) : len(ids) + room] = stretch.vectors[:room]
                ids += stretch.ids[:room]
                cluster_ids.append(stretch.cluster_ids[:room])
        vectors.flush()
        if len(ids) < MIN_IMAGES:
            raise TooFewImages(opened.id, len(ids), MIN_IMAGES)
        if len(ids) < count:
            file = file.with_name("fewer.npy")
            np.save(file, vectors[: len(ids)])
        return Snapshot(ids, np.concatenate(cluster_ids), file)

    async def _keep(
        self,
        opened: OpenCollection,
        run: str,
        parameters: ClusteringParameters,
        snapshot: Snapshot,
        result: ClusteringResult,
        words: NDArray[np.float32],
    ) -> Found:
        before = {} if opened.clusters is None else opened.clusters.clusters
        if before and not (result.labels != NOISE).any():
            raise ImplausibleResult(opened.id, len(snapshot.ids), len(before))
        match = match_identities(snapshot.cluster_ids, result.labels, opened.record.next_cluster_id)
        cluster_ids = match.cluster_ids(result.labels)
        clusters = await asyncio.to_thread(
            self._describe, before, match, snapshot, result, cluster_ids, self._words.words, words
        )
        await self._files.write(
            opened.id, run, RunAssignments(snapshot.ids, cluster_ids, result.strengths, result.coordinates)
        )
        await self._store.put_clusters(opened.id, run, clusters)
        clustered = int((cluster_ids != NOISE).sum())
        return Found(
            parameters,
            RunSummary(
                images=len(snapshot.ids),
                clusters=len(clusters),
                clustered=clustered,
                noise=len(snapshot.ids) - clustered,
                payload_writes=0,
                kept=len(match.kept),
                born=len(match.born),
                dissolved=len(before.keys() - set(match.kept)),
            ),
            match.next_id,
        )

    @staticmethod
    def _describe(
        before: Mapping[int, Cluster],
        match: IdentityMatch,
        snapshot: Snapshot,
        result: ClusteringResult,
        cluster_ids: NDArray[np.int64],
        words: tuple[str, ...],
        word_vectors: NDArray[np.float32],
    ) -> list[Cluster]:
        """The records of the clusters, by id."""
        vectors = np.load(snapshot.file, mmap_mode="r")
        thresholds = leave_one_out_thresholds(result.neighbor_rows, result.neighbor_similarities, cluster_ids)
        now = datetime.now(UTC)
        ids = sorted(match.ids.values())
        rows_of = {cluster_id: np.flatnonzero(cluster_ids == cluster_id) for cluster_id in ids}
        centroids = [_unit_mean(vectors[rows_of[cluster_id]]) for cluster_id in ids]
        given = {c.name for c in before.values() if c.name_source is NameSource.PERSON and c.id in rows_of}
        names = name_clusters(np.stack(centroids), words, word_vectors, given) if ids else []
        clusters = []
        for cluster_id, centroid, candidates in zip(ids, centroids, names, strict=True):
            rows = rows_of[cluster_id]
            similarities = vectors[rows] @ centroid
            typical = rows[np.argsort(-similarities, kind="stable")[:EXEMPLARS]]
            former = before.get(cluster_id)
            named_by_person = former is not None and former.name_source is NameSource.PERSON
            automatic = candidates[0].name if candidates else f"cluster {cluster_id}"
            clusters.append(
                Cluster(
                    id=cluster_id,
                    name=former.name if former is not None and named_by_person else automatic,
                    name_source=NameSource.PERSON if named_by_person else NameSource.AUTOMATIC,
                    candidates=candidates,
                    size=len(rows),
                    centroid=centroid,
                    cohesion=float(similarities.mean()),
                    threshold=thresholds[cluster_id],
                    exemplars=tuple(snapshot.ids[row] for row in typical.tolist()),
                    created_at=now if former is None else former.created_at,
                )
            )
        return clusters


def _unit_mean(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = vectors.mean(axis=0, dtype=np.float64)
    unit: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit
