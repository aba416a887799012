"""How far a listing of images has come, as text for a page token."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from shoal_server.application.images import Position
from shoal_server.application.ports import CapturePosition
from shoal_server.domain.errors import InvalidPageToken

#: Before the first of the images that are listed by their ids.
_FIRST = "*"


def token_of(position: Position) -> str:
    """Text that :func:`position_of` reads."""
    capture = position.capture
    if capture is not None:
        return json.dumps([capture.captured_local, str(capture.image)])
    return _FIRST if position.after is None else str(position.after)


def position_of(text: str) -> Position | None:
    """The position that a text stands for; None for an empty one.

    Raises:
        InvalidPageToken: it is not one of :func:`token_of`.
    """
    if not text:
        return None
    try:
        if text.startswith("["):
            captured_local, image = json.loads(text)
            if datetime.fromisoformat(captured_local).tzinfo is not None:
                raise InvalidPageToken
            return Position(capture=CapturePosition(captured_local, UUID(image)))
        return Position(after=None if text == _FIRST else UUID(text))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidPageToken from None
