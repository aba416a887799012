from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.domain.fingerprints import fingerprints, have_changed


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    return unit(np.random.default_rng(0).standard_normal((5_000, 64)))


def test_a_vector_that_is_another_one_is_seen(vectors: NDArray[np.float32]) -> None:
    now = vectors.copy()
    now[[3, 40]] = unit(vectors[[3, 40]] + 0.02 * vectors[[4, 41]])
    now[100] = -vectors[100]
    assert np.flatnonzero(have_changed(fingerprints(now), fingerprints(vectors))).tolist() == [3, 40, 100]


def test_last_bits_are_no_change(vectors: NDArray[np.float32]) -> None:
    bits = np.random.default_rng(1).integers(-3, 4, size=vectors.shape, dtype=np.int32)
    again = (vectors.view(np.int32) + bits).view(np.float32)
    assert (again != vectors).any(axis=1).all()
    assert not have_changed(fingerprints(again), fingerprints(vectors)).any()


def test_all_vectors_of_another_model_are_seen(vectors: NDArray[np.float32]) -> None:
    others = unit(np.random.default_rng(1).standard_normal(vectors.shape))
    assert have_changed(fingerprints(others), fingerprints(vectors)).all()


def test_of_what_is_not_known_no_change_is_told(vectors: NDArray[np.float32]) -> None:
    unknown = np.full(len(vectors), np.nan, dtype=np.float32)
    assert not have_changed(fingerprints(vectors), unknown).any()
    assert fingerprints(np.zeros((0, 8), np.float32)).shape == (0,)


def test_they_are_the_same_in_every_version() -> None:
    axes = np.eye(4, dtype=np.float32)
    assert fingerprints(axes).dtype == np.float32
    assert fingerprints(axes).tolist() == pytest.approx([0.27392337, -0.46042657, -0.91805297, -0.96694475], abs=1e-6)
