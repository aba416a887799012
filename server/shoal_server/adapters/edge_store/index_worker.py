"""The process that builds a shard's search index.

The engine holds Python's interpreter lock while it works, for a minute at 100,000 images: a thread would stop the
whole server. ``python -m shoal_server.adapters.edge_store.index_worker FOLDER DIMENSION THRESHOLD_KB`` works on
a copy instead.
"""

from __future__ import annotations

import os
import sys

import qdrant_edge as edge


def die_with_parent() -> None:
    """Ends this process when the other end of its standard input is closed, however the parent ended."""
    if sys.platform != "win32":
        import fcntl

        # A watching thread would wait for the interpreter lock; the default action of SIGIO needs nobody.
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)


def give_way() -> None:
    """Lets the server go first: nobody waits for an index."""
    if sys.platform != "win32":
        os.nice(10)


def build_index(folder: str, dimension: int, threshold_kb: int) -> None:
    """Optimises the shard in a folder and makes the outcome durable."""
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=threshold_kb),
    )
    shard = edge.EdgeShard.load(folder, config)
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    die_with_parent()
    give_way()
    build_index(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
