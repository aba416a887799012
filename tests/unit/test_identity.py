from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from shoal_server.domain.assignment_problem import maximum_weight_matching
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.identity import ENOUGH, match_identities

NEXT = 100


@st.composite
def partitions(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Old ids and new labels of the same images; anything goes, but often the new groups are like the old ones."""
    n = draw(st.integers(0, 60))
    old = np.array(draw(st.lists(st.integers(-1, 7), min_size=n, max_size=n)), dtype=np.int64)
    old = np.where(old >= 0, old * 3 + 2, old)
    new = np.array(draw(st.lists(st.integers(-1, 7), min_size=n, max_size=n)), dtype=np.int64)
    stays = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=np.bool_)
    return old, np.where(stays, old, new)


def groups(**holdings: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``g3="1*40 2*10 -*5"``: the new group 3 holds 40 images of old cluster 1, 10 of 2 and 5 of none."""
    old: list[int] = []
    new: list[int] = []
    for group, held in holdings.items():
        for part in held.split():
            cluster, count = part.split("*")
            old += [NOISE if cluster == "-" else int(cluster)] * int(count)
            new += [NOISE if group == "noise" else int(group[1:])] * int(count)
    return np.array(old, dtype=np.int64), np.array(new, dtype=np.int64)


def test_a_cluster_that_grows_keeps_its_id() -> None:
    match = match_identities(*groups(g0="1*10 -*90", g1="2*10"), NEXT)
    assert match.ids == {0: 1, 1: 2}
    assert (match.kept, match.born, match.dissolved, match.next_id) == ((1, 2), (), (), NEXT)


def test_a_cluster_that_shrinks_to_its_core_keeps_its_id() -> None:
    assert match_identities(*groups(g0="1*10", noise="1*90"), NEXT).ids == {0: 1}


def test_a_split_leaves_the_id_with_the_larger_part() -> None:
    match = match_identities(*groups(g0="1*40", g1="1*60"), NEXT)
    assert match.ids == {1: 1, 0: NEXT}
    assert (match.kept, match.born, match.next_id) == ((1,), (NEXT,), NEXT + 1)


def test_a_merge_keeps_the_id_of_the_larger_contributor() -> None:
    match = match_identities(*groups(g0="1*40 2*60"), NEXT)
    assert match.ids == {0: 2}
    assert (match.kept, match.born, match.dissolved) == ((2,), (), (1,))


def test_a_scattered_cluster_dissolves() -> None:
    match = match_identities(*groups(g0="1*10 -*40", g1="1*10 -*30", noise="1*10"), NEXT)
    assert match.ids == {0: NEXT, 1: NEXT + 1}
    assert match.dissolved == (1,)


def test_a_pair_that_cannot_be_the_same_takes_no_id_from_one_that_can() -> None:
    # Group 0 holds more of cluster 1 than of cluster 2, but too little to be it.
    match = match_identities(*groups(g0="1*60 2*55 -*85", noise="1*140"), NEXT)
    assert match.ids == {0: 2}
    assert match.dissolved == (1,)


def test_the_first_run_numbers_by_size() -> None:
    match = match_identities(*groups(g0="-*5", g1="-*9", g2="-*5", noise="-*3"), 1)
    assert match.ids == {1: 1, 0: 2, 2: 3}
    assert match.next_id == 4


def test_no_images_no_clusters() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    match = match_identities(nothing, nothing, 5)
    assert (match.ids, match.kept, match.born, match.dissolved, match.next_id) == ({}, (), (), (), 5)
    assert match.cluster_ids(nothing).tolist() == []


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="go with"):
        match_identities(np.array([1]), np.array([0, 1]), 5)
    with pytest.raises(ValueError, match="given already"):
        match_identities(np.array([5]), np.array([0]), 5)


