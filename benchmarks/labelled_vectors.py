"""Unit vectors whose groups are known, in any number, for what no folder of images at hand is large enough for.

Two kinds: more of what there is (vectors of labelled images, with others of the same label mixed in), and a mixture
that looks like the embeddings of photographs in what makes clustering hard: groups of very different sizes, some of
them close to one another, each spread along a few directions of its own, with heavy tails, and strays that belong to
none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Label of what belongs to no group.
STRAY = -1
#: Rows made at once.
_BLOCK = 10_000


def more_of(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], n: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors like those given: each is as far from the middle of its label as two of that label are, between these.

    So the groups are as wide as the given ones; a plain mean of two would draw them together.

    Args:
        vectors: (m, d), unit length.
        labels: (m,), 0 or more.
        n: how many to make.
        seed: of everything random.

    Returns:
        Unit vectors (n, d) and their labels (n,); the shares of the labels are those given.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
    middles = np.stack([vectors[rows].mean(axis=0) for rows in members])
    wanted = labels[rng.integers(len(vectors), size=n)]
    made = middles[wanted]
    shares = _unit(rng.normal(size=(n, 2)).astype(np.float32))
    for row, label in enumerate(wanted.tolist()):
        made[row] += shares[row] @ (vectors[rng.choice(members[label], 2)] - middles[label])
    return _unit(made), wanted


def mixture(n: int, d: int, groups: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Groups on the sphere as the module says.

    Args:
        n: how many vectors.
        d: dimensions, at least 16.
        groups: how many groups; their sizes fall with the square root of their rank.
        seed: of everything random.

    Returns:
        Unit vectors (n, d) and their groups (n,), :data:`STRAY` for one in fifty.
    """
    rng = np.random.default_rng(seed)
    # Five groups or so are variants of one theme; all lie in a cone, as embeddings do.
    themes = _directions(rng, max(1, groups // 5), d) + _directions(rng, 1, d)
    centres = themes[rng.integers(len(themes), size=groups)] + 0.9 * _directions(rng, groups, d)
    own = np.stack([np.linalg.qr(rng.normal(size=(d, 12)))[0].T for _ in range(groups)]).astype(np.float32)
    scales = rng.uniform(0.15, 0.35, size=(groups, 12)).astype(np.float32) * np.linspace(1.0, 0.4, 12, dtype=np.float32)
    weights = 1.0 / np.sqrt(np.arange(1, groups + 1))
    labels = rng.choice(groups, size=n, p=weights / weights.sum())
    vectors = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        of = labels[start:stop]
        tails = np.sqrt(5.0 / rng.chisquare(5.0, size=(stop - start, 1))).astype(np.float32)
        along = rng.normal(size=(stop - start, 12)).astype(np.float32) * scales[of] * tails
        block = centres[of].astype(np.float32)
        for group in np.unique(of):
            block[of == group] += along[of == group] @ own[group]
        block += rng.normal(scale=0.3 / np.sqrt(d), size=block.shape).astype(np.float32)
        vectors[start:stop] = _unit(block)
    strays = rng.random(n) < 0.02
    vectors[strays] = _unit(
        rng.normal(size=(int(strays.sum()), d)).astype(np.float32) / np.sqrt(d) + themes.mean(axis=0)
    )
    return vectors, np.where(strays, STRAY, labels).astype(np.int64)


def _directions(rng: np.random.Generator, count: int, d: int) -> NDArray[np.float32]:
    return _unit(rng.normal(size=(count, d)).astype(np.float32))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
