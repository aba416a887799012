"""Taking one cluster apart by a clustering inside it."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import Clusterer, RunFiles, Store
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import CannotCorrect
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.portraits import unit_mean
from shoal_server.domain.run import MIN_IMAGES, Granularity, Method, RequestedParameters
from shoal_server.domain.sampling import Sampling

_PAGE = 1000
#: Answers that are kept.
_KEPT = 8

#: A collection's id and time of creation, a cluster and a number of parts.
_Key = tuple[str, datetime, int, int]


class Splitting:
    """Finds parts of a cluster; changes nothing."""

    def __init__(self, store: Store, clusterer: Clusterer, files: RunFiles, sampling: Sampling) -> None:
        self._store = store
        self._clusterer = clusterer
        self._files = files
        self._sampling = sampling
        self._found: dict[_Key, tuple[list[UUID], dict[UUID, int]]] = {}

    async def parts(self, opened: OpenCollection, cluster_id: int, part_count: int) -> dict[UUID, int]:
        """The part of each image of a cluster, 0 for the largest.

        As long as the same images are in it the answer stays the same, among the last few that were asked for: a
        clustering is not repeatable to the last image, and who was shown the parts wants these.

        Args:
            opened: the collection.
            cluster_id: the cluster.
            part_count: how many parts, at least 2; 0 for as many as there are.

        Raises:
            CannotCorrect: it is too small, or does not fall apart.
            ClusteringFailed: the worker failed.
        """
        ids = await self._members(opened, cluster_id)
        key = (opened.id, opened.record.created_at, cluster_id, part_count)
        known, parts = self._found.get(key, ([], {}))
        if known == ids:
            return parts
        parts = await self._find(opened, cluster_id, part_count, ids)
        self._found.pop(key, None)
        self._found[key] = ids, parts
        while len(self._found) > _KEPT:
            del self._found[next(iter(self._found))]
        return parts

    async def _find(self, opened: OpenCollection, cluster_id: int, part_count: int, ids: list[UUID]) -> dict[UUID, int]:
        if len(ids) < max(part_count, MIN_IMAGES):
            raise CannotCorrect(
                opened.id,
                f"cluster {cluster_id} has {len(ids)} images, too few to be split; split it by listing images",
            )
        found = await self._store.get_vectors(opened.id, ids)
        ids = list(found)
        vectors = np.stack(list(found.values()))
        if part_count:
            requested = RequestedParameters(n_clusters=part_count, method=Method.SPHERICAL_KMEANS)
        else:
            requested = RequestedParameters(granularity=Granularity.FINE)
        labels = await self._labels(ids, vectors, requested)
        if len(np.unique(labels[labels != NOISE])) < 2:
            advice = "list the images of the new cluster" if part_count else "say into how many parts, or list images"
            raise CannotCorrect(opened.id, f"cluster {cluster_id} does not fall apart by itself; {advice}")
        labels = _with_noise_placed(vectors, labels)
        largest_first = [label for label, _ in Counter(labels.tolist()).most_common()]
        return {identity: largest_first.index(label) for identity, label in zip(ids, labels.tolist(), strict=True)}

    async def _members(self, opened: OpenCollection, cluster_id: int) -> list[UUID]:
        ids: list[UUID] = []
        after: UUID | None = None
        async with opened.gate.reading():
            while True:
                where = ImageFilter(clusters=(cluster_id,))
                page, after = await self._store.page_images(opened.id, where, after, _PAGE)
                ids += [image.id for image in page]
                if after is None:
                    return ids

    async def _labels(
        self, ids: list[UUID], vectors: NDArray[np.float32], requested: RequestedParameters
    ) -> NDArray[np.int64]:
        scratch: Path = await asyncio.to_thread(self._files.scratch)
        try:
            file = scratch / "vectors.npy"
            await asyncio.to_thread(np.save, file, vectors)
            parameters = requested.complete(max(len(vectors), 2 * (requested.n_clusters or 0)))
            one_stratum = np.zeros(len(ids), np.int64)
            sample = self._sampling.of(ids, one_stratum, parameters.seed, parameters.n_clusters)
            result = await self._clusterer.cluster(file, parameters, lambda stage, share: None, sample=sample)
            return result.labels
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _with_noise_placed(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gives noise to the part whose centroid is nearest: a split leaves nobody outside."""
    parts = np.unique(labels[labels != NOISE])
    centroids = np.stack([unit_mean(vectors[labels == part]) for part in parts.tolist()])
    nearest = parts[np.argmax(vectors @ centroids.T, axis=1)]
    return np.where(labels == NOISE, nearest, labels)
