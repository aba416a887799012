"""Assigning an image to a cluster by a vote of its nearest neighbours, with a right to refuse.

The k-nearest-neighbour rule (Cover and Hart 1967, doi:10.1109/TIT.1967.1053964) names a winner. An image joins it only
if two things hold: enough of the votes went to it, and the neighbours that voted for it are about as similar to the
image as a member's neighbours are to a member. What that means differs from cluster to cluster, so every cluster has
its own threshold, found by leaving each member out in turn and letting its neighbours vote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE, members_of

#: How many neighbours vote. 10 and 20 do as well within a percent.
NEIGHBORS = 15

#: Share of the votes below which the winner is no clear winner.
MIN_SHARE = 0.4

#: Share of a cluster's own members that its threshold would turn away.
QUANTILE = 0.015

#: A cluster's own quantile counts for as much as that of all clusters when it has this many members.
PRIOR_MEMBERS = 30

#: How many times the votes for its own cluster must be surpassed by those for another for an image to change.
DRAW = 2.0

#: Share of the votes that keeps an image in its cluster.
HOLD = 0.3

#: How many times as far from its neighbours as the threshold says an image may be that was in the cluster before.
SLACK = 1.1

#: Votes counted at once in :func:`leave_one_out_thresholds`, to bound its memory.
_BLOCK = 16_384

#: Members of a cluster that are left out in turn in :func:`thresholds_within`, and with how many they are compared at
#: once, to bound its time and memory.
_SAMPLE = 2_000
_COMPARED = 2_048


@dataclass(frozen=True, slots=True)
class Ballot:
    """The outcome of a vote; one entry for each cluster that got votes, the winner first.

    Attributes:
        cluster_ids: int64 (c,).
        shares: float32 (c,), each one's share of the votes, above 0; together 1. Neighbours in no cluster do not vote:
            they say nothing about which cluster fits, and whether any does is for the threshold to say.
        similarities: float32 (c,), mean cosine similarity of the neighbours that voted for it, -1 to 1.
        nearness: mean cosine similarity of all neighbours that voted, -1 to 1; -1 if nobody did.
    """

    cluster_ids: NDArray[np.int64]
    shares: NDArray[np.float32]
    similarities: NDArray[np.float32]
    nearness: float


def vote(cluster_ids: NDArray[np.int64], similarities: NDArray[np.float32]) -> Ballot:
    """Lets neighbours vote, one vote each.

    Clusters with as many votes are ordered by their best neighbour.

    Args:
        cluster_ids: (k,), of the neighbours, best first, -1 for none; :data:`NEIGHBORS` of them if there are so many,
            k may be 0.
        similarities: (k,), their cosine similarities to the image.

    Returns:
        The ballot; empty if no neighbour is in a cluster.
    """
    votes, means = _count(cluster_ids[None], similarities[None])
    _, first = np.unique(cluster_ids, return_index=True)
    first = np.sort(first[votes[0, first] > 0])
    order = first[np.argsort(-votes[0, first], kind="stable")]
    voters = cluster_ids != NOISE
    return Ballot(
        cluster_ids=cluster_ids[order],
        shares=(votes[0, order] / max(votes[0, order].sum(), 1)).astype(np.float32),
        similarities=means[0, order],
        nearness=float(np.clip(similarities[voters].mean(), -1, 1)) if voters.any() else -1.0,
    )


def leave_one_out_thresholds(
    neighbor_rows: NDArray[np.int64],
    neighbor_similarities: NDArray[np.float32],
    cluster_ids: NDArray[np.int64],
    sample: NDArray[np.int64] | None = None,
) -> dict[int, float]:
    """Finds how similar its neighbours in a cluster must be to a new image for it to join.

    Every member is left out in turn and its neighbours vote. Where its own cluster wins, the mean similarity of those
    who voted for it is what a true member shows. The threshold is the :data:`QUANTILE` of that over the cluster's
    members, drawn towards the same quantile over all members of all clusters as if the cluster had
    :data:`PRIOR_MEMBERS` more: a quantile of a handful of values means little.

    Args:
        neighbor_rows: (n, m), rows of each image's nearest others, best first; the first :data:`NEIGHBORS` are used.
        neighbor_similarities: (n, m), their cosine similarities.
        cluster_ids: (n,), -1 for none.
        sample: rows of the images that are left out in turn; None: all.

    Returns:
        A threshold, -1 to 1, for every cluster id among ``cluster_ids``.
    """
    tried = np.arange(len(cluster_ids)) if sample is None else sample
    own_ids = cluster_ids[tried]
    won = np.zeros(len(tried), dtype=np.bool_)
    shown = np.zeros(len(tried), dtype=np.float32)
    for start in range(0, len(tried), _BLOCK):
        block = slice(start, start + _BLOCK)
        candidates = cluster_ids[neighbor_rows[tried[block], :NEIGHBORS]]
        winners, _, means = _winners(candidates, neighbor_similarities[tried[block], :NEIGHBORS])
        won[block] = winners == own_ids[block]
        shown[block] = means
    won &= own_ids != NOISE
    # With no member to learn from nobody is let in.
    everywhere = float(np.quantile(shown[won], QUANTILE)) if won.any() else 1.0
    thresholds = dict.fromkeys(np.unique(cluster_ids[cluster_ids != NOISE]).tolist(), everywhere)
    by_cluster = np.flatnonzero(won)[np.argsort(own_ids[won], kind="stable")]
    distinct, starts = np.unique(own_ids[by_cluster], return_index=True)
    stops = np.append(starts, len(by_cluster))[1:]
    for cluster, start, stop in zip(distinct.tolist(), starts.tolist(), stops.tolist(), strict=True):
        own = float(np.quantile(shown[by_cluster[start:stop]], QUANTILE))
        thresholds[cluster] += (own - everywhere) * (stop - start) / (stop - start + PRIOR_MEMBERS)
    return thresholds


def thresholds_within(vectors: NDArray[np.float32], cluster_ids: NDArray[np.int64], prior: float) -> dict[int, float]:
    """As :func:`leave_one_out_thresholds`, where only the images of some clusters are at hand.

    Every neighbour of a member is taken to be in its own cluster. At most :data:`_SAMPLE` members of a cluster, evenly
    spread over the rows, are left out in turn; all the others are their neighbours, as they are those of a new image.

    Args:
        vectors: float32 (n, d), unit rows; all images of some clusters.
        cluster_ids: (n,), none of them -1.
        prior: a threshold as other clusters have it, which counts as :data:`PRIOR_MEMBERS` members.

    Returns:
        A threshold, -1 to 1, for every cluster id among ``cluster_ids``.
    """
    thresholds = {}
    for cluster, rows in members_of(cluster_ids).items():
        sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)]
        if len(rows) < 2:
            thresholds[cluster] = prior
            continue
        own = float(np.quantile(_nearness(vectors, sample, rows), QUANTILE))
        thresholds[cluster] = prior + (own - prior) * len(rows) / (len(rows) + PRIOR_MEMBERS)
    return thresholds


def _nearness(vectors: NDArray[np.float32], sample: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """How similar the nearest of some rows are to each row of the sample, itself aside: the mean of as many as vote."""
    left_out = vectors[sample]
    nearest = np.full((len(sample), min(NEIGHBORS, len(rows) - 1)), -np.inf, dtype=np.float32)
    for start in range(0, len(rows), _COMPARED):
        others = rows[start : start + _COMPARED]
        similarities = left_out @ vectors[others].T
        similarities[sample[:, None] == others] = -np.inf
        both = np.concatenate([nearest, similarities], axis=1)
        nearest = np.partition(both, -nearest.shape[1], axis=1)[:, -nearest.shape[1] :]
    means: NDArray[np.float32] = nearest.mean(axis=1)
    return means


def decide(ballot: Ballot, thresholds: Mapping[int, float]) -> int | None:
    """Says whether the image joins the winner.

    Args:
        ballot: of its neighbours.
        thresholds: by cluster id; a winner without one is not joined.

    Returns:
        The winner's cluster id, or None if the image is an outlier: no neighbour is in a cluster, the winner has less
        than :data:`MIN_SHARE` of the votes, or its neighbours are less similar than its threshold.
    """
    if len(ballot.cluster_ids) == 0 or ballot.shares[0] < MIN_SHARE:
        return None
    winner = int(ballot.cluster_ids[0])
    return winner if ballot.similarities[0] >= thresholds.get(winner, np.inf) else None


def decide_together(
    cluster_ids: NDArray[np.int64],
    similarities: NDArray[np.float32],
    thresholds: Mapping[int, float],
    former: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Votes and decides on many images at once, as :func:`vote` and :func:`decide` do on one.

    An image that was in a cluster leaves it less easily than it would join it: it stays where :data:`HOLD` of the votes
    keep it, unless :data:`DRAW` times as many draw it elsewhere or it is clearly farther from its neighbours there than
    the threshold says (:data:`SLACK`). So a little change of the neighbours changes little.

    Args:
        cluster_ids: (n, k), of the neighbours, best first, -1 for none; k at least 1.
        similarities: (n, k), their cosine similarities to the image.
        thresholds: by cluster id; a winner without one is not joined.
        former: (n,), the cluster that each was in, -1 for none.

    Returns:
        Cluster ids (n,), -1 for outliers; and which share of the votes went there (n,), 0 for outliers.
    """
    voters = np.maximum((cluster_ids != NOISE).sum(axis=1), 1)
    winners, votes, means = _winners(cluster_ids, similarities)
    shares = votes / voters
    joined = (shares >= MIN_SHARE) & (means >= _of_each(thresholds, winners))
    at_home = (cluster_ids == former[:, None]) & (former != NOISE)[:, None]
    home_votes = at_home.sum(axis=1)
    home_shares = home_votes / voters
    home_means = np.where(at_home, similarities, 0.0).sum(axis=1) / np.maximum(home_votes, 1)
    stays = (home_shares >= HOLD) & (votes < DRAW * home_votes)
    stays &= 1.0 - home_means <= SLACK * (1.0 - _of_each(thresholds, former))
    decided = np.where(stays, former, np.where(joined, winners, NOISE))
    won = np.where(stays, home_shares, np.where(joined, shares, 0.0))
    return decided.astype(np.int64), won.astype(np.float32)


