"""Changes to clusters need evidence by a margin."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.neighbors import nearest_others
from shoal_server.adapters.umap_hdbscan.steady import steady_groups, steady_strengths

# Importing umap says so, in the test that happens to be the first.
pytestmark = pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")

NEAR = 0.42
FAR = 3.0


def graph_of(sizes: dict[float, int], seed: int = 0) -> tuple[scipy.sparse.csr_matrix, NDArray[np.int64]]:
    """The graph of round groups of these sizes, each so far from the first axis, and each image's group."""
    from shoal_server.adapters.umap_hdbscan.reduce import neighbor_graph

    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    points = rng.normal(scale=0.08, size=(len(group), 24))
    points[:, 0] += 1.0
    points[:, 1] += np.array(list(sizes))[group]
    vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return neighbor_graph(*nearest_others(vectors, 15), 12, seed=0), group


def held(
    proposed: NDArray[np.int64],
    graph: scipy.sparse.csr_matrix,
    before: NDArray[np.int64],
    known: NDArray[np.bool_] | None = None,
    least: int = 15,
) -> NDArray[np.int64]:
    labels = steady_groups(proposed, graph, before, np.ones(len(before), bool) if known is None else known, least)
    assert labels.dtype == np.int64
    assert set(labels.tolist()) - {-1} == set(range(labels.max() + 1))
    return labels


