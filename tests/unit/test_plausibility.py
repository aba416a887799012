"""The sanity gate lets change through and stops accidents."""

from __future__ import annotations

import numpy as np
import pytest

from shoal_server.domain.plausibility import Change, objections


def partition(clusters: int, each: int, noise: int = 0) -> list[int]:
    return [number for number in range(clusters) for _ in range(each)] + [-1] * noise


def verdict(old: list[int], new: list[int], arrived: int = 0, same_settings: bool = True) -> tuple[str, ...]:
    read = np.arange(len(old)) < len(old) - arrived
    return objections(Change(np.array(old), np.array(new), read, same_settings))


def test_the_first_run_is_never_objected_to() -> None:
    assert verdict([-1] * 20, [-1] * 20) == ()
    assert verdict([-1] * 20, partition(2, 10)) == ()


def test_the_same_result_passes() -> None:
    assert verdict(partition(10, 10, 5), partition(10, 10, 5)) == ()


@pytest.mark.parametrize("same_settings", [True, False])
def test_no_clusters_where_there_were_some(same_settings: bool) -> None:
    [reason] = verdict(partition(3, 10), [-1] * 30, same_settings=same_settings)
    assert "no cluster was found, while 3 are in force" in reason


def test_far_fewer_and_far_more_clusters() -> None:
    fewer = [value // 5 for value in partition(20, 10)]
    assert "4 clusters were found, while 20 are in force" in verdict(partition(20, 10), fewer)[0]
    more = list(range(200))
    assert "200 clusters were found" in verdict(partition(20, 10), more)[0]


def test_growth_brings_clusters() -> None:
    assert verdict(partition(10, 10) + [-1] * 200, partition(30, 10), arrived=200) == ()


def test_noise_that_takes_over() -> None:
    old = partition(10, 10)
    new = [value if row % 2 else -1 for row, value in enumerate(old)]
    assert any("50% of the images are in no cluster" in reason for reason in verdict(old, new))


def test_ids_that_are_lost() -> None:
    old = partition(10, 10)
    assert any("only 0% of the clustered" in reason for reason in verdict(old, [value + 100 for value in old]))


def test_what_a_person_asks_for_differently_may_be_different() -> None:
    old = partition(20, 10)
    assert verdict(old, [0] * 200, same_settings=False) == ()
