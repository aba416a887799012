from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE
from shoal_server.domain.voting import (
    MIN_SHARE,
    NEIGHBORS,
    QUANTILE,
    decide,
    leave_one_out_thresholds,
    thresholds_within,
    vote,
)


def ids(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def sims(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def blobs(*sizes: int, spread: float = 0.1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors around one axis each, and the number of the axis, from 1."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    vectors = np.eye(16)[labels] + spread * rng.normal(size=(len(labels), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels + 1


def nearest(
    queries: NDArray[np.float32], vectors: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    similarities = queries @ vectors.T
    if queries is vectors:
        np.fill_diagonal(similarities, -np.inf)
    rows = np.argsort(-similarities, axis=1, kind="stable")[:, :NEIGHBORS].astype(np.int64)
    return rows, np.take_along_axis(similarities, rows, axis=1)


def test_the_cluster_with_the_most_neighbours_wins() -> None:
    ballot = vote(ids(7, 3, 3, 7, 3), sims(0.9, 0.8, 0.7, 0.6, 0.6))
    assert ballot.cluster_ids.tolist() == [3, 7]
    assert ballot.shares.tolist() == pytest.approx([0.6, 0.4])
    assert ballot.similarities.tolist() == pytest.approx([0.7, 0.75])
    assert ballot.nearness == pytest.approx(0.72)


def test_between_equals_the_nearest_neighbour_decides() -> None:
    assert vote(ids(9, 2, 2, 9), sims(0.9, 0.9, 0.9, 0.1)).cluster_ids.tolist() == [9, 2]


def test_neighbours_in_no_cluster_do_not_vote() -> None:
    ballot = vote(ids(NOISE, NOISE, 4), sims(0.9, 0.9, 0.5))
    assert (ballot.cluster_ids.tolist(), ballot.shares.tolist(), ballot.similarities.tolist()) == ([4], [1.0], [0.5])
    assert ballot.nearness == 0.5


@pytest.mark.parametrize("neighbors", [(), (NOISE, NOISE)])
def test_without_clustered_neighbours_there_is_no_winner(neighbors: tuple[int, ...]) -> None:
    ballot = vote(ids(*neighbors), sims(*[0.9] * len(neighbors)))
    assert ballot.cluster_ids.tolist() == []
    assert decide(ballot, {1: -1.0}) is None


@given(st.lists(st.tuples(st.integers(-1, 4), st.floats(-1, 1, width=32)), max_size=20))
def test_a_ballot_accounts_for_every_vote(neighbors: list[tuple[int, float]]) -> None:
    ballot = vote(ids(*[cluster for cluster, _ in neighbors]), sims(*[similarity for _, similarity in neighbors]))
    votes = [cluster for cluster, _ in neighbors if cluster != NOISE]
    assert sorted(ballot.cluster_ids.tolist()) == sorted(set(votes))
    for cluster, share, similarity in zip(ballot.cluster_ids, ballot.shares, ballot.similarities, strict=True):
        assert share == pytest.approx(votes.count(int(cluster)) / len(votes))
        assert similarity == pytest.approx(np.mean([s for c, s in neighbors if c == cluster]), abs=1e-6)
    assert (np.diff(ballot.shares) <= 0).all()


def test_the_threshold_of_the_winner_decides() -> None:
    ballot = vote(ids(3, 3, 5), sims(0.8, 0.6, 0.9))
    assert decide(ballot, {3: 0.69, 5: 1.0}) == 3
    assert decide(ballot, {3: 0.71, 5: 0.0}) is None
    assert decide(ballot, {5: 0.0}) is None


def test_a_winner_without_enough_votes_is_not_joined() -> None:
    scattered = ids(1, 1, 2, 3, 4, 5)
    ballot = vote(scattered, sims(*[0.9] * len(scattered)))
    assert ballot.shares[0] < MIN_SHARE
    assert decide(ballot, dict.fromkeys(range(1, 6), 0.0)) is None


def test_new_members_join_and_strangers_do_not() -> None:
    vectors, labels = blobs(60, 40, 20)
    known = np.arange(len(labels)) % 4 != 0
    clusters = labels[known]
    thresholds = leave_one_out_thresholds(*nearest(vectors[known], vectors[known]), clusters)

    def decisions(queries: NDArray[np.float32]) -> list[int | None]:
        rows, similarities = nearest(queries, vectors[known])
        return [decide(vote(clusters[r], s), thresholds) for r, s in zip(rows, similarities, strict=True)]

    joined = decisions(vectors[~known])
    assert np.mean([got == want for got, want in zip(joined, labels[~known].tolist(), strict=True)]) >= 0.9
    between = np.eye(16, dtype=np.float32)[:1] + np.eye(16, dtype=np.float32)[1:2]
    assert decisions(np.eye(16, dtype=np.float32)[3:]) == [None] * 13
    assert decisions(between / np.float32(np.sqrt(2))) == [None]


def test_a_tight_cluster_asks_for_more_and_a_small_one_follows_the_others() -> None:
    tight, tight_labels = blobs(200, spread=0.02)
    loose, loose_labels = blobs(0, 200, spread=0.2)
    small, small_labels = blobs(0, 0, 5, spread=0.02)
    vectors = np.concatenate([tight, loose, small])
    labels = np.concatenate([tight_labels, loose_labels, small_labels])
    # Five images have only four alike among their fifteen neighbours, so their vote is won by others: left to the rest.
    labels[-1] = 4
    thresholds = leave_one_out_thresholds(*nearest(vectors, vectors), labels)
    assert sorted(thresholds) == [1, 2, 3, 4]
    assert thresholds[1] > thresholds[4] == thresholds[3] > thresholds[2]


def test_every_cluster_gets_a_threshold_even_if_nothing_can_be_learnt() -> None:
    rows, similarities = np.array([[1], [0]]), np.array([[0.5], [0.5]], dtype=np.float32)
    assert leave_one_out_thresholds(rows, similarities, ids(1, 2)) == {1: 1.0, 2: 1.0}
    assert leave_one_out_thresholds(rows, similarities, ids(NOISE, NOISE)) == {}
    nobody = np.zeros((0, 0), dtype=np.int64)
    assert leave_one_out_thresholds(nobody, nobody.astype(np.float32), ids()) == {}


def test_members_that_are_left_out_vote_as_new_images_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal_server.domain.voting._BLOCK", 7)
    vectors, labels = blobs(30, 12, spread=0.4)
    labels[::5] = NOISE
    rows, similarities = nearest(vectors, vectors)
    shown = []
    for label, row, similarity in zip(labels.tolist(), rows, similarities, strict=True):
        ballot = vote(labels[row], similarity)
        if label == ballot.cluster_ids[0]:
            shown.append((label, float(ballot.similarities[0])))
    everywhere = np.quantile([s for _, s in shown], QUANTILE)
    thresholds = leave_one_out_thresholds(rows, similarities, labels)
    for cluster, threshold in thresholds.items():
        own = [s for label, s in shown if label == cluster]
        expected = (
            everywhere if not own else (len(own) * np.quantile(own, QUANTILE) + 30 * everywhere) / (len(own) + 30)
        )
        assert threshold == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sample", [200, 599, 600, 2_000])
def test_the_threshold_of_a_cluster_is_the_same_however_few_members_are_left_out(
    monkeypatch: pytest.MonkeyPatch, sample: int
) -> None:
    vectors, truth = blobs(600)
    among_all = leave_one_out_thresholds(*nearest(vectors, vectors), truth)
    monkeypatch.setattr("shoal_server.domain.voting._SAMPLE", sample)
    monkeypatch.setattr("shoal_server.domain.voting._COMPARED", 64)
    within = thresholds_within(vectors, truth, prior=among_all[1])
    assert within == pytest.approx(among_all, abs=1e-5 if sample >= 600 else 0.005)


def test_a_cluster_of_one_has_the_threshold_of_the_others() -> None:
    vectors, truth = blobs(1, 2)
    thresholds = thresholds_within(vectors, truth, prior=0.5)
    assert thresholds[1] == 0.5
    assert thresholds[2] == pytest.approx(0.5 + (float(vectors[1] @ vectors[2]) - 0.5) * 2 / 32)
