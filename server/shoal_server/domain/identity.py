"""Stable ids: which of the new groups are the clusters that were there before.

Both clusterings are compared image by image. An old cluster and a new group can be the same cluster only if one of them
holds enough of the other (:data:`ENOUGH`): at least half of the old cluster's images that still exist are in the group,
or at least half of the group's images come from the old cluster. Among those pairs, ids are handed on by the matching
that keeps the most images under their id (maximum-weight assignment over the contingency table, as in Kuhn 1955), and
among equally good ones by one that keeps the most ids. Hence:

* a cluster that grows, however much, or shrinks, keeps its id;
* a split leaves the id with the larger part, the other parts are born;
* a merge keeps the id of the larger contributor, the others dissolve;
* a cluster that is scattered over groups of other images dissolves, even if one of its images is everywhere.

A group that carries no cluster on may still be one that dissolved in an earlier run: if it holds at least half of the
images that were last in that cluster, and they are at least half of it, the cluster returns under its id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.assignment_problem import maximum_weight_matching
from shoal_server.domain.cluster import NOISE

#: The share that one must hold of the other, so that an old cluster and a new group can be the same.
ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class IdentityMatch:
    """What became of the clusters.

    Attributes:
        ids: the cluster id of every new label, noise excepted.
        kept: old ids that a new group carries on, ascending.
        returned: ids that had dissolved earlier and are found again, ascending.
        born: fresh ids, ascending.
        dissolved: old ids that no group carries on, ascending.
        next_id: the first id that is still free.
    """

    ids: dict[int, int]
    kept: tuple[int, ...]
    returned: tuple[int, ...]
    born: tuple[int, ...]
    dissolved: tuple[int, ...]
    next_id: int

    def cluster_ids(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """New labels (n,) to cluster ids (n,); noise stays -1."""
        distinct, rows = np.unique(labels, return_inverse=True)
        ids = [NOISE if label == NOISE else self.ids[label] for label in distinct.tolist()]
        return np.array(ids, dtype=np.int64)[rows]


@dataclass(frozen=True, slots=True)
class _Group:
    """A new group: its label, its first row, its size and how many images it holds of each old cluster."""

    label: int
    first_row: int
    size: int
    holdings: tuple[tuple[int, int], ...]


def match_identities(
    old_ids: NDArray[np.int64],
    new_labels: NDArray[np.int64],
    next_id: int,
    last_ids: NDArray[np.int64] | None = None,
) -> IdentityMatch:
    """Gives every new group the id of the old cluster that it carries on, or a fresh one.

    Fresh ids are given in order of size, largest first; between equals, the lower old ids held and then the first row
    decide. So the names of the labels never matter, and the order of the rows only between groups that are alike in
    size and in what they hold.

    Args:
        old_ids: (n,), the cluster of each image before, -1 for none; images that are new have none.
        new_labels: (n,), the group of the same image now, -1 for noise.
        next_id: the first id that was never given.
        last_ids: (n,), the cluster that each image was in last, -1 if it never was in one; None: nothing returns.

    Returns:
        The ids, and what was kept, returned, born and dissolved. An old cluster none of whose images is among the rows
        is neither kept nor dissolved here: it is unknown.

    Raises:
        ValueError: the arrays differ in length, or an old id is not below next_id.
    """
    if old_ids.shape != new_labels.shape or old_ids.ndim != 1:
        raise ValueError(f"old ids of shape {old_ids.shape} do not go with new labels of shape {new_labels.shape}")
    given = max(old_ids.max(initial=NOISE), NOISE if last_ids is None else last_ids.max(initial=NOISE))
    if given >= next_id:
        raise ValueError(f"id {given} was given already, so {next_id} cannot be the next one")
    old, old_sizes = np.unique(old_ids[old_ids != NOISE], return_counts=True)
    groups = _groups(old_ids, new_labels)
    carried = _carried_on(dict(zip(old.tolist(), old_sizes.tolist(), strict=True)), groups)
    returned: dict[int, int] = {}
    if last_ids is not None:
        left = {group.label: number for number, group in enumerate(groups) if number not in carried}
        returned = _returned(last_ids, set(old.tolist()), new_labels, left, groups)
    ids: dict[int, int] = {}
    fresh = next_id
    for number, group in enumerate(groups):
        if number in carried:
            ids[group.label] = carried[number]
        elif number in returned:
            ids[group.label] = returned[number]
        else:
            ids[group.label] = fresh
            fresh += 1
    kept = set(carried.values())
    return IdentityMatch(
        ids=ids,
        kept=tuple(sorted(kept)),
        returned=tuple(sorted(returned.values())),
        born=tuple(range(next_id, fresh)),
        dissolved=tuple(cluster for cluster in old.tolist() if cluster not in kept),
        next_id=fresh,
    )


def _groups(old_ids: NDArray[np.int64], new_labels: NDArray[np.int64]) -> list[_Group]:
    """The new groups in the order in which fresh ids are given."""
    labels, first_rows, sizes = np.unique(new_labels, return_index=True, return_counts=True)
    in_both = (old_ids != NOISE) & (new_labels != NOISE)
    pairs, counts = np.unique(np.stack([new_labels[in_both], old_ids[in_both]]), axis=1, return_counts=True)
    holdings: dict[int, list[tuple[int, int]]] = {label: [] for label in labels.tolist()}
    for label, old, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        holdings[label].append((old, count))
    groups = [
        _Group(label, first_row, size, tuple(holdings[label]))
        for label, first_row, size in zip(labels.tolist(), first_rows.tolist(), sizes.tolist(), strict=True)
        if label != NOISE
    ]
    return sorted(groups, key=lambda group: (-group.size, group.holdings, group.first_row))


def _carried_on(old_sizes: dict[int, int], groups: Sequence[_Group]) -> dict[int, int]:
    """The old id of each group that carries one on, by the group's position."""
    edges = [
        (old, number, held)
        for number, group in enumerate(groups)
        for old, held in group.holdings
        if held >= ENOUGH * old_sizes[old] or held >= ENOUGH * group.size
    ]
    table = np.array(edges, dtype=np.int64).reshape(-1, 3)
    chosen = maximum_weight_matching(table[:, 0], table[:, 1], table[:, 2])
    return {number: old for old, number, _ in table[chosen].tolist()}


def _returned(
    last_ids: NDArray[np.int64],
    living: Collection[int],
    new_labels: NDArray[np.int64],
    left: dict[int, int],
    groups: Sequence[_Group],
) -> dict[int, int]:
    """The dissolved id of each of the groups left over that one returns in, by the group's position."""
    gone = np.where(np.isin(last_ids, list(living)), NOISE, last_ids)
    lost, sizes = np.unique(gone[gone != NOISE], return_counts=True)
    size_of = dict(zip(lost.tolist(), sizes.tolist(), strict=True))
    pairs, counts = np.unique(np.stack([new_labels, gone]), axis=1, return_counts=True)
    edges = [
        (old, left[label], held)
        for label, old, held in zip(*pairs.tolist(), counts.tolist(), strict=True)
        if old != NOISE and label in left
        if held >= ENOUGH * size_of[old] and held >= ENOUGH * groups[left[label]].size
    ]
    table = np.array(edges, dtype=np.int64).reshape(-1, 3)
    chosen = maximum_weight_matching(table[:, 0], table[:, 1], table[:, 2])
    return {number: old for old, number, _ in table[chosen].tolist()}
