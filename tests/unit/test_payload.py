"""The payload contract: a round trip, JSON types only, unknown fields absent."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain.image import Image, Location, Metadata, digest_of, image_id
from shoal_server.domain.payload import (
    CAPTURED_LOCAL,
    CAPTURED_YEAR,
    GROUP_FIELDS,
    INDEXED,
    LOCAL_TIME,
    FieldType,
    from_payload,
    said,
    to_payload,
)

positive = st.floats(min_value=1e-6, max_value=1e6)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
attributes = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    st.text(max_size=20)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    max_size=5,
)
metadata = st.builds(
    Metadata,
    width=st.integers(1, 50_000),
    height=st.integers(1, 50_000),
    format=st.sampled_from(["JPEG", "PNG"]),
    byte_size=st.integers(1),
    orientation=st.none() | st.integers(1, 8),
    captured_at=st.none() | st.datetimes(timezones=st.none() | offsets).map(datetime.isoformat),
    location=st.none() | st.builds(Location, lat=st.floats(-89.9, 89.9), lon=st.floats(-179.9, 179.9)),
    camera_make=st.none() | st.text(max_size=20),
    camera_model=st.none() | st.text(max_size=20),
    lens=st.none() | st.text(max_size=20),
    iso=st.none() | st.integers(1, 10**6),
    f_number=st.none() | positive,
    exposure_s=st.none() | positive,
    focal_length_mm=st.none() | positive,
    altitude_m=st.none() | st.floats(-11_000, 9_000),
    frame_count=st.integers(1, 10_000),
)
images = st.builds(
    lambda content, **rest: Image(id=image_id(digest_of(content)), sha256=digest_of(content), **rest),
    content=st.binary(),
    uri=st.text(max_size=30),
    tags=st.lists(st.text(min_size=1, max_size=5)).map(tuple),
    metadata=metadata,
    ingested_at=st.datetimes(timezones=st.just(UTC)),
    cluster_id=st.none() | st.integers(1),
    place_id=st.none() | st.integers(1),
    moment_id=st.none() | st.integers(1),
    also_at=st.lists(st.text(max_size=30), max_size=3).map(tuple),
    attributes=attributes,
    phash=st.none() | st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
)


def an_image(**metadata: Any) -> Image:
    digest = digest_of(b"x")
    return Image(image_id(digest), digest, "", (), Metadata(1, 1, "PNG", 1, **metadata), datetime.now(UTC))


@given(images)
def test_round_trip_through_json(image: Image) -> None:
    back = from_payload(image.id, json.loads(json.dumps(to_payload(image))))
    assert back == image
    assert {key: type(value) for key, value in back.attributes.items()} == {
        key: type(value) for key, value in image.attributes.items()
    }


@pytest.mark.parametrize(("lat", "lon"), [(90.0, 180.0), (-90.0, -180.0), (90.0, -180.0)])
def test_positions_keep_away_from_where_the_geo_index_wraps_round(lat: float, lon: float) -> None:
    image = an_image(location=Location(lat, lon))
    stored = to_payload(image)["location"]
    assert abs(stored["lat"]) < 90
    assert abs(stored["lon"]) < 180
    assert stored == {"lat": pytest.approx(lat, abs=1e-9), "lon": pytest.approx(lon, abs=1e-9)}


@pytest.mark.parametrize(
    ("captured_at", "derived"),
    [
        (
            "2019-07-14T10:00:00",
            {"captured_local": "2019-07-14T10:00:00", "captured_year": 2019, "local_time": True},
        ),
        (
            "2019-12-31T23:30:00.250000-05:00",
            {"captured_local": "2019-12-31T23:30:00.250000", "captured_year": 2019},
        ),
        ("0007-01-01T00:00:00Z", {"captured_local": "0007-01-01T00:00:00", "captured_year": 7}),
    ],
)
def test_what_the_clock_showed_follows_from_the_capture_time(captured_at: str, derived: dict[str, Any]) -> None:
    payload = to_payload(an_image(captured_at=captured_at))
    assert payload["captured_at"] == captured_at
    assert {name: payload[name] for name in (CAPTURED_LOCAL, CAPTURED_YEAR, LOCAL_TIME) if name in payload} == derived


@pytest.mark.parametrize("senseless", ["", "yesterday", "2019-02-30T00:00:00", "0000-01-01T00:00:00"])
def test_a_time_that_is_none_is_left_out_and_holds_up_nothing(senseless: str) -> None:
    payload = to_payload(an_image(captured_at=senseless))
    assert not {"captured_at", CAPTURED_LOCAL, CAPTURED_YEAR, LOCAL_TIME} & set(payload)
    assert from_payload(image_id(digest_of(b"x")), payload).metadata.captured_at is None


def test_a_point_of_an_older_version_is_read() -> None:
    payload = to_payload(an_image(captured_at="2019-07-14T10:00:00"))
    for name in (CAPTURED_LOCAL, CAPTURED_YEAR, LOCAL_TIME, "frame_count"):
        del payload[name]
    image = from_payload(image_id(digest_of(b"x")), payload)
    assert image.metadata.frame_count == 1
    assert image.metadata.altitude_m is None
    assert image.metadata.local_time
    assert image.phash is None
    assert image.also_at == ()
    assert image.attributes == {}


@given(images)
def test_what_people_say_is_what_the_payload_has_of_it(image: Image) -> None:
    fields, absent = said(image)
    payload = to_payload(image)
    assert {name: value for name, value in fields.items() if name not in absent}.items() <= payload.items()
    assert not set(absent) & set(payload)
    rest = replace(image, uri="", tags=(), also_at=(), attributes={})
    assert from_payload(image.id, to_payload(rest) | fields) == image


def test_an_image_in_no_group_has_no_id_of_one() -> None:
    image = an_image()
    assert not set(GROUP_FIELDS) & set(to_payload(image))
    assert None not in to_payload(image).values()


def test_the_same_bytes_have_the_same_id_for_ever() -> None:
    assert str(image_id(digest_of(b"shoal"))) == "c819767e-85ca-5983-a638-b766b5e62e34"


def test_every_metadata_field_is_indexed() -> None:
    names = {field.name for field in fields(Metadata)}
    assert names - set(INDEXED) == set()


def test_every_group_field_is_an_indexed_whole_number() -> None:
    assert {INDEXED[name] for name in GROUP_FIELDS} == {FieldType.INTEGER}
    assert set(GROUP_FIELDS) <= {field.name for field in fields(Image)}
