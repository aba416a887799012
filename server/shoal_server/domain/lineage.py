"""What became of clusters from one run to the next, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE

#: The share of a cluster that must have come in for a merge, or come from one that lives on for a split.
MOST = 0.5


class LineageKind(Enum):
    """What happened to a cluster."""

    CONTINUED = "continued"
    MERGED = "merged"
    SPLIT = "split"
    BORN = "born"
    RETURNED = "returned"
    DISSOLVED = "dissolved"


@dataclass(frozen=True, slots=True)
class Share:
    """Images that one cluster of before and one of now have in common.

    Attributes:
        cluster_id: the other cluster: of before, or of now if the cluster itself is dissolved; -1 for none.
        images: how many they have in common.
        of_before: share of the cluster of before that these are, 0 to 1.
        of_now: share of the cluster of now that these are, 0 to 1.
    """

    cluster_id: int
    images: int
    of_before: float
    of_now: float


@dataclass(frozen=True, slots=True)
class Lineage:
    """The story of one cluster id in one run.

    Attributes:
        cluster_id: whose.
        kind: CONTINUED: it carries a former cluster on. MERGED: it does, and at least half of one that is no
            more came in.
            SPLIT: a new id, most of whose images come from a cluster that lives on. BORN: a new id otherwise.
            RETURNED: an id that had dissolved and is found again. DISSOLVED: no group carries it on.
        shares: with whom it has images in common, most first; only the images that were there both times count.
    """

    cluster_id: int
    kind: LineageKind
    shares: tuple[Share, ...]


def lineage_of(
    old_ids: NDArray[np.int64], new_ids: NDArray[np.int64], existed: Collection[int], returned: Collection[int] = ()
) -> tuple[Lineage, ...]:
    """Tells what became of every cluster.

    Args:
        old_ids: (n,), the cluster of each image before, -1 for none; only images that were there both times.
        new_ids: (n,), the cluster of the same image now, -1 for none.
        existed: all cluster ids of before, also those without images here.
        returned: ids of now that had dissolved before.

    Returns:
        One entry for each cluster of now and each that dissolved, by id.
    """
    pairs, counts = np.unique(np.stack([old_ids, new_ids]), axis=1, return_counts=True)
    common = list(zip(*pairs.tolist(), counts.tolist(), strict=True))
    old_size = _sizes(old_ids)
    new_size = _sizes(new_ids)
    former = set(existed) | (old_size.keys() - {NOISE})
    current = new_size.keys() - {NOISE}
    before_of: dict[int, list[tuple[int, int]]] = defaultdict(list)
    now_of: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for old, new, count in common:
        before_of[new].append((old, count))
        now_of[old].append((new, count))
    entries = []
    for cluster in sorted(current | former):
        mine = before_of[cluster] if cluster in current else now_of[cluster]
        shares = tuple(
            Share(
                cluster_id=other,
                images=count,
                of_before=count / old_size[other if cluster in current else cluster],
                of_now=count / new_size[cluster if cluster in current else other],
            )
            for other, count in sorted(mine, key=lambda entry: (-entry[1], entry[0]))
        )
        entries.append(Lineage(cluster, _kind(cluster, shares, current, former, returned), shares))
    return tuple(entries)


def _sizes(ids: NDArray[np.int64]) -> dict[int, int]:
    distinct, counts = np.unique(ids, return_counts=True)
    return dict(zip(distinct.tolist(), counts.tolist(), strict=True))


def _kind(
    cluster: int,
    shares: tuple[Share, ...],
    current: Collection[int],
    former: Collection[int],
    returned: Collection[int],
) -> LineageKind:
    if cluster not in current:
        return LineageKind.DISSOLVED
    others = [share for share in shares if share.cluster_id not in (cluster, NOISE)]
    if cluster in former:
        came_in = any(share.of_before >= MOST and share.cluster_id not in current for share in others)
        return LineageKind.MERGED if came_in else LineageKind.CONTINUED
    if cluster in returned:
        return LineageKind.RETURNED
    parted = any(share.of_now >= MOST and share.cluster_id in current for share in others)
    return LineageKind.SPLIT if parted else LineageKind.BORN
