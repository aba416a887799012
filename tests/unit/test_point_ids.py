"""Ids of points and of images, and that the client has the same ones as the server."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal_client
from shoal_server.domain.point_ids import image_of_point, point_of_image


@given(st.integers(0, 2**64 - 1))
def test_an_integer_comes_back(number: int) -> None:
    image = image_of_point(number)
    assert point_of_image(image) == number
    assert shoal_client.image_id(number) == str(image)
    assert shoal_client.point_id(str(image)) == number


@given(st.uuids())
def test_a_uuid_is_itself(image: UUID) -> None:
    assert image_of_point(str(image)) == image
    assert point_of_image(image) == str(image)
    assert shoal_client.image_id(str(image).upper()) == str(image) == shoal_client.point_id(str(image))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_integers_keep_their_order_and_come_first(one: int, other: int) -> None:
    assert (image_of_point(one) < image_of_point(other)) == (one < other)
    assert image_of_point(one) < UUID("00000001-0000-4000-8000-000000000000")


def test_no_uuid_of_a_version_is_an_integer() -> None:
    assert image_of_point(2**64 - 1).hex[12] == "0"
    assert all(isinstance(point_of_image(uuid4()), str) for _ in range(100))


@pytest.mark.parametrize("point", [-1, 2**64, "seven", ""])
def test_what_is_no_points_id_is_refused(point: int | str) -> None:
    with pytest.raises(shoal_client.InvalidArgument, match="no point's id"):
        shoal_client.image_id(point)


def test_what_is_no_images_id_is_refused() -> None:
    with pytest.raises(shoal_client.InvalidArgument, match="no image's id"):
        shoal_client.point_id("17")
