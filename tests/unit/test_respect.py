"""What people corrected wins over the algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE, Cluster, Hold, NameSource
from shoal_server.domain.correction import Correction, CorrectionKind
from shoal_server.domain.respect import Standing, families_of, respect, stays


def cluster(cluster_id: int, *holds: Hold, named: bool = False) -> Cluster:
    return Cluster(
        id=cluster_id,
        name=f"name {cluster_id}",
        name_source=NameSource.PERSON if named else NameSource.AUTOMATIC,
        candidates=(),
        size=1,
        centroid=np.zeros(2, np.float32),
        cohesion=1.0,
        threshold=0.5,
        exemplars=(),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        holds=frozenset(holds),
    )


def standing(
    old: list[int],
    *clusters: Cluster,
    placed: list[int] | None = None,
    dissolved: dict[int, int] | None = None,
    voted: list[int] | None = None,
    families: Sequence[frozenset[int]] = (),
) -> Standing:
    dissolved_ids = np.full(len(old), NOISE, dtype=np.int64)
    for row, cluster_id in (dissolved or {}).items():
        dissolved_ids[row] = cluster_id
    return Standing(
        {each.id: each for each in clusters},
        np.array(old, dtype=np.int64),
        ~np.isin(np.arange(len(old)), voted or []),
        np.isin(np.arange(len(old)), placed or []),
        dissolved_ids,
        families,
    )


def correction(kind: CorrectionKind, *clusters: int, undone: bool = False) -> Correction:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Correction("c", kind, "ada", at, clusters, 1, "", (), undone_at=at if undone else None)


def after(state: Standing, found: list[int], neighbors: NDArray[np.int64] | None = None) -> list[int]:
    rows = np.zeros((len(found), 0), np.int64) if neighbors is None else neighbors
    ids: list[int] = respect(state, np.array(found, dtype=np.int64), rows).cluster_ids.tolist()
    return ids


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=40), st.lists(st.integers(-1, 5), min_size=40, max_size=40))
def test_without_corrections_nothing_changes(old: list[int], found: list[int]) -> None:
    state = standing(old, *(cluster(each) for each in sorted(set(old) - {NOISE})))
    assert after(state, found[: len(old)]) == found[: len(old)]


def test_an_image_that_was_moved_stays_where_it_was_put() -> None:
    state = standing([1, 1, 2, 2, 2], cluster(1), cluster(2), placed=[1, 4])
    assert after(state, [1, 2, 2, 2, 1]) == [1, 1, 2, 2, 2]


def test_an_image_that_was_moved_out_stays_out() -> None:
    state = standing([1, 1, 1, NOISE], cluster(1), placed=[3])
    assert after(state, [1, 1, 1, 1]) == [1, 1, 1, NOISE]


def test_merged_clusters_do_not_fall_apart() -> None:
    state = standing([1] * 6 + [3] * 3, cluster(1, Hold.MERGED), cluster(3))
    assert after(state, [1, 1, 1, 9, 9, 9, 3, 3, 3]) == [1] * 6 + [3] * 3


def test_what_is_mostly_of_another_cluster_does_not_become_part_of_a_merged_one() -> None:
    state = standing([1] * 4 + [3] * 6, cluster(1, Hold.MERGED), cluster(3))
    assert after(state, [1, 1, 1, 9, 9, 9, 9, 3, 3, 3]) == [1, 1, 1, 9, 9, 9, 9, 3, 3, 3]


def test_a_cluster_that_nobody_merged_may_fall_apart() -> None:
    assert after(standing([1] * 6, cluster(1)), [1, 1, 1, 9, 9, 9]) == [1, 1, 1, 9, 9, 9]


def test_a_pinned_cluster_keeps_its_images() -> None:
    state = standing([1, 1, 1, 2, 2], cluster(1, Hold.PINNED), cluster(2))
    assert after(state, [1, 2, NOISE, 2, 1]) == [1, 1, 1, 2, 1]


@pytest.mark.parametrize("hold", [Hold.PINNED, Hold.MERGED])
def test_a_new_group_does_not_become_part_of_a_held_cluster_because_of_a_few_votes(hold: Hold) -> None:
    state = standing([1] * 7 + [NOISE] * 20, cluster(1, hold), voted=list(range(4, 27)))
    assert after(state, [1] * 4 + [9] * 23) == [1] * 4 + [9] * 23


def test_a_wrong_vote_for_a_pinned_cluster_is_put_right() -> None:
    state = standing([1, 1, 1, 1, 2, 2], cluster(1, Hold.PINNED), cluster(2), placed=[3], voted=[2, 3])
    assert after(state, [1, NOISE, 2, 2, 2, 2]) == [1, 1, 2, 1, 2, 2]


def test_a_cluster_with_a_persons_name_does_not_vanish() -> None:
    state = standing([1, 1, 1, 2, 2, 2, 2], cluster(1, named=True), cluster(2))
    assert after(state, [2] * 7) == [1, 1, 1, 2, 2, 2, 2]
    assert after(state, [NOISE] * 3 + [2] * 4) == [1, 1, 1, 2, 2, 2, 2]


def test_a_nameless_cluster_may_vanish() -> None:
    assert after(standing([1, 1, 1, 2, 2, 2, 2], cluster(1), cluster(2)), [2] * 7) == [2] * 7


def test_what_was_split_stays_apart_and_new_images_go_to_the_side_they_look_like() -> None:
    parts = cluster(1, Hold.SPLIT), cluster(2, Hold.SPLIT)
    state = standing([1, 1, 1, 2, 2, 2, NOISE, NOISE], *parts, families=[frozenset({1, 2})])
    neighbors = np.array([[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4], [3, 4], [0, 1]], dtype=np.int64)
    assert after(state, [1] * 8, neighbors) == [1, 1, 1, 2, 2, 2, 2, 1]


def test_images_do_not_stray_from_one_part_of_a_split_to_another() -> None:
    parts = cluster(1, Hold.SPLIT), cluster(2, Hold.SPLIT)
    state = standing([1, 1, 1, 2, 2, 2], *parts, families=[frozenset({1, 2})])
    assert after(state, [1, 1, 2, 2, 2, 1]) == [1, 1, 1, 2, 2, 2]


def test_images_pass_between_parts_of_different_splits() -> None:
    parts = [cluster(each, Hold.SPLIT) for each in (1, 2, 3, 4)]
    state = standing([1, 1, 1, 2, 3, 4], *parts, families=[frozenset({1, 2}), frozenset({3, 4})])
    assert after(state, [1, 2, 3, 2, 3, 4]) == [1, 1, 3, 2, 3, 4]


def test_families_are_of_splits_that_stand_and_of_what_was_merged_with_their_parts() -> None:
    split, merge, move = CorrectionKind.SPLIT, CorrectionKind.MERGE, CorrectionKind.MOVE
    done = [
        correction(split, 1, 2),
        correction(split, 3, 4),
        correction(move, 1, 3),
        correction(split, 5, 6, undone=True),
        correction(split, 2, 7, 8),
        correction(merge, 9, 4),
        correction(merge, 1, 9, undone=True),
    ]
    assert set(families_of(done)) == {frozenset({1, 2, 7, 8}), frozenset({3, 4, 9})}
    assert set(families_of(reversed(done))) == set(families_of(done))


def test_what_was_dissolved_is_not_found_again_nor_its_newcomers() -> None:
    state = standing([NOISE] * 5 + [2, 2], cluster(2), dissolved={0: 1, 1: 1, 2: 1})
    found = np.array([7, 7, 7, 7, NOISE, 2, 2], dtype=np.int64)
    respected = respect(state, found, np.zeros((7, 0), np.int64))
    assert respected.cluster_ids.tolist() == [NOISE] * 5 + [2, 2]
    assert respected.dissolved_ids.tolist() == [1, 1, 1, 1] + [NOISE] * 3
    assert respected.changed == 4


def test_images_of_a_dissolved_cluster_may_join_others() -> None:
    state = standing([NOISE, NOISE, 2, 2], cluster(2), dissolved={0: 1, 1: 1})
    respected = respect(state, np.array([2, NOISE, 2, 2], dtype=np.int64), np.zeros((4, 0), np.int64))
    assert respected.cluster_ids.tolist() == [2, NOISE, 2, 2]
    assert respected.dissolved_ids.tolist() == [NOISE, 1, NOISE, NOISE]


def test_a_cluster_does_not_vanish_because_another_one_is_restored() -> None:
    clusters = [cluster(0, Hold.PINNED), cluster(1, named=True), cluster(2, Hold.MERGED)]
    state = standing([0, 0, 0, 0, 0, 1, 2], *clusters)
    assert after(state, [0, 0, 0, 0, 2, 0, 1]) == [0, 0, 0, 0, 0, 1, 2]


def test_what_came_later_stays_where_people_put_it() -> None:
    clusters = [cluster(1), cluster(2, Hold.SPLIT), cluster(3, Hold.SPLIT), cluster(4, named=True), cluster(5)]
    old = [1, 2, 1, 1, NOISE, NOISE, 3, 4, 5, NOISE]
    state = standing(old, *clusters, placed=[3, 4], dissolved={5: 6})
    seen = np.arange(len(old)) < 2
    assert stays(state, seen).tolist() == [False] * 3 + [True] * 5 + [False] * 2


def test_what_came_later_to_a_cluster_that_the_run_saw_is_voted_on() -> None:
    state = standing([1, 1, 1], cluster(1, Hold.PINNED))
    assert not stays(state, np.array([True, True, False])).any()


def test_a_cluster_that_a_later_image_was_moved_into_does_not_vanish() -> None:
    state = standing([1, 1, 2, 2, 2, 1], cluster(1), cluster(2), placed=[5])
    assert after(state, [2, 2, 2, 2, 2]) == [1, 1, 2, 2, 2, 1]


def test_a_kept_cluster_does_not_live_on_in_what_came_later_alone() -> None:
    state = standing([1, 1, 2, 2, 1], cluster(1, Hold.SPLIT), cluster(2))
    assert after(state, [2, 2, 2, 2]) == [1, 1, 2, 2, 1]


def test_a_later_image_of_a_dissolved_cluster_stays_out() -> None:
    state = standing([2, 2, NOISE], cluster(2), dissolved={2: 1})
    respected = respect(state, np.array([2, 2], dtype=np.int64), np.zeros((2, 0), np.int64))
    assert respected.cluster_ids.tolist() == [2, 2, NOISE]
    assert respected.dissolved_ids.tolist() == [NOISE, NOISE, 1]
    assert respected.changed == 0


@given(st.lists(st.integers(-1, 3), min_size=4, max_size=30), st.data())
def test_whatever_a_run_finds_people_win(old: list[int], data: st.DataObject) -> None:
    found = data.draw(st.lists(st.integers(-1, 8), min_size=len(old), max_size=len(old)))
    placed = data.draw(st.lists(st.integers(0, len(old) - 1), max_size=3))
    clusters = [cluster(0, Hold.PINNED), cluster(1, named=True), cluster(2, Hold.MERGED), cluster(3)]
    state = standing(old, *clusters, placed=placed)
    ids = np.array(after(state, found))
    before = np.array(old)
    assert (ids[placed] == before[placed]).all()
    assert (ids[(before == 0)] == 0).all()
    for kept in (0, 1, 2):
        assert kept in ids or kept not in before
