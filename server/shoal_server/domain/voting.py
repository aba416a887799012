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

from shoal_server.domain.cluster import NOISE

#: How many neighbours vote. 10 and 20 do as well within a percent.
NEIGHBORS = 15

#: Share of the votes below which the winner is no clear winner.
MIN_SHARE = 0.4

#: Share of a cluster's own members that its threshold would turn away.
QUANTILE = 0.015

#: A cluster's own quantile counts for as much as that of all clusters when it has this many members.
PRIOR_MEMBERS = 30

#: Votes counted at once in :func:`leave_one_out_thresholds`, to bound its memory.
_BLOCK = 16_384

#: Members of a cluster looked at in :func:`thresholds_within`, to bound its memory.
_SAMPLE = 2_000


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
    neighbor_rows: NDArray[np.int64], neighbor_similarities: NDArray[np.float32], cluster_ids: NDArray[np.int64]
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

    Returns:
        A threshold, -1 to 1, for every cluster id among ``cluster_ids``.
    """
    won = np.zeros(len(cluster_ids), dtype=np.bool_)
    shown = np.zeros(len(cluster_ids), dtype=np.float32)
    for start in range(0, len(cluster_ids), _BLOCK):
        block = slice(start, start + _BLOCK)
        candidates = cluster_ids[neighbor_rows[block, :NEIGHBORS]]
        votes, means = _count(candidates, neighbor_similarities[block, :NEIGHBORS])
        winner = np.argmax(votes, axis=1)[:, None]
        won[block] = np.take_along_axis(candidates, winner, axis=1)[:, 0] == cluster_ids[block]
        shown[block] = np.take_along_axis(means, winner, axis=1)[:, 0]
    won &= cluster_ids != NOISE
    # With no member to learn from nobody is let in.
    everywhere = float(np.quantile(shown[won], QUANTILE)) if won.any() else 1.0
    thresholds = dict.fromkeys(np.unique(cluster_ids[cluster_ids != NOISE]).tolist(), everywhere)
    by_cluster = np.flatnonzero(won)[np.argsort(cluster_ids[won], kind="stable")]
    distinct, starts = np.unique(cluster_ids[by_cluster], return_index=True)
    stops = np.append(starts, len(by_cluster))[1:]
    for cluster, start, stop in zip(distinct.tolist(), starts.tolist(), stops.tolist(), strict=True):
        own = float(np.quantile(shown[by_cluster[start:stop]], QUANTILE))
        thresholds[cluster] += (own - everywhere) * (stop - start) / (stop - start + PRIOR_MEMBERS)
    return thresholds


def thresholds_within(vectors: NDArray[np.float32], cluster_ids: NDArray[np.int64], prior: float) -> dict[int, float]:
    """As :func:`leave_one_out_thresholds`, where only the images of some clusters are at hand.

    Every neighbour of a member is taken to be in its own cluster. At most :data:`_SAMPLE` members of a cluster are
    looked at, evenly spread over the rows.

    Args:
        vectors: float32 (n, d), unit rows; all images of some clusters.
        cluster_ids: (n,), none of them -1.
        prior: a threshold as other clusters have it, which counts as :data:`PRIOR_MEMBERS` members.

    Returns:
        A threshold, -1 to 1, for every cluster id among ``cluster_ids``.
    """
    thresholds = {}
    for cluster in np.unique(cluster_ids).tolist():
        rows = np.flatnonzero(cluster_ids == cluster)
        sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)]
        similarities = vectors[sample] @ vectors[sample].T
        np.fill_diagonal(similarities, -np.inf)
        nearest = min(NEIGHBORS, len(sample) - 1)
        if nearest < 1:
            thresholds[cluster] = prior
            continue
        shown = np.sort(similarities, axis=1)[:, -nearest:].mean(axis=1)
        own = float(np.quantile(shown, QUANTILE))
        thresholds[cluster] = prior + (own - prior) * len(sample) / (len(sample) + PRIOR_MEMBERS)
    return thresholds


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
