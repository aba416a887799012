"""``qdrant.Points`` of gRPC."""

from __future__ import annotations

from typing import Any

from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc.points_service_pb2_grpc import PointsServicer

from tests.standin.engine import Engine
from tests.standin.refusals import not_understood
from tests.standin.understood import only, optional, to_filter, to_order, to_points, to_query, to_search_params
from tests.standin.understood import to_selector as selected

_FIELD_TYPES = {
    grpc.FieldType.FieldTypeKeyword: models.PayloadSchemaType.KEYWORD,
    grpc.FieldType.FieldTypeInteger: models.PayloadSchemaType.INTEGER,
    grpc.FieldType.FieldTypeFloat: models.PayloadSchemaType.FLOAT,
    grpc.FieldType.FieldTypeGeo: models.PayloadSchemaType.GEO,
    grpc.FieldType.FieldTypeText: models.PayloadSchemaType.TEXT,
    grpc.FieldType.FieldTypeBool: models.PayloadSchemaType.BOOL,
    grpc.FieldType.FieldTypeDatetime: models.PayloadSchemaType.DATETIME,
    grpc.FieldType.FieldTypeUuid: models.PayloadSchemaType.UUID,
}

#: A server's defaults of limits.
_LIMIT = 10


class PointsService(PointsServicer):
    """Reads and writes of points. A method that is not here answers UNIMPLEMENTED."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def Upsert(self, request: Any, context: Any) -> Any:
        """Stores points."""
        only(request, "points", "update_filter", "update_mode")
        return self._written(
            request,
            "upsert",
            points=to_points(request.points),
            update_filter=optional(request, "update_filter", to_filter),
            update_mode=optional(request, "update_mode", GrpcToRest.convert_update_mode),
        )

    def Delete(self, request: Any, context: Any) -> Any:
        """Removes points."""
        only(request, "points")
        return self._written(request, "delete", points_selector=selected(request.points))

    def SetPayload(self, request: Any, context: Any) -> Any:
        """Sets fields."""
        only(request, "payload", "points_selector", "key")
        return self._written(
            request,
            "set_payload",
            payload=GrpcToRest.convert_payload(request.payload),
            points=selected(request.points_selector),
            key=optional(request, "key", str),
        )

    def OverwritePayload(self, request: Any, context: Any) -> Any:
        """Replaces payloads."""
        only(request, "payload", "points_selector")
        payload = GrpcToRest.convert_payload(request.payload)
        return self._written(request, "overwrite_payload", payload=payload, points=selected(request.points_selector))

    def DeletePayload(self, request: Any, context: Any) -> Any:
        """Removes fields."""
        only(request, "keys", "points_selector")
        points = selected(request.points_selector)
        return self._written(request, "delete_payload", keys=list(request.keys), points=points)

    def ClearPayload(self, request: Any, context: Any) -> Any:
        """Removes all fields."""
        only(request, "points")
        return self._written(request, "clear_payload", points_selector=selected(request.points))

    def UpdateVectors(self, request: Any, context: Any) -> Any:
        """Replaces vectors."""
        only(request, "points")
        points = [GrpcToRest.convert_point_vectors(each) for each in request.points]
        return self._written(request, "update_vectors", points=points)

    def DeleteVectors(self, request: Any, context: Any) -> Any:
        """Removes vectors by name."""
        only(request, "points_selector", "vectors")
        points = selected(request.points_selector)
        return self._written(request, "delete_vectors", vectors=list(request.vectors.names), points=points)

    def UpdateBatch(self, request: Any, context: Any) -> Any:
        """Several writes, in their order."""
        only(request, "operations")
        operations = [GrpcToRest.convert_points_update_operation(each) for each in request.operations]
        results = self._engine.write("batch_update_points", request.collection_name, update_operations=operations)
        return grpc.UpdateBatchResponse(result=[RestToGrpc.convert_update_result(each) for each in results])

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        """An index of a field."""
        only(request, "field_name", "field_type", "field_index_params")
        schema: Any
        if request.HasField("field_index_params"):
            schema = GrpcToRest.convert_payload_schema_params(request.field_index_params)
        elif request.HasField("field_type"):
            schema = _FIELD_TYPES[request.field_type]
        else:
            raise not_understood("an index without a type")
        return self._written(request, "create_payload_index", field=request.field_name, schema=schema)

    def DeleteFieldIndex(self, request: Any, context: Any) -> Any:
        """No index of a field any more."""
        only(request, "field_name")
        return self._written(request, "delete_payload_index", field=request.field_name)

    def Get(self, request: Any, context: Any) -> Any:
        """Points by id."""
        only(request, "ids", "with_payload", "with_vectors")
        found = self._engine.read(
            "retrieve",
            request.collection_name,
            ids=[GrpcToRest.convert_point_id(each) for each in request.ids],
            **_wanted(request),
        )
        return grpc.GetResponse(result=[_to_point(each) for each in found])

    def Scroll(self, request: Any, context: Any) -> Any:
        """Points in an order, page by page."""
        only(request, "filter", "offset", "limit", "with_payload", "with_vectors", "order_by")
        found, following = self._engine.read(
            "scroll",
            request.collection_name,
            scroll_filter=optional(request, "filter", to_filter),
            limit=request.limit if request.HasField("limit") else _LIMIT,
            offset=optional(request, "offset", GrpcToRest.convert_point_id),
            order_by=optional(request, "order_by", to_order),
            **_wanted(request),
        )
        return grpc.ScrollResponse(
            result=[_to_point(each) for each in found],
            next_page_offset=None if following is None else RestToGrpc.convert_extended_point_id(following),
        )

    def Count(self, request: Any, context: Any) -> Any:
        """How many points; always exactly."""
        only(request, "filter", "exact")
        condition = optional(request, "filter", to_filter)
        result = self._engine.read("count", request.collection_name, count_filter=condition)
        return grpc.CountResponse(result=grpc.CountResult(count=result.count))

    def Facet(self, request: Any, context: Any) -> Any:
        """Points by value; always exactly."""
        only(request, "key", "filter", "limit", "exact")
        answer = self._engine.read(
            "facet",
            request.collection_name,
            key=request.key,
            facet_filter=optional(request, "filter", to_filter),
            limit=request.limit if request.HasField("limit") else _LIMIT,
        )
        return grpc.FacetResponse(hits=[RestToGrpc.convert_facet_value_hit(each) for each in answer.hits])

    def Query(self, request: Any, context: Any) -> Any:
        """The points nearest to something."""
        return grpc.QueryResponse(result=self._queried(request.collection_name, request))

    def QueryBatch(self, request: Any, context: Any) -> Any:
        """Several queries."""
        only(request, "query_points")
        queries = request.query_points
        return grpc.QueryBatchResponse(
            result=[grpc.BatchResult(result=self._queried(request.collection_name, each)) for each in queries]
        )

    def _queried(self, collection: str, request: Any) -> list[Any]:
        # Merging several searches is not among what the tests need.
        fields = ("query", "using", "filter", "params", "score_threshold", "limit", "offset")
        only(request, *fields, "with_vectors", "with_payload")
        answer = self._engine.read(
            "query_points",
            collection,
            query=optional(request, "query", to_query),
            using=optional(request, "using", str),
            query_filter=optional(request, "filter", to_filter),
            search_params=optional(request, "params", to_search_params),
            score_threshold=optional(request, "score_threshold", float),
            limit=request.limit if request.HasField("limit") else _LIMIT,
            offset=request.offset if request.HasField("offset") else 0,
            **_wanted(request),
        )
        return [RestToGrpc.convert_scored_point(each) for each in answer.points]

    def _written(self, request: Any, operation: str, **arguments: Any) -> Any:
        result = self._engine.write(operation, request.collection_name, **arguments)
        return grpc.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))


def _to_point(record: models.Record) -> Any:
    # The conversion cannot have a point without payload.
    return RestToGrpc.convert_retrieved_point(record.model_copy(update={"payload": record.payload or {}}))


def _wanted(request: Any) -> dict[str, Any]:
    """What is read of each point; over gRPC, that is nothing unless it is asked for."""
    payload = optional(request, "with_payload", GrpcToRest.convert_with_payload_interface)
    vectors = optional(request, "with_vectors", GrpcToRest.convert_with_vectors_selector)
    return {"with_payload": payload or False, "with_vectors": vectors or False}
