"""The map: two dimensions for people to look at."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.optimise import Optimise, optimise
from shoal_server.adapters.umap_hdbscan.reduce import embed_graph

#: Looser than for grouping, so that neighbours do not cover one another.
_MIN_DIST = 0.1

#: Beginning from points that are well placed already, more rounds change little.
_ROUNDS = 100


def map_points(
    graph: scipy.sparse.csr_matrix, start: NDArray[np.float32], seed: int, optimised: Optimise = optimise
) -> NDArray[np.float32]:
    """Lays the graph that the groups came from out in two dimensions.

    Args:
        graph: (n, n), UMAP's fuzzy graph of the points.
        start: (n, 2), where to begin: where the points that were grouped spread most, so that what was grouped together
            stands together.
        seed: of everything random.
        optimised: does the optimisation. It gets one thread, because it is done beside the grouping.

    Returns:
        (n, 2).
    """
    return embed_graph(graph, start, _MIN_DIST, _ROUNDS, seed, lambda fraction: None, optimised, threads=1)
