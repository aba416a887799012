"""What every line of the log is about: the request it was written for, the collection, the run.

The fields belong to the task that sets them and to the tasks and threads (``asyncio.to_thread``) that it begins, and go
with it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

#: The field that stands for one call; also the name of the header it travels in, less ``x-`` and with a hyphen.
REQUEST_ID = "request_id"

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_NONE: Mapping[str, str] = MappingProxyType({})
_fields: ContextVar[Mapping[str, str]] = ContextVar("shoal_log_fields", default=_NONE)


def note(**fields: str) -> None:
    """Adds fields to the rest of this task; one that is there already is replaced."""
    _fields.set({**_fields.get(), **fields})


def noted() -> Mapping[str, str]:
    """The fields of this task."""
    return _fields.get()


def request_id() -> str:
    """The id of the call that this task works for; empty if it works for none."""
    return _fields.get().get(REQUEST_ID, "")


def request_id_of(given: str | None) -> str:
    """The caller's own id for a request if it has the form of one, else a new one.

    It goes into the log, so nothing is taken over but 1 to 64 letters, digits and ``.`` ``_`` ``:`` ``-``.
    """
    if given is not None and _WELL_FORMED.fullmatch(given):
        return given
    return secrets.token_hex(8)
