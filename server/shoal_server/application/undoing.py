"""Taking corrections back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from shoal_server.application.correcting import Correcting, Plan, former_of
from shoal_server.application.correction_plans import MAX_AUTHOR, check_text
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import RunFiles, Store
from shoal_server.application.present import Present
from shoal_server.application.previewing import Preview, Previewing
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.cluster import NOISE, Cluster, Hold
from shoal_server.domain.correction import Correction, CorrectionKind, Former, Moves, undo_trigger
from shoal_server.domain.errors import CannotUndo, CollectionNotFound

#: The hold that a correction of a kind leaves on its clusters.
_LEAVES = {CorrectionKind.MERGE: Hold.MERGED, CorrectionKind.SPLIT: Hold.SPLIT}
#: Corrections that put images elsewhere for good.
_PLACES = (CorrectionKind.MOVE, CorrectionKind.REASSIGN_NOISE)

#: The cluster that an image was in and the one it was put into, -1 for none.
Moved = tuple[int, int]


class Undoing:
    """Takes a correction back, as far as nothing else was done with the same images since."""

    def __init__(
        self,
        collections: OpenCollections,
        store: Store,
        files: RunFiles,
        correcting: Correcting,
        previewing: Previewing,
    ) -> None:
        self._previewing = previewing
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

    async def preview(self, collection: str, correction: str) -> Preview:
        """What taking a correction back would change.

        Raises:
            CorrectionNotFound: there is none of that id.
            CannotUndo: it was undone already, or nothing of it is left.
        """
        opened = await self._collections.open(collection)
        done = await self._standing(opened, correction)
        if done.run is None:
            async with opened.gate.reading():
                after = await self._as_before(opened, done)
            return await self._previewing.change(opened, after.id, done.kind, "", done.detail, lambda _: after)
        moves = await self._files.read_moves(collection, correction)

        async def plan(present: Present, active: ClusterSet) -> Plan:
            return await self._taken_back(opened, done, moves, present, active)

        return await self._previewing.carry_out(opened, "", plan)

    async def _standing(self, opened: OpenCollection, correction: str) -> Correction:
        done = await self._store.get_correction(opened.id, correction)
        if done.undone_at is not None:
            raise CannotUndo(opened.id, correction, f"it was undone already, at {done.undone_at:%Y-%m-%d %H:%M}")
        return done

    async def _undo(self, opened: OpenCollection, correction: str, author: str) -> Correction:
        collection = opened.id
        done = await self._standing(opened, correction)
        if done.run is None:
            return await self._give_back(opened, done, author)
        moves = await self._files.read_moves(collection, correction)

        async def plan(present: Present, active: ClusterSet) -> Plan:
            return await self._taken_back(opened, done, moves, present, active)

        await self._correcting.carry_out(opened, author, plan, trigger=undo_trigger(correction, author))
        return await self._record(done, collection, author)

    async def _record(self, done: Correction, collection: str, author: str) -> Correction:
        undone = replace(done, undone_at=datetime.now(UTC), undone_by=author)
        await self._store.put_correction(collection, undone)
        return undone

    async def _give_back(self, opened: OpenCollection, done: Correction, author: str) -> Correction:
        """Takes back a correction that moved no image."""
        async with opened.deciding:
            undone = await self._given_back(opened, done, author)
            # Before another server has its turn, which would decide with the cluster as it was.
            await self._collections.tell(opened)
            return undone

    async def _given_back(self, opened: OpenCollection, done: Correction, author: str) -> Correction:
        async with opened.gate.reading(), opened.changing:
            if opened.removed:
                raise CollectionNotFound(opened.id)
            cluster = await self._as_before(opened, done)
            active = opened.active_clusters()
            await self._store.put_cluster(opened.id, active.run, cluster)
            opened.clusters = active.with_cluster(cluster)
            return await self._record(done, opened.id, author)

    async def _as_before(self, opened: OpenCollection, done: Correction) -> Cluster:
        """The cluster as it was before a correction that moved no image; the caller holds the collection's gate.

        Raises:
            CannotUndo: the cluster is no more, or was corrected alike since.
        """
        [former] = done.former
        for other in await self._store.list_corrections(opened.id):
            if other.id == done.id and other.undone_at is not None:
                raise CannotUndo(opened.id, done.id, "it was undone already")
            alike = (other.kind is CorrectionKind.RENAME) is (done.kind is CorrectionKind.RENAME)
            later = other.id > done.id and other.undone_at is None and other.run is None
            if alike and later and other.clusters == done.clusters:
                raise CannotUndo(opened.id, done.id, f"{other.id} came after it; undo that one first")
        if opened.clusters is None or former.cluster_id not in opened.clusters.clusters:
            raise CannotUndo(opened.id, done.id, f"cluster {former.cluster_id} is no more")
        cluster = opened.cluster(former.cluster_id)
        if done.kind is CorrectionKind.RENAME:
            cluster = replace(cluster, name=former.name, name_source=former.name_source)
        else:
            pin = former.holds & {Hold.PINNED}
            cluster = replace(cluster, holds=(cluster.holds - {Hold.PINNED}) | pin)
        return cluster

    async def _by_others(self, opened: OpenCollection, done: Correction, *kinds: CorrectionKind) -> dict[UUID, Moved]:
        """From where and to where other corrections that stand put images, the newest of each."""
        moved: dict[UUID, Moved] = {}
        for other in await self._store.list_corrections(opened.id):
            if other.id != done.id and other.undone_at is None and other.kind in kinds:
                moves = await self._files.read_moves(opened.id, other.id)
                for identity, before, after in zip(moves.ids, moves.before.tolist(), moves.after.tolist(), strict=True):
                    moved.setdefault(identity, (before, after))
        return moved

    async def _taken_back_before(self, opened: OpenCollection, done: Correction) -> list[dict[UUID, Moved]]:
        """From where and to where corrections before this one, that were taken back, put images; the newest first."""
        found = []
        for other in await self._store.list_corrections(opened.id):
            if other.id < done.id and other.undone_at is not None and other.run is not None:
                moves = await self._files.read_moves(opened.id, other.id)
                pairs = zip(moves.before.tolist(), moves.after.tolist(), strict=True)
                found.append(dict(zip(moves.ids, pairs, strict=True)))
        return found

    async def _taken_back(
        self, opened: OpenCollection, done: Correction, moves: Moves, present: Present, active: ClusterSet
    ) -> Plan:
        if done.kind is CorrectionKind.SPLIT:
            await self._refuse_merged_parts(opened, done, present)
        placed_by_others = await self._by_others(opened, done, *_PLACES)
        dissolved_by_others = await self._by_others(opened, done, CorrectionKind.DISSOLVE)
        taken_back = await self._taken_back_before(opened, done)
        reachable = {NOISE, *active.clusters, *(former.cluster_id for former in done.former)}
        now = present.assignments
        row_of = {identity: row for row, identity in enumerate(present.ids)}
        cluster_ids, placed, dissolved_ids = now.cluster_ids.copy(), now.placed.copy(), now.dissolved_ids.copy()
        left = 0
        for identity, before, after in zip(moves.ids, moves.before.tolist(), moves.after.tolist(), strict=True):
            row = row_of.get(identity)
            if row is None or cluster_ids[row] != after:
                continue
            left += 1
            # It was where it was because of a correction that is itself taken back: then further back.
            for earlier in taken_back:
                was, put = earlier.get(identity, (before, NOISE))
                if put == before and was in reachable:
                    before = was
            cluster_ids[row] = before
            if done.kind in (*_PLACES, CorrectionKind.DISSOLVE):
                placed[row] = identity in placed_by_others and placed_by_others[identity][1] == before
            if before == NOISE and identity in dissolved_by_others:
                dissolved_ids[row] = dissolved_by_others[identity][0]
        if done.kind is CorrectionKind.SPLIT:
            # Images that came to the parts since go where the others go.
            whole, *parts = done.clusters
            cluster_ids[np.isin(cluster_ids, parts)] = whole
        if not left:
            raise CannotUndo(opened.id, done.id, "none of its images is still where it put them")
        if done.kind is CorrectionKind.DISSOLVE:
            dissolved_ids[np.isin(dissolved_ids, done.clusters)] = NOISE
        return Plan(
            done.kind,
            done.clusters,
            cluster_ids,
            placed,
            dissolved_ids,
            opened.record.next_cluster_id,
            await self._without_hold(opened, done, active, set(np.unique(cluster_ids).tolist())),
        )

    async def _refuse_merged_parts(self, opened: OpenCollection, done: Correction, present: Present) -> None:
        """Raises:
        CannotUndo: something else was merged into one of the parts of a split, and would go with it.
        """
        parts = set(done.clusters[1:])
        is_in = dict(zip(present.ids, present.assignments.cluster_ids.tolist(), strict=True))
        for other in await self._store.list_corrections(opened.id):
            later = other.id > done.id and other.undone_at is None and other.kind is CorrectionKind.MERGE
            if not later or other.clusters[0] not in parts:
                continue
            moves = await self._files.read_moves(opened.id, other.id)
            # After a rollback past the merge there is nothing of it in the part.
            if any(is_in.get(identity) == other.clusters[0] for identity in moves.ids):
                raise CannotUndo(opened.id, done.id, f"{other.id} came after it; undo that one first")

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
                if cluster.name != former.name and any(cluster.name == other.name for other in done.former):
                    # The name came with what was merged into it, and goes with it.
                    after[cluster.id] = replace(after[cluster.id], name=former.name, name_source=former.name_source)
        return after