@given(partitions())
def test_an_identical_partition_keeps_every_id(partition: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    old, _ = partition
    match = match_identities(old, old, NEXT)
    assert (match.cluster_ids(old) == old).all()
    assert (match.born, match.dissolved, match.next_id) == ((), (), NEXT)


@given(partitions())
def test_ids_are_unique_and_accounted_for(partition: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    old, new = partition
    match = match_identities(old, new, NEXT)
    assert set(match.ids) == set(new.tolist()) - {NOISE}
    assert len(set(match.ids.values())) == len(match.ids)
    assert sorted(match.ids.values()) == sorted(match.kept + match.born)
    assert match.born == tuple(range(NEXT, match.next_id))
    assert sorted(match.kept + match.dissolved) == sorted(set(old.tolist()) - {NOISE})
    assert ((match.cluster_ids(new) == NOISE) == (new == NOISE)).all()
    for label, cluster in match.ids.items():
        if cluster < NEXT:
            overlap = ((old == cluster) & (new == label)).sum()
            assert overlap >= ENOUGH * min((old == cluster).sum(), (new == label).sum())
    sizes = [(new == label).sum() for label, _ in sorted(match.ids.items(), key=lambda item: item[1]) if _ >= NEXT]
    assert sizes == sorted(sizes, reverse=True)


@given(partitions(), st.randoms(use_true_random=False))
def test_the_names_of_labels_do_not_matter(
    partition: tuple[NDArray[np.int64], NDArray[np.int64]], random: np.random.Generator
) -> None:
    old, new = partition
    labels = sorted(set(new.tolist()) - {NOISE})
    others = list(range(50, 50 + len(labels)))
    random.shuffle(others)
    renamed = np.array([dict(zip(labels, others, strict=True)).get(label, NOISE) for label in new.tolist()], np.int64)
    before, after = match_identities(old, new, NEXT), match_identities(old, renamed, NEXT)
    assert (before.cluster_ids(new) == after.cluster_ids(renamed)).all()


@given(partitions(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(
    partition: tuple[NDArray[np.int64], NDArray[np.int64]], random: np.random.Generator
) -> None:
    old, new = partition
    order = list(range(len(old)))
    random.shuffle(order)
    before, after = match_identities(old, new, NEXT), match_identities(old[order], new[order], NEXT)
    assert (before.kept, before.born, before.dissolved) == (after.kept, after.born, after.dissolved)

    # Groups alike in size and in what they hold may change places; everything else is the same image by image.
    def outcome(old: NDArray[np.int64], ids: NDArray[np.int64]) -> list[tuple[int, int]]:
        return sorted(zip(old.tolist(), ids.tolist(), strict=True))

    assert outcome(old, before.cluster_ids(new)) == outcome(old[order], after.cluster_ids(new[order]))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(0.05, 1), st.integers(1, 1000))
def test_a_matching_is_as_heavy_as_the_best(rows: int, columns: int, seed: int, density: float, heaviest: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(1, heaviest + 1, size=(rows, columns)) * (rng.random((rows, columns)) < density)
    i, j = np.nonzero(table)
    chosen = maximum_weight_matching(i, j, table[i, j])
    best = linear_sum_assignment(table, maximize=True)
    assert table[i, j][chosen].sum() == table[best].sum()
    assert len(set(i[chosen].tolist())) == len(set(j[chosen].tolist())) == len(chosen)
    # Counting every edge a little more than its weight finds the largest among the heaviest matchings.
    counted = table * 10 + (table > 0)
    assert len(chosen) == counted[linear_sum_assignment(counted, maximize=True)].sum() - 10 * table[best].sum()


def test_thousands_of_clusters_are_matched_in_a_moment() -> None:
    rng = np.random.default_rng(0)
    old = rng.integers(1, 3001, size=200_000)
    new = np.where(rng.random(len(old)) < 0.8, old, rng.integers(1, 3001, size=len(old)))
    match = match_identities(old, new, 3001)
    assert (match.cluster_ids(new) == new).all()


def test_a_cluster_that_dissolved_and_is_found_again_returns_under_its_id() -> None:
    old = np.array([1, 1, 1, -1, -1, -1, -1])
    last = np.array([1, 1, 1, 5, 5, 5, -1])
    match = match_identities(old, np.array([0, 0, 0, 1, 1, 1, 1]), 9, last)
    assert match.ids == {0: 1, 1: 5}
    assert (match.returned, match.born, match.next_id) == ((5,), (), 9)


def test_a_few_leftovers_of_a_dissolved_cluster_bring_nothing_back() -> None:
    last = np.array([5, 5, 5, -1, -1, -1, -1, -1])
    match = match_identities(np.full(8, -1), np.array([0, 0, -1, 0, 0, 0, 0, 0]), 9, last)
    assert (match.ids, match.returned, match.born) == ({0: 9}, (), (9,))


def test_an_id_in_force_never_returns_elsewhere() -> None:
    match = match_identities(np.array([3, 3, -1, -1, -1]), np.array([0, 0, 1, 1, 1]), 9, np.array([3, 3, 3, 3, 3]))
    assert match.ids == {0: 3, 1: 9}
