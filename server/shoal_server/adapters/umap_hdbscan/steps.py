"""The costly steps of clustering, which can be done in more than one way."""

from __future__ import annotations

from dataclasses import dataclass

from shoal_server.adapters.umap_hdbscan.group import GrowTree, density_tree
from shoal_server.adapters.umap_hdbscan.neighbors import FindNearest, nearest_others
from shoal_server.adapters.umap_hdbscan.optimise import Optimise, optimise


@dataclass(frozen=True, slots=True)
class Steps:
    """One way to do each; all may be called from several threads at once.

    Attributes:
        find_nearest: as :func:`~shoal_server.adapters.umap_hdbscan.neighbors.nearest_others`.
        optimise: as :func:`~shoal_server.adapters.umap_hdbscan.optimise.optimise`.
        grow_tree: as :func:`~shoal_server.adapters.umap_hdbscan.group.density_tree`.
    """

    find_nearest: FindNearest
    optimise: Optimise
    grow_tree: GrowTree


ON_CPU = Steps(nearest_others, optimise, density_tree)
