"""Maximal marginal relevance against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.domain.diversity import diverse_order


def some(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores and unit vectors, best first."""
    vectors = np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = vectors[:, 0]
    order = np.argsort(-scores)
    return scores[order], vectors[order]


def by_definition(scores: NDArray[np.float32], vectors: NDArray[np.float32], diversity: float, limit: int) -> list[int]:
    """The rows that are chosen, one after another."""
    chosen: list[int] = []
    while len(chosen) < min(limit, len(scores)):
        rest = [row for row in range(len(scores)) if row not in chosen]

        def value(row: int) -> float:
            if not chosen:
                return float(scores[row])
            like = max(float(vectors[row] @ vectors[other]) for other in chosen)
            return (1 - diversity) * float(scores[row]) - diversity * like

        chosen.append(max(rest, key=value))
    return chosen


@given(
    n=st.integers(0, 12),
    seed=st.integers(0, 10_000),
    diversity=st.sampled_from([0.1, 0.5, 0.9]),
    limit=st.integers(0, 15),
)
def test_the_order_is_the_one_of_the_definition(n: int, seed: int, diversity: float, limit: int) -> None:
    scores, vectors = some(n, seed)
    order = diverse_order(scores, vectors, diversity, limit)
    assert order.tolist() == by_definition(scores, vectors, diversity, limit)


def test_without_diversity_it_is_the_order_of_the_scores() -> None:
    scores, vectors = some(50, 3)
    assert diverse_order(scores, vectors, 0.0, 50).tolist() == list(range(50))


@pytest.mark.parametrize("diversity", [0.6, 1.0])
def test_a_copy_comes_late_and_each_comes_once(diversity: float) -> None:
    scores, vectors = some(20, 4)
    scores, vectors = np.repeat(scores, 2), np.repeat(vectors, 2, axis=0)
    order = diverse_order(scores, vectors, diversity, 40).tolist()
    assert sorted(order) == list(range(40))
    assert order[0] == 0
    assert order.index(1) > 5


def test_of_equal_ones_the_first_comes_first() -> None:
    vectors = np.tile(np.array([[1, 0]], dtype=np.float32), (4, 1))
    assert diverse_order(np.ones(4, dtype=np.float32), vectors, 0.5, 3).tolist() == [0, 1, 2]
