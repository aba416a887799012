"""``qdrant.Collections`` and ``qdrant.Qdrant`` of gRPC."""

from __future__ import annotations

from typing import Any

from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc.collections_service_pb2_grpc import CollectionsServicer
from qdrant_client.grpc.qdrant_pb2_grpc import QdrantServicer

from tests.standin.engine import Engine
from tests.standin.understood import converted, only


class CollectionsService(CollectionsServicer):
    """Collections. A method that is not here answers UNIMPLEMENTED."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def Create(self, request: Any, context: Any) -> Any:
        """Makes one."""
        settings: dict[str, tuple[Any, Any]] = {
            "hnsw_config": (GrpcToRest.convert_hnsw_config_diff, RestToGrpc.convert_hnsw_config_diff),
            "wal_config": (GrpcToRest.convert_wal_config_diff, RestToGrpc.convert_wal_config_diff),
            "optimizers_config": (
                GrpcToRest.convert_optimizers_config_diff,
                RestToGrpc.convert_optimizers_config_diff,
            ),
            "quantization_config": (GrpcToRest.convert_quantization_config, RestToGrpc.convert_quantization_config),
        }
        numbers = ("shard_number", "on_disk_payload", "replication_factor", "write_consistency_factor")
        only(request, *settings, *numbers, "vectors_config", "sparse_vectors_config", "metadata")
        made: dict[str, Any] = {
            name: converted(getattr(request, name), *both) for name, both in settings.items() if request.HasField(name)
        }
        made |= {name: getattr(request, name) for name in numbers if request.HasField(name)}
        if request.HasField("vectors_config"):
            made["vectors"] = converted(
                request.vectors_config, GrpcToRest.convert_vectors_config, RestToGrpc.convert_vectors_config
            )
        if request.HasField("sparse_vectors_config"):
            made["sparse_vectors"] = converted(
                request.sparse_vectors_config,
                GrpcToRest.convert_sparse_vector_config,
                RestToGrpc.convert_sparse_vector_config,
            )
        if request.metadata:
            made["metadata"] = GrpcToRest.convert_payload(request.metadata)
        result = self._engine.write(
            "create_collection", request.collection_name, settings=models.CreateCollection(**made)
        )
        return grpc.CollectionOperationResponse(result=result)

    def Update(self, request: Any, context: Any) -> Any:
        """Changes settings of one."""
        changes = ("vectors_config", "params", "hnsw_config", "optimizers_config", "quantization_config")
        only(request, *changes, "metadata")
        result = self._engine.write(
            "update_collection", request.collection_name, changes=GrpcToRest.convert_update_collection(request)
        )
        return grpc.CollectionOperationResponse(result=result)

    def Delete(self, request: Any, context: Any) -> Any:
        """Removes one; false if there is none."""
        only(request)
        result = self._engine.write("delete_collection", request.collection_name)
        return grpc.CollectionOperationResponse(result=result)

    def Get(self, request: Any, context: Any) -> Any:
        """What is known of one."""
        info = self._engine.info(request.collection_name)
        return grpc.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    def List(self, request: Any, context: Any) -> Any:
        """All names."""
        return grpc.ListCollectionsResponse(
            collections=[grpc.CollectionDescription(name=name) for name in self._engine.names()]
        )

    def CollectionExists(self, request: Any, context: Any) -> Any:
        """Whether there is one."""
        exists = self._engine.exists(request.collection_name)
        return grpc.CollectionExistsResponse(result=grpc.CollectionExists(exists=exists))

    def UpdateAliases(self, request: Any, context: Any) -> Any:
        """Second names."""
        only(request, "actions")
        actions = [
            converted(each, GrpcToRest.convert_alias_operations, RestToGrpc.convert_alias_operations)
            for each in request.actions
        ]
        result = self._engine.write("update_collection_aliases", "", change_aliases_operations=actions)
        return grpc.CollectionOperationResponse(result=result)

    def ListAliases(self, request: Any, context: Any) -> Any:
        """All second names."""
        return self._aliases(None)

    def ListCollectionAliases(self, request: Any, context: Any) -> Any:
        """The second names of one."""
        return self._aliases(request.collection_name)

    def _aliases(self, collection: str | None) -> Any:
        found = self._engine.aliases(collection)
        return grpc.ListAliasesResponse(aliases=[RestToGrpc.convert_alias_description(each) for each in found])


class RootService(QdrantServicer):
    """The server itself.

    Attributes:
        version: that it says it has.
    """

    def __init__(self, version: str) -> None:
        self.version = version

    def HealthCheck(self, request: Any, context: Any) -> Any:
        """Title and version."""
        return grpc.HealthCheckReply(title="stand-in for qdrant", version=self.version)
