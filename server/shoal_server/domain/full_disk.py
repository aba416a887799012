"""What the operating system's errors say of a disk that is full."""

from __future__ import annotations

import errno

from shoal_server.domain.errors import ShoalError, StoreFull, StoreUnavailable

#: The disk has no room, or its user may have no more of it.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: OSError) -> bool:
    """Whether a disk or a quota was full."""
    return error.errno in _FULL


def store_failure(where: str, error: OSError) -> ShoalError:
    """What a failed read or write means to a caller: StoreFull, or StoreUnavailable.

    Args:
        where: the folder, as people know it.
        error: what the operating system said.
    """
    return StoreFull(where) if is_full(error) else StoreUnavailable(where, str(error))
