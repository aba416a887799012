"""HDBSCAN in two steps: the tree of densities, and groups read off it."""

from __future__ import annotations

import hdbscan
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.group import density_tree, groups_of_tree


def islands(sizes: list[int], dimension: int, seed: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = 10 * rng.normal(size=(len(sizes), dimension))
    return (centres[truth] + rng.normal(size=(len(truth), dimension))).astype(np.float32), truth


def graph_of(points: NDArray[np.float32], k: int = 8) -> scipy.sparse.csr_matrix:
    distances = np.linalg.norm(points[:, None].astype(np.float64) - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    columns = np.argsort(distances, axis=1)[:, :k]
    rows = np.repeat(np.arange(len(points)), k)
    graph = scipy.sparse.csr_matrix((np.ones(rows.size), (rows, columns.ravel())), (len(points), len(points)))
    return scipy.sparse.csr_matrix(graph.maximum(graph.T))


@pytest.mark.parametrize(("size", "samples"), [(5, 3), (10, 5), (25, 10)])
def test_groups_read_off_one_tree_are_those_of_hdbscan(size: int, samples: int) -> None:
    points, _ = islands([60, 40, 30, 12], 3)
    points = np.vstack([points, np.random.default_rng(0).uniform(-30, 30, size=(30, 3))]).astype(np.float32)
    labels, strengths = groups_of_tree(density_tree(points, graph_of(points), samples), size)
    model = hdbscan.HDBSCAN(min_cluster_size=size, min_samples=samples).fit(points.astype(np.float64))
    np.testing.assert_array_equal(labels, model.labels_)
    np.testing.assert_allclose(strengths, model.probabilities_, atol=1e-6)


def test_in_many_dimensions_the_graph_leads_to_the_same_islands() -> None:
    points, truth = islands([50, 40, 30], 100)
    tree = density_tree(points, graph_of(points), 5)
    assert tree.merges.shape == (119, 4)
    assert tree.spanning_tree.shape == (119, 3)
    labels, strengths = groups_of_tree(tree, 10)
    pairs = {(int(label), int(one)) for label, one in zip(labels, truth, strict=True) if label >= 0}
    assert len(pairs) == 3
    assert (labels >= 0).mean() > 0.9
    assert (strengths[labels < 0] == 0).all()


def test_too_few_points_are_noise() -> None:
    points, _ = islands([6], 2)
    labels, strengths = groups_of_tree(density_tree(points, graph_of(points, 3), 50), 7)
    assert labels.tolist() == [-1] * 6
    assert strengths.tolist() == [0.0] * 6


def test_one_group_of_everything_is_no_answer() -> None:
    points, _ = islands([80], 4)
    labels, _ = groups_of_tree(density_tree(points, graph_of(points), 5), 30)
    assert set(labels.tolist()) == {-1}
