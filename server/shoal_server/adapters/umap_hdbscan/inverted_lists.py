"""Nearest neighbours of very many vectors among many, by looking at those alone that are roughly where they are.

Vectors stand in lists around the centroids of a k-means, and a query is compared with the lists whose centroids are
nearest to it: the inverted file of Sivic and Zisserman 2003 (doi:10.1109/ICCV.2003.1238663), without compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numba
import numpy as np
from numpy.typing import NDArray

#: Fewer vectors than this are one list: then the search is exact.
_FEW = 2_000
#: Lists that a query is compared with. Of the 15 nearest among 30,000 vectors made from those of photographs 99.6 % are
#: in them (with 16: 99.9 %).
_PROBED = 8
#: Vectors for each list that k-means looks at, and its rounds: lists need not be the best, only balanced.
_LEARNT_FROM = 32
_ROUNDS = 10
#: Similarities held at once, as float32: 64 MiB. Only where many vectors are alike, and so in one list, are there more.
_BLOCK = 1 << 24
#: Neighbours that wait to be sorted in.
_WAITING = 1 << 20

#: Told rows of queries (a,), positions of vectors (b,) and their similarities (a, b), float32.
OnCompared = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], None]


class InvertedLists:
    """Vectors that can be searched among; the same vectors and seed give the same answers."""

    def __init__(self, vectors: NDArray[np.float32], seed: int) -> None:
        """Args:
        vectors: (m, d), unit length, m at least 1.
        seed: of everything random.
        """
        m = len(vectors)
        count = 1 if m < _FEW else round(np.sqrt(m))
        self._centroids = vectors[:1]
        list_of = np.zeros(m, dtype=np.int64)
        if count > 1:
            # Imported here: it takes a second, and for few vectors it is not needed.
            from sklearn.cluster import KMeans
            from threadpoolctl import threadpool_limits

            chosen = np.random.default_rng(seed).permutation(m)[: _LEARNT_FROM * count]
            # One thread: sums depend on the number of threads in their last bits.
            with threadpool_limits(1):
                # Begun anywhere: k-means++ takes ten times as long, and no more of the nearest are found.
                model = KMeans(count, init="random", n_init=1, max_iter=_ROUNDS, random_state=seed)
                model.fit(vectors[np.sort(chosen)])
            self._centroids = np.ascontiguousarray(model.cluster_centers_, dtype=np.float32)
            list_of = model.predict(vectors).astype(np.int64)
        self._members = [np.flatnonzero(list_of == number) for number in range(count)]
        self._lists = [vectors[members] for members in self._members]
        self._half_lengths = 0.5 * (self._centroids**2).sum(axis=1)
        self._size = m

    def search(
        self, queries: NDArray[np.float32], k: int, on_compared: OnCompared = lambda rows, positions, values: None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Finds the vectors nearest to each query.

        Args:
            queries: (q, d), unit length; some thousands at once.
            k: how many, at most m.
            on_compared: told of everything that is compared, a block at a time.

        Returns:
            Positions (q, k), best first, and cosine similarities (q, k), -1 to 1.
        """
        probed = self._probed(queries)
        width = probed.shape[1]
        values = np.full((len(queries), k), -np.inf, dtype=np.float32)
        found = np.full((len(queries), k), self._size, dtype=np.int64)
        by_list = np.argsort(probed, axis=None, kind="stable")
        bounds = np.searchsorted(probed.ravel()[by_list], np.arange(len(self._lists) + 1))
        for number, members in enumerate(self._members):
            pairs = by_list[bounds[number] : bounds[number + 1]]
            if not len(pairs) or not len(members):
                continue
            for rows in _in_blocks(pairs // width, len(members)):
                compared = queries[rows] @ self._lists[number].T
                on_compared(rows, members, compared)
                _sort_in(compared, rows, members, values, found)
        # Where the lists are too short, all are compared.
        if len(short := np.flatnonzero(found[:, -1] == self._size)):
            found[short], values[short] = self._among_all(queries[short], k)
        return found, np.clip(values, -1.0, 1.0)

    def _probed(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        width = min(_PROBED, len(self._lists))
        return _largest(queries @ self._centroids.T - self._half_lengths, width)

    def _among_all(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        values = np.full((len(queries), k), -np.inf, dtype=np.float32)
        found = np.full((len(queries), k), self._size, dtype=np.int64)
        for members, vectors in zip(self._members, self._lists, strict=True):
            for rows in _in_blocks(np.arange(len(queries)), len(members)):
                _sort_in(queries[rows] @ vectors.T, rows, members, values, found)
        return found, values


class NearestSoFar:
    """The nearest neighbours of some vectors among all that have come by.

    Attributes:
        rows: int64 (m, k), best first.
        similarities: float32 (m, k).
    """

    def __init__(self, rows: NDArray[np.int64], similarities: NDArray[np.float32]) -> None:
        """Args:
        rows: (m, k), the nearest that are known, best first.
        similarities: (m, k).
        """
        self.rows = rows.copy()
        self.similarities = similarities.copy()
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        self._count = 0

    def look(self, rows: NDArray[np.int64], positions: NDArray[np.int64], similarities: NDArray[np.float32]) -> None:
        """Takes note of vectors that come by, each only once.

        Args:
            rows: (a,), which they are.
            positions: (b,), with which of the m they were compared.
            similarities: (a, b).
        """
        who, whose = np.nonzero(similarities > self.similarities[positions, -1])
        self._waiting.append((positions[whose], rows[who], similarities[who, whose]))
        self._count += len(who)
        if self._count >= _WAITING:
            self.settle()

    def settle(self) -> None:
        """Sorts in all that came by."""
        if not self._count:
            return
        k = self.rows.shape[1]
        whose, rows, similarities = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._count = [], 0
        touched = np.unique(whose)
        whose = np.concatenate([np.repeat(touched, k), whose])
        rows = np.concatenate([self.rows[touched].ravel(), rows])
        similarities = np.concatenate([self.similarities[touched].ravel(), similarities])
        order = np.lexsort([rows, -similarities, whose])
        starts = np.searchsorted(whose[order], touched)
        best = order[starts[:, None] + np.arange(k)]
        self.rows[touched], self.similarities[touched] = rows[best], similarities[best]


@numba.njit(cache=True, nogil=True)
def _sort_in(compared, rows, members, values, found):  # type: ignore[no-untyped-def]
    """Puts vectors that come by among the nearest so far, best first, of equally similar ones the first first.

    Args:
        compared: float32 (a, b), similarities.
        rows: int64 (a,), of which queries.
        members: int64 (b,), with which vectors, ascending.
        values: float32 (queries, k), changed.
        found: int64 (queries, k), changed.
    """
    k = values.shape[1]
    for a in range(len(rows)):
        mine, whose = values[rows[a]], found[rows[a]]
        for b in range(len(members)):
            value, member = compared[a, b], members[b]
            at = k
            while at > 0 and (value > mine[at - 1] or (value == mine[at - 1] and member < whose[at - 1])):
                if at < k:
                    mine[at], whose[at] = mine[at - 1], whose[at - 1]
                at -= 1
            if at < k:
                mine[at], whose[at] = value, member


def _in_blocks(rows: NDArray[np.int64], compared: int) -> Iterator[NDArray[np.int64]]:
    """As many rows at a time as can be held when each is compared with so many vectors."""
    step = max(1, _BLOCK // max(1, compared))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _largest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns of the k largest of each row, (n, k), in no order."""
    width = values.shape[1]
    return np.asarray(np.argpartition(values, width - k, axis=1)[:, width - k :], dtype=np.int64)
