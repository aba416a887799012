"""The map: two dimensions for people to look at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.principal_axes import principal_axes
from shoal_server.adapters.umap_hdbscan.reduce import embed_graph

#: Looser than for grouping, so that neighbours do not cover one another.
_MIN_DIST = 0.1

#: Beginning from points that are well placed already, more rounds change little.
_EPOCHS = 200


def map_points(
    vectors: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    reduced: NDArray[np.float32],
    seed: int,
    on_fraction: Callable[[float], None],
) -> NDArray[np.float32]:
    """Lays the graph that the groups came from out in two dimensions.

    It begins where the reduced points spread most, so that what was grouped together stands together.

    Args:
        vectors: (n, d).
        graph: (n, n), UMAP's fuzzy graph of them.
        reduced: (n, r), the points that were grouped, r at least 2.
        seed: of everything random.
        on_fraction: called with the share of the work that is done.

    Returns:
        (n, 2).
    """
    return embed_graph(vectors, graph, 2, _MIN_DIST, principal_axes(reduced, 2), _EPOCHS, seed, on_fraction)
