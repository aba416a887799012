"""Clusters, and the votes for them."""

from __future__ import annotations

from shoal.v1 import cluster_pb2, cluster_service_pb2
from shoal_server.application.assign import Assignment
from shoal_server.application.curation import CountedCluster
from shoal_server.domain.cluster import Hold, NameSource
from shoal_server.rpc.convert.values import timestamp
from shoal_server.rpc.resource_names import cluster_name, image_name, theme_name

_NAME_SOURCES = {
    NameSource.AUTOMATIC: cluster_pb2.NAME_SOURCE_AUTOMATIC,
    NameSource.PERSON: cluster_pb2.NAME_SOURCE_PERSON,
}


def cluster(collection_id: str, counted: CountedCluster) -> cluster_pb2.Cluster:
    """A cluster with its present size."""
    described = counted.cluster
    return cluster_pb2.Cluster(
        name=cluster_name(collection_id, described.id),
        display_name=described.name,
        name_source=_NAME_SOURCES[described.name_source],
        name_candidates=[
            cluster_pb2.NameCandidate(display_name=candidate.name, score=candidate.score)
            for candidate in described.candidates
        ],
        size=counted.size,
        run_size=described.size,
        exemplars=[image_name(collection_id, exemplar) for exemplar in described.exemplars],
        cohesion=described.cohesion,
        assign_threshold=described.threshold,
        create_time=timestamp(described.created_at),
        borderline_images=[image_name(collection_id, each) for each in described.borderline],
        separation=described.separation,
        pinned=Hold.PINNED in described.holds,
        merged=Hold.MERGED in described.holds,
        split=Hold.SPLIT in described.holds,
        theme="" if described.theme_id is None else theme_name(collection_id, described.theme_id),
    )


def assignment(collection_id: str, voted: Assignment) -> cluster_service_pb2.AssignImageResponse:
    """The outcome of a vote."""
    winner = voted.cluster
    return cluster_service_pb2.AssignImageResponse(
        cluster="" if winner is None else cluster_name(collection_id, winner.id),
        display_name="" if winner is None else winner.name,
        similarity=voted.similarity,
        outlier=winner is None,
        alternatives=[
            cluster_service_pb2.AssignImageResponse.Alternative(
                cluster=cluster_name(collection_id, alternative.cluster.id),
                display_name=alternative.cluster.name,
                similarity=alternative.similarity,
                share=alternative.share,
            )
            for alternative in voted.alternatives
        ],
        outlier_score=voted.outlier_score,
    )
