"""Filters for programs: composition, and what is sent for them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.v1 import image_pb2
from shoal_client import Between, ImageFilter, InvalidArgument
from shoal_client.conversion import attribute_messages, attribute_values, filter_message
from shoal_client.filters.conditions import typed
from shoal_client.filters.times import stretch

A, B, C = (ImageFilter(tags=[each]) for each in "abc")


def sent(chosen: ImageFilter) -> image_pb2.ImageFilter:
    return filter_message("photos", chosen)


def test_composition() -> None:
    assert ImageFilter(all_of=[A, B, C]) == A & B & C
    assert ImageFilter(any_of=[A, B, C]) == A | B | C
    assert ImageFilter(none_of=[A]) == ~A
    assert ~~A == A
    assert ImageFilter(all_of=[ImageFilter(any_of=[A, B]), C]) == (A | B) & C
    assert ImageFilter(none_of=[A & B]) == ~(A & B)
    assert ImageFilter(none_of=[ImageFilter(none_of=[A, B])]) == ~ImageFilter(none_of=[A, B])


def test_an_empty_filter_lets_every_image_through() -> None:
    nothing = ImageFilter()
    assert not nothing
    assert A
    assert nothing & A == A & nothing == A
    assert nothing | A == A | nothing == nothing
    assert ~nothing == ImageFilter(none_of=[nothing])
    assert sent(nothing) == image_pb2.ImageFilter()


def test_filters_cannot_be_changed() -> None:
    clusters, attributes = [1], {"album": ["x"]}
    chosen = ImageFilter(clusters=clusters, attributes=attributes)
    clusters.append(2)
    attributes["album"].append("y")
    attributes["more"] = ["z"]
    assert chosen == ImageFilter(clusters=[1], attributes={"album": ["x"]})
    assert len({chosen, ImageFilter(clusters=(1,), attributes={"album": ("x",)})}) == 1
    with pytest.raises(FrozenInstanceError):
        chosen.clusters = [3]  # type: ignore[misc]
    assert repr(chosen & ~A) == (
        "ImageFilter(all_of=(ImageFilter(clusters=(1,), attributes={'album': ('x',)}), "
        "ImageFilter(none_of=(ImageFilter(tags=('a',)),))))"
    )


def test_a_single_text_where_a_list_belongs() -> None:
    wrong: Any = "night"
    with pytest.raises(InvalidArgument, match=r"tags is 'night'; it must be a list: \['night'\]"):
        ImageFilter(tags=wrong)


def test_all_that_can_be_said_is_sent() -> None:
    message = sent(
        ImageFilter(
            clusters=[3],
            themes=[1],
            places=[2],
            moments=[4],
            tags=["night"],
            captured=("2019-05", "2019-07"),
            ingested=(datetime(2024, 1, 1, tzinfo=UTC), None),
            near=(48.1, 11.5, 2000),
            camera_makes=["Canon"],
            camera_models=["EOS"],
            lenses=["EF"],
            formats=["JPEG"],
            iso=(800, None),
            f_number=2.8,
            attributes={"album": "x", "rating": Between(2, 4), "done": [True, 1, 0.5]},
            has_attributes=["seen"],
            any_of=[A],
            none_of=[B],
        )
    )
    assert list(message.clusters) == ["collections/photos/clusters/3"]
    assert list(message.themes) == ["collections/photos/themes/1"]
    assert list(message.places) == ["collections/photos/places/2"]
    assert list(message.moments) == ["collections/photos/moments/4"]
    assert (message.captured.earliest, message.captured.before) == ("2019-05-01T00:00:00", "2019-07-01T00:00:00")
    assert datetime.fromisoformat(message.ingested.earliest) == datetime(2024, 1, 1, tzinfo=UTC)
    assert message.ingested.before == ""
    circle = message.area.circle
    assert (circle.center.latitude, circle.center.longitude, circle.radius_m) == (48.1, 11.5, 2000)
    texts = (message.tags, message.camera_makes, message.camera_models, message.lenses, message.formats)
    assert [list(each) for each in texts] == [["night"], ["Canon"], ["EOS"], ["EF"], ["JPEG"]]
    iso, f_number = message.ranges
    assert (iso.field, iso.min, iso.HasField("max")) == ("iso", 800, False)
    assert (f_number.field, f_number.min, f_number.max) == ("f_number", 2.8, 2.8)
    album, rating, done, seen = message.attributes
    assert (album.key, [each.text for each in album.any_of], album.HasField("min")) == ("album", ["x"], False)
    assert (rating.min, rating.max, len(rating.any_of)) == (2, 4, 0)
    assert [each.WhichOneof("value") for each in done.any_of] == ["flag", "integer", "number"]
    assert (seen.key, len(seen.any_of), seen.HasField("min"), seen.HasField("max")) == ("seen", 0, False, False)
    assert (list(message.any_of[0].tags), list(message.none_of[0].tags)) == (["a"], ["b"])


def test_areas() -> None:
    box = sent(ImageFilter(box=(47, 170, 49, -170))).area.box
    assert (box.south_west.latitude, box.south_west.longitude) == (47, 170)
    assert (box.north_east.latitude, box.north_east.longitude) == (49, -170)
    polygon = sent(ImageFilter(polygon=[(1, 2), (3, 4), (5, 6)])).area.polygon
    assert [(each.latitude, each.longitude) for each in polygon.corners] == [(1, 2), (3, 4), (5, 6)]
    with pytest.raises(InvalidArgument, match="one of near, box and polygon"):
        sent(ImageFilter(box=(1, 2, 3, 4), near=(1, 2, 3)))


def test_one_time_alone_is_all_of_it() -> None:
    month = sent(ImageFilter(captured="2019-12")).captured
    assert (month.earliest, month.before) == ("2019-12-01T00:00:00", "2020-01-01T00:00:00")
    day = sent(ImageFilter(captured=date(2020, 2, 29))).captured
    assert (day.earliest, day.before) == ("2020-02-29T00:00:00", "2020-03-01T00:00:00")
    there = timezone(timedelta(hours=2))
    moment = sent(ImageFilter(captured=(datetime(2020, 1, 1, 12, tzinfo=there), None))).captured
    assert (moment.earliest, moment.before) == ("2020-01-01T12:00:00+02:00", "")
    last = sent(ImageFilter(captured="9999")).captured
    assert (last.earliest, last.before) == ("9999-01-01T00:00:00", "")


def test_stored_in_the_time_zone_of_this_computer() -> None:
    bounds = sent(ImageFilter(ingested="2024-03")).ingested
    assert datetime.fromisoformat(bounds.earliest) == datetime(2024, 3, 1).astimezone()
    assert datetime.fromisoformat(bounds.before) == datetime(2024, 4, 1).astimezone()
    assert all(datetime.fromisoformat(each).tzinfo is not None for each in (bounds.earliest, bounds.before))


@pytest.mark.parametrize(
    ("chosen", "problem"),
    [
        (ImageFilter(clusters=[-3]), "-3 is not a cluster id"),
        (ImageFilter(captured="yesterday"), "captured: 'yesterday' is not a time like 2019"),
        (ImageFilter(captured=("2019", "2019-02-30")), "captured: day"),
        (ImageFilter(attributes={"a": []}), "attribute 'a' has no values"),
        (ImageFilter(attributes={"a": 2**63}), "attribute 'a' is 9223372036854775808"),
        (ImageFilter(tags=[5]), "the filter cannot be sent"),  # type: ignore[list-item]
        (ImageFilter(tags=["a \udcff"]), "the filter cannot be sent"),
        (ImageFilter(near=(1, 2)), "the filter cannot be sent"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_sent_is_refused(chosen: ImageFilter, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        sent(chosen)


def test_endless_nesting_is_refused() -> None:
    chosen = A
    for _ in range(40):
        chosen = ~(chosen & B)
    with pytest.raises(InvalidArgument, match="nested more than 16 deep"):
        sent(chosen)


def test_the_most_that_the_server_takes_is_sent() -> None:
    chosen = A
    for _ in range(7):
        chosen = ~(chosen & B)
    sent(ImageFilter(all_of=[chosen]))
    with pytest.raises(InvalidArgument, match="nested more than 16 deep"):
        sent(ImageFilter(all_of=[ImageFilter(all_of=[chosen])]))
    sent(ImageFilter(any_of=[A] * 999))
    with pytest.raises(InvalidArgument, match="joined of 1001 filters; at most 1000"):
        sent(ImageFilter(any_of=[A] * 1000))


@given(
    st.dictionaries(
        st.from_regex("[a-z][a-z0-9_]{0,9}", fullmatch=True),
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    )
)
def test_attributes_come_back_as_they_were(attributes: dict[str, Any]) -> None:
    back = attribute_values(attribute_messages(attributes))
    assert back == attributes
    assert {key: type(value) for key, value in back.items()} == {key: type(value) for key, value in attributes.items()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-5", -5), ("0", 0), ("4.5", 4.5), ("1e3", 1000.0), ("true", True), ("False", False),
        ("007", "007"), ("+49", "+49"), ("1/2", "1/2"), ("1e999", "1e999"), ("nan", "nan"), ("٣", "٣"), ("", ""),
        ("5 ", "5 "), ("123456789012345678", 123456789012345678), ("Summer", "Summer"),
        ("+.5", 0.5), ("2.", 2.0), ("9223372036854775808", "9223372036854775808"),
    ],
)  # fmt: skip
def test_what_looks_like_a_number_is_one(text: str, value: object) -> None:
    assert (typed(text), type(typed(text))) == (value, type(value))


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**17), 10**17))
def test_numbers_are_typed_as_they_were_written(text: str, number: float, whole: int) -> None:
    assert isinstance(typed(text), str | int | float)
    assert typed(repr(whole)) == whole
    assert typed(repr(number)) == number


@given(st.datetimes(), st.sampled_from(["seconds", "minutes", "microseconds"]))
def test_a_stretch_begins_with_what_was_written(point: datetime, precision: str) -> None:
    written = point.isoformat(timespec=precision)
    begins, ends = stretch(written)
    assert begins == datetime.fromisoformat(written)
    assert ends is None or begins < ends <= begins + timedelta(minutes=1)
    assert stretch(begins.strftime("%Y").zfill(4))[0] <= begins
