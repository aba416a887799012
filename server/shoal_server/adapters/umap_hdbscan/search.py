"""Groups by whatever method is asked for, with what nobody gave found by a search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shoal_server.adapters.umap_hdbscan.count_search import search_count
from shoal_server.adapters.umap_hdbscan.density_search import search_density
from shoal_server.adapters.umap_hdbscan.evoc_search import search_evoc
from shoal_server.adapters.umap_hdbscan.group import GrowTree, density_tree
from shoal_server.adapters.umap_hdbscan.groups import Groups
from shoal_server.domain.run import ClusteringParameters, Method

__all__ = ["Groups", "choose_groups"]


def choose_groups(
    points: NDArray[np.float32],
    vectors: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    parameters: ClusteringParameters,
    on_fraction: Callable[[float], None],
    usual: int | None = None,
    grow_tree: GrowTree = density_tree,
) -> Groups:
    """Groups points.

    Args:
        points: (n, r), the reduced space, compared by Euclidean distance; n at least 2.
        vectors: (n, d), unit length, no two the same.
        graph: (n, n), UMAP's fuzzy graph of their neighbours.
        parameters: how; what is None is searched for. The same input and seed give the same groups.
        on_fraction: called with the share of the work that is done, 0 to 1.
        usual: HDBSCAN's smallest group to prefer among equally good ones, for instance that of the run before; None:
            :func:`~shoal_server.domain.run.usual_cluster_size`.
        grow_tree: finds how points fall apart, for HDBSCAN.

    Returns:
        The groups. How many they are may miss ``n_clusters`` where the points do not have so many; the last trial then
        says so.

    Raises:
        MissingExtra: the method's package is not installed.
    """
    # One thread: sums depend on the number of threads in their last bits, and so would the groups.
    with threadpool_limits(1):
        if parameters.method is Method.HDBSCAN:
            return search_density(points, vectors, graph, parameters, on_fraction, usual, grow_tree)
        if parameters.method is Method.EVOC:
            return search_evoc(vectors, parameters, on_fraction)
        return search_count(points, vectors, graph, parameters, on_fraction)
