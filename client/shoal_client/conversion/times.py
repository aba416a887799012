"""Points in time."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def time(message: Timestamp) -> datetime:
    """A point in time, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def local_time(message: Timestamp) -> datetime:
    """A local time that was sent as if it were UTC; without a time zone."""
    return message.ToDatetime()