def assert_same_partition(one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(one == -1, other == -1)
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_without_clusters_before_the_proposal_stands() -> None:
    graph, group = graph_of({0.0: 40, FAR: 40})
    proposed = np.where(np.arange(80) % 7 == 0, -1, 1 - group)
    np.testing.assert_array_equal(held(proposed, graph, np.full(80, -1)), proposed)
    # Nor do clusters that were only voted on.
    np.testing.assert_array_equal(held(proposed, graph, group, known=np.zeros(80, bool)), proposed)


def test_the_same_clusters_stay_the_same() -> None:
    graph, group = graph_of({0.0: 60, NEAR: 40, FAR: 40})
    before = np.array([30, 4, 17])[group]
    labels = held(group, graph, before)
    assert_same_partition(labels, group)
    # What is old is numbered in the order of the old ids.
    assert labels[before == 4].max() == 0


def test_a_cluster_that_hangs_together_is_not_taken_apart() -> None:
    graph, group = graph_of({0.0: 70, FAR: 40})
    proposed = group.copy()
    proposed[40:70] = 2
    assert_same_partition(held(proposed, graph, group + 5), group)


def test_a_cluster_of_two_that_hardly_touch_is_taken_apart() -> None:
    graph, group = graph_of({0.0: 50, 0.9: 40, FAR: 40})
    assert_same_partition(held(group, graph, np.where(group == 2, 8, 3)), group)


def test_clusters_that_hardly_touch_are_not_united_and_what_is_new_goes_where_it_belongs() -> None:
    graph, group = graph_of({0.0: 60, NEAR: 50, FAR: 40})
    known = np.random.default_rng(0).random(150) > 0.2
    before = np.where(known, group, -1)
    labels = held(np.where(group == 2, 1, 0), graph, before, known)
    # The best of cuts between two kinds that touch is not free of errors.
    assert (labels == group).mean() > 0.97


def test_clusters_that_are_one_are_united() -> None:
    graph, group = graph_of({0.0: 120, FAR: 40})
    before = group.copy()
    before[:60] = 2
    assert_same_partition(held(group, graph, before), group)


def test_a_new_kind_that_the_proposal_puts_into_a_cluster_is_a_cluster_of_its_own() -> None:
    graph, group = graph_of({0.0: 60, NEAR: 40, FAR: 40})
    known = group != 1
    before = np.where(known, group, -1)
    labels = held(np.where(group == 2, 1, 0), graph, before, known)
    assert len(set(labels.tolist())) == 3
    assert (labels[group == 0] == 0).all()
    assert (labels[group == 1] == 2).mean() > 0.9


@pytest.mark.parametrize("new", [6, 20, 60])
def test_new_images_of_an_old_kind_join_it(new: int) -> None:
    graph, group = graph_of({0.0: 60 + new, FAR: 40})
    known = np.ones(len(group), bool)
    known[np.random.default_rng(2).permutation(60 + new)[:new]] = False
    assert_same_partition(held(group, graph, np.where(known, group, -1), known), group)


def test_single_images_that_flip_stay_where_they_were() -> None:
    graph, group = graph_of({0.0: 60, NEAR: 50, FAR: 40})
    proposed = group.copy()
    proposed[[0, 1, 2]] = 1
    proposed[[3, 4]] = -1
    assert_same_partition(held(proposed, graph, group), group)


def test_a_single_image_that_clearly_belongs_elsewhere_moves() -> None:
    graph, group = graph_of({0.0: 60, FAR: 50})
    before = group.copy()
    before[7] = 1
    known = np.arange(110) % 3 != 0
    assert_same_partition(held(group, graph, np.where(known, before, -1), known), group)


def test_an_image_without_new_neighbours_stays_where_it_was() -> None:
    graph, group = graph_of({0.0: 60, FAR: 50})
    before = group.copy()
    before[7], before[8] = 1, -1
    assert_same_partition(held(group, graph, before), before)
    proposed = group.copy()
    proposed[20] = -1
    assert_same_partition(held(proposed, graph, before), before)


def test_noise_joins_a_cluster_only_by_a_majority() -> None:
    graph, group = graph_of({0.0: 60, NEAR: 60})
    before = group.copy()
    before[:2] = -1
    proposed = group.copy()
    proposed[0] = 1  # although its neighbours are in the other
    known = np.arange(120) % 3 != 2
    labels = held(proposed, graph, np.where(known, before, -1), known)
    assert labels[0] == -1
    assert labels[1] == 0


def test_a_cluster_that_the_proposal_drops_is_kept_while_it_hangs_together() -> None:
    graph, group = graph_of({0.0: 40, FAR: 40, -FAR: 5})
    proposed = np.where(group == 1, -1, 0)
    proposed[group == 2] = -1
    labels = held(proposed, graph, group)
    assert (labels == np.where(group == 2, -1, group)).all()


def test_a_cluster_whose_images_are_gone_is_gone_and_touches_no_other() -> None:
    graph, group = graph_of({0.0: 60, FAR: 40})
    assert_same_partition(held(group, graph, np.array([9, 2])[group]), group)


def test_the_order_of_the_rows_changes_nothing() -> None:
    graph, group = graph_of({0.0: 60, NEAR: 50, FAR: 40, -FAR: 30})
    rng = np.random.default_rng(4)
    before = np.where(rng.random(180) < 0.1, -1, np.array([0, 0, 5, 6])[group])
    proposed = np.where(rng.random(180) < 0.1, -1, np.array([0, 1, 1, 2])[group])
    known = rng.random(180) < 0.8
    labels = held(proposed, graph, before, known)
    order = rng.permutation(180)
    permuted = held(proposed[order], graph[order][:, order].tocsr(), before[order], known[order])
    assert_same_partition(permuted, labels[order])


def test_strengths_are_the_proposed_or_the_share_of_the_weight() -> None:
    graph = scipy.sparse.csr_matrix(np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0.0]]))
    strengths = steady_strengths(np.array([0, 0, 1, -1]), np.array([0.7, 0.0, 0.0, 0.9], dtype=np.float32), graph)
    np.testing.assert_allclose(strengths, [0.7, 0.5, 0.0, 0.0])


def test_nothing_but_noise() -> None:
    graph, group = graph_of({0.0: 30})
    noise = np.full(30, -1)
    assert (held(noise, graph, noise) == -1).all()
    assert (held(noise, graph, group + 3) == 0).all()
