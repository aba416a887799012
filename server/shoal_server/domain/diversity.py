"""Puts what was found into an order in which each next thing is good and new."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def diverse_order(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], diversity: float, limit: int
) -> NDArray[np.intp]:
    """Orders candidates by maximal marginal relevance (Carbonell and Goldstein 1998).

    The first is the one with the best score. Each next one has the largest ``(1 - diversity) * score - diversity *
    similarity``, where the similarity is that to the most similar one before it.

    Args:
        scores: float32 (n,), cosine similarities to what is looked for.
        vectors: float32 (n, dimension), unit length.
        diversity: 0 to 1; 0 is the order of the scores.
        limit: at most this many are put into order, at least 0.

    Returns:
        Rows of the candidates, shape (min(n, limit),); of equal ones the first comes first.
    """
    count = min(len(scores), limit)
    order = np.empty(count, dtype=np.intp)
    gain = (1.0 - diversity) * scores.astype(np.float64)
    nearest = np.full(len(scores), -np.inf)
    value = scores.astype(np.float64)
    for place in range(count):
        chosen = int(np.argmax(value))
        order[place] = chosen
        np.maximum(nearest, vectors @ vectors[chosen], out=nearest)
        # What is chosen stays out of the running.
        gain[chosen] = -np.inf
        value = gain - diversity * nearest
    return order
