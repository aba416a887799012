"""Clusters with UMAP and HDBSCAN in a process of its own."""

from __future__ import annotations

from shoal_server.adapters.umap_hdbscan.clusterer import WorkerClusterer
from shoal_server.adapters.umap_hdbscan.devices import Ways

__all__ = ["Ways", "WorkerClusterer"]
