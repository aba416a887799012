from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain.cluster import NOISE
from shoal_server.domain.groupings import Moment
from shoal_server.domain.moments import (
    FEWEST_IMAGES,
    LONGEST_GAP,
    SHORTEST_GAP,
    describe_moments,
    local_time,
    local_times,
    moment_of,
    moments_in,
)

NOON = datetime(2019, 7, 14, 12, 0)


def texts(start: datetime, count: int, every: timedelta) -> list[str]:
    return [(start + number * every).isoformat() for number in range(count)]


def labels_of(captured_at: list[str]) -> list[int]:
    labels: list[int] = moments_in(local_times(captured_at)).tolist()
    return labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-07-14T14:05:09", datetime(2019, 7, 14, 14, 5, 9)),
        ("2019-07-14T14:05:09Z", datetime(2019, 7, 14, 14, 5, 9)),
        # The wall clock counts, whatever the time zone.
        ("2019-07-14T14:05:09+05:30", datetime(2019, 7, 14, 14, 5, 9)),
        ("2019-07-14T14:05:09.25-08:00", datetime(2019, 7, 14, 14, 5, 9, 250_000)),
        ("2019-07-14t14:05:09.123456789z", datetime(2019, 7, 14, 14, 5, 9, 123_456)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59)),
        ("0000-00-00T00:00:00", None),
        ("0001-01-01T00:00:00", None),
        ("1899-12-31T23:59:59", None),
        ("2100-01-01T00:00:00", None),
        ("2019-02-29T12:00:00", None),
        ("2019-07-14T24:00:00", None),
        ("2019-07-14", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_the_one_on_the_wall_or_none(text: str | None, expected: datetime | None) -> None:
    assert local_time(text) == expected


@given(
    st.one_of(st.text(), st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}.*", fullmatch=True))
)
def test_no_text_makes_it_raise(text: str) -> None:
    time = local_time(text)
    assert time is None or (1900 <= time.year < 2100 and time.tzinfo is None)
    moment = Moment(1, "", 5, NOON, NOON)
    assert moment_of(text, [moment]) in (None, 1)
    assert len(moments_in(local_times([text, None]))) == 2


def test_a_wedding_and_a_slow_holiday_are_each_cut_as_people_would() -> None:
    wedding = texts(datetime(2019, 6, 1, 14, 0), 200, timedelta(minutes=1))
    evening = texts(datetime(2019, 6, 1, 21, 0), 80, timedelta(minutes=1))
    holiday = texts(datetime(2019, 8, 3, 9, 0), 60, timedelta(hours=5))
    assert labels_of(wedding + evening + holiday) == [0] * 200 + [1] * 80 + [2] * 60


def test_a_short_break_ends_no_moment_and_a_day_always_does() -> None:
    bursts = [*texts(NOON, 20, timedelta(seconds=1)), *texts(NOON + SHORTEST_GAP, 20, timedelta(seconds=1))]
    assert set(labels_of(bursts)) == {0}
    daily = texts(NOON, 50, LONGEST_GAP + timedelta(seconds=1))
    assert set(labels_of(daily)) == {NOISE}
    every_day = texts(NOON, 50, LONGEST_GAP)
    assert set(labels_of(every_day)) == {0}


def test_few_images_are_no_moment() -> None:
    few = texts(NOON, FEWEST_IMAGES - 1, timedelta(minutes=1))
    enough = texts(NOON + timedelta(days=3), FEWEST_IMAGES, timedelta(minutes=1))
    assert labels_of(few + enough) == [NOISE] * len(few) + [0] * len(enough)


def test_nonsense_is_in_no_moment() -> None:
    assert labels_of(["0000-00-00T00:00:00"] * 10 + ["never"] * 10) == [NOISE] * 20
    assert labels_of([]) == []


@given(st.lists(st.integers(0, 10**7), max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(seconds: list[int], random: object) -> None:
    times = np.array(seconds, dtype=np.int64) * 1_000_000 + np.datetime64("2019-07-14", "us").astype(np.int64)
    labels = moments_in(times.astype("datetime64[us]"))
    order = np.argsort(times, kind="stable")
    assert (moments_in(times[order].astype("datetime64[us]")) == labels[order]).all()
    found = labels[order][labels[order] != NOISE]
    assert (np.diff(found) >= 0).all()
    assert all(np.sum(labels == label) >= FEWEST_IMAGES for label in np.unique(found))


def test_names_say_when() -> None:
    stretches = [
        (datetime(2019, 7, 14, 14, 5), timedelta(hours=2)),
        (datetime(2019, 7, 20, 22, 30), timedelta(hours=4)),
        (datetime(2019, 8, 3, 9, 0), timedelta(days=2)),
        (datetime(2019, 12, 30, 9, 0), timedelta(days=3)),
    ]
    times = local_times([time.isoformat() for start, length in stretches for time in (start, start + length)])
    moments = describe_moments(np.array([7, 7, 3, 3, 9, 9, 2, 2]), times)
    assert [moment.name for moment in moments] == [
        "2019-07-14 14:05",
        "2019-07-20 22:30",
        "2019-08-03 to 08-05",
        "2019-12-30 to 2020-01-02",
    ]
    assert [(moment.id, moment.size) for moment in moments] == [(7, 2), (3, 2), (9, 2), (2, 2)]
    assert (moments[0].start, moments[0].end) == (datetime(2019, 7, 14, 14, 5), datetime(2019, 7, 14, 16, 5))


def test_a_new_image_joins_the_moment_it_lies_in_or_just_beside() -> None:
    moments = [
        Moment(1, "a", 5, NOON, NOON + timedelta(hours=1)),
        Moment(2, "b", 5, NOON + timedelta(hours=1, minutes=40), NOON + timedelta(hours=3)),
    ]

    def at(**away: float) -> int | None:
        return moment_of((NOON + timedelta(**away)).isoformat() + "+09:00", moments)

    assert at(minutes=20) == 1
    assert at(minutes=-30) == 1
    assert at(minutes=-31) is None
    assert at(minutes=75) == 1
    assert at(minutes=90) == 2
    assert at(hours=3.5) == 2
    assert at(hours=3.6) is None
    assert moment_of(NOON.isoformat(), []) is None
    assert moment_of(None, moments) is None


def test_what_joins_when_it_comes_is_in_the_moment_when_all_is_cut_again() -> None:
    old = texts(NOON, 30, timedelta(seconds=20))
    late = (datetime.fromisoformat(old[-1]) + SHORTEST_GAP).isoformat()
    times = local_times(old)
    [moment] = describe_moments(moments_in(times) + 1, times)
    assert moment_of(late, [moment]) == moment.id
    assert set(labels_of([*old, late])) == {0}
