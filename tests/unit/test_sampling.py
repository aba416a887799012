"""Which images stand for all of them."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.domain.sampling import ENOUGH, lots, stratified_sample

NONE, NEW = -1, -2


def ids_of(numbers: range) -> list[UUID]:
    """Ids one after another, as an owner's own may be."""
    return [UUID(int=number) for number in numbers]


def strata_of(**sizes: int) -> NDArray[np.int64]:
    """Strata one after another, by their sizes."""
    return np.repeat(np.arange(len(sizes)), list(sizes.values()))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(1, 900), st.integers(0, 2**32 - 1))
def test_a_sample_is_as_large_as_asked_for_and_of_every_stratum_there_is_room_for(
    sizes: list[int], size: int, seed: int
) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    sample = stratified_sample(lots(ids_of(range(len(strata))), seed), strata, size)
    assert len(sample) == min(size, len(strata))
    assert (np.diff(sample) > 0).all()
    taken = np.bincount(strata[sample], minlength=len(sizes))
    if size < len(strata):
        # Half of the sample is shared evenly if need be.
        assert (taken >= np.minimum(sizes, min(ENOUGH, size // 2 // len(sizes)))).all()


def test_small_clusters_do_not_vanish_and_large_ones_have_their_share() -> None:
    strata = strata_of(huge=60_000, large=20_000, noise=19_000, small=900, tiny=40)
    sample = stratified_sample(lots(ids_of(range(len(strata))), 1), strata, 5_000)
    taken = np.bincount(strata[sample])
    assert taken[3:].tolist() == [ENOUGH, 40]
    assert taken[:3] / taken[:3].sum() == pytest.approx(np.array([60, 20, 19]) / 99, abs=1e-3)


def test_without_clusters_every_image_is_as_likely_as_another() -> None:
    drawn = lots(ids_of(range(20_000)), 42)
    sample = stratified_sample(drawn, np.zeros(20_000, np.int64), 2_000)
    parts = np.histogram(sample, bins=10, range=(0, 20_000))[0]
    assert parts.min() > 140
    assert parts.max() < 260


def test_the_order_of_the_images_does_not_matter() -> None:
    ids = ids_of(range(3_000))
    strata = np.arange(3_000) % 7
    shuffled = np.random.default_rng(0).permutation(3_000)
    sample = stratified_sample(lots(ids, 5), strata, 400)
    other = stratified_sample(lots([ids[row] for row in shuffled], 5), strata[shuffled], 400)
    assert set(shuffled[other].tolist()) == set(sample.tolist())


def test_another_seed_draws_another_sample() -> None:
    ids = ids_of(range(3_000))
    one, other = (stratified_sample(lots(ids, seed), np.zeros(3_000, np.int64), 300) for seed in (1, 2))
    assert len(np.intersect1d(one, other)) < 60


def test_the_sample_of_a_collection_that_grew_is_mostly_the_same() -> None:
    strata = strata_of(first=6_000, second=2_000, noise=1_800, small=200)
    before = stratified_sample(lots(ids_of(range(10_000)), 3), strata, 2_000)
    grown = np.concatenate([strata, np.full(500, NEW)])
    after = stratified_sample(lots(ids_of(range(10_500)), 3), grown, 2_000)
    assert len(np.intersect1d(before, after)) >= 0.9 * 2_000
    # ... and what is new is looked at.
    assert (grown[after] == NEW).sum() >= 95


def test_the_sample_from_before_there_were_clusters_is_mostly_the_same() -> None:
    drawn = lots(ids_of(range(10_000)), 3)
    strata = strata_of(first=6_000, second=2_000, noise=1_800, small=200)
    before = stratified_sample(drawn, np.zeros(10_000, np.int64), 2_000)
    after = stratified_sample(drawn, strata, 2_000)
    assert len(np.intersect1d(before, after)) >= 0.9 * 2_000


def test_few_images_are_all_taken() -> None:
    assert stratified_sample(lots(ids_of(range(5)), 0), np.array([1, 1, 2, 2, 3]), 5).tolist() == [0, 1, 2, 3, 4]
