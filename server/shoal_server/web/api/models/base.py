"""What all messages have in common."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

#: Whole numbers that a request may name a cluster, theme, place or moment by.
MAX_ID = 2**63 - 1


class Asked(BaseModel):
    """Something in a request; a field that there is not is a mistake that the caller should know of."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """Something in an answer."""

    model_config = ConfigDict(frozen=True)


def moment(at: datetime | None) -> datetime | None:
    """A moment in UTC; None stays None."""
    return None if at is None else at.astimezone(UTC)


def word(name: str) -> str:
    """An enum's value as one word."""
    return name.replace(" ", "_")
