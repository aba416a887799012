"""Ways to cluster vectors, Shoal's among them; each is run by ``peers.py`` in a process of its own.

    python benchmarks/clustering_peers.py NAME VECTORS.npy LABELS.npy

Prints one JSON object: seconds from the vectors to the labels, imports and compiling included; what a process that has
done it once would not do again is not taken off.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


def shoal(file: Path) -> Labels:
    """Default settings, in the worker process that a server has."""
    from shoal_server.adapters.umap_hdbscan import WorkerClusterer
    from shoal_server.domain.run import RequestedParameters

    parameters = RequestedParameters().complete(len(np.load(file, mmap_mode="r")))

    async def run() -> Labels:
        clusterer = WorkerClusterer(Path(os.environ["NUMBA_CACHE_DIR"]))
        try:
            return (await clusterer.cluster(file, parameters, lambda stage, fraction: None)).labels
        finally:
            await clusterer.aclose()

    return asyncio.run(run())


def umap_hdbscan(file: Path) -> Labels:
    """What is written first: five dimensions, clusters of at least 20, all else as the libraries have it."""
    import hdbscan
    import umap

    reduced = umap.UMAP(n_components=5).fit_transform(np.load(file))
    labels: Labels = hdbscan.HDBSCAN(min_cluster_size=20).fit_predict(reduced).astype(np.int64)
    return labels


def bertopic(file: Path) -> Labels:
    """The two models that a BERTopic object makes for itself, without its words and its second transform."""
    from bertopic import BERTopic

    model = BERTopic()
    reduced = model.umap_model.fit_transform(np.load(file))
    labels: Labels = model.hdbscan_model.fit_predict(reduced).astype(np.int64)
    return labels


def evoc(file: Path) -> Labels:
    """EVoC as it comes: the layer of clusters that it picks itself."""
    from evoc import EVoC

    labels: Labels = EVoC().fit_predict(np.load(file)).astype(np.int64)
    return labels


#: Name to what it is called in tables, the packages that it needs, and the way itself.
WAYS = {
    "shoal": ("Shoal, default settings", (), shoal),
    "umap_hdbscan": ("UMAP(5) + HDBSCAN(20)", (), umap_hdbscan),
    "bertopic": ("BERTopic's UMAP + HDBSCAN", ("bertopic",), bertopic),
    "evoc": ("EVoC", ("evoc",), evoc),
}


def main() -> None:
    """Runs one of them."""
    name, vectors, labels = sys.argv[1:]
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = WAYS[name][2](Path(vectors))
    seconds = time.monotonic() - began
    np.save(labels, found)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
