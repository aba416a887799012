"""Clusters."""

from __future__ import annotations

from shoal.v1 import cluster_pb2, cluster_service_pb2
from shoal_client import names
from shoal_client.conversion.times import time
from shoal_client.results import Alternative, Assignment, Cluster, NameCandidate, NameSource

NAME_SOURCES = {
    cluster_pb2.NAME_SOURCE_AUTOMATIC: NameSource.AUTOMATIC,
    cluster_pb2.NAME_SOURCE_PERSON: NameSource.PERSON,
}


def cluster(message: cluster_pb2.Cluster) -> Cluster:
    """A cluster."""
    return Cluster(
        id=names.cluster_id(message.name),
        name=message.display_name,
        name_source=NAME_SOURCES.get(message.name_source, NameSource.UNKNOWN),
        name_candidates=tuple(NameCandidate(each.display_name, each.score) for each in message.name_candidates),
        size=message.size,
        run_size=message.run_size,
        exemplars=tuple(names.child_id(each, names.IMAGES) for each in message.exemplars),
        cohesion=message.cohesion,
        assign_threshold=message.assign_threshold,
        created_at=time(message.create_time),
        borderline=tuple(names.child_id(each, names.IMAGES) for each in message.borderline_images),
        separation=message.separation,
        pinned=message.pinned,
        merged=message.merged,
        split=message.split,
        theme_id=names.number(message.theme, names.THEMES) if message.theme else None,
    )


def assignment(message: cluster_service_pb2.AssignImageResponse) -> Assignment:
    """The cluster of an image."""
    return Assignment(
        cluster_id=names.cluster_id(message.cluster) if message.cluster else None,
        name=message.display_name if message.cluster else None,
        similarity=message.similarity,
        outlier=message.outlier,
        alternatives=tuple(
            Alternative(names.cluster_id(each.cluster), each.display_name, each.similarity, each.share)
            for each in message.alternatives
        ),
        outlier_score=message.outlier_score,
    )
