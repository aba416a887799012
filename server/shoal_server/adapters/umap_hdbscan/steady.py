"""Clusters that stay unless the graph of neighbours clearly says otherwise.

Where two groups touch, what HDBSCAN finds hangs on UMAP's chance and on every image that comes or goes: the same
cluster is one today, two tomorrow and one again the day after. So a fresh grouping is taken for a proposal, and each
change that it makes to the clusters that were there needs evidence by a margin. The evidence is the conductance of the
cut between two sides in the graph of nearest neighbours (Kannan, Vempala and Vetta 2004, doi:10.1145/990308.990313):
how much of the lighter side's weight runs across, 0 where they are strangers and about 0.5 where they are mixed at
random. :mod:`split` calls two halves two groups below a threshold; here it is lower for a change from one to two and
higher for a change from two to one, a hysteresis as in a thermostat.

* A cluster that the proposal takes apart stays one unless the cut is clearly loose (:data:`CLEARLY_LOOSE`).
* Clusters that the proposal unites stay apart unless the cut is clearly tight (:data:`CLEARLY_TIGHT`); what is new in
  the group goes to the side that more of its neighbours' weight is on.
* A body of new images that the proposal unites with a cluster is a cluster of its own unless the cut is clearly tight.
* An image that was in a cluster leaves it for another only if clearly more weight draws it there (:data:`DRAW`), and
  for none only if hardly any weight holds it (:data:`HOLD`); an image that was in none joins one only by a majority
  (:data:`JOIN`).
* An image that has no new neighbour passes neither from one old cluster to another nor to none or from none: there is
  nothing new to know about it.
* A cluster that is in no group any more, while most of its images' weight stays within it, is kept.

All that concerns images that nobody clustered before, or clusters that touch no old one, is left as proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.split import LOOSE, looser_with_size
from shoal_server.adapters.umap_hdbscan.walks import drawn_to, kin_of, row_shares
from shoal_server.domain.cluster import NOISE

#: Largest conductance at which parts of one cluster become two clusters: 98 % of each part's weight stays within it, as
#: between most kinds of things that nobody would take for each other.
CLEARLY_LOOSE = 0.2 * LOOSE
#: Smallest conductance at which two clusters become one, if the smaller has at least :data:`BORDERLESS` images.
CLEARLY_TIGHT = 2.0 * LOOSE
#: Below this size, the border of a group is so large a part of it that groups of different kinds are tied more tightly:
#: by the square root of the size. On photographs, the same two kinds had a conductance of 0.10 with 60 images each,
#: 0.16 with 30 and 0.24 with 16.
BORDERLESS = 60
#: Where sides are mixed at random no size matters any more.
MIXED = 0.5
#: How many times the weight to its own cluster must be surpassed by the weight to another for an image to change.
DRAW = 2.0
#: Share of an image's weight that keeps it in its cluster when the proposal has it in none.
HOLD = 0.3
#: Share of an image's weight that brings it into a cluster when it was in none.
JOIN = 0.5
#: How likely a walk from a new image must soon meet a cluster for the image to be of its kind: less than from new
#: images of an old kind, as many as there were old ones, and more than from those of a new kind near an old one.
KIN = 0.75
#: A cluster may shrink to this share of the smallest group before it is given up.
SHRUNK = 0.5


def steady_groups(
    proposed: NDArray[np.int64],
    graph: scipy.sparse.csr_matrix,
    before: NDArray[np.int64],
    known: NDArray[np.bool_],
    min_cluster_size: int,
) -> NDArray[np.int64]:
    """Holds a proposal against the clusters that were there before.

    Args:
        proposed: (n,), labels 0 .. k-1, -1 for noise.
        graph: (n, n), symmetric weights between neighbours, at least 0.
        before: (n,), cluster ids, -1 for none.
        known: (n,), whether the image was clustered by the run before. Where it was not, its cluster was only voted on,
            and does not count.
        min_cluster_size: the smallest group.

    Returns:
        Labels (n,), 0 .. k-1, -1 for noise; what is old comes first, in the order of the old ids. The proposal itself
        if there are no clusters before.
    """
    old_ids, old = _numbered(np.where(known, before, NOISE))
    if not len(old_ids):
        return proposed.copy()
    least = max(2, round(SHRUNK * min_cluster_size))
    shares = row_shares(graph)
    kin = kin_of(shares, old, KIN)
    labels = _reunited(proposed, graph, kin)
    labels = _kept_apart(labels, graph, shares, old, kin, least)
    labels = _new_bodies_apart(labels, graph, kin, min_cluster_size)
    labels = _kept_alive(labels, graph, old, least)
    labels = _settled(labels, graph, old, known)
    return _in_order(labels, old, least)


def steady_strengths(
    labels: NDArray[np.int64], proposed: NDArray[np.float32], graph: scipy.sparse.csr_matrix
) -> NDArray[np.float32]:
    """How firmly images belong to the groups of :func:`steady_groups`.

    Args:
        labels: (n,), -1 for noise.
        proposed: (n,), how firmly they belonged to the groups that were proposed, 0 for noise.
        graph: (n, n), as there.

    Returns:
        (n,), 0 to 1: as proposed, or the share of an image's weight that is within its group where it was to be noise;
        0 for noise.
    """
    clustered = labels != NOISE
    edges = graph.tocoo()
    within = (labels[edges.row] == labels[edges.col]) & clustered[edges.row]
    own = np.bincount(edges.row[within], weights=edges.data[within], minlength=len(labels))
    everywhere = np.bincount(edges.row, weights=edges.data, minlength=len(labels))
    share = (own / np.maximum(everywhere, 1e-12)).astype(np.float32)
    return np.where(clustered, np.where(proposed > 0, proposed, np.clip(share, 0, 1)), np.float32(0))


def _numbered(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct ids, ascending, without -1; and for each row the position of its own, -1 for none."""
    distinct = np.unique(ids[ids != NOISE])
    return distinct, np.where(ids == NOISE, NOISE, np.searchsorted(distinct, ids))


