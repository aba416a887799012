"""Centroids, exemplars, borderline images, cohesion and separation."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.domain.portraits import portraits


def rays(*degrees: float) -> NDArray[np.float32]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


IDS = [UUID(int=number) for number in range(20)]


def test_the_middle_is_typical_and_the_edge_towards_the_other_cluster_is_borderline() -> None:
    vectors = rays(0, 10, 20, 90, 100, 110)
    found = portraits(IDS[:6], vectors, np.array([1, 1, 1, 2, 2, 2]), [1, 2], {})
    assert found[1].exemplars[0] == IDS[1]
    assert found[1].borderline[0] == IDS[2]
    assert found[2].borderline[0] == IDS[3]
    assert found[1].size == 3
    assert found[1].centroid == pytest.approx(rays(10)[0], abs=1e-6)
    assert found[1].cohesion == pytest.approx((1 + 2 * np.cos(np.radians(10))) / 3, abs=1e-6)
    assert found[1].separation > 0.9


def test_two_clusters_in_one_place_are_not_separated() -> None:
    vectors = rays(0, 20, 1, 19)
    found = portraits(IDS[:4], vectors, np.array([1, 1, 2, 2]), [1, 2], {})
    assert abs(found[1].separation) < 0.2


def test_the_medoid_stands_first() -> None:
    vectors = np.random.default_rng(3).normal(size=(15, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = portraits(IDS[:15], vectors, np.zeros(15, np.int64), [0], {})
    assert found[0].exemplars[0] == IDS[int(np.argmax((vectors @ vectors.T).sum(axis=1)))]


def test_a_cluster_alone_has_no_borderline() -> None:
    found = portraits(IDS[:3], rays(0, 5, 10), np.array([4, 4, -1]), [4], {})
    assert found[4].borderline == ()
    assert found[4].separation == 0.0


def test_others_count_though_their_images_are_not_there() -> None:
    found = portraits(IDS[:2], rays(0, 40), np.array([1, 1]), [1], {9: rays(50)[0]})
    assert found[1].borderline[0] == IDS[1]
