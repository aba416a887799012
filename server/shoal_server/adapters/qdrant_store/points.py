"""Shoal's values as Qdrant's: filters, points, records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from shoal_server.application.ports import StoredVectors
from shoal_server.domain import payload, records
from shoal_server.domain.cluster import NOISE, Cluster
from shoal_server.domain.image import Image, Location, Vector
from shoal_server.domain.payload import CAPTURED_AT, CLUSTER_ID, GROUP_FIELDS, MOMENT_ID, PLACE_ID, FieldType

RUN = "run"
KIND = "kind"
COLLECTION = "collection"
RECORD = "record"
#: Of a record that is only replaced by its next version.
VERSION = "version"
_LOCATION = "location"

#: Namespace of the ids of points that are not images.
_NAMESPACE = UUID("c1a6e4de-3b1f-5a53-9b0e-6a1d4a0f8b77")

SCHEMA = {
    FieldType.KEYWORD: models.PayloadSchemaType.KEYWORD,
    FieldType.INTEGER: models.PayloadSchemaType.INTEGER,
    FieldType.FLOAT: models.PayloadSchemaType.FLOAT,
    FieldType.DATETIME: models.PayloadSchemaType.DATETIME,
    FieldType.GEO: models.PayloadSchemaType.GEO,
    FieldType.BOOL: models.PayloadSchemaType.BOOL,
}

#: What a scan reads of an image's payload.
SCANNED = [*GROUP_FIELDS, CAPTURED_AT, _LOCATION]

#: Indexed fields of a point that is a cluster.
CLUSTER_FIELDS = {RUN: FieldType.KEYWORD, CLUSTER_ID: FieldType.INTEGER}

#: Indexed fields of a point that is a record.
RECORD_FIELDS = {KIND: FieldType.KEYWORD, COLLECTION: FieldType.KEYWORD, VERSION: FieldType.INTEGER}


def of_ids(ids: Sequence[int | str]) -> models.Filter:
    """The points of these ids, as far as they exist."""
    return models.Filter(must=[models.HasIdCondition(has_id=list(ids))])


def matching(**fields: str) -> models.Filter:
    """The points that have these keywords."""
    return models.Filter(
        must=[models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in fields.items()]
    )


def image_point(image: Image, vector: Vector) -> models.PointStruct:
    """An image as a point."""
    return models.PointStruct(id=str(image.id), vector=vector.tolist(), payload=payload.to_payload(image))


def to_image(point: models.Record | models.ScoredPoint) -> Image:
    """The image of a point that was read with its payload."""
    return payload.from_payload(UUID(str(point.id)), point.payload or {})


def cluster_point(run: str, cluster: Cluster) -> models.PointStruct:
    """A cluster of a run as a point: its centroid is the vector."""
    return models.PointStruct(
        id=str(uuid5(_NAMESPACE, f"cluster/{run}/{cluster.id}")),
        vector=cluster.centroid.tolist(),
        payload={RUN: run, **records.cluster_to_record(cluster)},
    )


def to_cluster(point: models.Record) -> Cluster:
    """The cluster of a point that was read with its payload and vector."""
    return records.cluster_from_record(point.payload or {}, to_vector(point))


def to_vector(point: models.Record | models.ScoredPoint) -> Vector:
    """The unnamed vector of a point that was read with it."""
    return np.asarray(point.vector, dtype=np.float32)


def group_ids(found: Sequence[models.Record | models.ScoredPoint], field: str) -> NDArray[np.int64]:
    """The ids that points have in one of the payload's group fields, int64 (n,), -1 for none."""
    return np.array([(point.payload or {}).get(field, NOISE) for point in found], dtype=np.int64)


def to_stretch(found: Sequence[models.Record], with_vectors: bool) -> StoredVectors:
    """Points that were read with the fields in ``SCANNED``, and with their vectors or not."""
    payloads = [point.payload or {} for point in found]
    return StoredVectors(
        ids=[UUID(str(point.id)) for point in found],
        cluster_ids=group_ids(found, CLUSTER_ID),
        place_ids=group_ids(found, PLACE_ID),
        moment_ids=group_ids(found, MOMENT_ID),
        captured_at=[each.get(CAPTURED_AT) for each in payloads],
        locations=[_to_location(each.get(_LOCATION)) for each in payloads],
        vectors=np.array([point.vector if with_vectors else () for point in found], dtype=np.float32),
    )


def record_id(kind: str, *names: str) -> str:
    """The point id of a record: one for each thing that is recorded."""
    return str(uuid5(_NAMESPACE, "/".join((kind, *names))))


def record_point(identity: str, kind: str, collection: str, record: records.Record) -> models.PointStruct:
    """A record as a point without a vector."""
    fields: dict[str, Any] = {KIND: kind, COLLECTION: collection, RECORD: record}
    return models.PointStruct(id=identity, vector={}, payload=fields)


def _to_location(value: Mapping[str, float] | None) -> Location | None:
    return None if value is None else Location(lat=value["lat"], lon=value["lon"])
