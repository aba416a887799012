"""The standard health service, telling the truth about each service.

A service is SERVING while everything works that it needs; the server as a whole, which is the empty name, while
everything works.
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal_server.application.vitals import Part

Context = grpc.aio.ServicerContext[Any, Any]

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

_NEEDS_MODEL = frozenset({"shoal.v1.ImageService", "shoal.v1.ClusterService"})
#: Says what is the matter, so it is there when something is.
_NEEDS_NOTHING = frozenset({"shoal.v1.StatusService"})


class TrueHealth(health_pb2_grpc.HealthServicer):
    """Whoever watches a service is told when its status changes.

    Not gRPC's own servicer: its watchers stay until they are cut off, so that a server that has one does not stop
    before the end of its grace.
    """

    def __init__(self, problems: Callable[[], Mapping[Part, str]] = dict) -> None:
        """Args:
        problems: what is the matter with the server at the moment.
        """
        self._problems = problems
        self._works = {"": True}
        self._stopping = False
        #: Set at the next change, and another one from there on.
        self._changed = asyncio.Event()

    def begin(self, services: Iterable[str]) -> None:
        """Answers for these services, by their full names, and for the server as a whole."""
        self._works = dict.fromkeys(("", *services), True)
        self._look()

    async def refresh(self) -> None:
        """Looks at the problems again; after :meth:`stop`, nothing changes any more."""
        self._look()

    def stop(self) -> None:
        """Says that nothing is served any more; who watches is told, and has been told all."""
        self._stopping = True
        self._look()

    async def Check(  # noqa: N802 - the generated class's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status of a service at this moment."""
        if request.service not in self._works:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return self._response(request.service)

    async def Watch(  # noqa: N802 - the generated class's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """The status of a service, and again whenever it has changed, until the server stops."""
        told = None
        while True:
            changed, last = self._changed, self._stopping
            response = self._response(request.service)
            if response != told:
                await context.write(response)
                told = response
            if last:
                return
            await changed.wait()

    def _response(self, service: str) -> health_pb2.HealthCheckResponse:
        if service not in self._works:
            return health_pb2.HealthCheckResponse(status=_UNKNOWN)
        return health_pb2.HealthCheckResponse(status=_SERVING if self._works[service] else _NOT_SERVING)

    def _look(self) -> None:
        problems = self._problems().keys()
        for service in self._works:
            self._works[service] = not self._stopping and not _needs(service) & problems
        self._changed.set()
        self._changed = asyncio.Event()


def _needs(service: str) -> frozenset[Part]:
    if service in _NEEDS_NOTHING:
        return frozenset()
    return frozenset(Part) if service in _NEEDS_MODEL or not service else frozenset({Part.STORE})
