"""Groups that are two are taken apart; groups that are one are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.neighbors import nearest_others
from shoal_server.adapters.umap_hdbscan.split import split_loose_groups

# Importing umap says so, in the test that happens to be the first.
pytestmark = pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")


@pytest.fixture(scope="module", autouse=True)
def _compiled_once() -> None:
    from shoal_server.adapters.umap_hdbscan.compiled import keep_compiled

    keep_compiled()


def blob(rng: np.random.Generator, size: int, away: float = 0.0) -> NDArray[np.float32]:
    """Unit vectors around a direction that is ``away`` from the first axis."""
    points = rng.normal(scale=0.08, size=(size, 24))
    points[:, 0] += 1.0
    points[:, 1] += away
    unit: NDArray[np.float32] = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


def graph_of(vectors: NDArray[np.float32]) -> scipy.sparse.csr_matrix:
    from shoal_server.adapters.umap_hdbscan.reduce import neighbor_graph

    return neighbor_graph(*nearest_others(vectors, 15), 12, seed=0)


@pytest.mark.parametrize("sizes", [(60, 50), (400, 300)])
def test_two_kinds_in_one_group_are_taken_apart(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([blob(rng, sizes[0]), blob(rng, sizes[1], away=0.45)])
    together = np.zeros(len(vectors), dtype=np.int64)
    apart = split_loose_groups(together, graph_of(vectors), 15)
    first, second = apart[: sizes[0]], apart[sizes[0] :]
    assert set(apart) == {0, 1}
    assert (first == np.bincount(first).argmax()).mean() > 0.95
    assert (second == np.bincount(second).argmax()).mean() > 0.95
    assert np.bincount(first).argmax() != np.bincount(second).argmax()
    assert np.bincount(first).argmax() == 0  # the larger half keeps the label


@pytest.mark.parametrize("size", [20, 60, 120, 600, 2000])
def test_one_kind_is_left_alone(size: int) -> None:
    vectors = blob(np.random.default_rng(1), size)
    labels = np.zeros(size, dtype=np.int64)
    assert (split_loose_groups(labels, graph_of(vectors), 5) == 0).all()


def test_a_few_that_hang_on_at_the_edge_are_left_where_they_are() -> None:
    rng = np.random.default_rng(2)
    vectors = np.concatenate([blob(rng, 100), blob(rng, 20, away=0.45)])
    labels = np.zeros(120, dtype=np.int64)
    assert (split_loose_groups(labels, graph_of(vectors), 15) == 0).all()


def test_noise_and_other_groups_are_untouched_and_parts_without_a_bridge_come_apart() -> None:
    rng = np.random.default_rng(3)
    vectors = np.concatenate([blob(rng, 50), blob(rng, 40, away=3.0), blob(rng, 50, away=-3.0), blob(rng, 10)])
    labels = np.array([0] * 90 + [1] * 50 + [-1] * 10)
    apart = split_loose_groups(labels, graph_of(vectors), 15)
    assert (apart[:50] == 0).all()
    assert (apart[50:90] == 2).all()
    assert (apart[90:] == labels[90:]).all()


def test_three_kinds_come_apart_in_two_steps() -> None:
    rng = np.random.default_rng(4)
    vectors = np.concatenate([blob(rng, 50, away=away) for away in (-0.6, 0.0, 0.6)])
    apart = split_loose_groups(np.zeros(150, dtype=np.int64), graph_of(vectors), 15)
    assert len(set(apart.tolist())) == 3


def test_nothing_at_all() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert len(split_loose_groups(nothing, scipy.sparse.csr_matrix((0, 0)), 5)) == 0
