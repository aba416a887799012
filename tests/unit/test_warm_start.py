"""New points begin where they belong; old ones where they were."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.neighbors import nearest_others
from shoal_server.adapters.umap_hdbscan.warm_start import starting_points

# Importing umap says so, in the test that happens to be the first.
pytestmark = pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")

KINDS = 5
EACH = 30


def photographs(kinds: int = KINDS, each: int = EACH) -> tuple[scipy.sparse.csr_matrix, NDArray[np.int64]]:
    """The graph of as many images of each kind, and the kinds."""
    from shoal_server.adapters.umap_hdbscan.reduce import neighbor_graph

    rng = np.random.default_rng(5)
    kind = np.repeat(np.arange(kinds), each)
    vectors = rng.normal(size=(kinds, 16))[kind] + 0.5 * rng.normal(size=(len(kind), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return neighbor_graph(*nearest_others(vectors.astype(np.float32), 11), 12, seed=0), kind


def laid_out(kind: NDArray[np.int64]) -> NDArray[np.float32]:
    """Three dimensions in which every kind has its corner, 5 from the next."""
    rng = np.random.default_rng(6)
    corners = np.array([[0, 0, 0], [5, 0, 0], [0, 5, 0], [0, 0, 5], [5, 5, 0]])
    return (corners[kind] + 0.2 * rng.normal(size=(len(kind), 3))).astype(np.float32)


def centres(points: NDArray[np.float32], kind: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([np.median(points[kind == one], axis=0) for one in range(kind.max() + 1)]).astype(np.float64)


def test_what_is_known_stays_and_what_is_new_stands_beside_its_likes() -> None:
    graph, kind = photographs()
    points = laid_out(kind)
    new = np.random.default_rng(1).permutation(len(kind))[:45]
    before = points.copy()
    before[new] = np.nan
    start = starting_points(graph, before, seed=3)
    assert start is not None
    assert start.dtype == np.float32
    old = np.setdiff1d(np.arange(len(kind)), new)
    np.testing.assert_array_equal(start[old], points[old])
    away = np.linalg.norm(start[new, None] - centres(points, kind)[None], axis=2)
    assert (away.argmin(axis=1) == kind[new]).all()
    assert away.min(axis=1).max() < 1.0


def test_a_new_kind_is_set_down_by_itself_and_not_in_one_spot() -> None:
    graph, kind = photographs()
    points = laid_out(kind)
    before = points.copy()
    body = kind == 2
    before[body] = np.nan
    start = starting_points(graph, before, seed=3)
    assert start is not None
    among_others = np.linalg.norm(start[body][:, None] - start[~body][None], axis=2)
    among_themselves = np.linalg.norm(start[body][:, None] - start[body][None], axis=2)
    assert among_others.min() > among_themselves.max()
    assert (among_themselves + np.eye(EACH) > 0).all()


def test_two_new_kinds_that_hang_together_with_nothing_are_set_down_too() -> None:
    block = scipy.sparse.csr_matrix(np.ones((10, 10)) - np.eye(10))
    graph = scipy.sparse.csr_matrix(scipy.sparse.block_diag([block] * 5))
    before = np.repeat(np.arange(5.0), 10)[:, None] * np.ones((1, 2)) + np.linspace(0, 0.1, 50)[:, None]
    before[30:] = np.nan
    start = starting_points(graph, before.astype(np.float32), seed=0)
    assert start is not None
    assert np.isfinite(start).all()


def test_the_same_input_gives_the_same_start() -> None:
    graph, kind = photographs()
    before = laid_out(kind)
    before[::4] = np.nan
    before[kind == 1] = np.nan
    np.testing.assert_array_equal(starting_points(graph, before, seed=3), starting_points(graph, before, seed=3))


def test_where_all_is_known_nothing_moves() -> None:
    graph, kind = photographs()
    points = laid_out(kind)
    np.testing.assert_array_equal(starting_points(graph, points, seed=3), points)


@pytest.mark.parametrize("known", [0, 74])
def test_too_little_known_is_no_start(known: int) -> None:
    graph, kind = photographs()
    before = laid_out(kind)
    before[known:] = np.nan
    assert starting_points(graph, before, seed=3) is None


def test_coordinates_without_dimensions_are_no_start() -> None:
    graph, kind = photographs()
    assert starting_points(graph, np.zeros((len(kind), 0), dtype=np.float32), seed=3) is None
