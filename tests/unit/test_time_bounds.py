"""Bounds of time as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.filters import During, ImageFilter, OneOf
from shoal_server.domain.time_bounds import captured_within, ingested_within, parse_bound


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", None),
        ("2019", datetime(2019, 1, 1)),
        ("2019-05", datetime(2019, 5, 1)),
        ("2019-05-17", datetime(2019, 5, 17)),
        ("2019-05-17T08:30", datetime(2019, 5, 17, 8, 30)),
        ("2019-05-17 08:30:05.25", datetime(2019, 5, 17, 8, 30, 5, 250_000)),
        ("2019-05-17T08:30:05Z", datetime(2019, 5, 17, 8, 30, 5, tzinfo=UTC)),
        ("2019-05-17t08:30z", datetime(2019, 5, 17, 8, 30, tzinfo=UTC)),
        ("2019-05-17T08:30:05+05:30", datetime(2019, 5, 17, 8, 30, 5, tzinfo=timezone(timedelta(hours=5.5)))),
        ("2019-05-17T08:30:05.123456789Z", datetime(2019, 5, 17, 8, 30, 5, 123_456, tzinfo=UTC)),
    ],
)
def test_bounds_may_be_only_the_beginning_of_a_time(text: str, moment: datetime | None) -> None:
    parsed = parse_bound("filter.captured.earliest", text)
    assert parsed == moment
    assert (parsed is None) == (moment is None)
    assert parsed is None or parsed.utcoffset() == (moment and moment.utcoffset())


@pytest.mark.parametrize("text", ["yesterday", "2019-13", "2019-02-30", "0000", "2019-05-17T25:00", "20190517", "٢٠١٩"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidField, match=r"no time") as caught:
        parse_bound("filter.captured.earliest", text)
    assert caught.value.metadata["field"] == "filter.captured.earliest"


def test_a_bound_without_an_offset_is_compared_with_the_clock() -> None:
    first = datetime(2019, 1, 1)
    assert captured_within(first, None) == ImageFilter(conditions=(During("captured_local", earliest=first),))


def test_a_moment_leaves_out_images_without_an_offset() -> None:
    moment = datetime(2019, 1, 1, tzinfo=UTC)
    without = (ImageFilter(conditions=(OneOf("local_time", (True,)),)),)
    assert captured_within(None, moment) == ImageFilter(
        conditions=(During("captured_at", before=moment),), none_of=without
    )


def test_stored_times_are_moments() -> None:
    moment = datetime(2019, 1, 1, tzinfo=UTC)
    assert ingested_within(moment, None) == ImageFilter(conditions=(During("ingested_at", moment, None),))
    assert ingested_within(None, None) == ImageFilter()
    with pytest.raises(InvalidField, match="no offset"):
        ingested_within(None, datetime(2019, 1, 1))
