"""What can only be done with images that are Shoal's own."""

from __future__ import annotations

from shoal_server.application.open_collections import OpenCollection
from shoal_server.domain.errors import AttachedCollection


def check_own(opened: OpenCollection, what: str) -> None:
    """Refuses to touch what somebody else owns.

    Args:
        opened: the collection.
        what: cannot be done with an attached one, for the message.

    Raises:
        AttachedCollection: it is one.
    """
    if opened.record.attachment is not None:
        raise AttachedCollection(opened.id, what)
