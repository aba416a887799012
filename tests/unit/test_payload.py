"""The payload contract: a round trip, JSON types only, unknown fields absent."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain.image import Image, Location, Metadata, digest_of, image_id
from shoal_server.domain.payload import GROUP_FIELDS, INDEXED, FieldType, from_payload, to_payload

positive = st.floats(min_value=1e-6, max_value=1e6)
metadata = st.builds(
    Metadata,
    width=st.integers(1, 50_000),
    height=st.integers(1, 50_000),
    format=st.sampled_from(["JPEG", "PNG"]),
    byte_size=st.integers(1),
    orientation=st.none() | st.integers(1, 8),
    captured_at=st.none() | st.just("2019-07-14T10:00:00"),
    location=st.none() | st.builds(Location, lat=st.floats(-90, 90), lon=st.floats(-180, 180)),
    camera_make=st.none() | st.text(max_size=20),
    camera_model=st.none() | st.text(max_size=20),
    lens=st.none() | st.text(max_size=20),
    iso=st.none() | st.integers(1, 10**6),
    f_number=st.none() | positive,
    exposure_s=st.none() | positive,
    focal_length_mm=st.none() | positive,
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
)


@given(images)
def test_round_trip_through_json(image: Image) -> None:
    assert from_payload(image.id, json.loads(json.dumps(to_payload(image)))) == image


def test_an_image_in_no_group_has_no_id_of_one() -> None:
    content = b"x"
    image = Image(image_id(digest_of(content)), digest_of(content), "", (), Metadata(1, 1, "PNG", 1), datetime.now(UTC))
    assert not set(GROUP_FIELDS) & set(to_payload(image))
    assert None not in to_payload(image).values()


def test_the_same_bytes_have_the_same_id_for_ever() -> None:
    assert str(image_id(digest_of(b"shoal"))) == "c819767e-85ca-5983-a638-b766b5e62e34"


def test_every_metadata_field_is_indexed_or_known_not_to_be() -> None:
    names = {field.name for field in fields(Metadata)}
    assert names - set(INDEXED) == {"orientation"}


def test_every_group_field_is_an_indexed_whole_number() -> None:
    assert {INDEXED[name] for name in GROUP_FIELDS} == {FieldType.INTEGER}
    assert set(GROUP_FIELDS) <= {field.name for field in fields(Image)}
