"""Clusters as records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shoal_server.domain.cluster import Cluster, Hold, NameCandidate, NameSource
from shoal_server.domain.image import Vector
from shoal_server.domain.records.values import Record


def cluster_to_record(cluster: Cluster) -> Record:
    """A cluster as JSON values, without its centroid: that is the vector of the point which has this payload."""
    return {
        "cluster_id": int(cluster.id),
        "name": cluster.name,
        "name_source": cluster.name_source.value,
        "candidates": [{"name": each.name, "score": float(each.score)} for each in cluster.candidates],
        "size": int(cluster.size),
        "cohesion": float(cluster.cohesion),
        "threshold": float(cluster.threshold),
        "exemplars": [str(each) for each in cluster.exemplars],
        "created_at": cluster.created_at.isoformat(),
        "borderline": [str(each) for each in cluster.borderline],
        "separation": float(cluster.separation),
        "holds": sorted(each.value for each in cluster.holds),
        "theme_id": None if cluster.theme_id is None else int(cluster.theme_id),
    }


def cluster_from_record(record: Mapping[str, Any], centroid: Vector) -> Cluster:
    """The inverse of :func:`cluster_to_record`; fields that are not a cluster's are passed over."""
    theme_id = record.get("theme_id")
    return Cluster(
        id=int(record["cluster_id"]),
        name=record["name"],
        name_source=NameSource(record["name_source"]),
        candidates=tuple(NameCandidate(each["name"], float(each["score"])) for each in record["candidates"]),
        size=int(record["size"]),
        centroid=centroid,
        cohesion=float(record["cohesion"]),
        threshold=float(record["threshold"]),
        exemplars=tuple(UUID(each) for each in record["exemplars"]),
        created_at=datetime.fromisoformat(record["created_at"]),
        borderline=tuple(UUID(each) for each in record.get("borderline", ())),
        separation=float(record.get("separation", 0.0)),
        holds=frozenset(Hold(each) for each in record.get("holds", ())),
        theme_id=None if theme_id is None else int(theme_id),
    )
