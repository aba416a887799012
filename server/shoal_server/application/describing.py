"""Records of clusters: their portraits, names and thresholds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.captioning import Captioning
from shoal_server.application.ports import Store
from shoal_server.application.vocabulary import NamingWords
from shoal_server.domain.cluster import NOISE, Cluster, NameCandidate, NameSource, members_of
from shoal_server.domain.hints import NO_HINT, time_and_place_hints
from shoal_server.domain.image import Image, Location
from shoal_server.domain.naming_choice import choose_names
from shoal_server.domain.naming_fields import fitting_values
from shoal_server.domain.naming_scores import WordScores, score_words
from shoal_server.domain.portraits import Portrait, Rows, portraits

#: Of each cluster so many images' fields are looked at for a name, where there are no words to name it with.
_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Scene:
    """Images in their clusters.

    Attributes:
        collection: whose.
        ids: of n images.
        vectors: float32 (n, dimension), unit rows; may be in a file.
        cluster_ids: int64 (n,), -1 for none.
        captured_at: when each was taken, as text.
        locations: where each was taken.
    """

    collection: str
    ids: Sequence[UUID]
    vectors: Rows
    cluster_ids: NDArray[np.int64]
    captured_at: Sequence[str | None]
    locations: Sequence[Location | None]


class Describing:
    """Describes clusters and names them."""

    def __init__(self, words: NamingWords, store: Store, captioning: Captioning | None = None) -> None:
        """Args:
        words: to name clusters with.
        store: of the images, whose fields name clusters where words cannot be compared with the vectors.
        captioning: suggests names before the words; None: nobody does.
        """
        self._words = words
        self._store = store
        self._captioning = captioning

    async def prepare(self) -> None:
        """Gets the words ready, if the model reads any; it takes time the first time."""
        if self._words.readable:
            await self._words.vectors()

    async def all(
        self,
        scene: Scene,
        others: Mapping[int, Cluster],
        before: Mapping[int, Cluster],
        thresholds: Mapping[int, float],
    ) -> list[Cluster]:
        """The records of all clusters of a scene, by id.

        Args:
            scene: all images that a run read.
            others: clusters that stay as they are, none of whose images it read.
            before: the clusters that were in force.
            thresholds: by cluster id, of every cluster of the scene.
        """
        wanted = np.unique(scene.cluster_ids[scene.cluster_ids != NOISE]).tolist()
        return await self.some(scene, wanted, others, before, thresholds, keep_names=False)

    async def some(
        self,
        scene: Scene,
        wanted: Sequence[int],
        others: Mapping[int, Cluster],
        before: Mapping[int, Cluster],
        thresholds: Mapping[int, float],
        keep_names: bool = True,
    ) -> list[Cluster]:
        """The records of some clusters, by id.

        Args:
            scene: all images of the wanted clusters, at least.
            wanted: which; each has an image.
            others: clusters that stay as they are, beside which the wanted ones are described and named.
            before: the clusters that were in force: the wanted ones of them keep what people gave them.
            thresholds: by cluster id, of the wanted clusters.
            keep_names: whether those in ``before`` keep the algorithm's names too.
        """
        beside = {cluster.id: cluster.centroid for cluster in others.values()}
        found = await asyncio.to_thread(portraits, scene.ids, scene.vectors, scene.cluster_ids, sorted(wanted), beside)
        taken = {cluster.name for cluster in others.values()}
        fixed = {}
        for cluster in before.values():
            person = cluster.name_source is NameSource.PERSON
            # A cluster that comes back may find its name given to another meanwhile.
            if cluster.id in found and (person or (keep_names and cluster.name and cluster.name not in taken)):
                fixed[cluster.id] = cluster.name
                taken.add(cluster.name)
        unnamed = {cluster: portrait for cluster, portrait in found.items() if not (keep_names and cluster in fixed)}
        suggested = await self._suggested(scene, unnamed)
        if not (await self._store.get_collection(scene.collection)).model.compares_texts:
            names = await self._names_by_fields(scene, unnamed, before, taken, suggested)
            return _records(found, before, thresholds, fixed, names)
        vectors = await self._words.vectors()
        names = await asyncio.to_thread(self._names, scene, unnamed, others, before, taken, suggested, vectors)
        return _records(found, before, thresholds, fixed, names)

    async def _names_by_fields(
        self,
        scene: Scene,
        found: Mapping[int, Portrait],
        before: Mapping[int, Cluster],
        taken: set[str],
        suggested: Mapping[int, str],
    ) -> dict[int, tuple[NameCandidate, ...]]:
        """Names out of captions, and of what sets a cluster's images apart in their fields; empty if nothing does."""
        rows_of, sizes = await asyncio.to_thread(_some_rows, scene.cluster_ids)
        ids = [scene.ids[row] for rows in rows_of.values() for row in rows]
        stored = await self._store.get_images(scene.collection, ids)
        images = {
            cluster: [stored[scene.ids[row]] for row in rows if scene.ids[row] in stored]
            for cluster, rows in rows_of.items()
        }
        return await asyncio.to_thread(_names_of_fields, scene, images, sizes, found, before, taken, suggested)

    async def _suggested(self, scene: Scene, unnamed: Mapping[int, Portrait]) -> Mapping[int, str]:
        if self._captioning is None:
            return {}
        typical = {cluster: portrait.exemplars for cluster, portrait in unnamed.items()}
        return await self._captioning.names(scene.collection, typical)

    def _names(
        self,
        scene: Scene,
        found: Mapping[int, Portrait],
        others: Mapping[int, Cluster],
        before: Mapping[int, Cluster],
        taken: set[str],
        suggested: Mapping[int, str],
        word_vectors: NDArray[np.float32],
    ) -> dict[int, tuple[NameCandidate, ...]]:
        """The automatic names of the found clusters, and what else fits; the others only show what fits everything."""
        if not found:
            return {}
        centroids = [portrait.centroid for portrait in found.values()]
        centroids += [cluster.centroid for cluster in others.values()]
        scores = score_words(np.stack(centroids), self._words.words, word_vectors)
        hints = time_and_place_hints(scene.captured_at, scene.locations, scene.cluster_ids)
        present = [_present_name(before, cluster) for cluster in found]
        chosen = choose_names(
            replace(scores, values=scores.values[: len(found)]),
            present,
            [hints.get(cluster, NO_HINT) for cluster in found],
            taken,
            [suggested.get(cluster) for cluster in found],
        )
        return dict(zip(found, chosen, strict=True))


