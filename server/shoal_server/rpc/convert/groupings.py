"""Themes, places and moments."""

from __future__ import annotations

from google.type import latlng_pb2

from shoal.v1 import grouping_pb2
from shoal_server.domain.groupings import Moment, Place, Theme
from shoal_server.rpc.convert.values import timestamp
from shoal_server.rpc.resource_names import cluster_name, moment_name, place_name, theme_name


def theme(collection_id: str, found: Theme) -> grouping_pb2.Theme:
    """A theme."""
    return grouping_pb2.Theme(
        name=theme_name(collection_id, found.id),
        display_name=found.name,
        parent="" if found.parent_id is None else theme_name(collection_id, found.parent_id),
        clusters=[cluster_name(collection_id, cluster_id) for cluster_id in found.cluster_ids],
    )


def place(collection_id: str, found: Place) -> grouping_pb2.Place:
    """A place."""
    return grouping_pb2.Place(
        name=place_name(collection_id, found.id),
        display_name=found.name,
        size=found.size,
        center=latlng_pb2.LatLng(latitude=found.center.lat, longitude=found.center.lon),
        radius_km=found.radius_km,
    )


def moment(collection_id: str, found: Moment) -> grouping_pb2.Moment:
    """A moment."""
    return grouping_pb2.Moment(
        name=moment_name(collection_id, found.id),
        display_name=found.name,
        size=found.size,
        start_time=timestamp(found.start),
        end_time=timestamp(found.end),
    )
