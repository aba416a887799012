"""Page sizes and opaque page tokens (AIP-158)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from google.protobuf.message import Message

from shoal_server.domain.errors import InvalidField, InvalidPageToken

MAX_PAGE_SIZE = 1000


def page_size(requested: int, default: int) -> int:
    """The size to serve: the default for 0, at most :data:`MAX_PAGE_SIZE`.

    Raises:
        InvalidField: it is negative.
    """
    if requested < 0:
        raise InvalidField("page_size", f"{requested} is negative; leave it out for {default}")
    return min(requested or default, MAX_PAGE_SIZE)


def make_token(request: Message, cursor: str) -> str:
    """A token that only the same request, but for its page size, can be continued with."""
    body = json.dumps([_fingerprint(request), cursor]).encode()
    return base64.urlsafe_b64encode(_checksum(body) + body).decode()


def read_token(request: Message, token: str) -> str:
    """The cursor of a token; empty for an empty token.

    Raises:
        InvalidPageToken: it was made for another request, or not by :func:`make_token`.
    """
    if not token:
        return ""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        checksum, body = raw[:8], raw[8:]
        if checksum != _checksum(body):
            raise InvalidPageToken
        fingerprint, cursor = json.loads(body)
    except (ValueError, binascii.Error):
        raise InvalidPageToken from None
    if fingerprint != _fingerprint(request):
        raise InvalidPageToken
    return str(cursor)


def _fingerprint(request: Message) -> str:
    plain = type(request)()
    plain.CopyFrom(request)
    plain.ClearField("page_token")
    plain.ClearField("page_size")
    described = plain.DESCRIPTOR.full_name.encode() + b"\0" + plain.SerializeToString(deterministic=True)
    return hashlib.blake2b(described, digest_size=12).hexdigest()


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8, person=b"shoal.page").digest()
