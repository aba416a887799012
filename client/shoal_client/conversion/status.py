"""How a server is."""

from __future__ import annotations

from shoal.v1 import status_service_pb2
from shoal_client import names
from shoal_client.conversion.times import time
from shoal_client.results.status import CollectionStatus, ComponentStatus, ServerStatus


def server_status(message: status_service_pb2.ServerStatus) -> ServerStatus:
    """A server."""
    return ServerStatus(
        version=message.version,
        started_at=time(message.start_time),
        model=_component(message.model),
        store=_component(message.store),
        queue_length=message.queue_length,
        queue_limit=message.queue_limit,
        collections=tuple(map(_collection, message.collections)),
        other_servers=message.other_servers,
    )


def _component(message: status_service_pb2.ComponentStatus) -> ComponentStatus:
    latency = message.latency.ToTimedelta() if message.HasField("latency") else None
    return ComponentStatus(message.name, message.healthy, message.problem, latency, message.note)


def _collection(message: status_service_pb2.CollectionStatus) -> CollectionStatus:
    return CollectionStatus(
        id=names.collection_id(message.name),
        image_count=message.image_count,
        unclustered_count=message.unclustered_count,
        cluster_count=message.cluster_count,
        running=names.child_id(message.running, names.RUNS) if message.running else None,
        progress=message.progress,
        last_run_at=time(message.last_run_time) if message.HasField("last_run_time") else None,
        problem=message.problem,
    )
