"""Collections, runs and clusters as plain JSON values and back, for stores to keep.

Dates are ISO 8601 texts, enumerations their values, ids texts. A field that a record does not have is a KeyError and a
value of the wrong form a ValueError or TypeError: the store that kept it says where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from shoal_server.domain.cluster import Cluster, NameCandidate, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.image import Vector
from shoal_server.domain.run import (
    ClusteringParameters,
    ClusteringRun,
    RequestedParameters,
    RunStage,
    RunState,
    RunSummary,
)

Record = dict[str, Any]


def collection_to_record(collection: Collection) -> Record:
    """A collection as JSON values."""
    return {
        "id": collection.id,
        "model": asdict(collection.model),
        "created_at": collection.created_at.isoformat(),
        "active_run": collection.active_run,
        "activating_run": collection.activating_run,
        "next_cluster_id": collection.next_cluster_id,
    }


def collection_from_record(record: Mapping[str, Any]) -> Collection:
    """The inverse of :func:`collection_to_record`."""
    model = record["model"]
    return Collection(
        id=record["id"],
        model=EmbeddingModel(name=model["name"], digest=model["digest"], dimension=int(model["dimension"])),
        created_at=datetime.fromisoformat(record["created_at"]),
        active_run=record["active_run"],
        activating_run=record["activating_run"],
        next_cluster_id=int(record["next_cluster_id"]),
    )


def run_to_record(run: ClusteringRun) -> Record:
    """A run as JSON values."""
    return {
        "id": run.id,
        "state": run.state.value,
        "stage": run.stage.value,
        "progress": float(run.progress),
        "created_at": run.created_at.isoformat(),
        "requested": asdict(run.requested),
        "request_id": run.request_id,
        "ended_at": None if run.ended_at is None else run.ended_at.isoformat(),
        "parameters": None if run.parameters is None else asdict(run.parameters),
        "summary": None if run.summary is None else asdict(run.summary),
        "error": run.error,
        "error_reason": run.error_reason,
    }


def run_from_record(record: Mapping[str, Any]) -> ClusteringRun:
    """The inverse of :func:`run_to_record`."""
    ended_at, parameters, summary = record["ended_at"], record["parameters"], record["summary"]
    return ClusteringRun(
        id=record["id"],
        state=RunState(record["state"]),
        stage=RunStage(record["stage"]),
        progress=float(record["progress"]),
        created_at=datetime.fromisoformat(record["created_at"]),
        requested=RequestedParameters(**record["requested"]),
        request_id=record["request_id"],
        ended_at=None if ended_at is None else datetime.fromisoformat(ended_at),
        parameters=None if parameters is None else ClusteringParameters(**parameters),
        summary=None if summary is None else RunSummary(**summary),
        error=record["error"],
        error_reason=record["error_reason"],
    )


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
    }


def cluster_from_record(record: Mapping[str, Any], centroid: Vector) -> Cluster:
    """The inverse of :func:`cluster_to_record`; fields that are not a cluster's are passed over."""
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
    )
