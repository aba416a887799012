"""What people corrected wins over the algorithm.

A run's clusters, with their ids matched, are changed where they contradict what a person has done, in this order:

1. a group that was dissolved is not found again: a new cluster, half of which belongs to it, becomes noise;
2. a cluster that a person named or changed, or put images into, does not vanish: if no group carries it on, its images
   return to it;
3. what a person merged or pinned does not fall apart: a new cluster, at least half of whose formerly clustered images
   come from it, becomes part of it;
4. a pinned cluster keeps its images;
5. what a person split stays apart: images do not pass from one part to another of the same split;
6. an image that a person moved stays where it was put, be it in no cluster;
7. new images of a group that was taken apart by 2 or 5 go to the part that their neighbours vote for.

In 3 and 4 only those images count that a run or a person put where they are: a vote may be wrong, and a few votes for a
pinned cluster must not make all of a new group a part of it.

Images that came after the run had read the collection are voted on when it comes into force, but for those that people
put somewhere meanwhile (:func:`stays`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE, Cluster, Hold
from shoal_server.domain.correction import Correction, CorrectionKind
from shoal_server.domain.voting import NEIGHBORS

#: The share of a group that decides to whom it belongs.
MOST = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """What people did with n images and their clusters, up to now.

    Attributes:
        clusters: those in force, by id.
        old_ids: int64 (n,), the cluster of each image, -1 for none.
        read: bool (n,), the run in force read the image; where others are was decided by a vote, or by a person.
        placed: bool (n,), a person put the image where it is.
        dissolved_ids: int64 (n,), the cluster that a person dissolved and whose group the image belongs to, -1 for
            none.
        families: clusters that were one before people split them (:func:`families_of`).
    """

    clusters: Mapping[int, Cluster]
    old_ids: NDArray[np.int64]
    read: NDArray[np.bool_]
    placed: NDArray[np.bool_]
    dissolved_ids: NDArray[np.int64]
    families: Sequence[frozenset[int]] = ()

    @property
    def settled_ids(self) -> NDArray[np.int64]:
        """int64 (n,), the cluster of each image that a run or a person put there, -1 for none."""
        return np.where(self.read | self.placed, self.old_ids, NOISE)


@dataclass(frozen=True, slots=True)
class Respected:
    """The clusters after people have had their way.

    Attributes:
        cluster_ids: int64 (n,), -1 for none.
        dissolved_ids: int64 (n,), as in :class:`Standing`, for the next run.
        changed: how many of the images that the algorithm saw are elsewhere than it had them.
    """

    cluster_ids: NDArray[np.int64]
    dissolved_ids: NDArray[np.int64]
    changed: int


def families_of(corrections: Iterable[Correction]) -> tuple[frozenset[int], ...]:
    """Which clusters are parts of the same split, or of splits of its parts.

    What parts were merged with is in their family: images of the other parts do not pass to it.

    Args:
        corrections: all there were; those that were undone do not count.
    """
    families: list[frozenset[int]] = []
    for correction in corrections:
        if correction.undone_at is None and correction.kind in (CorrectionKind.SPLIT, CorrectionKind.MERGE):
            related = [family for family in families if not family.isdisjoint(correction.clusters)]
            families = [family for family in families if family.isdisjoint(correction.clusters)]
            families.append(frozenset(correction.clusters).union(*related))
    return tuple(families)


def stays(standing: Standing, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Says which of the images that a run did not see stay where they are, because a person put them there.

    Args:
        standing: what people did with n images.
        seen: bool (n,), the run saw the image.

    Returns:
        bool (n,): the images that were moved, those of dissolved clusters, those in parts of a split, and those in
        clusters that no run may let go of and none of whose images the run saw.
    """
    parts = [cluster.id for cluster in standing.clusters.values() if Hold.SPLIT in cluster.holds]
    kept = {cluster.id for cluster in standing.clusters.values() if cluster.kept}
    unseen = kept - set(np.unique(standing.old_ids[seen]).tolist())
    held: NDArray[np.bool_] = np.isin(standing.old_ids, [*parts, *unseen])
    held |= standing.placed | (standing.dissolved_ids != NOISE)
    return held & ~seen


