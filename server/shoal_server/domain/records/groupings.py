"""Themes, places and moments as records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shoal_server.domain.groupings import Groupings, Moment, Place, Theme
from shoal_server.domain.image import Location
from shoal_server.domain.records.values import Record


def groupings_to_record(groupings: Groupings) -> Record:
    """A run's themes, places and moments as JSON values."""
    return {
        "themes": [
            {
                "id": int(each.id),
                "name": each.name,
                "parent_id": None if each.parent_id is None else int(each.parent_id),
                "cluster_ids": [int(cluster) for cluster in each.cluster_ids],
            }
            for each in groupings.themes
        ],
        "places": [
            {
                "id": int(each.id),
                "name": each.name,
                "size": int(each.size),
                "center": {"lat": float(each.center.lat), "lon": float(each.center.lon)},
                "radius_km": float(each.radius_km),
            }
            for each in groupings.places
        ],
        "moments": [
            {
                "id": int(each.id),
                "name": each.name,
                "size": int(each.size),
                "start": each.start.isoformat(),
                "end": each.end.isoformat(),
            }
            for each in groupings.moments
        ],
    }


def groupings_from_record(record: Mapping[str, Any]) -> Groupings:
    """The inverse of :func:`groupings_to_record`."""
    return Groupings(
        themes=tuple(
            Theme(
                id=int(each["id"]),
                name=each["name"],
                parent_id=None if each["parent_id"] is None else int(each["parent_id"]),
                cluster_ids=tuple(int(cluster) for cluster in each["cluster_ids"]),
            )
            for each in record["themes"]
        ),
        places=tuple(
            Place(
                id=int(each["id"]),
                name=each["name"],
                size=int(each["size"]),
                center=Location(lat=float(each["center"]["lat"]), lon=float(each["center"]["lon"])),
                radius_km=float(each["radius_km"]),
            )
            for each in record["places"]
        ),
        moments=tuple(
            Moment(
                id=int(each["id"]),
                name=each["name"],
                size=int(each["size"]),
                start=datetime.fromisoformat(each["start"]),
                end=datetime.fromisoformat(each["end"]),
            )
            for each in record["moments"]
        ),
    )
