"""Shoal's values as Qdrant Edge's: shards, filters, points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from shoal_server.application.ports import StoredVectors
from shoal_server.domain import payload, records
from shoal_server.domain.cluster import NOISE, Cluster
from shoal_server.domain.image import Image, Location, Vector
from shoal_server.domain.payload import CAPTURED_AT, CLUSTER_ID, GROUP_FIELDS, MOMENT_ID, PLACE_ID, FieldType

RUN = "run"
_LOCATION = "location"

#: Namespace of the ids of cluster points.
_CLUSTERS = UUID("0b0d5bb4-5c0b-5f0c-8a44-1a6b7f8f6a5e")

_SCHEMA = {
    FieldType.KEYWORD: edge.PayloadSchemaType.Keyword,
    FieldType.INTEGER: edge.PayloadSchemaType.Integer,
    FieldType.FLOAT: edge.PayloadSchemaType.Float,
    FieldType.DATETIME: edge.PayloadSchemaType.Datetime,
    FieldType.GEO: edge.PayloadSchemaType.Geo,
    FieldType.BOOL: edge.PayloadSchemaType.Bool,
}

#: An index compares one byte a number, which takes a quarter of the memory's bandwidth, a third less time and half as
#: long to build; of twice as many as were asked for, the whole vectors then say which are the nearest.
#: https://qdrant.tech/documentation/guides/quantization/
QUANTIZED = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, memory=edge.Memory.Pinned)
#: With every search, so that all scores are those of the whole vectors.
RESCORED = edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True, oversampling=2.0))

#: What a scan reads of an image's payload.
SCANNED = [*GROUP_FIELDS, CAPTURED_AT, _LOCATION]

#: Indexed fields of a point that is a cluster.
CLUSTER_FIELDS = {RUN: FieldType.KEYWORD, CLUSTER_ID: FieldType.INTEGER}


def create_shard(folder: Path, dimension: int) -> edge.EdgeShard:
    """Makes an empty shard of unnamed vectors compared by cosine."""
    folder.mkdir(parents=True)
    vectors = edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)
    return edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=vectors))


def create_index(field: str, kind: FieldType) -> edge.UpdateOperation:
    """Asks for the payload index of a field."""
    return edge.UpdateOperation.create_field_index(field, _SCHEMA[kind])


def of_ids(ids: Sequence[UUID]) -> edge.Filter:
    """The points of these ids, as far as they exist."""
    return edge.Filter(must=[edge.HasIdCondition(set(ids))])


def of_run(run: str) -> edge.Filter:
    """The cluster points of a run."""
    return edge.Filter(must=[edge.FieldCondition(RUN, match=edge.MatchValue(run))])


def image_point(image: Image, vector: Vector) -> edge.Point:
    """An image as a point."""
    return edge.Point(image.id, vector.tolist(), payload.to_payload(image))


def to_image(point: edge.Record | edge.ScoredPoint) -> Image:
    """The image of a point that was read with its payload."""
    return payload.from_payload(identity_of(point), point.payload or {})


def cluster_point(run: str, cluster: Cluster) -> edge.Point:
    """A cluster of a run as a point: its centroid is the vector."""
    identity = uuid5(_CLUSTERS, f"{run}/{cluster.id}")
    return edge.Point(identity, cluster.centroid.tolist(), {RUN: run, **records.cluster_to_record(cluster)})


def to_cluster(point: edge.Record) -> Cluster:
    """The cluster of a point that was read with its payload and vector."""
    return records.cluster_from_record(point.payload or {}, to_vector(point))


def to_vector(point: edge.Record) -> Vector:
    """The vector of a point that was read with it."""
    return np.asarray(point.vector, dtype=np.float32)


def to_vectors(found: Sequence[edge.ScoredPoint]) -> NDArray[np.float32]:
    """The vectors of points that were read with them, float32 (n, dimension)."""
    return np.array([point.vector for point in found], dtype=np.float32)


def group_ids(found: Sequence[edge.Record] | Sequence[edge.ScoredPoint], field: str) -> NDArray[np.int64]:
    """The ids that points have in one of the payload's group fields, int64 (n,), -1 for none."""
    return np.array([(point.payload or {}).get(field, NOISE) for point in found], dtype=np.int64)


def to_stretch(found: Sequence[edge.Record], with_vectors: bool) -> StoredVectors:
    """Points that were read with the fields in ``SCANNED``, and with their vectors or not."""
    payloads = [point.payload or {} for point in found]
    return StoredVectors(
        ids=[identity_of(point) for point in found],
        cluster_ids=group_ids(found, CLUSTER_ID),
        place_ids=group_ids(found, PLACE_ID),
        moment_ids=group_ids(found, MOMENT_ID),
        captured_at=[each.get(CAPTURED_AT) for each in payloads],
        locations=[_to_location(each.get(_LOCATION)) for each in payloads],
        vectors=np.array([point.vector if with_vectors else () for point in found], dtype=np.float32),
    )


def identity_of(point: edge.Record | edge.ScoredPoint) -> UUID:
    """The id of a point."""
    # The engine makes another object of it whenever it is asked.
    identity = point.id
    return identity if isinstance(identity, UUID) else UUID(str(identity))


def _to_location(value: Mapping[str, float] | None) -> Location | None:
    return None if value is None else Location(lat=value["lat"], lon=value["lon"])
