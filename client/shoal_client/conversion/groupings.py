"""Themes, places and moments."""

from __future__ import annotations

from shoal.v1 import grouping_pb2
from shoal_client import names
from shoal_client.conversion.times import local_time
from shoal_client.results import Location, Moment, Place, Theme


def theme(message: grouping_pb2.Theme) -> Theme:
    """A theme."""
    return Theme(
        id=names.number(message.name, names.THEMES),
        name=message.display_name,
        parent_id=names.number(message.parent, names.THEMES) if message.parent else None,
        clusters=tuple(names.cluster_id(each) for each in message.clusters),
    )


def place(message: grouping_pb2.Place) -> Place:
    """A place."""
    return Place(
        id=names.number(message.name, names.PLACES),
        name=message.display_name,
        size=message.size,
        center=Location(message.center.latitude, message.center.longitude),
        radius_km=message.radius_km,
    )


def moment(message: grouping_pb2.Moment) -> Moment:
    """A moment."""
    return Moment(
        id=names.number(message.name, names.MOMENTS),
        name=message.display_name,
        size=message.size,
        started_at=local_time(message.start_time),
        ended_at=local_time(message.end_time),
    )
