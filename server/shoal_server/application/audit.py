"""The record of what was changed, by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the record. It never holds what was sent: no image, no text, no key.

    Attributes:
        time: when, aware, UTC.
        caller: id of who asked.
        name: theirs, for people.
        address: where they asked from.
        method: what they asked for, for instance ``shoal.v1.ImageService/DeleteImage``.
        collections: which they named, at most 10.
        outcome: ``BEGUN`` for a stream that begins; otherwise the status that the call ended with, for instance ``OK``.
        request: id of the call, if it has one.
        seconds: it took.
    """

    time: datetime
    caller: str
    name: str
    address: str
    method: str
    collections: tuple[str, ...]
    outcome: str
    request: str
    seconds: float


class AuditTrail(Protocol):
    """Where the record is kept."""

    def record(self, entry: AuditEntry) -> None:
        """Adds a line; never waits and never fails."""
        ...


class NoAuditTrail:
    """Keeps nothing."""

    def record(self, entry: AuditEntry) -> None:
        """Forgets it."""