def respect(
    standing: Standing,
    found: NDArray[np.int64],
    neighbor_rows: NDArray[np.int64],
) -> Respected:
    """Makes a run's clusters agree with what people corrected.

    Args:
        standing: what people did with n images; those beyond the first k came later and stay where they are.
        found: (k,), the run's cluster ids after matching, -1 for none.
        neighbor_rows: (k, m), rows of each image's nearest others, best first.

    Returns:
        The clusters of the n images. Without corrections they are as they were found.
    """
    seen = len(found)
    found = np.concatenate([found, np.full(len(standing.old_ids) - seen, NOISE, dtype=np.int64)])
    ids = found.copy()
    dissolved = _keep_dissolved(standing, ids)
    restored = _restore(standing, ids)
    _keep_together(standing, ids)
    _keep_images(standing, ids)
    restored |= _keep_apart(standing, ids)
    ids[standing.placed] = standing.old_ids[standing.placed]
    # The steps between may have taken the last image from what carried a cluster on.
    restored |= _restore(standing, ids)
    _vote_on_new(standing, found, ids, restored, neighbor_rows)
    ids[seen:] = standing.old_ids[seen:]
    return Respected(ids, np.where(ids == NOISE, dissolved, NOISE), int((ids != found)[:seen].sum()))


def _keep_dissolved(standing: Standing, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turns what was dissolved into noise again; says which images belong to which dissolved cluster."""
    dissolved = standing.dissolved_ids.copy()
    if not (dissolved != NOISE).any():
        return dissolved
    for cluster in np.unique(ids[dissolved != NOISE]).tolist():
        if cluster == NOISE or cluster in standing.clusters:
            continue
        rows = ids == cluster
        former, counts = np.unique(dissolved[rows & (dissolved != NOISE)], return_counts=True)
        if counts.sum() >= MOST * rows.sum():
            dissolved[rows] = former[np.argmax(counts)]
            ids[rows] = NOISE
    return dissolved


def _restore(standing: Standing, ids: NDArray[np.int64]) -> set[int]:
    """Gives clusters that people want their images back, if no group carries them on; says which."""
    wanted = {cluster.id for cluster in standing.clusters.values() if cluster.kept}
    wanted |= set(standing.old_ids[standing.placed].tolist()) - {NOISE}
    restored: set[int] = set()
    # Images that return may have been all that carried another one on. Who has its own images back keeps them.
    while vanished := wanted - set(np.unique(ids).tolist()) - restored:
        for cluster in vanished:
            ids[standing.old_ids == cluster] = cluster
        restored |= vanished
    return restored


def _keep_together(standing: Standing, ids: NDArray[np.int64]) -> None:
    whole = {c.id for c in standing.clusters.values() if c.holds & {Hold.MERGED, Hold.PINNED}}
    if not whole:
        return
    settled = standing.settled_ids
    for cluster in np.unique(ids).tolist():
        if cluster == NOISE or cluster in standing.clusters:
            continue
        rows = ids == cluster
        before, counts = np.unique(settled[rows & (settled != NOISE)], return_counts=True)
        if len(before) and before[np.argmax(counts)] in whole and counts.max() >= MOST * counts.sum():
            ids[rows] = before[np.argmax(counts)]


def _keep_images(standing: Standing, ids: NDArray[np.int64]) -> None:
    settled = standing.settled_ids
    for cluster in standing.clusters.values():
        if Hold.PINNED in cluster.holds:
            ids[settled == cluster.id] = cluster.id


def _keep_apart(standing: Standing, ids: NDArray[np.int64]) -> set[int]:
    """Sends images back that passed from one part of a split to another; says to which clusters."""
    split = {cluster.id for cluster in standing.clusters.values() if Hold.SPLIT in cluster.holds}
    strayed = np.zeros(len(ids), np.bool_)
    for family in standing.families:
        parts = list(family & split)
        if len(parts) > 1:
            strayed |= np.isin(standing.old_ids, parts) & np.isin(ids, parts) & (ids != standing.old_ids)
    ids[strayed] = standing.old_ids[strayed]
    return set(standing.old_ids[strayed].tolist())


def _vote_on_new(
    standing: Standing,
    found: NDArray[np.int64],
    ids: NDArray[np.int64],
    restored: set[int],
    neighbor_rows: NDArray[np.int64],
) -> None:
    """Lets new images of groups that were taken apart go with their neighbours."""
    if not restored:
        return
    taken_apart = np.unique(found[np.isin(ids, list(restored)) & (ids != found)])
    new = (standing.old_ids == NOISE) & ~standing.placed & np.isin(found, taken_apart) & (found != NOISE)
    decided = ids.copy()
    for row in np.flatnonzero(new).tolist():
        votes = ids[neighbor_rows[row, :NEIGHBORS]]
        # Only who has been there before knows the difference.
        votes = votes[(standing.old_ids[neighbor_rows[row, :NEIGHBORS]] != NOISE) & (votes != NOISE)]
        if len(votes):
            candidates, counts = np.unique(votes, return_counts=True)
            winner = int(candidates[np.argmax(counts)])
            if winner in restored:
                decided[row] = winner
    ids[:] = decided
