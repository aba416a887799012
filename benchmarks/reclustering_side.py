"""One side of ``reclustering.py``, in a process of its own: clusters a file and prints a line of JSON.

    python benchmarks/reclustering_side.py stock|shoal FOLDER [--fresh BEGAN]

FOLDER holds ``vectors.npy`` and ``labels.npy``. With ``--fresh``, seconds count from BEGAN (``time.time()`` when the
process was started); without, something small is clustered first, and they count from after it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
#: Labels, and seconds by stage.
Clustered: TypeAlias = tuple[NDArray[np.int64], dict[str, float]]


def main() -> None:
    """Clusters and tells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=["stock", "shoal"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fresh", type=float)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    vectors, known = np.load(options.folder / "vectors.npy"), np.load(options.folder / "labels.npy")
    cluster = stock() if options.side == "stock" else shoal()
    if options.fresh is None:
        # Large enough for UMAP's search of neighbours to be the one for many.
        small = np.random.default_rng(0).normal(size=(5_000, 64)).astype(np.float32)
        cluster(small / np.linalg.norm(small, axis=1, keepdims=True))
    processor = 0.0 if options.fresh is not None else time.process_time()
    began = options.fresh if options.fresh is not None else time.time()
    labels, stages = cluster(vectors)
    seconds, processor = time.time() - began, time.process_time() - processor
    # Before anything else is imported or computed.
    peak = peak_mb()
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    told = {
        "seconds": seconds,
        "processor": processor,
        "stages": stages,
        "nmi": float(normalized_mutual_info_score(known, labels)),
        "ari": float(adjusted_rand_score(known, labels)),
        "groups": int(labels.max()) + 1,
        "noise": float((labels < 0).mean()),
        "rss_mb": peak,
    }
    print(json.dumps(told))


def peak_mb() -> int:
    """Most memory of this process, in MB (2**20 bytes); ``ru_maxrss`` would count that of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


def stock() -> Callable[[Vectors], Clustered]:
    """UMAP and HDBSCAN as BERTopic's documentation has them."""
    import hdbscan
    import umap

    def cluster(vectors: Vectors) -> Clustered:
        began = time.time()
        reduced = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine").fit_transform(vectors)
        middle = time.time()
        labels = hdbscan.HDBSCAN(min_cluster_size=15).fit_predict(reduced)
        return labels.astype(np.int64), {"umap": middle - began, "hdbscan": time.time() - middle}

    return cluster


def shoal() -> Callable[[Vectors], Clustered]:
    """What the worker process does, default settings."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    from shoal_server.adapters.umap_hdbscan.compiled import keep_compiled
    from shoal_server.adapters.umap_hdbscan.pipeline import cluster_vectors
    from shoal_server.domain.run import RequestedParameters, RunStage

    keep_compiled()

    def cluster(vectors: Vectors) -> Clustered:
        marks: list[tuple[str, float]] = []

        def on_stage(stage: RunStage, fraction: float) -> None:
            if not marks or marks[-1][0] != stage.value:
                marks.append((stage.value, time.time()))

        found = cluster_vectors(vectors, RequestedParameters().complete(len(vectors)), on_stage)
        marks.append(("", time.time()))
        return found.labels, {one[0]: two[1] - one[1] for one, two in itertools.pairwise(marks)}

    return cluster


if __name__ == "__main__":
    main()
