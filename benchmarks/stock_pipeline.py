"""The peer: what one writes in an afternoon with the same model and the same libraries.

Open with PIL, embed in a loop, ``UMAP(n_neighbors=15, n_components=5, min_dist=0, metric="cosine")`` and
``HDBSCAN(min_cluster_size=15)`` as BERTopic's documentation has them, ``transform`` and ``approximate_predict`` for
what comes later, cluster numbers as they fall.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from shoal_server.application.ports import EmbeddingEngine
from shoal_server.bootstrap import load_engine

Labels = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Embedded:
    """Files and their vectors, float32 (dimension,), and how long the loop took."""

    vectors: dict[Path, Vectors]
    seconds: float

    def stacked(self, files: Sequence[Path]) -> Vectors:
        """The vectors of some files, float32 (n, dimension)."""
        return np.stack([self.vectors[file] for file in files])


def engine_of(model: str) -> EmbeddingEngine:
    """The model, loaded in this process."""
    return load_engine(model, Path(tempfile.gettempdir()) / "shoal-benchmark-cache")


def embed(engine: EmbeddingEngine, files: Sequence[Path], batch: int = 32) -> Embedded:
    """Opens, preprocesses and embeds files in a plain loop."""
    started = time.monotonic()
    vectors: dict[Path, Vectors] = {}
    for start in range(0, len(files), batch):
        stretch = files[start : start + batch]
        inputs = [engine.preprocess(np.asarray(PIL.Image.open(file).convert("RGB"))) for file in stretch]
        vectors |= zip(stretch, engine.embed_images(inputs), strict=True)
    return Embedded(vectors, time.monotonic() - started)


class StockClustering:
    """UMAP and HDBSCAN fitted once."""

    def __init__(self, vectors: Vectors) -> None:
        import hdbscan
        import umap

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._umap: Any = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine").fit(vectors)
            self._hdbscan: Any = hdbscan.HDBSCAN(min_cluster_size=15, prediction_data=True).fit(self._umap.embedding_)
        self.labels: Labels = self._hdbscan.labels_.astype(np.int64)

    def predict(self, vectors: Vectors) -> tuple[Labels, NDArray[np.float64]]:
        """Of vectors that were not there when it was fitted: labels, -1 for none, and strengths, 0 to 1."""
        import hdbscan

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels, strengths = hdbscan.approximate_predict(self._hdbscan, self._umap.transform(vectors))
        return np.asarray(labels, dtype=np.int64), np.asarray(strengths, dtype=np.float64)
