"""What makes clustering fast must find what the slow ways find."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan import neighbors
from shoal_server.adapters.umap_hdbscan import optimise as optimising
from shoal_server.adapters.umap_hdbscan.neighbors import nearest_others
from shoal_server.adapters.umap_hdbscan.optimise import optimise
from shoal_server.adapters.umap_hdbscan.principal_axes import leading_axes, principal_axes


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def clumps(n: int, d: int, count: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(count, d))[rng.integers(count, size=n)] + rng.normal(scale=0.4, size=(n, d)))


@pytest.fixture
def many_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond 1,000 vectors not all pairs are compared."""
    monkeypatch.setattr(neighbors, "_ALL_PAIRS", 1_000)


def test_among_many_nearly_all_of_the_nearest_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clumps(4_000, 32, 20)
    exact, _ = nearest_others(vectors, 15)
    monkeypatch.setattr(neighbors, "_ALL_PAIRS", 1_000)
    rows, similarities = nearest_others(vectors, 15)

    found = np.mean([len(np.intersect1d(one, other)) / 15 for one, other in zip(rows, exact, strict=True)])
    assert found >= 0.95
    assert not (rows == np.arange(4_000)[:, None]).any()
    assert np.allclose(similarities, np.einsum("ikd,id->ik", vectors[rows], vectors), atol=1e-5)
    assert (np.diff(similarities, axis=1) <= 0).all()


@pytest.mark.usefixtures("many_are_few")
def test_among_many_the_answer_is_the_same_each_time() -> None:
    vectors = clumps(3_000, 16, 10)
    first, again = nearest_others(vectors, 5), nearest_others(vectors, 5)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


@pytest.mark.usefixtures("many_are_few")
def test_of_a_pile_of_identical_vectors_each_finds_only_others() -> None:
    vectors = clumps(2_500, 16, 10)
    vectors[:40] = vectors[0]
    rows, similarities = nearest_others(vectors, 5)
    assert (rows[:40] < 40).all()
    assert not (rows == np.arange(2_500)[:, None]).any()
    assert np.allclose(similarities[:40], 1.0, atol=1e-5)


def test_optimising_draws_neighbours_together_and_pushes_others_apart_the_same_way_each_time() -> None:
    # Two rings of ten that begin mixed.
    around = np.arange(20)
    ring = scipy.sparse.csr_matrix((np.ones(20), (around, around // 10 * 10 + (around + 1) % 10)), shape=(20, 20))
    graph = (ring + ring.T).tocsr()
    start = np.random.default_rng(0).uniform(0, 10, size=(20, 2)).astype(np.float32)
    shares: list[float] = []
    ended = optimise(graph, start, (1.9, 0.8), 200, 1.0, 3, shares.append)

    def apart(points: NDArray[np.float32]) -> float:
        """How much farther any two points are from each other than two neighbours."""
        gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
        return float(gaps.mean() / gaps[graph.nonzero()].mean())

    assert apart(ended) > 2 * apart(start)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert np.array_equal(ended, optimise(graph, start, (1.9, 0.8), 200, 1.0, 3, shares.append))
    assert not np.array_equal(ended, optimise(graph, start, (1.9, 0.8), 200, 1.0, 4, shares.append))


def grid(n: int) -> scipy.sparse.csr_matrix:
    """Points in a row, each a neighbour of the next, some more than others."""
    weights = np.random.default_rng(2).uniform(0.1, 1.0, n - 1)
    line = scipy.sparse.csr_matrix((weights, (np.arange(n - 1), np.arange(1, n))), shape=(n, n))
    return (line + line.T).tocsr()


@pytest.mark.parametrize("parts", [1, 4, 8])
def test_threads_change_nothing_about_where_points_end(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimising, "_PARTS", ((0, parts),))
    graph = grid(400)
    start = np.random.default_rng(0).uniform(0, 10, size=(400, 5)).astype(np.float32)
    alone, together = (
        optimise(graph, start, (1.9, 0.8), 30, 1.0, 3, lambda fraction: None, threads) for threads in (1, 4)
    )
    assert np.array_equal(alone, together)
    # Whoever meets whom, neighbours have come together.
    gaps = np.linalg.norm(np.diff(alone, axis=0), axis=1)
    assert gaps.mean() < 0.3 * np.linalg.norm(np.diff(start, axis=0), axis=1).mean()


@pytest.mark.parametrize("axes", [1, 2, 3, 5])
def test_few_dimensions_are_written_out_but_done_as_any_others_are(axes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = grid(200)
    start = np.random.default_rng(0).uniform(0, 10, size=(200, axes)).astype(np.float32)
    written_out = optimise(graph, start, (1.9, 0.8), 3, 0.1, 3, lambda fraction: None)
    monkeypatch.setattr(optimising, "_FEW_AXES", 0)
    any_number = optimise(graph, start, (1.9, 0.8), 3, 0.1, 3, lambda fraction: None)
    assert not np.array_equal(start, written_out)
    np.testing.assert_allclose(written_out, any_number, atol=1e-3)


@pytest.mark.parametrize(("n", "axes"), [(3, 5), (7, 2), (40, 3), (40, 9)])
def test_few_points_and_other_numbers_of_dimensions_are_moved_too(n: int, axes: int) -> None:
    start = np.random.default_rng(0).uniform(0, 10, size=(n, axes)).astype(np.float32)
    ended = optimise(grid(n), start, (1.9, 0.8), 50, 1.0, 3, lambda fraction: None)
    assert ended.shape == (n, axes)
    assert np.isfinite(ended).all()
    assert not np.array_equal(start, ended)


def test_tables_have_the_forces_of_umap_within_one_per_cent() -> None:
    a, b = 1.9, 0.8
    lowest, pulls, pushes = optimising._tables(a, b)
    squares = np.exp(np.random.default_rng(0).uniform(np.log(1e-8), np.log(6e4), 1_000)).astype(np.float32)
    entries = np.array([optimising._entry(each, lowest, np.int32(len(pulls) - 1)) for each in squares])
    near = 1 + a * squares**b
    np.testing.assert_allclose(pulls[entries], -2 * a * b * squares ** (b - 1) / near, rtol=0.01)
    np.testing.assert_allclose(pushes[entries], 2 * b / ((0.001 + squares) * near), rtol=0.01)
    beyond = [optimising._entry(np.float32(square), lowest, np.int32(len(pulls) - 1)) for square in (0.0, 1e9)]
    assert beyond == [0, len(pulls) - 1]


def test_leading_axes_are_nearly_the_principal_ones() -> None:
    rng = np.random.default_rng(0)
    points = (rng.exponential(size=(6_000, 20)) * np.array([9, 5, 3, *[0.2] * 17])).astype(np.float32)
    found, exact = leading_axes(points, 3, 0), principal_axes(points, 3)
    for axis in range(3):
        assert np.corrcoef(found[:, axis], exact[:, axis])[0, 1] > 0.99


def test_leading_axes_that_there_are_not_are_zeros() -> None:
    points = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    assert (leading_axes(points, 5, 0)[:, 2:] == 0).all()
