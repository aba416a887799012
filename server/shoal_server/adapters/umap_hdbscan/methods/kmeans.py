"""k-means and spherical k-means: a given number of groups of about the same spread; every point belongs to one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

#: Beginnings, of which the best end counts.
_STARTS = 10
#: Rounds; k-means settles before.
_ROUNDS = 100
#: Similarities computed at once.
_BLOCK = 1 << 24


def first_groups(points: NDArray[np.float32], k: int, seed: int) -> NDArray[np.int64]:
    """Groups to begin from: k-means of a sample or of leading axes, from several starts.

    Lloyd 1982, doi:10.1109/TIT.1982.1056489, begun as by Arthur and Vassilvitskii 2007.

    Args:
        points: (m, s), compared by Euclidean distance.
        k: how many groups, 1 to m.
        seed: of everything random.

    Returns:
        Labels (m,), 0 .. k-1; fewer if there are not so many different points.
    """
    return _fit(KMeans(k, random_state=seed, n_init=_STARTS), points)


def group_means(points: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean of each group, (k, r); labels (n,) are 0 .. k-1 with every number in use."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(int(labels.max()) + 1))
    sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    return np.asarray(sums / np.bincount(labels)[:, None], dtype=np.float32)


def kmeans(points: NDArray[np.float32], begin: NDArray[np.float32]) -> NDArray[np.int64]:
    """k-means from given centroids.

    Args:
        points: (n, r), compared by Euclidean distance.
        begin: (k, r).

    Returns:
        Labels (n,), 0 .. k-1; fewer if there are not so many different points.
    """
    middle = points.mean(axis=0)
    return _fit(KMeans(len(begin), init=begin - middle, n_init=1, max_iter=_ROUNDS), points - middle)


def spherical_kmeans(vectors: NDArray[np.float32], begin: NDArray[np.float32]) -> NDArray[np.int64]:
    """k-means by cosine, with centroids kept at unit length (Dhillon and Modha 2001, doi:10.1023/A:1007612920971).

    Args:
        vectors: (n, d), unit length.
        begin: (k, d), of any length; k-means makes a good beginning, because between unit vectors squared Euclidean
            distance is twice the cosine distance.

    Returns:
        Labels (n,), 0 .. k-1; fewer if some group loses all its vectors.
    """
    labels = consecutive(_nearest(vectors, _unit(begin)))
    for _ in range(_ROUNDS):
        before = labels
        labels = consecutive(_nearest(vectors, _unit(group_means(vectors, labels))))
        if np.array_equal(labels, before):
            break
    return labels


def consecutive(labels: NDArray[np.signedinteger[Any]]) -> NDArray[np.int64]:
    """The same groups numbered 0 .. k-1 with no gap; -1 stays -1."""
    present, number = np.unique(labels, return_inverse=True)
    return np.asarray(number - int((present < 0).sum()), dtype=np.int64)


def _fit(model: KMeans, points: NDArray[np.float32]) -> NDArray[np.int64]:
    with warnings.catch_warnings():
        # Fewer different points than groups: the labels say so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels: NDArray[np.int32] = model.fit_predict(points)
    return consecutive(labels)


def _unit(means: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.maximum(lengths, 1e-12), dtype=np.float32)


def _nearest(vectors: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    labels = np.empty(len(vectors), dtype=np.int64)
    step = max(1, _BLOCK // len(centroids))
    for begin in range(0, len(vectors), step):
        labels[begin : begin + step] = (vectors[begin : begin + step] @ centroids.T).argmax(axis=1)
    return labels
