"""Page tokens come back as they went out, and only to the request they belong to."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.v1.image_service_pb2 import ListImagesRequest, SearchImagesRequest
from shoal_server.domain.errors import InvalidField, InvalidPageToken
from shoal_server.rpc.paging import MAX_PAGE_SIZE, make_token, page_size, read_token


@given(st.text(max_size=80))
def test_round_trip(cursor: str) -> None:
    request = ListImagesRequest(parent="collections/a")
    assert read_token(request, make_token(request, cursor)) == cursor


def test_page_size_may_change_between_pages() -> None:
    token = make_token(ListImagesRequest(parent="collections/a", page_size=5), "x")
    assert read_token(ListImagesRequest(parent="collections/a", page_size=50, page_token=token), token) == "x"


def test_token_of_another_request_is_refused() -> None:
    token = make_token(ListImagesRequest(parent="collections/a"), "x")
    with pytest.raises(InvalidPageToken):
        read_token(ListImagesRequest(parent="collections/b"), token)
    with pytest.raises(InvalidPageToken):
        read_token(SearchImagesRequest(parent="collections/a"), token)


@given(
    st.one_of(
        st.text(min_size=1, max_size=60), st.binary(min_size=1).map(lambda b: base64.urlsafe_b64encode(b).decode())
    )
)
def test_foreign_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        read_token(ListImagesRequest(parent="collections/a"), token)


def test_a_changed_token_is_refused() -> None:
    request = ListImagesRequest(parent="collections/a")
    raw = bytearray(base64.urlsafe_b64decode(make_token(request, "100")))
    raw[-3] ^= 1
    with pytest.raises(InvalidPageToken):
        read_token(request, base64.urlsafe_b64encode(bytes(raw)).decode())


def test_page_size() -> None:
    assert page_size(0, 10) == 10
    assert page_size(7, 10) == 7
    assert page_size(10**6, 10) == MAX_PAGE_SIZE
    with pytest.raises(InvalidField):
        page_size(-1, 10)
