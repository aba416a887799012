"""Page sizes and opaque page tokens (AIP-158)."""

from __future__ import annotations

import base64
import hashlib
from typing import Protocol

from google.protobuf.descriptor import Descriptor

from shoal_server.domain.errors import InvalidField, InvalidPageToken

MAX_PAGE_SIZE = 1000
MAX_OFFSET_DIGITS = 12

#: Bytes in a token before the cursor.
_CHECKSUM = 8
_FINGERPRINT = 12


class Paged(Protocol):
    """A request for a page."""

    DESCRIPTOR: Descriptor
    page_size: int
    page_token: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802 - as protobuf calls it
        """As of every message."""
        ...


def page_size(requested: int, default: int, field: str = "page_size") -> int:
    """The size to serve: the default for 0, at most :data:`MAX_PAGE_SIZE`.

    Args:
        requested: by the caller.
        default: for callers who leave it out.
        field: what the request calls it.

    Raises:
        InvalidField: it is negative.
    """
    if requested < 0:
        raise InvalidField(field, f"{requested} is negative; leave it out for {default}")
    return min(requested or default, MAX_PAGE_SIZE)


def make_token(request: Paged, cursor: str) -> str:
    """A token that only the same request, but for its page size, can be continued with."""
    body = _fingerprint(request) + cursor.encode()
    return base64.urlsafe_b64encode(_checksum(body) + body).decode()


def read_token(request: Paged, token: str) -> str:
    """The cursor of a token; empty for an empty token.

    Raises:
        InvalidPageToken: it was made for another request, or not by :func:`make_token`.
    """
    if not token:
        return ""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        checksum, body = raw[:_CHECKSUM], raw[_CHECKSUM:]
        if checksum != _checksum(body) or body[:_FINGERPRINT] != _fingerprint(request):
            raise InvalidPageToken
        return body[_FINGERPRINT:].decode()
    except ValueError:
        raise InvalidPageToken from None


def offset_of(text: str) -> int:
    """The number of entries to pass over that a cursor, or a part of one, stands for; 0 for an empty one.

    The checksum of a token is no secret: whoever makes a token by hand may write anything into it.

    Raises:
        InvalidPageToken: it is not a number from 0 to below 10 to the power of :data:`MAX_OFFSET_DIGITS`.
    """
    if not text:
        return 0
    if len(text) > MAX_OFFSET_DIGITS or not (text.isascii() and text.isdigit()):
        raise InvalidPageToken
    return int(text)


def _fingerprint(request: Paged) -> bytes:
    digest = hashlib.blake2b(request.DESCRIPTOR.full_name.encode() + b"\0", digest_size=_FINGERPRINT)
    size, token = request.page_size, request.page_token
    # A request may hold tens of megabytes of an image: a copy without these fields costs as much again as the hash.
    request.page_size, request.page_token = 0, ""
    try:
        digest.update(request.SerializeToString(deterministic=True))
    finally:
        request.page_size, request.page_token = size, token
    return digest.digest()


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM, person=b"shoal.page").digest()
