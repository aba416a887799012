"""Who made the call that is being answered."""

from __future__ import annotations

from contextvars import ContextVar

from shoal_server.application.correction_plans import MAX_AUTHOR
from shoal_server.domain.access import Caller, Role
from shoal_server.domain.errors import InvalidField

#: Set for each call before its handler begins, and seen by everything that the handler starts.
CALLER: ContextVar[Caller] = ContextVar("shoal_caller")

#: Where nobody checks credentials, as in a handler that a test calls by itself.
_ANYONE = Caller("address:", "anyone", Role.ADMIN, authenticated=False)


def calling() -> Caller:
    """Who made this call."""
    return CALLER.get(_ANYONE)


def author_of(given: str) -> str:
    """Who a correction is recorded as being from.

    What a caller says of themselves is theirs to say; beside it stands, always last, whose credentials they used.

    Args:
        given: by the caller; may be empty.

    Raises:
        InvalidField: there is no room for both.
    """
    caller = calling()
    if not caller.authenticated:
        return given
    proven = f"(as {caller.name})"
    if given and len(given) + 1 + len(proven) > MAX_AUTHOR:
        raise InvalidField(
            "author", f"has {len(given)} characters; {MAX_AUTHOR - 1 - len(proven)} fit beside {proven!r}"
        )
    return f"{given} {proven}" if given else proven
