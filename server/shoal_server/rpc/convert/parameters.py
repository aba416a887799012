"""How a run is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from shoal.v1 import cluster_pb2
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.run import (
    ClusteringRun,
    Granularity,
    Method,
    Reducer,
    RequestedParameters,
)

Choice = TypeVar("Choice")

_GRANULARITIES = {
    None: cluster_pb2.GRANULARITY_UNSPECIFIED,
    Granularity.FINE: cluster_pb2.GRANULARITY_FINE,
    Granularity.BALANCED: cluster_pb2.GRANULARITY_BALANCED,
    Granularity.COARSE: cluster_pb2.GRANULARITY_COARSE,
}
_REDUCERS = {
    None: cluster_pb2.REDUCER_UNSPECIFIED,
    Reducer.UMAP: cluster_pb2.REDUCER_UMAP,
    Reducer.PCA: cluster_pb2.REDUCER_PCA,
    Reducer.NONE: cluster_pb2.REDUCER_NONE,
}
_METHODS = {
    None: cluster_pb2.CLUSTERING_METHOD_UNSPECIFIED,
    Method.HDBSCAN: cluster_pb2.CLUSTERING_METHOD_HDBSCAN,
    Method.KMEANS: cluster_pb2.CLUSTERING_METHOD_KMEANS,
    Method.SPHERICAL_KMEANS: cluster_pb2.CLUSTERING_METHOD_SPHERICAL_KMEANS,
    Method.AGGLOMERATIVE: cluster_pb2.CLUSTERING_METHOD_AGGLOMERATIVE,
    Method.EVOC: cluster_pb2.CLUSTERING_METHOD_EVOC,
}


def parameters(record: ClusteringRun) -> cluster_pb2.ClusteringParameters:
    """What was used, or was asked for as long as no more is known."""
    chosen = record.parameters or record.requested
    # The two exclude one another in a request, so that an answer can be sent as one.
    granularity = chosen.granularity if chosen.n_clusters is None else None
    return cluster_pb2.ClusteringParameters(
        n_neighbors=chosen.n_neighbors or 0,
        n_components=chosen.n_components or 0,
        min_cluster_size=chosen.min_cluster_size or 0,
        min_samples=chosen.min_samples or 0,
        seed=chosen.seed,
        granularity=_GRANULARITIES[granularity],
        cluster_count=chosen.n_clusters or 0,
        reducer=_REDUCERS[chosen.reducer],
        method=_METHODS[chosen.method],
    )


def requested_parameters(message: cluster_pb2.ClusteringParameters) -> RequestedParameters:
    """What a caller wants of a run; 0 and not set leave the choice to Shoal.

    Raises:
        InvalidField: an enum's number means nothing here.
    """
    return RequestedParameters(
        n_neighbors=message.n_neighbors or None,
        n_components=message.n_components or None,
        min_cluster_size=message.min_cluster_size or None,
        min_samples=message.min_samples or None,
        seed=message.seed if message.HasField("seed") else None,
        granularity=_chosen("granularity", message.granularity, _GRANULARITIES),
        n_clusters=message.cluster_count or None,
        reducer=_chosen("reducer", message.reducer, _REDUCERS),
        method=_chosen("method", message.method, _METHODS),
    )


def _chosen(field: str, number: int, numbers: Mapping[Choice, int]) -> Choice:
    for choice, known in numbers.items():
        if known == number:
            return choice
    raise InvalidField(
        f"parameters.{field}", f"{number} stands for nothing that this server knows; leave it out, or use another"
    )
