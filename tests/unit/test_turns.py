"""Meetings of parts: each in its turn, whoever is how quick."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from shoal_server.adapters.umap_hdbscan.turns import hold, tournament


@pytest.mark.parametrize("parts", [1, 2, 4, 8, 16])
def test_in_a_tournament_every_two_meet_once_and_nobody_is_needed_twice_at_a_time(parts: int) -> None:
    meetings = tournament(parts)
    if parts == 1:
        assert meetings == [(0, 0)]
        return
    assert sorted(tuple(sorted(pair)) for pair in meetings) == list(itertools.combinations(range(parts), 2))
    for first in range(0, len(meetings), parts // 2):
        assert sorted(itertools.chain(*meetings[first : first + parts // 2])) == list(range(parts))


@pytest.mark.parametrize(("parts", "threads"), [(2, 1), (2, 3), (4, 2), (8, 2), (8, 4), (8, 9)])
def test_every_part_has_its_meetings_in_their_order_though_some_take_long(parts: int, threads: int) -> None:
    meetings, seasons = tournament(parts), 5
    had: list[list[tuple[int, int]]] = [[] for _ in range(parts)]
    at_work = [threading.Lock() for _ in range(parts)]
    pauses = np.random.default_rng(0).exponential(0.0005, (seasons, len(meetings)))
    told: list[int] = []

    def meet(season: int, meeting: int) -> None:
        for part in meetings[meeting]:
            assert at_work[part].acquire(blocking=False), "a part meets two others at once"
        time.sleep(pauses[season, meeting])
        for part in meetings[meeting]:
            had[part].append((season, meeting))
            at_work[part].release()

    hold(meetings, seasons, meet, told.append, threads)
    for part in range(parts):
        own = [number for number, pair in enumerate(meetings) if part in pair]
        assert had[part] == list(itertools.product(range(seasons), own))
    assert told == sorted(set(told))


def test_who_is_held_up_holds_up_nobody_else() -> None:
    meetings = tournament(8)
    begun: list[int] = []
    others_went_on = threading.Event()

    def meet(season: int, meeting: int) -> None:
        begun.append(meeting)
        if meeting == 0:
            assert others_went_on.wait(10)
        elif meeting >= 4:
            others_went_on.set()

    hold(meetings, 1, meet, lambda season: None, 2)
    assert sorted(begun) == list(range(len(meetings)))


@pytest.mark.parametrize("threads", [1, 3])
def test_what_goes_wrong_ends_it(threads: int) -> None:
    meetings = tournament(8)
    held: list[int] = []

    def meet(season: int, meeting: int) -> None:
        if season == 1:
            raise MemoryError
        held.append(meeting)

    with pytest.raises(MemoryError):
        hold(meetings, 1_000, meet, lambda season: None, threads)
    assert len(held) <= len(meetings)


def test_who_is_told_may_end_it() -> None:
    def on_season(season: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold(tournament(4), 1_000_000, lambda season, meeting: time.sleep(0.0001), on_season, 2)