def _names_of_fields(
    scene: Scene,
    images: Mapping[int, Sequence[Image]],
    sizes: Mapping[int, int],
    found: Collection[int],
    before: Mapping[int, Cluster],
    taken: set[str],
    suggested: Mapping[int, str],
) -> dict[int, tuple[NameCandidate, ...]]:
    """The automatic names of the found clusters out of some images of every cluster of the scene, and of captions."""
    clusters, scores = fitting_values(images, sizes)
    hints = time_and_place_hints(scene.captured_at, scene.locations, scene.cluster_ids)
    wanted = [row for row, cluster in enumerate(clusters) if cluster in found]
    chosen = choose_names(
        replace(scores, values=scores.values[wanted]),
        [_present_name(before, clusters[row]) for row in wanted],
        [hints.get(clusters[row], NO_HINT) for row in wanted],
        taken,
        [suggested.get(clusters[row]) for row in wanted],
    )
    names: dict[int, tuple[NameCandidate, ...]] = dict.fromkeys(found, ())
    names |= {clusters[row]: candidates for row, candidates in zip(wanted, chosen, strict=True)}
    captioned = [cluster for cluster in suggested if not names[cluster]]
    alone = choose_names(
        WordScores((), np.zeros((len(captioned), 0), np.float32)),
        [_present_name(before, cluster) for cluster in captioned],
        [hints.get(cluster, NO_HINT) for cluster in captioned],
        taken | {candidates[0].name for candidates in chosen if candidates},
        [suggested[cluster] for cluster in captioned],
    )
    return names | dict(zip(captioned, alone, strict=True))


def _present_name(before: Mapping[int, Cluster], cluster: int) -> str | None:
    """The automatic name that a cluster has."""
    former = before.get(cluster)
    return former.candidates[0].name if former is not None and former.candidates else None


def _some_rows(cluster_ids: NDArray[np.int64]) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Rows of some images of each cluster, spread over all of them, and the clusters' sizes."""
    rows_of: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for cluster, rows in members_of(cluster_ids).items():
        sizes[cluster] = len(rows)
        rows_of[cluster] = rows[np.linspace(0, len(rows) - 1, min(len(rows), _LOOKED_AT)).astype(np.int64)].tolist()
    return rows_of, sizes


def _records(
    found: Mapping[int, Portrait],
    before: Mapping[int, Cluster],
    thresholds: Mapping[int, float],
    fixed: Mapping[int, str],
    names: Mapping[int, tuple[NameCandidate, ...]],
) -> list[Cluster]:
    now = datetime.now(UTC)
    records = []
    for cluster_id, portrait in found.items():
        former = before.get(cluster_id)
        candidates = names.get(cluster_id, () if former is None else former.candidates)
        automatic = candidates[0].name if candidates else f"cluster {cluster_id}"
        records.append(
            Cluster(
                id=cluster_id,
                name=fixed.get(cluster_id, automatic),
                name_source=NameSource.AUTOMATIC if former is None else former.name_source,
                candidates=candidates,
                size=portrait.size,
                centroid=portrait.centroid,
                cohesion=portrait.cohesion,
                threshold=thresholds[cluster_id],
                exemplars=portrait.exemplars,
                created_at=now if former is None else former.created_at,
                borderline=portrait.borderline,
                separation=portrait.separation,
                holds=frozenset() if former is None else former.holds,
            )
        )
    return records
