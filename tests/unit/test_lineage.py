"""What became of clusters, in words."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain.lineage import LineageKind, Share, lineage_of


def kinds(old: list[int], new: list[int], returned: tuple[int, ...] = ()) -> dict[int, LineageKind]:
    existed = set(old) - {-1}
    entries = lineage_of(np.array(old, np.int64), np.array(new, np.int64), existed, returned)
    return {entry.cluster_id: entry.kind for entry in entries}


def test_a_cluster_that_stays_continues_and_one_from_noise_is_born() -> None:
    assert kinds([1, 1, -1, -1], [1, 1, 2, 2]) == {1: LineageKind.CONTINUED, 2: LineageKind.BORN}


def test_a_split_names_the_cluster_it_comes_from() -> None:
    entries = lineage_of(np.array([1, 1, 1, 1, -1]), np.array([1, 1, 2, 2, 2]), {1})
    assert [entry.kind for entry in entries] == [LineageKind.CONTINUED, LineageKind.SPLIT]
    assert entries[1].shares == (Share(1, 2, 0.5, 2 / 3), Share(-1, 1, 1.0, 1 / 3))


def test_a_merge_names_what_came_in_and_what_is_no_more() -> None:
    entries = lineage_of(np.array([1, 1, 1, 2, 2]), np.array([1, 1, 1, 1, 1]), {1, 2})
    assert [(entry.cluster_id, entry.kind) for entry in entries] == [
        (1, LineageKind.MERGED),
        (2, LineageKind.DISSOLVED),
    ]
    assert entries[1].shares == (Share(1, 2, 1.0, 0.4),)


def test_a_few_images_that_change_sides_are_no_merge() -> None:
    assert kinds([1, 1, 2, 2, 2], [1, 1, 1, 2, 2]) == {1: LineageKind.CONTINUED, 2: LineageKind.CONTINUED}


def test_a_returned_cluster_is_not_called_born() -> None:
    assert kinds([-1, -1], [4, 4], returned=(4,)) == {4: LineageKind.RETURNED}


def test_a_cluster_all_of_whose_images_are_gone_dissolved() -> None:
    entries = lineage_of(np.array([1, 1]), np.array([1, 1]), {1, 5})
    assert [(entry.cluster_id, entry.kind) for entry in entries] == [
        (1, LineageKind.CONTINUED),
        (5, LineageKind.DISSOLVED),
    ]


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 6)), max_size=40))
def test_every_image_is_accounted_for(pairs: list[tuple[int, int]]) -> None:
    old = np.array([pair[0] for pair in pairs], np.int64)
    new = np.array([pair[1] for pair in pairs], np.int64)
    entries = lineage_of(old, new, set())
    current = {entry.cluster_id for entry in entries if entry.kind is not LineageKind.DISSOLVED}
    assert current == set(new.tolist()) - {-1}
    for entry in entries:
        total = (new if entry.cluster_id in current else old) == entry.cluster_id
        assert sum(share.images for share in entry.shares) == total.sum()
        assert all(0 < share.of_before <= 1 and 0 < share.of_now <= 1 for share in entry.shares)
