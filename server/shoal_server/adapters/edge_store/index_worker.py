"""The process that builds a shard's search index.

The engine holds Python's interpreter lock while it works, for a minute at 100,000 images: a thread would stop the
whole server. ``python -m shoal_server.adapters.edge_store.index_worker FOLDER DIMENSION THRESHOLD_KB`` works on
a copy instead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import qdrant_edge as edge

from shoal_server.adapters.edge_store import files, points
from shoal_server.adapters.edge_store.sparse import die_with_parent


def give_way() -> None:
    """Lets the server go first: nobody waits for an index."""
    if sys.platform != "win32":
        os.nice(10)


def build_index(folder: str, dimension: int, threshold_kb: int) -> None:
    """Optimises the shard in a folder and makes the outcome durable."""
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine),
        quantization_config=points.QUANTIZED,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=threshold_kb),
    )
    shard = edge.EdgeShard.load(folder, config)
    shard.optimize()
    shard.flush()
    shard.close()
    # Also what was copied and not changed, which the engine takes for durable.
    files.sync_tree(Path(folder))


if __name__ == "__main__":
    die_with_parent()
    give_way()
    build_index(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
