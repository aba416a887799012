"""Page sizes and opaque page tokens (AIP-158), whatever a request comes in by."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TypeVar

from shoal_server.domain.errors import ClustersChanged, InvalidField, InvalidPageToken

MAX_PAGE_SIZE = 1000
MAX_OFFSET_DIGITS = 12
#: Bytes of what a request is known by.
FINGERPRINT = 12

_CHECKSUM = 8

Entry = TypeVar("Entry")


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


def sealed(fingerprint: bytes, cursor: str) -> str:
    """A token that only the request with this fingerprint, of ``FINGERPRINT`` bytes, can be continued with."""
    body = fingerprint + cursor.encode()
    return base64.urlsafe_b64encode(_checksum(body) + body).decode()


def unsealed(fingerprint: bytes, token: str) -> str:
    """The cursor of a token; empty for an empty token.

    Raises:
        InvalidPageToken: it was made for another request, or not by :func:`sealed`.
    """
    if not token:
        return ""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        checksum, body = raw[:_CHECKSUM], raw[_CHECKSUM:]
        if checksum != _checksum(body) or body[:FINGERPRINT] != fingerprint:
            raise InvalidPageToken
        return body[FINGERPRINT:].decode()
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


def stretch_of_run(
    collection: str, run: str, entries: Sequence[Entry], cursor: str, size: int
) -> tuple[Sequence[Entry], str]:
    """The stretch of a run's entries that a cursor stands at, and the cursor of the next one, empty at the end.

    Args:
        collection: whose.
        run: in force.
        entries: all of them.
        cursor: empty for the beginning.
        size: entries of the stretch.

    Raises:
        ClustersChanged: the page before was of another run.
        InvalidPageToken: the cursor is not one of this function.
    """
    offset = 0
    if cursor:
        before, _, number = cursor.rpartition(" ")
        if before != run:
            raise ClustersChanged(collection)
        offset = offset_of(number)
    following = f"{run} {offset + size}" if len(entries) > offset + size else ""
    return entries[offset : offset + size], following


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM, person=b"shoal.page").digest()
