"""Putting images that are in no cluster into the nearest, when a person asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from shoal_server.application.correcting import Correcting, MakePlan, Plan
from shoal_server.application.correction_plans import check_text
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections, check_there
from shoal_server.application.ports import Store
from shoal_server.application.present import Present
from shoal_server.application.previewing import Preview, Previewing
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.correction import Correction, CorrectionKind
from shoal_server.domain.errors import CannotCorrect, InvalidField
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.voting import MIN_SHARE, NEIGHBORS, vote

#: How far below its cluster's threshold an image may be, where nobody says how similar it must be.
LENIENCE = 0.05

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Proposal:
    """An image in no cluster and the one it is nearest to.

    Attributes:
        similarity: mean cosine similarity to the neighbours in it, -1 to 1.
    """

    image: UUID
    cluster_id: int
    similarity: float


class Reassigning:
    """Finds proposals and carries them out."""

    def __init__(
        self, collections: OpenCollections, store: Store, correcting: Correcting, previewing: Previewing
    ) -> None:
        self._previewing = previewing
        self._collections = collections
        self._store = store
        self._correcting = correcting

    async def propose(self, collection: str, min_similarity: float | None) -> list[Proposal]:
        """What would be done, the most similar first; nothing is changed.

        Args:
            collection: which.
            min_similarity: how similar the neighbours must be, -1 to 1; None: the cluster's own threshold less
                :data:`LENIENCE`.

        Raises:
            NotClustered: there are no clusters yet.
            InvalidField: the similarity is out of its range.
            CollectionNotFound: there is no such collection, or it was deleted meanwhile.
        """
        return await self._proposals(await self._collections.open(collection), min_similarity)

    async def carry_out(
        self, collection: str, min_similarity: float | None, author: str
    ) -> tuple[Correction, list[Proposal]]:
        """Puts the images into their clusters, as a correction that can be undone.

        Returns:
            The record, and what was done, the most similar first.

        Raises:
            CannotCorrect: no image is similar enough.
            ShoalError: as :meth:`propose`.
        """
        check_text("author", author)
        opened = await self._collections.open(collection)
        proposals = await self._proposals(opened, min_similarity)
        done: list[Proposal] = []
        return await self._correcting.carry_out(opened, author, _plan(opened, proposals, done)), done

    async def preview(self, collection: str, min_similarity: float | None) -> Preview:
        """What :meth:`carry_out` would change; raises as that does."""
        opened = await self._collections.open(collection)
        proposals = await self._proposals(opened, min_similarity)
        return await self._previewing.carry_out(opened, "", _plan(opened, proposals, []))

    async def _proposals(self, opened: OpenCollection, min_similarity: float | None) -> list[Proposal]:
        """What could be done, the most similar first.

        Each image is a search, so that many take long: the gate is let go of after each batch, and nobody has to wait.
        """
        if min_similarity is not None and not -1.0 <= min_similarity <= 1.0:
            raise InvalidField("min_similarity", f"{min_similarity} is not in -1 to 1")
        async with opened.gate.reading():
            active = opened.active_clusters()
            ids = list(_homeless(await self._correcting.present(opened)))
        found: list[Proposal] = []
        for start in range(0, len(ids), _BATCH):
            async with opened.gate.reading():
                check_there(opened)
                active = opened.active_clusters()
                found += await self._of_batch(opened, active, ids[start : start + _BATCH], min_similarity)
        in_force = [proposal for proposal in found if proposal.cluster_id in active.clusters]
        return sorted(in_force, key=lambda proposal: (-proposal.similarity, proposal.image))

    async def _of_batch(
        self, opened: OpenCollection, active: ClusterSet, ids: Sequence[UUID], min_similarity: float | None
    ) -> list[Proposal]:
        vectors = await self._store.get_vectors(opened.id, ids)
        if not vectors:
            return []
        found = await self._store.query_neighbors(
            opened.id, np.stack(list(vectors.values())), ImageFilter(clustered=True), NEIGHBORS
        )
        proposals: list[Proposal] = []
        for identity, (cluster_ids, similarities) in zip(vectors, found, strict=True):
            ballot = vote(cluster_ids, similarities)
            if not len(ballot.cluster_ids) or ballot.shares[0] < MIN_SHARE:
                continue
            winner, similarity = int(ballot.cluster_ids[0]), float(ballot.similarities[0])
            if winner not in active.clusters:
                # The owner of an attached collection has written it.
                continue
            least = active.thresholds[winner] - LENIENCE if min_similarity is None else min_similarity
            if similarity >= least:
                proposals.append(Proposal(identity, winner, similarity))
        return proposals


def _plan(opened: OpenCollection, proposals: Sequence[Proposal], done: list[Proposal]) -> MakePlan:
    """Carries out what can still be done of the proposals, and adds that to ``done``."""

    async def plan(present: Present, active: ClusterSet) -> Plan:
        now = present.assignments
        row_of = _homeless(present)
        # Since the search, images may have gone or come into a cluster, and clusters may be no more.
        left = [each for each in proposals if each.image in row_of and each.cluster_id in active.clusters]
        if not left:
            raise CannotCorrect(opened.id, "no image in no cluster is similar enough to one; lower min_similarity")
        cluster_ids, placed = now.cluster_ids.copy(), now.placed.copy()
        for proposal in left:
            cluster_ids[row_of[proposal.image]] = proposal.cluster_id
            placed[row_of[proposal.image]] = True
        done.extend(left)
        touched = tuple(sorted({proposal.cluster_id for proposal in left}))
        return Plan(
            CorrectionKind.REASSIGN_NOISE,
            touched,
            cluster_ids,
            placed,
            np.where(placed, NOISE, now.dissolved_ids),
            opened.record.next_cluster_id,
        )

    return plan


def _homeless(present: Present) -> dict[UUID, int]:
    """The rows of the images that are in no cluster, by id. One that a person took out of its cluster stays out."""
    now = present.assignments
    rows = np.flatnonzero((now.cluster_ids == NOISE) & ~now.placed)
    return {present.ids[row]: row for row in rows.tolist()}
