"""EVoC: groups of several finenesses straight from the vectors (McInnes 2025, https://github.com/TutteInstitute/evoc)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.errors import MissingExtra

#: EVoC's neighbourhood.
_NEIGHBORS = 15


def evoc_layers(
    vectors: NDArray[np.float32], min_cluster_size: int, min_samples: int, n_clusters: int | None, seed: int
) -> Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Groups unit vectors by EVoC, which looks for their neighbours and reduces them in its own way.

    Args:
        vectors: (n, d), unit length, n at least 3.
        min_cluster_size: the smallest group of the finest layer, at least 2.
        min_samples: conservatism, at least 1.
        n_clusters: about how many groups there are to be, then in one layer only; None: as many as there are.
        seed: of everything random.

    Returns:
        Labels (n,), 0 .. k-1 and -1 for noise, and strengths (n,), 0 to 1, of each layer, finest first.

    Raises:
        MissingExtra: EVoC is not installed.
    """
    try:
        import evoc  # compiles at its first import, which takes minutes, and is optional
    except ImportError as error:
        raise MissingExtra("the clustering method evoc", "evoc") from error
    n = len(vectors)
    model = evoc.EVoC(
        n_neighbors=min(_NEIGHBORS, n - 1),
        base_min_cluster_size=min_cluster_size,
        min_samples=min(min_samples, n - 1),
        approx_n_clusters=n_clusters,
        random_state=seed,
    )
    model.fit(np.ascontiguousarray(vectors, dtype=np.float32))
    layers = []
    for found, firm in zip(model.cluster_layers_, model.membership_strength_layers_, strict=True):
        labels = np.asarray(found, dtype=np.int64)
        strengths = np.clip(np.nan_to_num(np.asarray(firm, dtype=np.float32)), 0.0, 1.0)
        layers.append((labels, np.where(labels >= 0, strengths, np.float32(0.0))))
    return layers
