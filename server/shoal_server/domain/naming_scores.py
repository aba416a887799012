"""How well words fit clusters, compared with the other clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# With this many other clusters, a word's mean over them counts half.
_FEW_CLUSTERS = 3


@dataclass(frozen=True, slots=True)
class WordScores:
    """Scores of w words for k clusters.

    Attributes:
        words: w words, each once.
        values: float32 (k, w), -2 to 2; they compare words for one cluster.
    """

    words: tuple[str, ...]
    values: NDArray[np.float32]


def score_words(centroids: NDArray[np.float32], words: Sequence[str], word_vectors: NDArray[np.float32]) -> WordScores:
    """Scores every word for every cluster: its similarity less its mean similarity to the other clusters.

    The mean is what a word has everywhere: in CLIP's space some words are near every image. It counts in full only
    where there are many other clusters, because a few are too few to know it from; a single cluster is scored by the
    similarities alone.

    Args:
        centroids: float32 (k, d), unit length.
        words: as many as there are vectors; a word that stands several times (for its synonyms) counts by its best.
        word_vectors: float32 (w, d), unit length, in the space of the centroids.
    """
    distinct = tuple(dict.fromkeys(words))
    if not distinct or not len(centroids):
        return WordScores(distinct, np.zeros((len(centroids), len(distinct)), dtype=np.float32))
    column_of = {word: column for column, word in enumerate(distinct)}
    best = np.full((len(distinct), len(centroids)), -np.inf, dtype=np.float32)
    np.maximum.at(best, [column_of[word] for word in words], word_vectors @ centroids.T)
    similarities = best.T
    others = len(similarities) - 1
    mean_elsewhere = (similarities.sum(axis=0) - similarities) / max(others, 1)
    values = similarities - mean_elsewhere * np.float32(others / (others + _FEW_CLUSTERS))
    return WordScores(distinct, np.ascontiguousarray(values, dtype=np.float32))
