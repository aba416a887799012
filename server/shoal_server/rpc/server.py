"""The gRPC server: services, health, reflection, limits."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shoal.v1 import (
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
)
from shoal_server.rpc.cluster_service import ClusterService
from shoal_server.rpc.collection_service import CollectionService
from shoal_server.rpc.curation_service import CurationService
from shoal_server.rpc.duplicate_service import DuplicateService
from shoal_server.rpc.image_service import ImageService
from shoal_server.rpc.interceptor import TranslateErrors

#: Full names of Shoal's services.
SERVICES = (
    collection_service_pb2.DESCRIPTOR.services_by_name["CollectionService"].full_name,
    image_service_pb2.DESCRIPTOR.services_by_name["ImageService"].full_name,
    cluster_service_pb2.DESCRIPTOR.services_by_name["ClusterService"].full_name,
    curation_service_pb2.DESCRIPTOR.services_by_name["CurationService"].full_name,
    duplicate_service_pb2.DESCRIPTOR.services_by_name["DuplicateService"].full_name,
)


@dataclass(frozen=True, slots=True)
class Services:
    """What the server serves."""

    collections: CollectionService
    images: ImageService
    duplicates: DuplicateService
    clusters: ClusterService
    curation: CurationService


class RpcServer:
    """Listens, serves, and stops gracefully."""

    def __init__(self, services: Services, max_message_bytes: int) -> None:
        """Args:
        services: what to serve.
        max_message_bytes: longest message, both ways.
        """
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[TranslateErrors()],
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # Two servers on one port would share the calls between them without a word.
                ("grpc.so_reuseport", 0),
                # A client may watch a long run on a quiet connection: it may ping every 30 s.
                ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
            ],
        )
        collection_service_pb2_grpc.add_CollectionServiceServicer_to_server(services.collections, self._server)
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(services.images, self._server)
        cluster_service_pb2_grpc.add_ClusterServiceServicer_to_server(services.clusters, self._server)
        curation_service_pb2_grpc.add_CurationServiceServicer_to_server(services.curation, self._server)
        duplicate_service_pb2_grpc.add_DuplicateServiceServicer_to_server(services.duplicates, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
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
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(
                f"cannot listen on {address}: it is in use or not an address of this machine; choose another with "
                "--listen"
            ) from error
        await self._server.start()
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self, grace_s: float) -> None:
        """Says NOT_SERVING, lets calls in flight end within the grace, and cuts off what is left."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
