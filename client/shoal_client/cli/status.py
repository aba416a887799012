"""``shoal status``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer

from shoal_client.cli.options import JsonOption, ServerOption, connection
from shoal_client.cli.output import complain, console, print_json, print_record, print_records
from shoal_client.cli.words import clock, percent, period
from shoal_client.results import CollectionStatus, ComponentStatus, ServerStatus
from shoal_client.transport import DEFAULT_TARGET

UNHEALTHY = 1

_COLUMNS = {
    "name": "name",
    "images": "images",
    "unclustered": "unclustered",
    "clusters": "clusters",
    "run": "run",
    "last_run": "last run",
}


def status(server: ServerOption = DEFAULT_TARGET, as_json: JsonOption = False) -> None:
    """How the server is. The exit status is 0 if it is well, and 1 if something does not work or nobody answers."""
    with connection(server) as client:
        found = client.status()
    if as_json:
        print_json(_record(found))
    else:
        _print(server, found)
    for problem in found.problems:
        complain(problem)
    if not found.healthy:
        raise typer.Exit(UNHEALTHY)


def _print(server: str, found: ServerStatus) -> None:
    uptime = period(datetime.now(UTC) - found.started_at)
    record = {
        "server": f"{server}, Shoal {found.version}, up {uptime}",
        "model": _component(found.model),
        "store": _component(found.store),
        "queue": f"{found.queue_length} of {found.queue_limit}",
    }
    if found.other_servers:
        record["others"] = f"{found.other_servers} on the same store"
    print_record(record, as_json=False)
    console().print()
    print_records(map(_row, found.collections), _COLUMNS, as_json=False)


def _component(component: ComponentStatus) -> str:
    name = f"{component.name} ({component.note})" if component.note else component.name
    if not component.healthy:
        return f"{name}: does not work"
    if component.latency is None:
        return f"{name}: busy"
    return f"{name}: works ({component.latency.total_seconds() * 1000:.0f} ms)"


def _row(collection: CollectionStatus) -> dict[str, Any]:
    running = None if collection.running is None else f"{collection.running} {percent(collection.progress)}"
    return {
        "name": collection.id,
        "images": collection.image_count,
        "unclustered": collection.unclustered_count,
        "clusters": collection.cluster_count,
        "run": "cannot be used" if collection.problem else running,
        "last_run": clock(collection.last_run_at),
    }


def _record(found: ServerStatus) -> dict[str, Any]:
    """The JSON fields: programs rely on them."""
    return {
        "healthy": found.healthy,
        "problems": list(found.problems),
        "version": found.version,
        "started_at": found.started_at.isoformat(),
        "model": _component_record(found.model),
        "store": _component_record(found.store),
        "queue_length": found.queue_length,
        "queue_limit": found.queue_limit,
        "other_servers": found.other_servers,
        "collections": [_collection_record(each) for each in found.collections],
    }


def _component_record(component: ComponentStatus) -> dict[str, Any]:
    latency = component.latency
    return {
        "name": component.name,
        "healthy": component.healthy,
        "problem": component.problem,
        "note": component.note,
        "latency_ms": None if latency is None else round(latency.total_seconds() * 1000, 3),
    }


def _collection_record(collection: CollectionStatus) -> dict[str, Any]:
    ended = collection.last_run_at
    return {
        "name": collection.id,
        "images": collection.image_count,
        "unclustered": collection.unclustered_count,
        "clusters": collection.cluster_count,
        "running": collection.running,
        "progress": collection.progress if collection.running else None,
        "last_run_at": None if ended is None else ended.isoformat(),
        "problem": collection.problem,
    }
