"""``shoal themes``, ``shoal places`` and ``shoal moments``."""

from __future__ import annotations

from itertools import islice
from typing import Any

from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    JsonOption,
    LimitOption,
    ServerOption,
    opened,
)
from shoal_client.cli.output import print_records
from shoal_client.results import Moment, Place, Theme
from shoal_client.transport import DEFAULT_TARGET


def themes(
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists the themes, parents first; `shoal clusters --themes` shows the tree."""
    columns = {"id": "id", "name": "name", "parent_id": "below", "clusters": "clusters"}
    with opened(server, collection) as target:
        print_records(map(theme_record, target.themes()), columns, as_json=as_json)


def places(
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists where the pictures were taken, largest first; filter with --place."""
    columns = {"id": "id", "name": "name", "size": "images", "radius_km": "radius in km"}
    with opened(server, collection) as target:
        print_records(map(place_record, islice(target.places(), limit)), columns, as_json=as_json)


def moments(
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists when the pictures were taken, in the order of time; filter with --moment."""
    columns = {"id": "id", "name": "name", "size": "images", "started_at": "first", "ended_at": "last"}
    with opened(server, collection) as target:
        print_records(map(moment_record, islice(target.moments(), limit)), columns, as_json=as_json)


def theme_record(theme: Theme) -> dict[str, Any]:
    """A theme."""
    return {"id": theme.id, "name": theme.name, "parent_id": theme.parent_id, "clusters": list(theme.clusters)}


def place_record(place: Place) -> dict[str, Any]:
    """A place."""
    return {
        "id": place.id,
        "name": place.name,
        "size": place.size,
        "lat": place.center.lat,
        "lon": place.center.lon,
        "radius_km": place.radius_km,
    }


def moment_record(moment: Moment) -> dict[str, Any]:
    """A moment; its times are local ones, without a time zone."""
    return {
        "id": moment.id,
        "name": moment.name,
        "size": moment.size,
        "started_at": moment.started_at.isoformat(),
        "ended_at": moment.ended_at.isoformat(),
    }