def _counts(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows (pairs, 3): two labels that are not -1 and how many images have both."""
    both = (one != NOISE) & (other != NOISE)
    pairs, counts = np.unique(np.stack([one[both], other[both]]), axis=1, return_counts=True)
    return np.column_stack([pairs.T, counts])


def _sizes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(labels[labels != NOISE], minlength=int(labels.max(initial=NOISE)) + 1)


def _reunited(proposed: NDArray[np.int64], graph: scipy.sparse.csr_matrix, kin: NDArray[np.int64]) -> NDArray[np.int64]:
    """Unites groups that are mostly of one and the same cluster, unless a cut between them is clearly loose."""
    labels = proposed.copy()
    sizes = _sizes(proposed)
    parts: dict[int, list[int]] = {}
    for cluster, group, count in _counts(kin, proposed).tolist():
        if 2 * count >= sizes[group]:
            parts.setdefault(cluster, []).append(group)
    for groups in parts.values():
        for side in _united([np.flatnonzero(proposed == group) for group in groups], graph, _loose_limit):
            labels[side] = labels[side].min()
    return labels


def _kept_apart(
    labels: NDArray[np.int64],
    graph: scipy.sparse.csr_matrix,
    shares: scipy.sparse.csr_matrix,
    old: NDArray[np.int64],
    kin: NDArray[np.int64],
    least: int,
) -> NDArray[np.int64]:
    """Divides groups that hold most of two or more clusters, unless the cut between these is clearly tight."""
    labels = labels.copy()
    sizes = _sizes(old)
    parts: dict[int, list[int]] = {}
    for cluster, group, count in _counts(old, labels).tolist():
        if 2 * count >= sizes[cluster] and count >= least:
            parts.setdefault(group, []).append(cluster)
    fresh = int(labels.max(initial=NOISE)) + 1
    for group, clusters in parts.items():
        rows = np.flatnonzero(labels == group)
        sides = _united([rows[kin[rows] == cluster] for cluster in clusters], graph, _tight_limit)
        if len(sides) < 2:
            continue
        settled = np.full(len(labels), NOISE, dtype=np.int64)
        for number, side in enumerate(sides):
            settled[side] = number
        side_of = drawn_to(shares[rows][:, rows], settled[rows])
        labels[rows] = np.where(side_of == 0, group, fresh + side_of - 1)
        fresh += len(sides) - 1
    return labels


def _loose_limit(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """The conductance from which parts of one cluster, of these sizes, stay one."""
    return CLEARLY_LOOSE * looser_with_size(one + other)


def _tight_limit(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """The conductance from which two clusters, of these sizes, become one."""
    border = np.sqrt(np.maximum(1.0, BORDERLESS / np.maximum(np.minimum(one, other), 1)))
    return np.minimum(CLEARLY_TIGHT * looser_with_size(one + other) * border, MIXED)


def _united(
    sides: Sequence[NDArray[np.int64]],
    graph: scipy.sparse.csr_matrix,
    limit: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]],
) -> list[NDArray[np.int64]]:
    """Unites sides that have their tightest cut with each other, again and again, until no cut is up to the limit."""
    sides = list(sides)
    while len(sides) > 1:
        weights = _weights_between(sides, graph)
        own = np.diag(weights)
        # As in a group of these two alone: what runs to others says nothing about them.
        lighter = np.minimum(own[:, None], own[None, :]) + weights
        size = np.array([len(side) for side in sides])
        excess = weights / np.maximum(lighter, 1e-12) / limit(size[:, None], size[None, :])
        np.fill_diagonal(excess, 0.0)
        partner = np.argmax(excess, axis=1)
        number = np.arange(len(sides))
        joins = (partner[partner] == number) & (number < partner) & (excess[number, partner] >= 1.0)
        if not joins.any():
            break
        for one in np.flatnonzero(joins).tolist():
            sides[one] = np.sort(np.concatenate([sides[one], sides[partner[one]]]))
        gone = set(partner[joins].tolist())
        sides = [side for position, side in enumerate(sides) if position not in gone]
    return sides


def _weights_between(sides: Sequence[NDArray[np.int64]], graph: scipy.sparse.csr_matrix) -> NDArray[np.float64]:
    """(k, k): the weight that runs from each side to each; within a side every edge counts twice."""
    rows = np.concatenate(sides)
    side_of = np.repeat(np.arange(len(sides)), [len(side) for side in sides])
    member = scipy.sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), side_of)))
    return np.asarray((member.T @ graph[rows][:, rows] @ member).todense(), dtype=np.float64)


def _new_bodies_apart(
    labels: NDArray[np.int64], graph: scipy.sparse.csr_matrix, kin: NDArray[np.int64], min_cluster_size: int
) -> NDArray[np.int64]:
    """Cuts bodies of new images off the groups that hold both new and old ones."""
    labels = labels.copy()
    clustered = labels != NOISE
    k = int(labels.max(initial=NOISE)) + 1
    olds = np.bincount(labels[clustered & (kin != NOISE)], minlength=k)
    news = np.bincount(labels[clustered & (kin == NOISE)], minlength=k)
    fresh = k
    for group in np.flatnonzero((olds > 0) & (news >= min_cluster_size)).tolist():
        rows = np.flatnonzero(labels == group)
        body, others = rows[kin[rows] == NOISE], rows[kin[rows] != NOISE]
        if len(_united([body, others], graph, _tight_limit)) > 1:
            labels[body] = fresh
            fresh += 1
    return labels


def _kept_alive(
    labels: NDArray[np.int64], graph: scipy.sparse.csr_matrix, old: NDArray[np.int64], least: int
) -> NDArray[np.int64]:
    """Brings back clusters that are mostly noise in the proposal but still hang together."""
    labels = labels.copy()
    lost = np.bincount(old[(old != NOISE) & (labels == NOISE)], minlength=int(old.max()) + 1)
    fresh = int(labels.max(initial=NOISE)) + 1
    for cluster in np.flatnonzero((2 * lost > _sizes(old)) & (lost >= least)):
        rows = np.flatnonzero(old == cluster)
        all_weight = graph[rows].sum()
        if all_weight > 0 and graph[rows][:, rows].sum() >= 0.5 * all_weight:
            labels[rows[labels[rows] == NOISE]] = fresh
            fresh += 1
    return labels


def _settled(
    labels: NDArray[np.int64], graph: scipy.sparse.csr_matrix, old: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Lets single images stay where they were unless new neighbours clearly draw them elsewhere."""
    home = _homes(labels, old)
    k = int(labels.max(initial=NOISE)) + 1
    clustered = labels != NOISE
    member = scipy.sparse.csr_matrix(
        (np.ones(np.count_nonzero(clustered)), (np.flatnonzero(clustered), labels[clustered])), shape=(len(labels), k)
    )
    weights = (graph @ member).tocsr()
    degree = np.maximum(np.asarray(graph.sum(axis=1), dtype=np.float64).ravel(), 1e-12)
    rows = np.arange(len(labels))
    own = np.where(old == NOISE, NOISE, home[old])
    at_home = np.where(own == NOISE, 0.0, _entries(weights, rows, own)) / degree
    there = np.where(clustered, _entries(weights, rows, labels), 0.0) / degree
    returns = (own != NOISE) & (labels != own)
    nothing_new = known & (np.asarray(graph @ (~known).astype(np.float64)).ravel() == 0)
    # Where a whole group is new, as after a split, that is for its images something new too.
    nothing_new &= ~clustered | np.isin(labels, home)
    returns &= nothing_new | np.where(clustered, there < DRAW * at_home, at_home >= HOLD)
    refuses = known & (old == NOISE) & clustered & (nothing_new | (there < JOIN))
    return np.where(returns, own, np.where(refuses, NOISE, labels))


def _entries(
    matrix: scipy.sparse.csr_matrix, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Single entries of a matrix; a column of -1 stands for any."""
    if matrix.shape[1] == 0:
        return np.zeros(len(rows))
    return np.asarray(matrix[rows, np.maximum(columns, 0)], dtype=np.float64).ravel()


def _homes(labels: NDArray[np.int64], old: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each old cluster the group that has most of it, if that is at least half; -1 if there is none."""
    sizes = _sizes(old)
    home = np.full(len(sizes), NOISE, dtype=np.int64)
    for cluster, group, count in _counts(old, labels).tolist():
        if 2 * count >= sizes[cluster]:
            home[cluster] = group
    return home


def _in_order(labels: NDArray[np.int64], old: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Numbers what is left: groups by the lowest old cluster that they hold most of, then by their first row."""
    groups, first, counts = np.unique(labels, return_index=True, return_counts=True)
    oldest = dict.fromkeys(groups.tolist(), len(labels))
    for cluster, group in enumerate(_homes(labels, old).tolist()):
        oldest[group] = min(oldest.get(group, cluster), cluster)
    ranked = sorted(
        (oldest[group], row, group)
        for group, row, count in zip(groups.tolist(), first.tolist(), counts.tolist(), strict=True)
        if group != NOISE and count >= least
    )
    number = np.full(int(labels.max(initial=NOISE)) + 2, NOISE, dtype=np.int64)
    for rank, (_, _, group) in enumerate(ranked):
        number[group] = rank
    return number[labels]
