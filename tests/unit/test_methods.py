"""Steps that find groups or change how many there are, each by itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples

from shoal_server.adapters.umap_hdbscan.methods import silhouette as figures
from shoal_server.adapters.umap_hdbscan.methods.agglomerate import cut_tree, merge_tree
from shoal_server.adapters.umap_hdbscan.methods.divide import divide_loosest
from shoal_server.adapters.umap_hdbscan.methods.evoc_layers import evoc_layers
from shoal_server.adapters.umap_hdbscan.methods.kmeans import (
    consecutive,
    first_groups,
    group_means,
    kmeans,
    spherical_kmeans,
)
from shoal_server.adapters.umap_hdbscan.methods.margin import margins
from shoal_server.adapters.umap_hdbscan.methods.merge import merge_most_alike
from shoal_server.domain.errors import MissingExtra


def blobs(sizes: list[int], dimension: int, spread: float = 0.2) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(5)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(size=(len(sizes), dimension))
    return (centres[truth] + spread * rng.normal(size=(len(truth), dimension))).astype(np.float32), truth


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def same_partition(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    return (
        len(set(zip(one.tolist(), other.tolist(), strict=True))) == len(set(one.tolist())) == len(set(other.tolist()))
    )


def test_silhouettes_are_those_of_the_definition() -> None:
    points, truth = blobs([20, 15, 1, 9], 4, 0.8)
    distances = figures.pairwise_distances(points)
    expected = silhouette_samples(points, truth)
    np.testing.assert_allclose(figures.point_silhouettes(distances, truth), expected, atol=1e-4)
    assert figures.silhouette(distances, truth) == pytest.approx(expected.mean(), abs=1e-4)
    noisy = np.where(truth == 1, -1, truth)
    kept = noisy >= 0
    np.testing.assert_allclose(
        figures.point_silhouettes(distances, noisy)[kept], silhouette_samples(points[kept], truth[kept]), atol=1e-4
    )


def test_a_silhouette_needs_two_groups_and_survives_equal_points() -> None:
    points = np.ones((6, 2), dtype=np.float32)
    distances = figures.pairwise_distances(points)
    assert figures.silhouette(distances, np.zeros(6, dtype=np.int64)) == -1.0
    assert figures.silhouette(distances, np.array([0, 0, 0, 1, 1, -1])) == 0.0


def test_a_sample_is_drawn_only_from_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "SAMPLE", 50)
    assert figures.sample_rows(50, 1).tolist() == list(range(50))
    rows = figures.sample_rows(1000, 1)
    assert len(np.unique(rows)) == 50
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == figures.sample_rows(1000, 1).tolist()
    assert rows.tolist() != figures.sample_rows(1000, 2).tolist()


def test_relative_validity_weighs_gaps_against_widths() -> None:
    # Two pairs, 1 wide, 4 apart, and a point of noise.
    tree = np.array([[0, 1, 1.0], [2, 3, 1.0], [1, 2, 4.0], [3, 4, 9.0]])
    assert figures.relative_validity(tree, np.array([0, 0, 1, 1, -1])) == pytest.approx(0.75 * 4 / 5)
    assert figures.relative_validity(tree, np.array([0, 0, 0, 0, -1])) == -1.0


def test_the_most_alike_are_merged_whatever_they_all_share() -> None:
    rng = np.random.default_rng(2)
    animals, vehicles = rng.normal(size=(2, 40))
    kinds = [animals, animals, animals, vehicles, vehicles]
    centres = np.stack([5 + kind + 0.4 * rng.normal(size=40) for kind in kinds])  # 5: what all pictures have in common
    truth = np.repeat(np.arange(5), 12)
    vectors = unit((centres[truth] + 0.1 * rng.normal(size=(60, 40))).astype(np.float32))
    labels = truth.copy()
    labels[7] = -1
    two, three, same = merge_most_alike(labels, vectors, [2, 3, 9])
    assert two[7] == -1
    assert same_partition(two[labels >= 0], np.array([0, 0, 0, 1, 1])[truth[labels >= 0]])
    assert len(set(three.tolist())) == 4
    np.testing.assert_array_equal(same, labels)
    assert set(merge_most_alike(np.array([0, 1, -1]), vectors[:3], [1])[0].tolist()) == {0, -1}


def test_the_loosest_is_divided_where_it_is_two() -> None:
    points, truth = blobs([30, 20, 25, 25], 3, 0.05)
    labels = np.array([0, 0, 1, 2])[truth]
    labels[:3] = -1
    divided = divide_loosest(labels, points, 4, 5)
    assert (divided[:3] == -1).all()
    assert same_partition(divided[3:], truth[3:])
    # The larger half keeps its label.
    sizes = np.bincount(divided[3:])
    assert sizes[0] > sizes[3]


def test_what_cannot_be_divided_stays() -> None:
    points, truth = blobs([10, 10], 3)
    assert set(divide_loosest(truth, points, 100, 5).tolist()) == {0, 1, 2, 3}
    np.testing.assert_array_equal(divide_loosest(truth, np.zeros_like(points), 5, 2), truth)
    np.testing.assert_array_equal(divide_loosest(truth, points, 2, 2), truth)
    assert len(set(divide_loosest(truth, points, 5, 1).tolist())) == 5


def test_kmeans_finds_blobs_from_a_sample() -> None:
    points, truth = blobs([60, 50, 40, 30], 6)
    labels = kmeans(points, group_means(points[::2], first_groups(points[::2], 4, 1)))
    assert same_partition(labels, truth)


def test_kmeans_of_fewer_different_points_than_groups_finds_fewer() -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    labels = first_groups(points, 5, 0)
    assert same_partition(labels, np.repeat(np.arange(3), 4))
    assert same_partition(kmeans(points, group_means(points, labels)), labels)


def test_spherical_kmeans_goes_by_angle_alone() -> None:
    points, truth = blobs([40, 40, 40], 30)
    vectors = unit(points)
    begin = group_means(vectors, np.random.default_rng(0).permutation(truth)) * np.array([[1], [50], [0.1]], np.float32)
    labels = spherical_kmeans(vectors, begin)
    centroids = group_means(vectors, labels)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    # Settled: every vector is with the centroid at the smallest angle.
    np.testing.assert_array_equal(labels, (vectors @ centroids.T).argmax(axis=1))
    assert same_partition(spherical_kmeans(vectors, group_means(vectors, first_groups(vectors, 3, 0))), truth)


def test_labels_are_numbered_without_gaps() -> None:
    assert consecutive(np.array([7, -1, 3, 7])).tolist() == [1, -1, 0, 1]
    assert consecutive(np.array([-1, -1])).tolist() == [-1, -1]


def test_agglomeration_joins_the_parts_of_a_graph_and_is_cut_anywhere() -> None:
    points, truth = blobs([12, 9, 7], 4, 0.05)
    n = len(points)
    rows, columns = np.nonzero((truth[:, None] == truth) & ~np.eye(n, dtype=bool))
    graph = scipy.sparse.csr_matrix((np.ones(rows.size), (rows, columns)), (n, n))  # three parts
    tree = merge_tree(points, graph)
    assert tree.shape == (n - 1, 2)
    assert same_partition(cut_tree(tree, 3), truth)
    for k in (1, 2, 5, n):
        assert set(cut_tree(tree, k).tolist()) == set(range(k))
    assert cut_tree(tree, n).tolist() == list(range(n))


def test_margins_are_wide_in_the_middle_and_none_at_the_border() -> None:
    points = np.array([[0.0], [0.0], [4.0], [10.0], [10.0], [100.0]], dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 1, -1])
    strengths = margins(points, labels)
    centroids = np.array([4 / 3, 10.0])
    expected = [1 - centroids[0] / 10, 1 - centroids[0] / 10, 1 - (4 - centroids[0]) / 6, 1, 1, 0]
    np.testing.assert_allclose(strengths, expected, atol=1e-6)
    assert margins(points, np.array([0, 0, 0, 0, 0, -1])).tolist() == [1, 1, 1, 1, 1, 0]


def test_evoc_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evoc", None)
    with pytest.raises(MissingExtra, match=r"shoal\[evoc\]"):
        evoc_layers(np.eye(12, dtype=np.float32), 3, 2, None, 0)
