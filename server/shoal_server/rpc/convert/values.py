"""Moments, and names that must be of one collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from shoal_server.domain.errors import InvalidName
from shoal_server.rpc.resource_names import cluster_name, collection_name

Id = TypeVar("Id")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """An aware moment, or a local time as if it were UTC; None stays None."""
    if moment is None:
        return None
    message = Timestamp()
    fill_timestamp(message, moment)
    return message


def fill_timestamp(message: Timestamp, moment: datetime) -> None:
    """Sets a timestamp, where it stands, to a moment as :func:`timestamp` takes it."""
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    # Not FromDatetime: it takes four times as long, and a page has a thousand of them.
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1000


def cluster_or_none(collection_id: str, cluster_id: int | None) -> str:
    """A cluster's name; empty for none, be it None or -1."""
    return "" if cluster_id is None or cluster_id < 0 else cluster_name(collection_id, cluster_id)


def ids_within(collection_id: str, parse: Callable[[str], tuple[str, Id]], names: Iterable[str]) -> tuple[Id, ...]:
    """The ids in names of things of one collection.

    Raises:
        InvalidName: one is not of the form, or of another collection.
    """
    return tuple(id_within(collection_id, parse, name) for name in names)


def id_within(collection_id: str, parse: Callable[[str], tuple[str, Id]], name: str) -> Id:
    """The id in one name; as :func:`ids_within`."""
    named, identity = parse(name)
    if named != collection_id:
        raise InvalidName(name, f"{collection_name(collection_id)}/...: it is of another collection than the request")
    return identity
