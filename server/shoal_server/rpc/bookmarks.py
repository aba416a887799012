"""How far a listener of the change feed has come, as text that it keeps."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime

from shoal_server.application.change_feed import Bookmark
from shoal_server.application.change_log import Position
from shoal_server.domain.errors import InvalidField

_MAX_NUMBER = 2**63 - 1


def bookmark_text(bookmark: Bookmark | None) -> str:
    """Text that :func:`read_bookmark` reads; empty for none."""
    if bookmark is None:
        return ""
    position = bookmark.position
    content = [bookmark.created_at.isoformat(), position.base, dict(position.reached)]
    body = json.dumps(content, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_checksum(body) + body).decode()


def read_bookmark(token: str) -> Bookmark | None:
    """The bookmark that a token stands for; None for an empty one.

    Raises:
        InvalidField: it is not one of :func:`bookmark_text`.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        checksum, body = raw[:8], raw[8:]
        if checksum != _checksum(body):
            raise ValueError("another checksum")
        created_at, base, reached = json.loads(body)
        bookmark = Bookmark(datetime.fromisoformat(created_at), Position(base, reached))
        if not all(type(number) is int and 0 <= number <= _MAX_NUMBER for number in (base, *reached.values())):
            raise ValueError("no numbers")
        if bookmark.created_at.tzinfo is None:
            raise ValueError("a time of nowhere")
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidField(
            "token", "it is not one that WatchAssignments gave out; begin without one, which gives every assignment"
        ) from None
    return bookmark


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8, person=b"shoal.changes").digest()
