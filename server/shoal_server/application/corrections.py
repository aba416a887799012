"""What people may correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import numpy as np

from shoal_server.application.correcting import Change, MakePlan, Plan, former_of
from shoal_server.application.correction_plans import check_text, cluster_in, placed_plan, rows_of, split_plan
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.application.present import Present
from shoal_server.application.splitting import Splitting
from shoal_server.domain.cluster import NOISE, Cluster, Hold, NameSource
from shoal_server.domain.correction import Correction, CorrectionKind, Former
from shoal_server.domain.errors import CannotCorrect, InvalidField

MAX_NAME = 200
MAX_IMAGES = 10_000

Outcome = TypeVar("Outcome")
_Outcome = TypeVar("_Outcome", covariant=True)


class CarriesOut(Protocol[_Outcome]):
    """What becomes of a correction: it is carried out, or only looked at."""

    async def carry_out(self, opened: OpenCollection, author: str, plan: MakePlan) -> _Outcome:
        """As :meth:`Correcting.carry_out`."""
        ...

    async def change(
        self, opened: OpenCollection, cluster_id: int, kind: CorrectionKind, author: str, detail: str, change: Change
    ) -> _Outcome:
        """As :meth:`Correcting.change`."""
        ...


class Corrections(Generic[Outcome]):
    """Takes corrections, and has them carried out."""

    def __init__(
        self, collections: OpenCollections, store: Store, correcting: CarriesOut[Outcome], splitting: Splitting
    ) -> None:
        """Args:
        collections: whose.
        store: of the records.
        correcting: does it, or says what it would do.
        splitting: finds the parts of a cluster.
        """
        self._collections = collections
        self._store = store
        self._correcting = correcting
        self._splitting = splitting

    async def rename(self, collection: str, cluster_id: int, name: str, author: str) -> Outcome:
        """Gives a cluster the name a person wants; an empty one gives the naming back to the algorithm.

        Raises:
            ClusterNotFound: there is none of that id in force.
            InvalidField: the name or the author is too long or has line breaks or other control characters.
            CannotCorrect: another cluster has that name.
        """
        name = name.strip()
        check_text("cluster.display_name", name, MAX_NAME)
        check_text("author", author)
        detail = f"to {name!r}" if name else "back to the algorithm's name"
        opened = await self._collections.open(collection)

        def rename(cluster: Cluster) -> Cluster:
            for other in opened.active_clusters().clusters.values():
                if name and other.id != cluster_id and other.name.casefold() == name.casefold():
                    raise CannotCorrect(
                        collection,
                        f"cluster {other.id} is called {other.name!r} already; choose another name, or merge them",
                    )
            return cluster.renamed(name)

        return await self._correcting.change(opened, cluster_id, CorrectionKind.RENAME, author, detail, rename)

    async def pin(self, collection: str, cluster_id: int, pinned: bool, author: str) -> Outcome:
        """Pins a cluster, or lets go of it.

        Raises:
            ClusterNotFound: there is none of that id in force.
            CannotCorrect: it is so already.
        """
        kind = CorrectionKind.PIN if pinned else CorrectionKind.UNPIN

        def change(cluster: Cluster) -> Cluster:
            if (Hold.PINNED in cluster.holds) is pinned:
                raise CannotCorrect(
                    collection, f"cluster {cluster_id} is {'pinned already' if pinned else 'not pinned'}"
                )
            return replace(cluster, holds=cluster.holds ^ {Hold.PINNED})

        check_text("author", author)
        opened = await self._collections.open(collection)
        return await self._correcting.change(opened, cluster_id, kind, author, "", change)

    async def merge(self, collection: str, cluster_ids: Sequence[int], author: str) -> Outcome:
        """Puts the images of clusters into the first of them.

        Raises:
            ClusterNotFound: there is none of one of the ids in force.
            InvalidField: there are not at least two.
        """
        check_text("author", author)
        target, *rest = dict.fromkeys(cluster_ids) or (0,)
        if not rest:
            raise InvalidField("clusters", "give at least two different clusters; the first keeps its id and name")
        opened = await self._collections.open(collection)

        async def plan(present: Present, active: ClusterSet) -> Plan:
            clusters = [cluster_in(opened, active, each) for each in (target, *rest)]
            now = present.assignments
            holds = frozenset().union(*(each.holds for each in clusters)) | {Hold.MERGED}
            return Plan(
                CorrectionKind.MERGE,
                (target, *rest),
                np.where(np.isin(now.cluster_ids, rest), target, now.cluster_ids),
                now.placed,
                now.dissolved_ids,
                opened.record.next_cluster_id,
                {target: _named_by_a_person(clusters, replace(former_of(clusters[0]), holds=holds))},
                f"{', '.join(str(each) for each in rest)} into {target}",
            )

        return await self._correcting.carry_out(opened, author, plan)

    async def split_off(self, collection: str, cluster_id: int, images: Sequence[UUID], author: str) -> Outcome:
        """Makes some images of a cluster a cluster of their own.

        Raises:
            ClusterNotFound: there is none of that id in force.
            ImageNotFound: there is none of one of the ids.
            CannotCorrect: one of them is not in the cluster, or nothing would be left of it.
        """
        check_text("author", author)
        _check_images(images)
        opened = await self._collections.open(collection)

        async def plan(present: Present, active: ClusterSet) -> Plan:
            cluster_in(opened, active, cluster_id)
            rows = rows_of(opened, present, images)
            now = present.assignments.cluster_ids
            for row in rows[now[rows] != cluster_id][:1].tolist():
                raise CannotCorrect(collection, f"image {present.ids[row]} is not in cluster {cluster_id}")
            if len(rows) == int((now == cluster_id).sum()):
                raise CannotCorrect(
                    collection, f"these are all images of cluster {cluster_id}, so nothing would be left of it"
                )
            parts = np.zeros(len(now), np.int64)
            parts[rows] = 1
            return split_plan(opened, active, present, cluster_id, parts)

        return await self._correcting.carry_out(opened, author, plan)

    async def split(self, collection: str, cluster_id: int, part_count: int, author: str) -> Outcome:
        """Takes a cluster apart by a clustering inside it.

        Args:
            collection: which.
            cluster_id: which.
            part_count: how many parts, 2 to 100; 0 for as many as there are.
            author: who asks.

        Raises:
            ClusterNotFound: there is none of that id in force.
            InvalidField: the number of parts is out of its range.
            CannotCorrect: it is too small, or does not fall apart.
        """
        check_text("author", author)
        if part_count and not 2 <= part_count <= 100:
            raise InvalidField("automatic.part_count", f"{part_count} is not in 2 to 100; 0 leaves the choice to Shoal")
        opened = await self._collections.open(collection)
        cluster_in(opened, opened.active_clusters(), cluster_id)
        # The clustering takes its time, and nobody else should have to wait for it.
        parts_of = await self._splitting.parts(opened, cluster_id, part_count)

        async def plan(present: Present, active: ClusterSet) -> Plan:
            cluster_in(opened, active, cluster_id)
            inside = present.assignments.cluster_ids == cluster_id
            parts = np.array(
                [parts_of.get(identity, 0) if there else 0 for identity, there in zip(present.ids, inside, strict=True)]
            )
            return split_plan(opened, active, present, cluster_id, parts)

        return await self._correcting.carry_out(opened, author, plan)

    async def move(self, collection: str, images: Sequence[UUID], cluster_id: int | None, author: str) -> Outcome:
        """Puts images into a cluster, or out of any (None). They stay there.

        Raises:
            ClusterNotFound: there is none of that id in force.
            ImageNotFound: there is none of one of the ids.
            CannotCorrect: they are all there already.
        """
        check_text("author", author)
        _check_images(images)
        opened = await self._collections.open(collection)

        async def plan(present: Present, active: ClusterSet) -> Plan:
            if cluster_id is not None:
                cluster_in(opened, active, cluster_id)
            rows = rows_of(opened, present, images)
            to = "none" if cluster_id is None else str(cluster_id)
            wanted = NOISE if cluster_id is None else cluster_id
            return placed_plan(CorrectionKind.MOVE, opened, present, rows, np.full(len(rows), wanted), f"to {to}")

        return await self._correcting.carry_out(opened, author, plan)

    async def dissolve(self, collection: str, cluster_id: int, author: str) -> Outcome:
        """Takes all images out of a cluster; later runs do not find that group again.

        Raises:
            ClusterNotFound: there is none of that id in force.
        """
        check_text("author", author)
        opened = await self._collections.open(collection)

        async def plan(present: Present, active: ClusterSet) -> Plan:
            cluster_in(opened, active, cluster_id)
            now = present.assignments
            inside = now.cluster_ids == cluster_id
            return Plan(
                CorrectionKind.DISSOLVE,
                (cluster_id,),
                np.where(inside, NOISE, now.cluster_ids),
                now.placed & ~inside,
                np.where(inside, cluster_id, now.dissolved_ids),
                opened.record.next_cluster_id,
            )

        return await self._correcting.carry_out(opened, author, plan)

    async def list(self, collection: str) -> list[Correction]:
        """All corrections, newest first."""
        await self._collections.open(collection)
        return await self._store.list_corrections(collection)


def _named_by_a_person(clusters: Sequence[Cluster], target: Former) -> Former:
    """The first of merged clusters with a name that a person gave to any of them: such a name is not lost."""
    given = [cluster.name for cluster in clusters if cluster.name_source is NameSource.PERSON]
    return replace(target, name=given[0], name_source=NameSource.PERSON) if given else target


def _check_images(images: Sequence[UUID]) -> None:
    if not 1 <= len(images) <= MAX_IMAGES:
        raise InvalidField("images", f"{len(images)} were given; give 1 to {MAX_IMAGES}")
