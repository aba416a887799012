"""The gRPC server: services, health, reflection, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shoal.v1 import (
    backup_service_pb2,
    backup_service_pb2_grpc,
    change_service_pb2,
    change_service_pb2_grpc,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    collection_service_pb2,
    collection_service_pb2_grpc,
    curation_service_pb2,
    curation_service_pb2_grpc,
    duplicate_service_pb2,
    duplicate_service_pb2_grpc,
    image_service_pb2,
    image_service_pb2_grpc,
    status_service_pb2,
    status_service_pb2_grpc,
)
from shoal_server.rpc.backup_service import BackupService
from shoal_server.rpc.change_service import ChangeService
from shoal_server.rpc.cluster_service import ClusterService
from shoal_server.rpc.collection_service import CollectionService
from shoal_server.rpc.curation_service import CurationService
from shoal_server.rpc.duplicate_service import DuplicateService
from shoal_server.rpc.health import TrueHealth
from shoal_server.rpc.image_service import ImageService
from shoal_server.rpc.interceptor import TranslateErrors
from shoal_server.rpc.status_service import StatusService

#: Full names of Shoal's services.
SERVICES = (
    collection_service_pb2.DESCRIPTOR.services_by_name["CollectionService"].full_name,
    image_service_pb2.DESCRIPTOR.services_by_name["ImageService"].full_name,
    cluster_service_pb2.DESCRIPTOR.services_by_name["ClusterService"].full_name,
    curation_service_pb2.DESCRIPTOR.services_by_name["CurationService"].full_name,
    backup_service_pb2.DESCRIPTOR.services_by_name["BackupService"].full_name,
    change_service_pb2.DESCRIPTOR.services_by_name["ChangeService"].full_name,
    duplicate_service_pb2.DESCRIPTOR.services_by_name["DuplicateService"].full_name,
    status_service_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name,
)

#: Milliseconds without a word from a client after which it is asked whether it is there, and that it has to answer.
KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
#: Bytes of each call that may come before somebody reads its message; the rest of a message comes as it is read. With
#: less, a stream of small messages waits for every few of them over a long line; with more, calls that wait take more.
UNREAD_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Services:
    """What the server serves."""

    collections: CollectionService
    images: ImageService
    duplicates: DuplicateService
    clusters: ClusterService
    curation: CurationService
    backup: BackupService
    changes: ChangeService
    status: StatusService


class _ByName:
    """Takes services from generated code, and has gRPC look their methods up when they are called.

    The generated code registers each method as well. gRPC's server for asyncio then has a task that waits for calls of
    it, and at every call goes over the tasks of all methods: at seventy of them that takes longer than the look-up.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Of a service, as the server has it."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Nothing: they are among the generic ones."""


class RpcServer:
    """Listens, serves, and stops gracefully."""

    def __init__(
        self,
        services: Services,
        max_message_bytes: int,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        credentials: grpc.ServerCredentials | None = None,
        health_service: TrueHealth | None = None,
    ) -> None:
        """Args:
        services: what to serve.
        max_message_bytes: longest message, both ways.
        interceptors: around every call, the outermost first; what handlers raise is a status before it gets to them.
        credentials: for TLS; None: plaintext.
        health_service: says whether the services work; None: one that says that they do.
        """
        self._credentials = credentials
        self._health = health_service or TrueHealth()
        self._server = grpc.aio.server(
            interceptors=[*interceptors, TranslateErrors()],
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # Otherwise gRPC takes as much of a call that waits as the network brings in a moment: megabytes.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", UNREAD_BYTES),
                # Two servers on one port would share the calls between them without a word.
                ("grpc.so_reuseport", 0),
                # A client may watch a long run on a quiet connection: it may ping every 30 s.
                ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
                # A client whose machine or network is gone says no goodbye: whoever does not answer a ping has left.
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                ("grpc.http2.max_pings_without_data", 0),
            ],
        )
        named: Any = _ByName(self._server)
        collection_service_pb2_grpc.add_CollectionServiceServicer_to_server(services.collections, named)
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(services.images, named)
        cluster_service_pb2_grpc.add_ClusterServiceServicer_to_server(services.clusters, named)
        curation_service_pb2_grpc.add_CurationServiceServicer_to_server(services.curation, named)
        backup_service_pb2_grpc.add_BackupServiceServicer_to_server(services.backup, named)
        change_service_pb2_grpc.add_ChangeServiceServicer_to_server(services.changes, named)
        duplicate_service_pb2_grpc.add_DuplicateServiceServicer_to_server(services.duplicates, named)
        status_service_pb2_grpc.add_StatusServiceServicer_to_server(services.status, named)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, named)
        # It asks what kind of server it is given; a single method more does not count.
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    async def start(self, address: str) -> int:
        """Listens and serves.

        Args:
            address: host and port; port 0 picks a free one.

        Returns:
            The port.

        Raises:
            OSError: the address cannot be listened on.
        """
        try:
            if self._credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise OSError(
                f"cannot listen on {address}: it is in use or not an address of this machine; choose another with "
                "--listen"
            ) from error
        self._health.begin(SERVICES)
        await self._server.start()
        return port

    async def stop(self, grace_s: float) -> None:
        """Says NOT_SERVING, lets calls in flight end within the grace, and cuts off what is left."""
        self._health.stop()
        await self._server.stop(grace_s)
