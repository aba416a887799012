"""Names for themes: a word for what their clusters have in common, or the names of the largest of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.naming import name_clusters

#: A former name stays while at least this share of the images, in clusters that are or were in the theme, is common.
MUCH_THE_SAME = 0.7
#: A word fits a theme only if it fits every cluster in it at least this share as well as the one it fits best.
EVENLY = 0.5

_MORE = " & more"
_AND = " & "


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A theme without a name.

    Attributes:
        members: rows of its clusters.
        parts: the same by the themes right below it; every cluster is a part if it has none below.
        former_name: what it was called before; None if it is new.
        former_members: rows of those of today's clusters that were in it before.
    """

    members: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]
    former_name: str | None = None
    former_members: tuple[int, ...] = ()


def name_themes(
    themes: Sequence[Unnamed],
    centroids: NDArray[np.float32],
    cluster_names: Sequence[str],
    sizes: Sequence[int],
    words: Sequence[str],
    word_vectors: NDArray[np.float32],
    taken: Collection[str] = (),
) -> list[str]:
    """Names themes that lie beside one another.

    * A single cluster gives its own name to its theme.
    * The former name stays while the theme is much the same (:data:`MUCH_THE_SAME`) and, if it lists clusters, these
      are still in the theme and so called.
    * A word of the vocabulary that is no cluster's name, if the theme has three clusters or more and the word fits each
      of them, evenly (:data:`EVENLY`) and better than any cluster outside.
    * Else the largest clusters of its two largest parts, ``moped & bicycle`` or ``moped, bicycle & more``.

    Args:
        themes: together at least two, or one of several clusters.
        centroids: of k clusters, float32 (k, d), unit length.
        cluster_names: k names.
        sizes: of the k clusters, in images.
        words: as for :func:`shoal_server.domain.naming.name_clusters`.
        word_vectors: float32 (len(words), d), unit length.
        taken: names of other themes.

    Returns:
        A name for each; no two are the same, and none is taken or the name of a cluster, unless it is its only one's.
    """
    used = {name.casefold() for name in taken}
    called = {name.casefold() for name in cluster_names}
    names: dict[int, str] = {}

    def give(theme: int, name: str) -> None:
        names[theme] = name
        used.add(name.casefold())

    for number, theme in enumerate(themes):
        own = [cluster_names[row] for row in theme.members]
        if len(own) == 1 and own[0].casefold() not in used:
            give(number, own[0])
        elif (
            theme.former_name is not None
            and theme.former_name.casefold() not in used | called
            and _much_the_same(theme, sizes)
            and _still_true(theme.former_name, own)
        ):
            give(number, theme.former_name)
    for number, word in _common_words(themes, centroids, words, word_vectors, used | called).items():
        if number not in names:
            give(number, word)
    for number, theme in enumerate(themes):
        if number not in names:
            largest = [cluster_names[row] for row in _largest_of_parts(theme, sizes)]
            name = _AND.join(largest) if len(largest) == len(theme.members) else ", ".join(largest) + _MORE
            give(number, _unused(name, used | called))
    return [names[number] for number in range(len(themes))]


def _common_words(
    themes: Sequence[Unnamed],
    centroids: NDArray[np.float32],
    words: Sequence[str],
    word_vectors: NDArray[np.float32],
    taken: Collection[str],
) -> Mapping[int, str]:
    """The word that fits distinctly, for those themes that have one."""
    means = np.stack([centroids[list(theme.members)].mean(axis=0) for theme in themes])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    rows_of: dict[str, list[int]] = {}
    for row, word in enumerate(words):
        rows_of.setdefault(word, []).append(row)
    found: dict[int, str] = {}
    used = set(taken)
    for number, (theme, candidates) in enumerate(
        zip(themes, name_clusters(means, words, word_vectors, taken), strict=True)
    ):
        inside = np.isin(np.arange(len(centroids)), theme.members)
        if inside.sum() < 3 or inside.all():
            continue
        for candidate in candidates:
            # A name with a number is no word.
            if candidate.name not in rows_of or candidate.name.casefold() in used:
                continue
            similarities = (centroids @ word_vectors[rows_of[candidate.name]].T).max(axis=1)
            lead = similarities[inside] - similarities[~inside].mean()
            if similarities[inside].min() > similarities[~inside].max() and lead.min() >= EVENLY * lead.max():
                found[number] = candidate.name
                used.add(candidate.name.casefold())
                break
    return found


def _much_the_same(theme: Unnamed, sizes: Sequence[int]) -> bool:
    now, before = set(theme.members), set(theme.former_members)
    both, either = (sum(sizes[row] for row in rows) for rows in (now & before, now | before))
    return both >= MUCH_THE_SAME * either


def _still_true(name: str, own: Sequence[str]) -> bool:
    """Whether a name that lists clusters lists clusters of the theme; true of a name that is a word."""
    if _AND not in name:
        return True
    if name.endswith(_MORE):
        listed = name.removesuffix(_MORE).split(", ")
        return len(own) > len(listed) and set(listed) <= set(own)
    return set(name.split(_AND)) == set(own)


def _largest_of_parts(theme: Unnamed, sizes: Sequence[int]) -> list[int]:
    """The largest cluster of each of the two largest parts, by the rows."""
    parts = sorted(theme.parts, key=lambda rows: (-sum(sizes[row] for row in rows), rows))
    return [min(rows, key=lambda row: (-sizes[row], row)) for rows in parts[:2]]


def _unused(name: str, used: Collection[str]) -> str:
    number, free = 1, name
    while free.casefold() in used:
        number += 1
        free = f"{name} {number}"
    return free
