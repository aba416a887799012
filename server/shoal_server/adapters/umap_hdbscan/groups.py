"""What every method of grouping hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.run import ClusteringParameters, Trial


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups among n points, and how they were found.

    Attributes:
        labels: int64 (n,), 0 .. k-1, -1 for noise.
        strengths: float32 (n,), 0 to 1, 0 for noise.
        parameters: what was used, with what a search found filled in.
        trials: what the search tried, in that order; empty if nothing was left to search.
        quality: label-free figures by name: ``silhouette`` and, of density-based groups, ``relative_validity``; each
            -1 to 1.
    """

    labels: NDArray[np.int64]
    strengths: NDArray[np.float32]
    parameters: ClusteringParameters
    trials: tuple[Trial, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
