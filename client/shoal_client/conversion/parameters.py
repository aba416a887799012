"""How a run is done."""

from __future__ import annotations

from shoal.v1 import cluster_pb2
from shoal_client.errors import InvalidArgument
from shoal_client.results import ClusteringMethod, ClusteringParameters, Granularity, Reducer

GRANULARITIES = {
    cluster_pb2.GRANULARITY_FINE: Granularity.FINE,
    cluster_pb2.GRANULARITY_BALANCED: Granularity.BALANCED,
    cluster_pb2.GRANULARITY_COARSE: Granularity.COARSE,
}
REDUCERS = {
    cluster_pb2.REDUCER_UMAP: Reducer.UMAP,
    cluster_pb2.REDUCER_PCA: Reducer.PCA,
    cluster_pb2.REDUCER_NONE: Reducer.NONE,
}
METHODS = {
    cluster_pb2.CLUSTERING_METHOD_HDBSCAN: ClusteringMethod.HDBSCAN,
    cluster_pb2.CLUSTERING_METHOD_KMEANS: ClusteringMethod.KMEANS,
    cluster_pb2.CLUSTERING_METHOD_SPHERICAL_KMEANS: ClusteringMethod.SPHERICAL_KMEANS,
    cluster_pb2.CLUSTERING_METHOD_AGGLOMERATIVE: ClusteringMethod.AGGLOMERATIVE,
    cluster_pb2.CLUSTERING_METHOD_EVOC: ClusteringMethod.EVOC,
}
_GRANULARITY_NUMBERS = {None: cluster_pb2.GRANULARITY_UNSPECIFIED} | {
    value: number for number, value in GRANULARITIES.items()
}
_REDUCER_NUMBERS = {None: cluster_pb2.REDUCER_UNSPECIFIED} | {value: number for number, value in REDUCERS.items()}
_METHOD_NUMBERS = {None: cluster_pb2.CLUSTERING_METHOD_UNSPECIFIED} | {
    value: number for number, value in METHODS.items()
}


def parameters_message(parameters: ClusteringParameters) -> cluster_pb2.ClusteringParameters:
    """The message for what a caller wants; what is None is left for the server to choose.

    Raises:
        InvalidArgument: a value does not fit into the message, or two do not go together.
    """
    if parameters.granularity is not None and parameters.n_clusters is not None:
        raise InvalidArgument(
            f"granularity {parameters.granularity.value} and n_clusters {parameters.n_clusters} say the same in two "
            "ways; give one of them",
            reason="INVALID_FIELD",
        )
    try:
        return cluster_pb2.ClusteringParameters(
            n_neighbors=parameters.n_neighbors or 0,
            n_components=parameters.n_components or 0,
            min_cluster_size=parameters.min_cluster_size or 0,
            min_samples=parameters.min_samples or 0,
            seed=parameters.seed,
            granularity=_GRANULARITY_NUMBERS[parameters.granularity],
            cluster_count=parameters.n_clusters or 0,
            reducer=_REDUCER_NUMBERS[parameters.reducer],
            method=_METHOD_NUMBERS[parameters.method],
        )
    except ValueError as error:
        raise InvalidArgument(
            f"a clustering parameter is far out of its range: {error}", reason="INVALID_FIELD"
        ) from error


def parameters(message: cluster_pb2.ClusteringParameters) -> ClusteringParameters:
    """What a run was done with; what a newer server chose and this client does not know is None."""
    return ClusteringParameters(
        n_neighbors=message.n_neighbors or None,
        n_components=message.n_components or None,
        min_cluster_size=message.min_cluster_size or None,
        min_samples=message.min_samples or None,
        seed=message.seed if message.HasField("seed") else None,
        granularity=GRANULARITIES.get(message.granularity),
        n_clusters=message.cluster_count or None,
        reducer=REDUCERS.get(message.reducer),
        method=METHODS.get(message.method),
    )
