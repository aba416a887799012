"""Numbers, times and schedules in words."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from shoal_client.cli.progress import time_left
from shoal_client.cli.schedule_words import parse_growth, parse_interval, parse_quiet
from shoal_client.cli.words import count, period, ranges
from shoal_server.domain.schedule import MAX_INTERVAL, MIN_INTERVAL


def test_words() -> None:
    assert (count(1, "image"), count(0, "image"), count(2, "is", "are")) == ("1 image", "0 images", "2 are")
    assert ranges([3, 1, 2, 9, 7, 2]) == "1-3, 7, 9"
    assert ranges([]) == "none"
    assert period(timedelta(0)) == "0 s"


@given(st.sets(st.integers(0, 200)))
def test_ranges_name_every_number(numbers: set[int]) -> None:
    named: set[int] = set()
    for stretch in ranges(numbers).split(", ") if numbers else []:
        first, _, end = stretch.partition("-")
        named |= set(range(int(first), int(end or first) + 1))
    assert named == numbers


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (1, "a few seconds left"),
        (42, "about 40 s left"),
        (125, "about 2 min left"),
        (7200, "about 2.0 h left"),
    ],
)
def test_time_left(seconds: int | None, words: str) -> None:
    assert time_left(None if seconds is None else timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("90 min", timedelta(minutes=90)),
        ("1d12h", timedelta(hours=36)),
        ("1d 12h", timedelta(hours=36)),
        ("1.5h", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        ("3650d", MAX_INTERVAL),
        ("1m", MIN_INTERVAL),
        ("never", None),
    ],
)
def test_intervals(text: str, interval: timedelta | None) -> None:
    assert parse_interval(text) == interval


@given(st.integers(60, 10**8))
def test_a_period_can_be_read_again(seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    assert parse_interval(period(interval)) == interval


@pytest.mark.parametrize(
    "text", ["", "soon", "12", "h", "-1h", "30s", "1h tea", "0d", "1e3h", "3651d", "99999999999d", f"{'9' * 400}w"]
)
def test_intervals_that_are_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--every"):
        parse_interval(text)


def test_growth() -> None:
    assert (parse_growth("20%"), parse_growth("0.2"), parse_growth("150%"), parse_growth("never")) == (
        0.2,
        0.2,
        1.5,
        None,
    )
    for wrong in ("", "%", "0", "-5%", "nan", "inf", "much"):
        with pytest.raises(typer.BadParameter, match="--growth"):
            parse_growth(wrong)


def test_quiet_hours() -> None:
    assert parse_quiet("08:00-18:00") == (time(8), time(18))
    assert parse_quiet("22:30 - 7:05") == (time(22, 30), time(7, 5))
    assert parse_quiet("never") == (None, None)
    for wrong in ("", "8-18", "25:00-01:00", "08:60-09:00", "08:00", "08:00-08:00"):
        with pytest.raises(typer.BadParameter, match="--quiet"):
            parse_quiet(wrong)
