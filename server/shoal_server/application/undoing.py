"""Taking corrections back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from shoal_server.application.clustering import UNDO
from shoal_server.application.correcting import Correcting, Plan, former_of
from shoal_server.application.correction_plans import MAX_AUTHOR, check_text
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import RunFiles, Store
from shoal_server.application.present import Present
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.cluster import NOISE, Hold
from shoal_server.domain.correction import Correction, CorrectionKind, Former, Moves
from shoal_server.domain.errors import CannotUndo

#: The hold that a correction of a kind leaves on its clusters.
_LEAVES = {CorrectionKind.MERGE: Hold.MERGED, CorrectionKind.SPLIT: Hold.SPLIT}
#: Corrections that put images elsewhere for good.
_PLACES = (CorrectionKind.MOVE, CorrectionKind.REASSIGN_NOISE)


class Undoing:
    """Takes a correction back, as far as nothing else was done with the same images since."""

    def __init__(self, collections: OpenCollections, store: Store, files: RunFiles, correcting: Correcting) -> None:
        self._collections = collections
        self._store = store
        self._files = files
        self._correcting = correcting

    async def __call__(self, collection: str, correction: str, author: str) -> Correction:
        """Takes a correction back, as far as nothing else was done with the same images since.

        Raises:
            CorrectionNotFound: there is none of that id.
            CannotUndo: it was undone already, or nothing of it is left.
        """
        check_text("author", author, MAX_AUTHOR)
        opened = await self._collections.open(collection)
        # A caller who leaves must not leave a correction that is taken back but on record as if it stood.
        return await unbroken(self._undo(opened, correction, author))

    async def _undo(self, opened: OpenCollection, correction: str, author: str) -> Correction:
        collection = opened.id
        done = await self._store.get_correction(collection, correction)
        if done.undone_at is not None:
            raise CannotUndo(collection, correction, f"it was undone already, at {done.undone_at:%Y-%m-%d %H:%M}")
        if done.run is None:
            await self._give_back(opened, done)
        else:
            moves = await self._files.read_moves(collection, correction)
            placed_by_others = await self._placed_by_others(opened, done)

            async def plan(present: Present, active: ClusterSet) -> Plan:
                return await self._taken_back(opened, done, moves, placed_by_others, present, active)

            await self._correcting.carry_out(opened, author, plan, trigger=f"{UNDO}{correction}")
        undone = replace(done, undone_at=datetime.now(UTC), undone_by=author)
        await self._store.put_correction(collection, undone)
        return undone

    async def _give_back(self, opened: OpenCollection, done: Correction) -> None:
        """Takes back a correction that moved no image."""

        async def carry_out() -> None:
            async with opened.deciding, opened.gate.reading(), opened.changing:
                [former] = done.former
                for later in await self._store.list_corrections(opened.id):
                    if later.id <= done.id:
                        break
                    alike = (later.kind is CorrectionKind.RENAME) is (done.kind is CorrectionKind.RENAME)
                    if alike and later.undone_at is None and later.run is None and later.clusters == done.clusters:
                        raise CannotUndo(opened.id, done.id, f"{later.id} came after it; undo that one first")
                if opened.clusters is None or former.cluster_id not in opened.clusters.clusters:
                    raise CannotUndo(opened.id, done.id, f"cluster {former.cluster_id} is no more")
                cluster = opened.cluster(former.cluster_id)
                if done.kind is CorrectionKind.RENAME:
                    cluster = replace(cluster, name=former.name, name_source=former.name_source)
                else:
                    cluster = replace(cluster, holds=cluster.holds ^ {Hold.PINNED})
                active = opened.active_clusters()
                await self._store.put_cluster(opened.id, active.run, cluster)
                opened.clusters = active.with_cluster(cluster)

        await unbroken(carry_out())

    async def _placed_by_others(self, opened: OpenCollection, done: Correction) -> dict[UUID, int]:
        """Where other corrections that stand put images for good, the newest of each."""
        places: dict[UUID, int] = {}
        for other in await self._store.list_corrections(opened.id):
            if other.id != done.id and other.undone_at is None and other.kind in _PLACES:
                moves = await self._files.read_moves(opened.id, other.id)
                for identity, after in zip(moves.ids, moves.after.tolist(), strict=True):
                    places.setdefault(identity, after)
        return places

    async def _taken_back(
        self,
        opened: OpenCollection,
        done: Correction,
        moves: Moves,
        placed_by_others: dict[UUID, int],
        present: Present,
        active: ClusterSet,
    ) -> Plan:
        now = present.assignments
        row_of = {identity: row for row, identity in enumerate(present.ids)}
        cluster_ids, placed = now.cluster_ids.copy(), now.placed.copy()
        left = 0
        for identity, before, after in zip(moves.ids, moves.before.tolist(), moves.after.tolist(), strict=True):
            row = row_of.get(identity)
            if row is None or cluster_ids[row] != after:
                continue
            left += 1
            cluster_ids[row] = before
            if done.kind in _PLACES:
                placed[row] = placed_by_others.get(identity) == before
        if done.kind is CorrectionKind.SPLIT:
            # Images that came to the parts since go where the others go.
            whole, *parts = done.clusters
            cluster_ids[np.isin(cluster_ids, parts)] = whole
        if not left:
            raise CannotUndo(opened.id, done.id, "none of its images is still where it put them")
        dissolved_ids = now.dissolved_ids
        if done.kind is CorrectionKind.DISSOLVE:
            dissolved_ids = np.where(np.isin(dissolved_ids, done.clusters), NOISE, dissolved_ids)
        return Plan(
            done.kind,
            done.clusters,
            cluster_ids,
            placed,
            dissolved_ids,
            opened.record.next_cluster_id,
            await self._without_hold(opened, done, active, set(np.unique(cluster_ids).tolist())),
        )

    async def _without_hold(
        self, opened: OpenCollection, done: Correction, active: ClusterSet, living: set[int]
    ) -> dict[int, Former]:
        """The touched clusters without the hold that the correction left, and those that come back as they were."""
        leaves = _LEAVES.get(done.kind)
        still_held: set[int] = set()
        for other in await self._store.list_corrections(opened.id):
            if other.id != done.id and other.undone_at is None and other.kind is done.kind:
                still_held |= set(other.clusters)
        after: dict[int, Former] = {}
        for former in done.former:
            cluster = active.clusters.get(former.cluster_id)
            if cluster is None:
                if former.cluster_id in living:
                    after[former.cluster_id] = former
            elif leaves in cluster.holds and leaves not in former.holds and cluster.id not in still_held:
                after[cluster.id] = replace(former_of(cluster), holds=cluster.holds - {leaves})
        return after