def _of_each(thresholds: Mapping[int, float], cluster_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """The threshold of each of these clusters (n,), infinite where there is none."""
    distinct, rows = np.unique(cluster_ids, return_inverse=True)
    return np.array([thresholds.get(cluster, np.inf) for cluster in distinct.tolist()], dtype=np.float64)[rows]


def _winners(
    cluster_ids: NDArray[np.int64], similarities: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each image (n, k): the cluster with most votes, how many those are, and how similar those who cast them."""
    votes, means = _count(cluster_ids, similarities)
    winner = np.argmax(votes, axis=1)[:, None]
    taken = (np.take_along_axis(each, winner, axis=1)[:, 0] for each in (cluster_ids, votes, means))
    return tuple(taken)  # type: ignore[return-value]


def _count(
    cluster_ids: NDArray[np.int64], similarities: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each neighbour of each image (n, k): the votes for its cluster, and the mean similarity of the voters.

    A neighbour in no cluster has 0 votes and a similarity of -1.
    """
    alike = (cluster_ids[:, :, None] == cluster_ids[:, None, :]) & (cluster_ids != NOISE)[:, None, :]
    votes = alike.sum(axis=1)
    sums = np.where(alike, similarities[:, :, None], np.float32(0)).sum(axis=1)
    means = np.where(votes > 0, sums / np.maximum(votes, 1), -1.0)
    return votes, means.astype(np.float32)
