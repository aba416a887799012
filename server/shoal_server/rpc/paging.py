"""Page tokens of messages."""

from __future__ import annotations

import hashlib
from typing import Protocol

from google.protobuf.descriptor import Descriptor

from shoal_server.application.page_tokens import FINGERPRINT, MAX_PAGE_SIZE, offset_of, page_size, sealed, unsealed

__all__ = ["MAX_PAGE_SIZE", "Paged", "make_token", "offset_of", "page_size", "read_token"]


class Paged(Protocol):
    """A request for a page."""

    DESCRIPTOR: Descriptor
    page_size: int
    page_token: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802 - as protobuf calls it
        """As of every message."""
        ...


def make_token(request: Paged, cursor: str) -> str:
    """A token that only the same request, but for its page size, can be continued with."""
    return sealed(_fingerprint(request), cursor)


def read_token(request: Paged, token: str) -> str:
    """The cursor of a token; empty for an empty token.

    Raises:
        InvalidPageToken: it was made for another request, or not by :func:`make_token`.
    """
    return unsealed(_fingerprint(request), token) if token else ""


def _fingerprint(request: Paged) -> bytes:
    digest = hashlib.blake2b(request.DESCRIPTOR.full_name.encode() + b"\0", digest_size=FINGERPRINT)
    size, token = request.page_size, request.page_token
    # A request may hold tens of megabytes of an image: a copy without these fields costs as much again as the hash.
    request.page_size, request.page_token = 0, ""
    try:
        digest.update(request.SerializeToString(deterministic=True))
    finally:
        request.page_size, request.page_token = size, token
    return digest.digest()
