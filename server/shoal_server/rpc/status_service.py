"""StatusService: how the server is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from shoal.v1 import status_service_pb2, status_service_pb2_grpc
from shoal_server.application.caller import calling
from shoal_server.application.status import CollectionStatus, PartStatus, Status
from shoal_server.rpc.resource_names import collection_name, run_name

Context = grpc.aio.ServicerContext[Any, Any]


class StatusService(status_service_pb2_grpc.StatusServiceServicer):
    """Answers for the server."""

    def __init__(self, status: Status) -> None:
        self._status = status

    async def GetServerStatus(
        self, request: status_service_pb2.GetServerStatusRequest, context: Context
    ) -> status_service_pb2.ServerStatus:
        caller = calling()
        status = await self._status(caller.sees)
        # Why a part does not work may name what is not theirs to know of.
        why = caller.collections is None
        answer = status_service_pb2.ServerStatus(
            version=status.version,
            model=_part(status.model, why=why),
            store=_part(status.store, why=why),
            queue_length=status.queue_length,
            queue_limit=status.queue_limit,
            collections=[_collection(each) for each in status.collections],
            other_servers=status.other_servers,
        )
        answer.start_time.FromDatetime(status.started_at)
        return answer


def _part(part: PartStatus, *, why: bool) -> status_service_pb2.ComponentStatus:
    latency = None
    if part.latency_s is not None:
        latency = Duration()
        latency.FromTimedelta(timedelta(seconds=part.latency_s))
    return status_service_pb2.ComponentStatus(
        name=part.name,
        healthy=not part.problem,
        problem=part.problem if why or not part.problem else "it does not work",
        latency=latency,
        note=part.note,
    )


def _collection(status: CollectionStatus) -> status_service_pb2.CollectionStatus:
    counted, running = status.counted, status.running
    last_run = None
    if counted.last_run_at is not None:
        last_run = Timestamp()
        last_run.FromDatetime(counted.last_run_at)
    return status_service_pb2.CollectionStatus(
        name=collection_name(counted.id),
        image_count=counted.images,
        unclustered_count=counted.unclustered,
        cluster_count=counted.clusters,
        running="" if running is None else run_name(counted.id, running.id),
        progress=0.0 if running is None else running.progress,
        last_run_time=last_run,
        problem=counted.problem,
    )
