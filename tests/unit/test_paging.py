"""Page tokens come back as they went out, and only to the request they belong to."""

from __future__ import annotations

import base64
import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.v1.image_pb2 import QueryTerm
from shoal.v1.image_service_pb2 import ListImagesRequest, RecommendImagesRequest, SearchImagesRequest
from shoal_server.application import page_tokens
from shoal_server.application.images import Position
from shoal_server.application.ports import CapturePosition
from shoal_server.application.positions import position_of, token_of
from shoal_server.domain.errors import InvalidField, InvalidPageToken
from shoal_server.rpc import convert
from shoal_server.rpc.paging import MAX_PAGE_SIZE, make_token, offset_of, page_size, read_token


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
    with pytest.raises(InvalidField, match="page_size: -1 is negative"):
        page_size(-1, 10)
    with pytest.raises(InvalidField, match="limit: -1 is negative") as raised:
        page_size(-1, 20, "limit")
    assert raised.value.metadata == {"field": "limit"}


def test_a_request_is_as_it_was_after_its_tokens() -> None:
    request = SearchImagesRequest(parent="collections/a", image_content=b"x" * 1000, page_size=5)
    request.page_token = make_token(request, "5")
    before = request.SerializeToString(deterministic=True)
    assert read_token(request, request.page_token) == "5"
    make_token(request, "10")
    assert request.SerializeToString(deterministic=True) == before


def test_tokens_of_requests_that_differ_in_one_byte_of_an_image_differ() -> None:
    content = bytearray(b"x" * 100_000)
    request = SearchImagesRequest(terms=[QueryTerm(image_content=bytes(content))], page_size=5)
    token = make_token(request, "5")
    assert read_token(request, token) == "5"
    content[50_000] ^= 1
    with pytest.raises(InvalidPageToken):
        read_token(SearchImagesRequest(terms=[QueryTerm(image_content=bytes(content))], page_size=5), token)


def forged(body: bytes) -> str:
    """A token with the right checksum: that is no secret."""
    return base64.urlsafe_b64encode(page_tokens._checksum(body) + body).decode()


@pytest.mark.parametrize(
    "body",
    [b"1", b"null", b"[]", b'["x"]', b'"xy"', b"[" * 100_000, b'["x", ' + b"9" * 5000 + b"]", b"\xff", b"{}"],
    ids=lambda body: body[:8].decode(errors="replace"),
)
def test_forged_tokens_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidPageToken):
        read_token(ListImagesRequest(parent="collections/a"), forged(body))


@pytest.mark.parametrize("cursor", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_forged_cursors_that_are_no_texts_are_refused(cursor: bytes) -> None:
    request = ListImagesRequest(parent="collections/a")
    before_the_cursor = base64.urlsafe_b64decode(make_token(request, "x"))[8:-1]
    assert read_token(request, forged(before_the_cursor + "é".encode())) == "é"
    with pytest.raises(InvalidPageToken):
        read_token(request, forged(before_the_cursor + cursor))


@pytest.mark.parametrize("number", [0, 7, 10**12 - 1])
def test_an_offset_is_read(number: int) -> None:
    assert offset_of(str(number)) == number


def test_no_offset_begins() -> None:
    assert offset_of("") == 0


@pytest.mark.parametrize("text", ["-5", "+5", "x", "1e3", "1_0", " 1", "1 ", "1.0", "²", "１", "9" * 13, "9" * 5000])
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(InvalidPageToken):
        offset_of(text)


NIL = UUID(int=0)
LAST = UUID(int=2**128 - 1)


@pytest.mark.parametrize(
    "position",
    [
        Position(),
        Position(after=NIL),
        Position(after=LAST),
        Position(capture=CapturePosition("2019-05-01T12:00:00", LAST)),
        Position(capture=CapturePosition("9999-12-31T23:59:59.999999", NIL)),
    ],
    ids=str,
)
def test_a_position_comes_back(position: Position) -> None:
    assert position_of(token_of(position)) == position


def test_no_position_begins() -> None:
    assert position_of("") is None


@pytest.mark.parametrize(
    "text",
    [
        "zzz",
        "**",
        "[",
        "[1]",
        "[1, 2]",
        "[[], {}]",
        '["x", "y"]',
        f'["2019", "{NIL}"]',
        f'["2019-01-01T00:00:00", "{NIL}", 1]',
        f'["2019-01-01T00:00:00+00:00", "{NIL}"]',
        f'[null, "{NIL}"]',
        '["2019-01-01T00:00:00", 5]',
        '["2019-01-01T00:00:00", null]',
        '["2019-01-01T00:00:00", "f"]',
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("[" + "9" * 5000 + "]", id="long number"),
    ],
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidPageToken):
        position_of(text)


@pytest.mark.parametrize("kind", [SearchImagesRequest, RecommendImagesRequest])
def test_the_least_score_is_within_what_scores_can_be(
    kind: type[SearchImagesRequest] | type[RecommendImagesRequest],
) -> None:
    assert convert.threshold_of(kind()) is None
    for threshold in (-1, 0, 0.25, 1):
        assert convert.threshold_of(kind(score_threshold=threshold)) == threshold
    for threshold in (math.nan, math.inf, -math.inf, 1.001, -1.001, 1e30):
        with pytest.raises(InvalidField, match=r"score_threshold: .* is not within -1 and 1") as raised:
            convert.threshold_of(kind(score_threshold=threshold))
        assert raised.value.metadata == {"field": "score_threshold"}
